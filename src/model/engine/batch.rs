//! The tokens of one step, as llama.cpp takes them.

use std::ptr;

use llama_cpp_sys_2 as sys;

/// The arrays behind a `llama_batch`, reused from step to step.
#[derive(Default)]
pub(super) struct Batch {
    /// Most tokens of one step.
    pub(super) capacity: usize,
    pub(super) tokens: Vec<sys::llama_token>,
    pub(super) positions: Vec<sys::llama_pos>,
    counts: Vec<i32>,
    lanes: Vec<sys::llama_seq_id>,
    lane_ptrs: Vec<*mut sys::llama_seq_id>,
    outputs: Vec<i8>,
}

impl Batch {
    pub(super) fn of(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.counts.clear();
        self.lanes.clear();
        self.lane_ptrs.clear();
        self.outputs.clear();
    }

    pub(super) fn push(&mut self, token: u32, position: usize, lane: usize, output: bool) {
        self.tokens.push(token as sys::llama_token);
        self.positions.push(position as sys::llama_pos);
        self.counts.push(1);
        self.lanes.push(lane as sys::llama_seq_id);
        self.outputs.push(i8::from(output));
    }

    /// The C view; valid until the next change.
    pub(super) fn view(&mut self) -> sys::llama_batch {
        self.lane_ptrs = self.lanes.iter_mut().map(ptr::from_mut).collect();
        sys::llama_batch {
            n_tokens: self.tokens.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.lane_ptrs.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}
