//! From ggml's graphs to plans of exact steps.
//!
//! Every operator of a graph is translated, or the graph is refused by name: nothing is left to ggml's own
//! arithmetic (spec/numerics.md §7).
#![allow(unsafe_code)]

mod again;
mod attention;
mod elementwise;
mod rows;

pub(super) use again::Again;

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::slice;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::abi::Graph;
use super::packed::PackedWeights;
use crate::exact::pool::Pool;
use crate::exact::steps::{Inputs, Lanes, Plan, RopeTable, Seen};
use crate::exact::view::{Element, View};

/// `GGML_TENSOR_FLAG_OUTPUT`: somebody reads the tensor after the computation.
const OUTPUT: i32 = 2;

/// `GGML_TENSOR_FLAG_COMPUTE`: nodes without it are left out.
const COMPUTE: i32 = 16;

type Tensor = sys::ggml_tensor;

/// What plans have in common.
pub(super) struct Context<'a> {
    /// Where keys are kept by position: the tokens that one attends to at most, and the lane of each sequence.
    pub(super) placed: Option<&'a (usize, Arc<Lanes>)>,
    /// Tables of angles that are there already.
    pub(super) ropes: &'a mut Vec<Arc<RopeTable>>,
}

/// The nodes of a graph that are computed, in order.
///
/// # Safety
/// The graph is live, and its tensors are not changed while the result is used.
pub(super) unsafe fn nodes(graph: &Graph) -> Vec<&Tensor> {
    let count = usize::try_from(graph.n_nodes).unwrap_or(0);
    // SAFETY: `n_nodes` pointers to live tensors.
    let nodes = unsafe { slice::from_raw_parts(graph.nodes, count) };
    // SAFETY: as above.
    nodes.iter().map(|&node| unsafe { &*node }).filter(|node| is_computed(node)).collect()
}

fn is_computed(node: &Tensor) -> bool {
    let moves_nothing = matches!(
        node.op,
        sys::GGML_OP_NONE | sys::GGML_OP_RESHAPE | sys::GGML_OP_VIEW | sys::GGML_OP_PERMUTE | sys::GGML_OP_TRANSPOSE
    );
    !moves_nothing && node.flags & COMPUTE != 0 && node.ne.iter().all(|&n| n > 0)
}

/// Translates computed nodes into a plan. Weights that a product takes are packed by `pool`.
///
/// # Errors
/// A sentence that names the first operator, or weight type, that exact arithmetic does not define.
pub(super) fn plan(
    nodes: &[&Tensor],
    weights: &PackedWeights,
    pool: &mut Pool,
    context: Context<'_>,
) -> Result<Plan, String> {
    let mut uses = HashMap::new();
    for source in nodes.iter().flat_map(|node| sources(node)) {
        *uses.entry(std::ptr::from_ref(source)).or_insert(0) += 1;
        // A view is a use of what it shows.
        if !source.view_src.is_null() {
            *uses.entry(source.view_src.cast_const()).or_insert(0) += 1;
        }
    }
    let products = nodes.iter().filter(|node| node.op == sys::GGML_OP_MUL_MAT).filter_map(|node| source(node, 1));
    let shapes = products.filter(|t| t.ne[0] % 32 == 0).map(|t| (t.ne[0] as usize, rows_of(t)));
    let Context { placed, ropes } = context;
    let placed = match placed {
        Some((window, lanes)) => {
            let positions = attention::positions(nodes)?;
            Some(attention::Placed { window: *window, lanes: Arc::clone(lanes), positions })
        }
        None => None,
    };
    let mut translator = Translator {
        plan: Plan::default(),
        inputs: Arc::new(Inputs::new(shapes)),
        key_caches: attention::caches(nodes, 1),
        value_caches: attention::caches(nodes, 2),
        placed,
        quantized: None,
        masks: HashMap::new(),
        mask_tensors: attention::mask_tensors(nodes),
        uses,
        weights,
        pool,
        ropes,
    };
    let mut at = 0;
    while at < nodes.len() {
        let taken = translator.node(nodes[at], nodes.get(at + 1).copied());
        at += taken.map_err(|why| format!("exact arithmetic does not define {}: {why}", label(nodes[at])))?;
    }
    Ok(translator.plan)
}

/// What a node is called in errors.
fn label(node: &Tensor) -> String {
    // SAFETY: ggml ends names with a NUL byte; operators have names that are C strings.
    let (op, name) = unsafe { (CStr::from_ptr(sys::ggml_op_desc(node)), CStr::from_ptr(node.name.as_ptr())) };
    format!("the operator {} ({})", op.to_string_lossy(), name.to_string_lossy())
}

/// A line for each node: its operator with its parameters, and where its operands come from, without what
/// depends on the batch or the memory.
pub(super) fn describe(nodes: &[&Tensor]) -> String {
    let numbers: HashMap<*const Tensor, usize> =
        nodes.iter().enumerate().map(|(i, &node)| (std::ptr::from_ref(node), i)).collect();
    // SAFETY: operators and types have names that are C strings, which live for ever.
    let op = |node: &Tensor| unsafe { CStr::from_ptr(sys::ggml_op_desc(node)) }.to_string_lossy();
    // SAFETY: as above.
    let kind = |tensor: &Tensor| unsafe { CStr::from_ptr(sys::ggml_type_name(tensor.type_)) }.to_string_lossy();
    let mut text = String::new();
    for (i, node) in nodes.iter().enumerate() {
        let parameters: Vec<String> = node.op_params.iter().map(|p| format!("{p:x}")).collect();
        text += &format!("{} {}", op(node), parameters.join(" ").trim_end_matches(" 0"));
        for source in sources(node) {
            let from = numbers.get(&std::ptr::from_ref(source)).or_else(|| numbers.get(&source.view_src.cast_const()));
            text += &match from {
                Some(number) => format!(", -{}", i.saturating_sub(*number)),
                None => format!(", {}", kind(source)),
            };
        }
        text.push('\n');
    }
    text
}

fn sources(node: &Tensor) -> impl Iterator<Item = &Tensor> {
    // SAFETY: sources are null or live tensors of the graph.
    node.src.iter().filter_map(|&source| unsafe { source.as_ref() })
}

/// Source number `i`, if there is one.
fn source(node: &Tensor, i: usize) -> Option<&Tensor> {
    // SAFETY: as above.
    unsafe { node.src[i].as_ref() }
}

fn rows_of(tensor: &Tensor) -> usize {
    tensor.ne[1..].iter().map(|&n| n as usize).product()
}

/// The tensor whose memory a tensor shows: itself, where it is no view.
fn root(tensor: &Tensor) -> &Tensor {
    // SAFETY: null, or a live tensor; ggml keeps it the last one of a chain of views.
    unsafe { tensor.view_src.as_ref() }.unwrap_or(tensor)
}

/// A parameter of an operator, as a float.
fn float(node: &Tensor, i: usize) -> f32 {
    f32::from_bits(node.op_params[i] as u32)
}

/// Why a node is not translated; the caller names the node.
type Undefined = String;

fn undefined<T>(why: &str) -> Result<T, Undefined> {
    Err(why.to_owned())
}

struct Translator<'a> {
    plan: Plan,
    inputs: Arc<Inputs>,
    /// Memory that holds keys, in the order of `exact::steps::Keys`.
    key_caches: HashSet<*const Tensor>,
    /// Memory that holds values.
    value_caches: HashSet<*const Tensor>,
    /// Where keys are kept by position.
    placed: Option<attention::Placed>,
    /// The tensor whose quantised columns are in `inputs`.
    quantized: Option<*const Tensor>,
    /// What tokens see, by mask.
    masks: HashMap<*const Tensor, Arc<Seen>>,
    /// Masks that nothing but attention reads.
    mask_tensors: HashSet<*const Tensor>,
    /// How many nodes read a tensor.
    uses: HashMap<*const Tensor, usize>,
    weights: &'a PackedWeights,
    pool: &'a mut Pool,
    /// Tables of angles that are there already.
    ropes: &'a mut Vec<Arc<RopeTable>>,
}

impl Translator<'_> {
    /// Adds the steps of a node; `next` is the node behind it. Returns how many nodes that made up for.
    fn node(&mut self, node: &Tensor, next: Option<&Tensor>) -> Result<usize, Undefined> {
        match node.op {
            sys::GGML_OP_ADD | sys::GGML_OP_SUB | sys::GGML_OP_MUL | sys::GGML_OP_DIV => self.binary(node)?,
            sys::GGML_OP_RMS_NORM | sys::GGML_OP_NORM => return self.norm(node, next),
            sys::GGML_OP_SCALE => self.scale(node)?,
            sys::GGML_OP_UNARY => self.unary(node)?,
            sys::GGML_OP_GLU => self.glu(node)?,
            sys::GGML_OP_ROPE => self.rope(node)?,
            sys::GGML_OP_GET_ROWS => self.get_rows(node)?,
            sys::GGML_OP_SET_ROWS => self.set_rows(node)?,
            sys::GGML_OP_DUP | sys::GGML_OP_CONT | sys::GGML_OP_CPY => self.copy(node)?,
            sys::GGML_OP_MUL_MAT => self.product(node)?,
            sys::GGML_OP_FLASH_ATTN_EXT => self.attention(node)?,
            _ => return undefined("it is not among its operators"),
        }
        Ok(1)
    }

    /// The elements of a tensor.
    fn view(&self, tensor: &Tensor) -> Result<View, Undefined> {
        let element = match tensor.type_ {
            sys::GGML_TYPE_F32 => Element::F32,
            sys::GGML_TYPE_F16 => Element::F16,
            sys::GGML_TYPE_I32 => Element::I32,
            sys::GGML_TYPE_I64 => Element::I64,
            _ => return undefined("an operand is neither binary32, binary16 nor integers"),
        };
        if tensor.data.is_null() {
            return undefined("an operand has no memory");
        }
        // The original of packed weights may have been given back.
        if self.weights.contains(root(tensor).data.addr()) {
            return undefined("it reads weights that a product takes");
        }
        let extents = tensor.ne.map(|n| n as usize);
        Ok(View { data: tensor.data.cast(), element, extents, strides: tensor.nb })
    }

    /// The elements of a tensor of binary32 whose rows are plain.
    fn floats(&self, tensor: Option<&Tensor>) -> Result<View, Undefined> {
        let Some(tensor) = tensor else { return undefined("an operand is missing") };
        let view = self.view(tensor)?;
        if view.element != Element::F32 || !view.has_plain_rows() {
            return undefined("an operand is not of plain rows of binary32");
        }
        Ok(view)
    }
}

/// The first `count` elements of a row of floats that a translator has checked.
fn read(view: &View, count: usize) -> Vec<f32> {
    // SAFETY: `count` elements of a plain row of a live tensor.
    unsafe { slice::from_raw_parts(view.data.cast::<f32>(), count) }.to_vec()
}

/// A tensor that is one plain row of integers.
fn numbers(tensor: &Tensor) -> Option<View> {
    let element = match tensor.type_ {
        sys::GGML_TYPE_I32 => Element::I32,
        sys::GGML_TYPE_I64 => Element::I64,
        _ => return None,
    };
    let extents = tensor.ne.map(|n| n as usize);
    let view = View { data: tensor.data.cast(), element, extents, strides: tensor.nb };
    (view.extents[1..] == [1; 3] && view.has_plain_rows() && !view.data.is_null()).then_some(view)
}

/// Whether a tensor came with the model's file.
fn is_of_the_model(tensor: &Tensor) -> bool {
    // `GGML_BACKEND_BUFFER_USAGE_WEIGHTS`
    const WEIGHTS: u32 = 1;
    // SAFETY: a live buffer.
    !tensor.buffer.is_null() && unsafe { sys::ggml_backend_buffer_get_usage(tensor.buffer) } == WEIGHTS
}

/// Whether a tensor is a matrix of the model's weights.
fn is_weights(tensor: &Tensor) -> bool {
    tensor.op == sys::GGML_OP_NONE && tensor.ne[1] > 1 && is_of_the_model(tensor)
}
