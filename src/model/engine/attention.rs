//! Attention over keys and values in 16 bits, on the kernel of [`crate::exact`].
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::slice;

use llama_cpp_sys_2 as sys;

use super::graph::{Takeover, part};
use crate::exact::{Cells, KernelSet, MAX_HEAD, Queries, Scratch, attend};

/// How to take over a node of fused attention, if it is a plain one: no bias by distance, no capped
/// scores, no sinks.
pub(super) fn plan(node: &sys::ggml_tensor) -> Option<Takeover> {
    if node.op != sys::GGML_OP_FLASH_ATTN_EXT || !node.src[4].is_null() || node.src[3].is_null() {
        return None;
    }
    // SAFETY: such a node has its first three sources, and the fourth is not null.
    let [q, k, v, mask] = unsafe { [&*node.src[0], &*node.src[1], &*node.src[2], &*node.src[3]] };
    let plain = node.op_params[1] == 0
        && node.op_params[2] == 0
        && q.type_ == sys::GGML_TYPE_F32
        && [k, v, mask].iter().all(|t| t.type_ == sys::GGML_TYPE_F16 && t.nb[0] == size_of::<u16>())
        && k.ne == v.ne
        && q.ne[0] == k.ne[0]
        && q.ne[0] % 16 == 0
        && q.ne[0] as usize <= MAX_HEAD
        && q.ne[2] % k.ne[2] == 0
        && q.ne[3] == k.ne[3]
        && mask.ne[0] >= k.ne[1]
        && mask.ne[2] == 1
        && mask.ne[3] == q.ne[3]
        && [q, node].iter().all(|t| t.nb[0] == size_of::<f32>() && t.nb.iter().all(|nb| nb.is_multiple_of(4)))
        && [k, v, mask].iter().all(|t| t.nb.iter().all(|nb| nb.is_multiple_of(2)))
        // The heads of one token lie side by side in the result.
        && node.nb[1] == node.ne[0] as usize * size_of::<f32>();
    // The scale travels in the pointer: the custom operator's parameters take its place in the node.
    let scale = std::ptr::without_provenance_mut(node.op_params[0] as u32 as usize);
    plain.then_some(Takeover { function: attention, user_data: scale, weights: None })
}

/// Keys and values of one key head in one lane, as ggml lays them out.
struct Lane<'a> {
    visible: &'a [(usize, f32)],
    keys: *const u8,
    values: *const u8,
    key_stride: usize,
    value_stride: usize,
    head: usize,
}

impl Cells for Lane<'_> {
    fn visible(&self) -> &[(usize, f32)] {
        self.visible
    }

    fn key(&self, cell: usize) -> &[u16] {
        // SAFETY: visible cells are below the number of cells; strides are the tensor's.
        unsafe { slice::from_raw_parts(self.keys.add(cell * self.key_stride).cast(), self.head) }
    }

    fn value(&self, cell: usize) -> &[u16] {
        // SAFETY: as for keys.
        unsafe { slice::from_raw_parts(self.values.add(cell * self.value_stride).cast(), self.head) }
    }
}

/// What a thread keeps from call to call.
#[derive(Default)]
struct Memory {
    visible: Vec<(usize, f32)>,
    scratch: Scratch,
}

/// One thread's tokens. Tokens are independent, so sharing them out never changes a bit.
extern "C" fn attention(node: *mut sys::ggml_tensor, thread: c_int, threads: c_int, scale: *mut c_void) {
    thread_local! {
        static MEMORY: RefCell<Memory> = RefCell::default();
    }
    let scale = f32::from_bits(scale.addr() as u32);
    // SAFETY: `plan` checked types, shapes and strides; each thread writes tokens of its own.
    unsafe {
        let node = &*node;
        let [q, k, v, mask] = [&*node.src[0], &*node.src[1], &*node.src[2], &*node.src[3]];
        let (head, cells) = (q.ne[0] as usize, k.ne[1] as usize);
        let (tokens, key_heads, lanes) = (q.ne[1] as usize, k.ne[2] as usize, q.ne[3] as usize);
        let shared = q.ne[2] as usize / key_heads;
        MEMORY.with_borrow_mut(|memory| {
            for at in part(tokens * lanes, 1, thread as usize, threads as usize) {
                let (lane, token) = (at / tokens, at % tokens);
                let mask = mask.data.cast::<u8>().add(token * mask.nb[1] + lane * mask.nb[3]);
                see(slice::from_raw_parts(mask.cast(), cells), &mut memory.visible);
                for key_head in 0..key_heads {
                    let place = |t: &sys::ggml_tensor| t.data.cast::<u8>().add(key_head * t.nb[2] + lane * t.nb[3]);
                    let first = key_head * shared;
                    let query = |h: usize| {
                        let at = token * q.nb[1] + (first + h) * q.nb[2] + lane * q.nb[3];
                        slice::from_raw_parts(q.data.cast::<u8>().add(at).cast::<f32>(), head)
                    };
                    let queries: Vec<&[f32]> = (0..shared).map(query).collect();
                    let cells = Lane {
                        visible: &memory.visible,
                        keys: place(k),
                        values: place(v),
                        key_stride: k.nb[1],
                        value_stride: v.nb[1],
                        head,
                    };
                    let to = first * node.nb[1] + token * node.nb[2] + lane * node.nb[3];
                    let out = slice::from_raw_parts_mut(node.data.cast::<u8>().add(to).cast(), shared * head);
                    let queries = Queries { queries: &queries, scale, head };
                    attend(KernelSet::current(), &queries, &cells, &mut memory.scratch, out);
                }
            }
        });
    }
}

/// The cells that a row of the mask shows. A mask holds 0 for a cell that is seen and minus infinity
/// for one that is not.
fn see(mask: &[u16], visible: &mut Vec<(usize, f32)>) {
    const MINUS_INFINITY: u16 = 0xfc00;
    visible.clear();
    visible.extend(mask.iter().enumerate().filter(|&(_, &bias)| bias != MINUS_INFINITY).map(|(cell, _)| (cell, 0.0)));
}
