//! Products, and operators that move rows.

use super::{Tensor, Translator, Undefined, is_weights, root, rows_of, source, undefined};
use crate::exact::steps::{Copy, DenseProduct, GetRows, GetWeights, Keys, QuantizeInputs, QuantizedProduct, SetRows};
use crate::exact::view::Element;

impl Translator<'_> {
    pub(super) fn product(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let Some((matrix, columns)) = source(node, 0).zip(source(node, 1)) else {
            return undefined("an operand is missing");
        };
        if !is_weights(matrix) {
            return undefined("it multiplies what is not a matrix of weights");
        }
        let (out, a) = (self.floats(Some(node))?, self.floats(Some(columns))?);
        let weights = self.weights.get(matrix, self.pool)?;
        let fits = a.extents[0] == weights.depth() && out.extents[0] == weights.outputs() && a.rows() == out.rows();
        if !fits || out.row_stride().is_none() {
            return undefined("its operands' shapes do not fit");
        }
        if !weights.takes_quantised() {
            if a.row_stride().is_none() {
                return undefined("its columns are not at one distance");
            }
            self.plan.push(DenseProduct { weights, a, out });
            return Ok(());
        }
        // Products of the same columns follow each other: they are quantised once.
        if self.quantized != Some(std::ptr::from_ref(columns)) {
            self.plan.push(QuantizeInputs { a, inputs: self.inputs.clone() });
            self.quantized = Some(columns);
        }
        self.plan.push(QuantizedProduct { weights, inputs: self.inputs.clone(), out });
        Ok(())
    }

    pub(super) fn get_rows(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let Some((table, indices)) = source(node, 0).zip(source(node, 1)) else {
            return undefined("an operand is missing");
        };
        let (out, indices) = (self.floats(Some(node))?, self.view(indices)?);
        if is_weights(table) && table.ne[2] == 1 && table.ne[3] == 1 {
            let weights = self.weights.get(table, self.pool)?;
            self.plan.push(GetWeights { out, weights, indices });
        } else {
            let a = self.floats(Some(table))?;
            self.plan.push(GetRows { out, a, indices });
        }
        Ok(())
    }

    pub(super) fn set_rows(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let (out, a) = (self.view(node)?, self.floats(source(node, 0))?);
        let Some(indices) = source(node, 1) else { return undefined("it has no indices") };
        let indices = self.view(indices)?;
        let keys = self.key_caches.contains(&std::ptr::from_ref(root(node)));
        if !matches!(out.element, Element::F16 | Element::F32) || !out.has_plain_rows() {
            return undefined("it writes neither binary16 nor binary32");
        }
        if keys && !Keys::fit(&out) {
            return undefined("it writes keys in another order");
        }
        let ring = self.ring(node)?;
        self.plan.push(SetRows { out, a, indices, keys, ring });
        Ok(())
    }

    pub(super) fn copy(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let Some(from) = source(node, 0) else { return undefined("an operand is missing") };
        let (out, a) = (self.view(node)?, self.view(from)?);
        let floats = |element| matches!(element, Element::F32 | Element::F16);
        if !floats(out.element) || !floats(a.element) || rows_of(node) * out.extents[0] != a.rows() * a.extents[0] {
            return undefined("it copies other things than floats");
        }
        if self.key_caches.contains(&std::ptr::from_ref(root(node)))
            || self.key_caches.contains(&std::ptr::from_ref(root(from)))
        {
            return undefined("it copies keys");
        }
        if self.masks_only(node) {
            self.see(node, a);
        } else {
            self.plan.push(Copy { out, a });
        }
        Ok(())
    }
}
