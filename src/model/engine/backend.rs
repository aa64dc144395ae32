//! Our ggml backend: computes llama.cpp's graphs on the kernels of [`crate::exact`], all of them or none.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use llama_cpp_sys_2 as sys;

use super::abi::{Backend, Device, Graph};
use super::packed::PackedWeights;
use super::translate::{self, Again};
use crate::exact::KernelSet;
use crate::exact::pool::Pool;
use crate::exact::steps::{Lanes, Plan, RopeTable};

/// Identifies backends that are ours.
static GUID: [u8; 16] = *b"lma exact numer.";

/// What one backend computes with.
pub(super) struct Exact {
    pool: Pool,
    kernels: KernelSet,
    weights: Arc<PackedWeights>,
    /// Where keys are kept by position: the tokens that one attends to at most, and the lane of each sequence.
    placed: Option<(usize, Arc<Lanes>)>,
    ropes: Vec<Arc<RopeTable>>,
    /// The plan of the last graph, with the graph's identity.
    plan: Option<(u64, Plan)>,
    /// How to compute that graph again, if its keys are kept by position.
    again: Option<Again>,
    /// Graphs computed for ggml so far.
    computed: u64,
    report: Arc<Report>,
}

/// What a backend tells the owner of its context.
#[derive(Default)]
pub(super) struct Report {
    /// Why the last graph could not be computed.
    pub(super) refusal: Mutex<Option<String>>,
    /// What the first graph consists of.
    pub(super) graph: OnceLock<String>,
}

impl Exact {
    /// A backend of `threads` threads for one model's `weights`.
    ///
    /// # Errors
    /// The reason, where threads cannot be started.
    pub(super) fn new(
        weights: Arc<PackedWeights>,
        threads: usize,
        kernels: KernelSet,
        placed: Option<(usize, Arc<Lanes>)>,
        report: Arc<Report>,
    ) -> Result<Self, String> {
        if !kernels.available() {
            return Err(format!("this processor does not run the {} kernels", kernels.name()));
        }
        let pool = Pool::new(threads).map_err(|error| format!("cannot start the engine's threads: {error}"))?;
        Ok(Self { pool, kernels, weights, placed, ropes: Vec::new(), plan: None, again: None, computed: 0, report })
    }

    fn compute(&mut self, graph: &Graph) -> Result<(), String> {
        let known = |plan: &(u64, Plan)| graph.uid != 0 && plan.0 == graph.uid;
        self.computed += 1;
        // SAFETY: ggml passes a live graph that nobody else uses during the call.
        self.again = self.placed.as_ref().and_then(|_| Again::of(&unsafe { translate::nodes(graph) }));
        if !self.plan.as_ref().is_some_and(known) {
            self.plan = None;
            let context = translate::Context { placed: self.placed.as_ref(), ropes: &mut self.ropes };
            // SAFETY: ggml passes a live graph that nobody else uses during the call.
            let nodes = unsafe { translate::nodes(graph) };
            let plan = translate::plan(&nodes, &self.weights, &mut self.pool, context)?;
            self.report.graph.get_or_init(|| translate::describe(&nodes));
            self.plan = Some((graph.uid, plan));
        }
        let Some((_, plan)) = &self.plan else { return Ok(()) };
        // SAFETY: `new` has checked the kernels; the plan's views are of tensors of this graph, which ggml
        // keeps in place as long as the graph has this identity, and nobody else uses them now.
        unsafe { plan.run(self.kernels, &mut self.pool) }.map_err(str::to_owned)
    }

    /// Computes with so many threads from now on; where they cannot be started, with as many as before.
    pub(super) fn set_threads(&mut self, threads: usize) {
        if threads != self.pool.threads()
            && let Err(error) = self.pool.set_threads(threads)
        {
            tracing::debug!("no thread to help the engine: {error}");
        }
    }

    /// How many graphs ggml has had computed.
    pub(super) fn computed(&self) -> u64 {
        self.computed
    }

    /// How many tokens the last graph takes, if it can be computed again.
    pub(super) fn takes(&self) -> Option<usize> {
        self.again.as_ref().map(Again::count)
    }

    /// Computes the last graph again.
    ///
    /// # Errors
    /// Why its values cannot be computed, or that it is of another shape.
    ///
    /// # Safety
    /// llama.cpp was not called since it had that graph computed.
    pub(super) unsafe fn again(&mut self, tokens: &[i32], positions: &[i32]) -> Result<(), String> {
        let fits = |again: &&Again| [tokens.len(), positions.len()] == [again.count(); 2];
        let Some((again, (_, plan))) = self.again.as_ref().filter(fits).zip(self.plan.as_ref()) else {
            return Err("the graph at hand is of another shape".into());
        };
        // SAFETY: the graph's tensors are in place; the rest as in `compute`.
        unsafe {
            again.feed(tokens, positions);
            plan.run(self.kernels, &mut self.pool).map_err(str::to_owned)
        }
    }

    /// Where the logits of one of the last graph's outputs are, and how many.
    pub(super) fn logits(&self, output: usize) -> Option<(*const f32, usize)> {
        self.again.as_ref()?.logits(output)
    }
}

pub(super) fn is_exact(backend: *mut Backend) -> bool {
    // SAFETY: ggml passes a live backend.
    !backend.is_null() && unsafe { ptr::eq((*backend).guid, &raw const GUID) }
}

/// Makes a ggml backend of it, to be freed by ggml.
pub(super) fn open(exact: Arc<Mutex<Exact>>, device: *mut Device) -> *mut Backend {
    let none = ptr::null_mut();
    Box::into_raw(Box::new(Backend {
        guid: &raw const GUID,
        get_name: Some(name),
        free: Some(free),
        set_tensor_async: none,
        get_tensor_async: none,
        set_tensor_2d_async: none,
        get_tensor_2d_async: none,
        cpy_tensor_async: none,
        synchronize: none,
        graph_plan_create: none,
        graph_plan_free: none,
        graph_plan_update: none,
        graph_plan_compute: none,
        graph_compute: Some(compute),
        event_record: none,
        event_wait: none,
        graph_optimize: none,
        device,
        context: Arc::into_raw(exact).cast_mut().cast::<c_void>(),
    }))
}

extern "C" fn name(_: *mut Backend) -> *const c_char {
    c"exact".as_ptr()
}

extern "C" fn free(backend: *mut Backend) {
    // SAFETY: the box and the share were made by `open`; ggml frees a backend once, when it uses it no more.
    unsafe {
        let backend = Box::from_raw(backend);
        drop(Arc::from_raw(backend.context.cast::<Mutex<Exact>>().cast_const()));
    }
}

extern "C" fn compute(backend: *mut Backend, graph: *mut Graph) -> sys::ggml_status {
    // SAFETY: a backend made by `open`, which ggml uses from one thread at a time; a live graph.
    let (exact, graph) = unsafe { (&*(*backend).context.cast::<Mutex<Exact>>(), &*graph) };
    let mut exact = exact.lock().unwrap_or_else(PoisonError::into_inner);
    match exact.compute(graph) {
        Ok(()) => sys::GGML_STATUS_SUCCESS,
        Err(why) => {
            *exact.report.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            sys::GGML_STATUS_FAILED
        }
    }
}
