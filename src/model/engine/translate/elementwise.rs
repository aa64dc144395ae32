//! Operators on elements and rows.

use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::{OUTPUT, Tensor, Translator, Undefined, float, source, undefined};
use crate::exact::steps::{
    Binary, BinaryOp, Glu, Norm, NormKind, Pairing, Rope, RopeTable, RopeTerms, Scale, Unary, UnaryOp,
};
use crate::exact::view::{Element, View};

/// Positions whose angles are kept: all of a chunk of ordinary size.
const EARLY_POSITIONS: usize = 1 << 15;

impl Translator<'_> {
    pub(super) fn binary(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let op = match node.op {
            sys::GGML_OP_ADD => BinaryOp::Add,
            sys::GGML_OP_SUB => BinaryOp::Sub,
            sys::GGML_OP_MUL => BinaryOp::Mul,
            _ => BinaryOp::Div,
        };
        let out = self.floats(Some(node))?;
        let (a, b) = (self.floats(source(node, 0))?, self.floats(source(node, 1))?);
        if a.extents != out.extents || !repeats(&b, &a) {
            return undefined("its operands' shapes do not fit");
        }
        self.plan.push(Binary { op, out, a, b });
        Ok(())
    }

    /// A norm, with the multiplication by weights behind it, if there is one and nobody else reads the norm.
    pub(super) fn norm(&mut self, node: &Tensor, next: Option<&Tensor>) -> Result<usize, Undefined> {
        let kind = if node.op == sys::GGML_OP_NORM { NormKind::Layer } else { NormKind::Rms };
        let (out, a) = (self.floats(Some(node))?, self.floats(source(node, 0))?);
        let epsilon = float(node, 0);
        let alone = node.flags & OUTPUT == 0 && self.uses.get(&std::ptr::from_ref(node)) == Some(&1);
        let behind = next.filter(|next| {
            alone && next.op == sys::GGML_OP_MUL && source(next, 0).is_some_and(|a| std::ptr::eq(a, node))
        });
        if let Some(next) = behind {
            let (product, weight) = (self.floats(Some(next))?, self.floats(source(next, 1))?);
            let fits = weight.extents[0] == out.extents[0] && repeats(&weight, &out) && product.extents == out.extents;
            if fits && same_or_apart(next, source(node, 0)) {
                self.plan.push(Norm { kind, epsilon, out: product, a, weight: Some(weight) });
                return Ok(2);
            }
        }
        self.plan.push(Norm { kind, epsilon, out, a, weight: None });
        Ok(1)
    }

    pub(super) fn scale(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let (out, a) = (self.floats(Some(node))?, self.floats(source(node, 0))?);
        self.plan.push(Scale { factor: float(node, 0), offset: float(node, 1), out, a });
        Ok(())
    }

    pub(super) fn unary(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let op = match node.op_params[0] as sys::ggml_unary_op {
            sys::GGML_UNARY_OP_NEG => UnaryOp::Neg,
            sys::GGML_UNARY_OP_RELU => UnaryOp::Relu,
            sys::GGML_UNARY_OP_SIGMOID => UnaryOp::Sigmoid,
            sys::GGML_UNARY_OP_SILU => UnaryOp::Silu,
            sys::GGML_UNARY_OP_TANH => UnaryOp::Tanh,
            sys::GGML_UNARY_OP_GELU => UnaryOp::Gelu,
            sys::GGML_UNARY_OP_GELU_QUICK => UnaryOp::GeluQuick,
            _ => return undefined("it is not among its functions"),
        };
        let (out, a) = (self.floats(Some(node))?, self.floats(source(node, 0))?);
        self.plan.push(Unary { op, out, a });
        Ok(())
    }

    pub(super) fn glu(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let op = match node.op_params[0] as sys::ggml_glu_op {
            sys::GGML_GLU_OP_REGLU => UnaryOp::Relu,
            sys::GGML_GLU_OP_GEGLU => UnaryOp::Gelu,
            sys::GGML_GLU_OP_SWIGLU => UnaryOp::Silu,
            sys::GGML_GLU_OP_GEGLU_QUICK => UnaryOp::GeluQuick,
            _ => return undefined("it is not among its functions"),
        };
        let (out, a) = (self.floats(Some(node))?, self.floats(source(node, 0))?);
        let (gate, up) = match source(node, 1) {
            Some(b) => (a, self.floats(Some(b))?),
            None => {
                // Both halves of each row: the gate first, unless they are swapped.
                let half = View { data: a.data.wrapping_add(out.extents[0] * 4), ..a };
                if node.op_params[1] == 0 { (a, half) } else { (half, a) }
            }
        };
        self.plan.push(Glu { op, out, gate, up });
        Ok(())
    }

    pub(super) fn rope(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let pairing = match node.op_params[2] {
            0 => Pairing::Neighbours,
            2 => Pairing::Halves,
            _ => return undefined("it pairs elements in another way"),
        };
        if node.op_params[15] != 0 {
            return undefined("it rotates from an offset");
        }
        let (out, a) = (self.floats(Some(node))?, self.floats(source(node, 0))?);
        let Some(positions) = source(node, 1) else { return undefined("it has no positions") };
        let positions = self.view(positions)?;
        let dimensions = usize::try_from(node.op_params[1]).unwrap_or(0);
        let fits = positions.element == Element::I32 && positions.extents[0] == out.extents[2];
        if !fits || dimensions % 2 != 0 || dimensions == 0 || dimensions > out.extents[0] {
            return undefined("its operands' shapes do not fit");
        }
        let factors = match source(node, 2) {
            None => None,
            Some(factors) => Some(self.constants(factors, dimensions / 2)?),
        };
        let terms = RopeTerms {
            dimensions,
            pairing,
            base: float(node, 5),
            scale: float(node, 6),
            extrapolation: float(node, 7),
            magnitude: float(node, 8),
            beta_fast: float(node, 9),
            beta_slow: float(node, 10),
            trained: usize::try_from(node.op_params[4]).unwrap_or(0),
            factors,
        };
        let table = self.rope_table(terms);
        self.plan.push(Rope { table, positions, out, a });
        Ok(())
    }

    /// The first `count` numbers of an array that does not change.
    fn constants(&self, tensor: &Tensor, count: usize) -> Result<Vec<f32>, Undefined> {
        let view = self.floats(Some(tensor))?;
        if tensor.op != sys::GGML_OP_NONE || view.extents[0] < count {
            return undefined("its factors are computed, or too few");
        }
        Ok(super::read(&view, count))
    }

    fn rope_table(&mut self, terms: RopeTerms) -> Arc<RopeTable> {
        if let Some(table) = self.ropes.iter().find(|table| *table.terms() == terms) {
            return Arc::clone(table);
        }
        let table = Arc::new(RopeTable::new(terms, EARLY_POSITIONS));
        self.ropes.push(Arc::clone(&table));
        table
    }
}

/// Whether `b` is as large as `a` in each dimension, or a whole number of times smaller.
fn repeats(b: &View, a: &View) -> bool {
    b.extents.iter().zip(a.extents).all(|(&b, a)| b > 0 && a % b == 0)
}

/// Whether two tensors begin at the same place, or have no memory in common: rows may then be written as they
/// are read.
fn same_or_apart(a: &Tensor, b: Option<&Tensor>) -> bool {
    let Some(b) = b else { return false };
    let range = |t: &Tensor| {
        let last: usize = t.ne.iter().zip(t.nb).map(|(&n, stride)| (n as usize).saturating_sub(1) * stride).sum();
        t.data.addr()..t.data.addr() + last + size_of::<f32>()
    };
    let (x, y) = (range(a), range(b));
    (x.start == y.start && a.nb == b.nb) || x.end <= y.start || y.end <= x.start
}
