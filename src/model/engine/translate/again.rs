//! Computing a graph once more, for other tokens at other positions, without llama.cpp.

use std::ffi::CStr;
use std::{ptr, slice};

use llama_cpp_sys_2 as sys;

use super::{Tensor, attention, is_of_the_model, is_weights, numbers, root, source};
use crate::exact::view::{Element, View};

/// What a graph reads besides weights and caches, and where it leaves the logits. Good as long as ggml keeps the
/// graph's tensors in place.
pub(in crate::model::engine) struct Again {
    /// The tokens, 32-bit integers.
    tokens: View,
    /// Their positions, 32-bit integers.
    positions: View,
    /// Other inputs, which are those of every batch of this shape, and their bytes: a graph may overwrite them.
    fixed: Vec<(View, Vec<u8>)>,
    /// One row for each output.
    logits: View,
}

impl Again {
    /// Reads a graph that is about to be computed. `None` if something in it depends on the batch in another way than
    /// through tokens and positions. Masks do not count: keys kept by position make no use of them.
    pub(in crate::model::engine) fn of(nodes: &[&Tensor]) -> Option<Self> {
        let positions = attention::positions(nodes).ok()?;
        let masks = attention::mask_tensors(nodes);
        let caches = [1, 2].map(|i| attention::caches(nodes, i));
        let mut tokens: Option<View> = None;
        let mut fixed: Vec<(View, Vec<u8>)> = Vec::new();
        for node in nodes {
            let is_mask = masks.contains(&ptr::from_ref(*node));
            for i in (0..node.src.len()).filter(|_| !is_mask) {
                let Some(read) = source(node, i).map(root).filter(|read| read.op == sys::GGML_OP_NONE) else {
                    continue;
                };
                let view = numbers(read);
                let known = masks.contains(&ptr::from_ref(read))
                    || caches.iter().any(|caches| caches.contains(&ptr::from_ref(read)))
                    || is_of_the_model(read)
                    || view.is_some_and(|view| view.data == positions.data)
                    || fixed.iter().any(|(view, _)| view.data == read.data.cast());
                if known {
                    continue;
                }
                let view = view?;
                let looks_up = node.op == sys::GGML_OP_GET_ROWS && i == 1 && source(node, 0).is_some_and(is_weights);
                if looks_up && tokens.is_none_or(|tokens| tokens.data == view.data) {
                    tokens = Some(view);
                } else if matches!(node.op, sys::GGML_OP_GET_ROWS | sys::GGML_OP_SET_ROWS) && i == 1 {
                    let size = view.extents[0] * view.element.size();
                    // SAFETY: a plain row of a live tensor, which nobody else uses now.
                    fixed.push((view, unsafe { slice::from_raw_parts(view.data, size) }.to_vec()));
                } else {
                    return None;
                }
            }
        }
        let last = nodes.last().filter(|last| last.type_ == sys::GGML_TYPE_F32 && last.ne[2..] == [1; 2])?;
        // SAFETY: ggml ends names with a NUL byte.
        let name = unsafe { CStr::from_ptr(last.name.as_ptr()) };
        let logits = View {
            data: last.data.cast(),
            element: Element::F32,
            extents: last.ne.map(|n| n as usize),
            strides: last.nb,
        };
        let tokens = tokens.filter(|tokens| tokens.element == Element::I32 && tokens.extents == positions.extents)?;
        (name == c"result_output" && logits.has_plain_rows()).then_some(Self { tokens, positions, fixed, logits })
    }

    /// How many tokens the graph takes.
    pub(in crate::model::engine) fn count(&self) -> usize {
        self.tokens.extents[0]
    }

    /// Puts other tokens and their positions in, [`Self::count`] of each, and all else that is read.
    ///
    /// # Safety
    /// The graph's tensors are in place, and nobody uses them.
    pub(in crate::model::engine) unsafe fn feed(&self, tokens: &[i32], positions: &[i32]) {
        assert!(tokens.len() == self.count() && positions.len() == self.count(), "a batch of another shape");
        // SAFETY: plain rows of as many elements; bytes that were read there.
        unsafe {
            self.tokens.data.cast::<i32>().copy_from_nonoverlapping(tokens.as_ptr(), tokens.len());
            self.positions.data.cast::<i32>().copy_from_nonoverlapping(positions.as_ptr(), positions.len());
            for (view, bytes) in &self.fixed {
                view.data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
        }
    }

    /// Where the logits of an output are, and how many.
    pub(in crate::model::engine) fn logits(&self, output: usize) -> Option<(*const f32, usize)> {
        let [width, rows, ..] = self.logits.extents;
        (output < rows).then(|| (self.logits.row_at([output, 0, 0]).cast::<f32>().cast_const(), width))
    }
}
