//! The compute device under llama.cpp: ggml's CPU device in reference mode (spec/numerics.md §4).
//!
//! llama.cpp takes its CPU compute from whatever device of type CPU is registered with ggml. Here
//! ggml's own registration is replaced by one that differs in two points: every backend it opens is
//! put into reference mode, which leaves only code paths whose result for a row does not depend on
//! the other rows of the batch; and its table of optional functions is all but empty, so that
//! llama.cpp finds no repacking or tiled buffer types. `graph_compute` is the seam where kernels of
//! our own go in: [`super::graph`] takes the products with Q8_0 weights and plain
//! attention, ggml does the rest.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use llama_cpp_sys_2 as sys;

use super::graph;

/// `GGML_BACKEND_API_VERSION` of the header that the structures below mirror.
const API_VERSION: c_int = 3;

/// A function that this module passes on and never calls.
type Opaque = *mut c_void;

/// Mirrors `ggml_backend_reg`.
#[repr(C)]
struct Reg {
    api_version: c_int,
    get_name: extern "C" fn(*mut Reg) -> *const c_char,
    get_device_count: extern "C" fn(*mut Reg) -> usize,
    get_device: extern "C" fn(*mut Reg, usize) -> *mut Device,
    get_proc_address: extern "C" fn(*mut Reg, *const c_char) -> *const c_void,
    context: *mut Device,
}

/// Mirrors `ggml_backend_device`.
#[repr(C)]
struct Device {
    get_name: Opaque,
    get_description: Opaque,
    get_memory: Opaque,
    get_type: Opaque,
    get_props: Opaque,
    init_backend: extern "C" fn(*mut Device, *const c_char) -> *mut Backend,
    get_buffer_type: Opaque,
    get_host_buffer_type: Opaque,
    buffer_from_host_ptr: Opaque,
    supports_op: Opaque,
    supports_buft: Opaque,
    offload_op: Opaque,
    event_new: Opaque,
    event_free: Opaque,
    event_synchronize: Opaque,
    reg: *mut Reg,
    context: *mut c_void,
}

type GraphCompute = extern "C" fn(*mut Backend, *mut sys::ggml_cgraph) -> sys::ggml_status;

/// Mirrors `ggml_backend`; all functions but `graph_compute` stay ggml's own.
#[repr(C)]
struct Backend {
    guid: *mut c_void,
    before: [Opaque; 12],
    graph_compute: GraphCompute,
    after: [Opaque; 3],
    device: *mut Device,
    context: *mut c_void,
}

/// ggml's own `graph_compute`, once a backend was opened.
static STOCK_COMPUTE: OnceLock<GraphCompute> = OnceLock::new();

/// Computes a graph with our operators in place of ggml's, as far as we have them.
extern "C" fn graph_compute(backend: *mut Backend, graph: *mut sys::ggml_cgraph) -> sys::ggml_status {
    let Some(stock) = STOCK_COMPUTE.get() else { return sys::GGML_STATUS_FAILED };
    // SAFETY: ggml passes a live graph that nobody else uses during the call.
    let _taken = unsafe { graph::take_over(graph) };
    stock(backend, graph)
}

extern "C" fn reg_name(_: *mut Reg) -> *const c_char {
    c"lma-reference".as_ptr()
}

extern "C" fn reg_device_count(_: *mut Reg) -> usize {
    1
}

extern "C" fn reg_device(reg: *mut Reg, _: usize) -> *mut Device {
    // SAFETY: ggml passes back the registration made by `install`, which is never freed.
    unsafe { (*reg).context }
}

/// Only what sets the number of threads. Everything else, above all the extra buffer types, is absent.
extern "C" fn reg_proc_address(_: *mut Reg, name: *const c_char) -> *const c_void {
    // SAFETY: ggml passes a C string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"ggml_backend_set_n_threads" => sys::ggml_backend_cpu_set_n_threads as *const c_void,
        b"ggml_backend_cpu_set_threadpool" => sys::ggml_backend_cpu_set_threadpool as *const c_void,
        _ => ptr::null(),
    }
}

extern "C" fn init_backend(device: *mut Device, _: *const c_char) -> *mut Backend {
    // SAFETY: `ggml_backend_cpu_init` returns null or a heap backend of the mirrored layout, not
    // shared yet.
    unsafe {
        let raw = sys::ggml_backend_cpu_init();
        if raw.is_null() {
            return ptr::null_mut();
        }
        sys::ggml_backend_cpu_set_use_ref(raw, true);
        let backend = raw.cast::<Backend>();
        (*backend).device = device;
        (*backend).graph_compute = {
            STOCK_COMPUTE.get_or_init(|| (*backend).graph_compute);
            graph_compute
        };
        backend
    }
}

/// Replaces ggml's CPU device for the rest of the process. Idempotent.
///
/// # Errors
/// The reason, where ggml's structures are not those that this module mirrors.
pub(super) fn install() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        // SAFETY: the CPU registration and its device are statics of ggml that live as long as the
        // process; the API version is checked before any other field is used. The copies are leaked,
        // as ggml keeps pointers to them.
        unsafe {
            let stock = sys::ggml_backend_cpu_reg();
            let version = (*stock.cast::<Reg>()).api_version;
            if version != API_VERSION {
                return Err(format!(
                    "ggml's backend interface has version {version}, this build expects {API_VERSION}"
                ));
            }
            let cpu = sys::ggml_backend_reg_dev_get(stock, 0).cast::<Device>();
            let device = Box::leak(Box::new(ptr::read(cpu)));
            device.init_backend = init_backend;
            let reg = Box::leak(Box::new(Reg {
                api_version: API_VERSION,
                get_name: reg_name,
                get_device_count: reg_device_count,
                get_device: reg_device,
                get_proc_address: reg_proc_address,
                context: device,
            }));
            device.reg = reg;
            sys::ggml_backend_unload(stock);
            sys::ggml_backend_register(ptr::from_mut(reg).cast());
        }
        Ok(())
    })
    .clone()
}
