//! A model's weights as the kernels want them, packed once for all contexts.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::CStr;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use crate::exact::pool::Pool;
use crate::exact::products::{Kind, Packed};

/// Weights at least this large give their original memory back when they are packed.
const RELEASE_FROM: usize = 1 << 16;

/// Packed weights by the address of the originals, which are neither moved nor freed while this lives: it
/// belongs to the owner of the model.
#[derive(Default)]
pub(super) struct PackedWeights(Mutex<HashMap<usize, Arc<Packed>>>);

impl PackedWeights {
    /// The packed form of a matrix of weights.
    ///
    /// # Errors
    /// A sentence, where exact arithmetic does not define the weights' type or shape.
    pub(super) fn get(&self, tensor: &sys::ggml_tensor, pool: &mut Pool) -> Result<Arc<Packed>, String> {
        // Held while packing: a second context waits for the first instead of packing again.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = known.get(&tensor.data.addr()) {
            return Ok(Arc::clone(packed));
        }
        let packed = Arc::new(pack(tensor, pool)?);
        known.insert(tensor.data.addr(), Arc::clone(&packed));
        release(tensor);
        Ok(packed)
    }

    /// Whether weights at this address are packed, so that the original must not be read.
    pub(super) fn contains(&self, address: usize) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&address)
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|packed| packed.memory()).sum()
    }
}

/// What weights are called in errors.
fn label(tensor: &sys::ggml_tensor) -> String {
    // SAFETY: ggml ends names with a NUL byte; type names are C strings.
    let (name, kind) =
        unsafe { (CStr::from_ptr(tensor.name.as_ptr()), CStr::from_ptr(sys::ggml_type_name(tensor.type_))) };
    format!("{} of type {}", name.to_string_lossy(), kind.to_string_lossy().to_uppercase())
}

fn pack(tensor: &sys::ggml_tensor, pool: &mut Pool) -> Result<Packed, String> {
    let undefined = || format!("exact arithmetic does not define the weights {}", label(tensor));
    let kind = Kind::from_ggml(tensor.type_).ok_or_else(undefined)?;
    let (depth, outputs) = (tensor.ne[0] as usize, tensor.ne[1] as usize);
    // SAFETY: a live tensor.
    if tensor.ne[2] != 1 || tensor.ne[3] != 1 || !unsafe { sys::ggml_is_contiguous(tensor) } {
        return Err(undefined());
    }
    let mut packed = Packed::zeroed(kind, depth, outputs).map_err(|error| format!("{}: {error}", undefined()))?;
    // SAFETY: a contiguous matrix of ggml's, as large as ggml says, which nobody writes.
    let bytes = unsafe { slice::from_raw_parts(tensor.data.cast::<u8>(), sys::ggml_nbytes(tensor)) };
    let parts: Vec<_> = packed.parts(pool.threads()).into_iter().map(Mutex::new).collect();
    pool.run(&|member| {
        if let Some(part) = parts.get(member.thread) {
            part.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
        }
    });
    drop(parts);
    Ok(packed)
}

/// Gives back the pages that lie wholly within large weights in ggml's plain memory: nobody reads them any
/// more, the translator refuses graphs that would. A model of several gigabytes is thus not held twice.
fn release(tensor: &sys::ggml_tensor) {
    #[cfg(target_os = "linux")]
    // SAFETY: the pages are private anonymous memory that ggml allocated for weights, inside the tensor.
    unsafe {
        let plain = sys::ggml_backend_cpu_buffer_type();
        let len = sys::ggml_nbytes(tensor);
        if len < RELEASE_FROM || tensor.buffer.is_null() || sys::ggml_backend_buffer_get_type(tensor.buffer) != plain {
            return;
        }
        let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(usize::MAX);
        let (first, end) = (tensor.data.addr().next_multiple_of(page), (tensor.data.addr() + len) / page * page);
        if first < end {
            // That it fails is no harm.
            libc::madvise(tensor.data.byte_add(first - tensor.data.addr()), end - first, libc::MADV_DONTNEED);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (tensor, RELEASE_FROM);
}
