//! Operators of ggml's graph that run on our kernels.
//!
//! A node is turned into a custom operator for the time of one computation: ggml's own threads then
//! call our function, each with its number, and ggml's barriers order it with the rest.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::{attention, products};
use crate::exact::PackedQ8;

/// `GGML_N_TASKS_MAX`: run the operator on all threads.
const ALL_THREADS: c_int = -1;

/// What ggml calls for a custom operator: the node, the thread's number, the number of threads.
type Function = extern "C" fn(*mut sys::ggml_tensor, c_int, c_int, *mut c_void);

/// How a node is computed instead.
pub(super) struct Takeover {
    pub(super) function: Function,
    pub(super) user_data: *mut c_void,
    /// What `user_data` points at, if it points at weights.
    pub(super) weights: Option<Arc<PackedQ8>>,
}

/// Mirrors `ggml_custom_op_params`, the operator's parameters in a node.
#[repr(C)]
struct CustomParams {
    function: Function,
    n_tasks: c_int,
    user_data: *mut c_void,
}

/// Nodes that are custom operators now; dropping it gives them back.
pub(super) struct Taken(Vec<Node>);

struct Node {
    tensor: *mut sys::ggml_tensor,
    op: sys::ggml_op,
    params: [i32; 16],
    /// Keeps the weights alive while the node points at them.
    _weights: Option<Arc<PackedQ8>>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        for node in &self.0 {
            // SAFETY: the graph outlives this, see `take_over`.
            unsafe {
                (*node.tensor).op = node.op;
                (*node.tensor).op_params = node.params;
            }
        }
    }
}

/// Takes over every node of the graph that our kernels compute.
///
/// # Safety
/// `graph` is live and used by nobody else until the result is dropped, except for its computation.
pub(super) unsafe fn take_over(graph: *mut sys::ggml_cgraph) -> Taken {
    let mut taken = Vec::new();
    // SAFETY: node numbers below the count, in a live graph; tensors of a graph have their sources.
    unsafe {
        for i in 0..sys::ggml_graph_n_nodes(graph) {
            let tensor = sys::ggml_graph_node(graph, i);
            let Some(takeover) = products::plan(&*tensor).or_else(|| attention::plan(&*tensor)) else { continue };
            let Takeover { function, user_data, weights } = takeover;
            taken.push(Node { tensor, op: (*tensor).op, params: (*tensor).op_params, _weights: weights });
            let custom = CustomParams { function, n_tasks: ALL_THREADS, user_data };
            const { assert!(size_of::<CustomParams>() <= size_of::<[i32; 16]>()) };
            // The parameters are 4-byte aligned, the structure wants 8.
            (&raw mut (*tensor).op_params).cast::<CustomParams>().write_unaligned(custom);
            (*tensor).op = sys::GGML_OP_CUSTOM;
        }
    }
    Taken(taken)
}

/// The part `number` of `n` of `total`, in multiples of `unit`.
pub(super) fn part(total: usize, unit: usize, number: usize, n: usize) -> Range<usize> {
    let units = total.div_ceil(unit);
    let at = |i: usize| (units * i / n * unit).min(total);
    at(number)..at(number + 1)
}
