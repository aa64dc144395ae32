//! Products with Q8_0 weights on the kernels of [`crate::exact`].
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use super::graph::{Takeover, part};
use crate::exact::{Activations, BLOCK, KernelSet, Output, PackedQ8, matmul_q8};

/// Columns from which on threads share the columns instead of the outputs.
const COLUMNS_PER_THREAD: usize = 8;

/// How to take over a product node, if it is one with Q8_0 weights.
pub(super) fn plan(node: &sys::ggml_tensor) -> Option<Takeover> {
    if node.op != sys::GGML_OP_MUL_MAT || !is_plain_q8(node) {
        return None;
    }
    // SAFETY: a product node has both sources.
    let weights = packed(unsafe { &*node.src[0] })?;
    Some(Takeover { function: product, user_data: Arc::as_ptr(&weights).cast_mut().cast(), weights: Some(weights) })
}

/// Repacked weights by the address of the originals, which stay in place while their model lives.
static PACKED: Mutex<Option<HashMap<usize, Arc<PackedQ8>>>> = Mutex::new(None);

/// Forgets all repacked weights; those of living models are repacked when next used. Called when a
/// model is freed, as its addresses may serve another one.
pub(super) fn forget() {
    *PACKED.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Whether the node is a matrix of Q8_0 weights times F32 columns, all of it in plain order.
fn is_plain_q8(node: &sys::ggml_tensor) -> bool {
    // SAFETY: a product node has both sources.
    let (weights, columns) = unsafe { (&*node.src[0], &*node.src[1]) };
    let matrix = |t: &sys::ggml_tensor| t.ne[2] == 1 && t.ne[3] == 1;
    let contiguous = |t: &sys::ggml_tensor, row: usize| t.nb[1] == row;
    weights.type_ == sys::GGML_TYPE_Q8_0
        && columns.type_ == sys::GGML_TYPE_F32
        && node.type_ == sys::GGML_TYPE_F32
        && matrix(weights)
        && matrix(columns)
        && contiguous(weights, weights.ne[0] as usize / BLOCK * 34)
        && columns.nb[0] == size_of::<f32>()
        && columns.nb[1].is_multiple_of(size_of::<f32>())
        && node.nb[0] == size_of::<f32>()
        && node.nb[1].is_multiple_of(size_of::<f32>())
        && node.nb[1] >= node.ne[0] as usize * size_of::<f32>()
}

fn packed(weights: &sys::ggml_tensor) -> Option<Arc<PackedQ8>> {
    let mut cache = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    if let Some(packed) = cache.get(&(weights.data as usize)) {
        return Some(Arc::clone(packed));
    }
    let (depth, outputs) = (usize::try_from(weights.ne[0]).ok()?, usize::try_from(weights.ne[1]).ok()?);
    // SAFETY: a contiguous Q8_0 matrix of this shape, loaded by llama.cpp.
    let bytes = unsafe { slice::from_raw_parts(weights.data.cast::<u8>(), depth / BLOCK * 34 * outputs) };
    let packed = Arc::new(PackedQ8::new(bytes, depth, outputs)?);
    cache.insert(weights.data as usize, Arc::clone(&packed));
    Some(packed)
}

/// One thread's share of a product. Shares are static and columns independent, so neither the
/// number of threads nor the way of sharing changes a bit.
extern "C" fn product(node: *mut sys::ggml_tensor, thread: c_int, threads: c_int, weights: *mut c_void) {
    thread_local! {
        static COLUMNS: RefCell<Activations> = RefCell::default();
    }
    let (thread, threads) = (thread as usize, threads as usize);
    // SAFETY: `plan` checked types, shapes and strides, and keeps the weights alive; each thread
    // writes outputs that no other one writes.
    unsafe {
        let (node, weights) = (&*node, &*weights.cast::<PackedQ8>());
        let source = &*node.src[1];
        let count = source.ne[1] as usize;
        let (own, groups) = if count >= COLUMNS_PER_THREAD * threads {
            (part(count, COLUMNS_PER_THREAD, thread, threads), 0..weights.groups())
        } else {
            (0..count, part(weights.groups(), 1, thread, threads))
        };
        if own.is_empty() || groups.is_empty() {
            return;
        }
        COLUMNS.with_borrow_mut(|columns| {
            columns.reset(weights.depth());
            for j in own.clone() {
                let column = source.data.byte_add(j * source.nb[1]).cast::<f32>();
                columns.push(slice::from_raw_parts(column, weights.depth()));
            }
            let stride = node.nb[1] / size_of::<f32>();
            let first = node.data.byte_add(own.start * node.nb[1]).cast::<f32>();
            let len = (own.len() - 1) * stride + weights.outputs();
            let mut out = Output::from_raw(first, len, stride);
            matmul_q8(KernelSet::current(), weights, columns, groups, &mut out);
        });
    }
}
