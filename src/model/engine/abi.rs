//! ggml's internal structures, as far as a compute device needs them: `ggml-backend-impl.h` and
//! `ggml-impl.h` of interface version [`API_VERSION`].
//!
//! ggml exports no functions for these, and registers a static device without looking at the version;
//! `device::install` compares it before any field is used.

use std::ffi::{c_char, c_int, c_void};

use llama_cpp_sys_2 as sys;

/// `GGML_BACKEND_API_VERSION` of the headers that the structures below mirror.
pub(super) const API_VERSION: c_int = 3;

/// A function that this program passes on and never calls.
pub(super) type Opaque = *mut c_void;

/// Mirrors `ggml_backend_reg`.
#[repr(C)]
pub(super) struct Reg {
    pub(super) api_version: c_int,
    pub(super) get_name: extern "C" fn(*mut Reg) -> *const c_char,
    pub(super) get_device_count: extern "C" fn(*mut Reg) -> usize,
    pub(super) get_device: extern "C" fn(*mut Reg, usize) -> *mut Device,
    pub(super) get_proc_address: extern "C" fn(*mut Reg, *const c_char) -> *const c_void,
    pub(super) context: *mut c_void,
}

/// Mirrors `ggml_backend_device`.
#[repr(C)]
pub(super) struct Device {
    pub(super) get_name: Opaque,
    pub(super) get_description: Opaque,
    pub(super) get_memory: Opaque,
    pub(super) get_type: Opaque,
    pub(super) get_props: Opaque,
    pub(super) init_backend: extern "C" fn(*mut Device, *const c_char) -> *mut Backend,
    pub(super) get_buffer_type: Opaque,
    pub(super) get_host_buffer_type: Opaque,
    pub(super) buffer_from_host_ptr: Opaque,
    pub(super) supports_op: Opaque,
    pub(super) supports_buft: Opaque,
    pub(super) offload_op: Opaque,
    pub(super) event_new: Opaque,
    pub(super) event_free: Opaque,
    pub(super) event_synchronize: Opaque,
    pub(super) reg: *mut Reg,
    pub(super) context: *mut c_void,
}

/// Mirrors `ggml_backend`. Functions that are null are optional.
#[repr(C)]
pub(super) struct Backend {
    pub(super) guid: *const [u8; 16],
    pub(super) get_name: Option<extern "C" fn(*mut Backend) -> *const c_char>,
    pub(super) free: Option<extern "C" fn(*mut Backend)>,
    pub(super) set_tensor_async: Opaque,
    pub(super) get_tensor_async: Opaque,
    pub(super) set_tensor_2d_async: Opaque,
    pub(super) get_tensor_2d_async: Opaque,
    pub(super) cpy_tensor_async: Opaque,
    pub(super) synchronize: Opaque,
    pub(super) graph_plan_create: Opaque,
    pub(super) graph_plan_free: Opaque,
    pub(super) graph_plan_update: Opaque,
    pub(super) graph_plan_compute: Opaque,
    pub(super) graph_compute: Option<extern "C" fn(*mut Backend, *mut Graph) -> sys::ggml_status>,
    pub(super) event_record: Opaque,
    pub(super) event_wait: Opaque,
    pub(super) graph_optimize: Opaque,
    pub(super) device: *mut Device,
    pub(super) context: *mut c_void,
}

/// Mirrors `ggml_cgraph`.
#[repr(C)]
pub(super) struct Graph {
    pub(super) size: c_int,
    pub(super) n_nodes: c_int,
    pub(super) n_leafs: c_int,
    pub(super) nodes: *mut *mut sys::ggml_tensor,
    pub(super) grads: *mut *mut sys::ggml_tensor,
    pub(super) grad_accs: *mut *mut sys::ggml_tensor,
    pub(super) leafs: *mut *mut sys::ggml_tensor,
    pub(super) use_counts: *mut i32,
    /// `ggml_hash_set`: a size and two pointers.
    pub(super) visited: [usize; 3],
    pub(super) order: c_int,
    /// Equal for two graphs only if they are the same, tensors and their memory included; 0 says nothing.
    pub(super) uid: u64,
}
