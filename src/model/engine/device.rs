//! The compute device that llama.cpp finds in place of ggml's CPU device.
//!
//! llama.cpp takes its CPU compute from whatever device of type CPU is registered with ggml. Ggml's own
//! registration is replaced by one whose device opens one of three backends, as the thread that opens a
//! context says: ours ([`super::backend`]), or ggml's own, in reference mode or as it comes. Memory is
//! ggml's in each case.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock};

use llama_cpp_sys_2 as sys;

use super::abi::{API_VERSION, Backend, Device, Reg};
use super::backend::{self, Exact};

/// What the contexts and models that a thread opens compute with.
pub(super) enum Opening {
    /// Our own backend. Taken by the first context that is opened.
    Exact(Option<Arc<Mutex<Exact>>>),
    /// ggml's CPU backend in reference mode: of its code paths only those whose result for a row does not
    /// depend on the other rows of the batch.
    Reference,
    /// ggml's CPU backend as it comes, repacked weights included.
    Stock,
}

thread_local! {
    static OPENING: RefCell<Opening> = const { RefCell::new(Opening::Reference) };
}

/// Runs `open`, which loads a model or opens a context, such that what it opens computes as `opening` says.
/// llama.cpp passes no pointer of its caller's to a device, hence this way around it.
pub(super) fn opening<T>(opening: Opening, open: impl FnOnce() -> T) -> T {
    OPENING.set(opening);
    let result = open();
    OPENING.set(Opening::Reference);
    result
}

fn stock() -> *mut Reg {
    // SAFETY: a static of ggml; the caller of `install` checks its version.
    unsafe { sys::ggml_backend_cpu_reg().cast() }
}

extern "C" fn reg_name(_: *mut Reg) -> *const c_char {
    c"lma".as_ptr()
}

extern "C" fn reg_device_count(_: *mut Reg) -> usize {
    1
}

extern "C" fn reg_device(reg: *mut Reg, _: usize) -> *mut Device {
    // SAFETY: ggml passes back the registration made by `install`, which is never freed.
    unsafe { (*reg).context.cast() }
}

/// The functions that set threads, which reach ggml's own backends; and, for weights that are opened as they
/// come, what ggml offers.
extern "C" fn reg_proc_address(_: *mut Reg, name: *const c_char) -> *const c_void {
    // SAFETY: ggml passes a C string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"ggml_backend_set_n_threads" => set_n_threads as *const c_void,
        b"ggml_backend_cpu_set_threadpool" => set_threadpool as *const c_void,
        _ if OPENING.with_borrow(|opening| matches!(opening, Opening::Stock)) => {
            // SAFETY: ggml's own registration and a C string.
            unsafe { sys::ggml_backend_reg_get_proc_address(stock().cast(), name) }
        }
        _ => ptr::null(),
    }
}

extern "C" fn set_n_threads(backend: *mut Backend, threads: c_int) {
    if !backend::is_exact(backend) {
        // SAFETY: the other backends of this device are ggml's.
        unsafe { sys::ggml_backend_cpu_set_n_threads(backend.cast(), threads) }
    }
}

extern "C" fn set_threadpool(backend: *mut Backend, pool: sys::ggml_threadpool_t) {
    if !backend::is_exact(backend) {
        // SAFETY: the other backends of this device are ggml's.
        unsafe { sys::ggml_backend_cpu_set_threadpool(backend.cast(), pool) }
    }
}

extern "C" fn init_backend(device: *mut Device, _: *const c_char) -> *mut Backend {
    OPENING.with_borrow_mut(|opening| {
        if let Opening::Exact(exact) = opening {
            return exact.take().map_or(ptr::null_mut(), |exact| backend::open(exact, device));
        }
        // SAFETY: `ggml_backend_cpu_init` returns null or a heap backend of the mirrored layout, not
        // shared yet.
        unsafe {
            let raw = sys::ggml_backend_cpu_init();
            if !raw.is_null() {
                sys::ggml_backend_cpu_set_use_ref(raw, matches!(opening, Opening::Reference));
                (*raw.cast::<Backend>()).device = device;
            }
            raw.cast()
        }
    })
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
            let version = (*stock()).api_version;
            if version != API_VERSION {
                return Err(format!(
                    "ggml's backend interface has version {version}, this build expects {API_VERSION}"
                ));
            }
            let cpu = sys::ggml_backend_reg_dev_get(stock().cast(), 0).cast::<Device>();
            let device = Box::leak(Box::new(ptr::read(cpu)));
            device.init_backend = init_backend;
            let reg = Box::leak(Box::new(Reg {
                api_version: API_VERSION,
                get_name: reg_name,
                get_device_count: reg_device_count,
                get_device: reg_device,
                get_proc_address: reg_proc_address,
                context: ptr::from_mut(device).cast(),
            }));
            device.reg = reg;
            sys::ggml_backend_unload(stock().cast());
            sys::ggml_backend_register(ptr::from_mut(reg).cast());
        }
        Ok(())
    })
    .clone()
}
