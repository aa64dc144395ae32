//! Attention.

use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::{OUTPUT, Tensor, Translator, Undefined, float, root, source, undefined};
use crate::exact::steps::{Attention, Keys, See, Seen};
use crate::exact::view::{Element, View};

/// The tensors whose memory attention reads keys from.
pub(super) fn key_caches(nodes: &[&Tensor]) -> HashSet<*const Tensor> {
    let attentions = nodes.iter().filter(|node| node.op == sys::GGML_OP_FLASH_ATTN_EXT);
    attentions.filter_map(|node| source(node, 1)).map(|keys| ptr::from_ref(root(keys))).collect()
}

impl Translator<'_> {
    pub(super) fn attention(&mut self, node: &Tensor) -> Result<(), Undefined> {
        let [Some(q), Some(k), Some(v), Some(mask)] = [0, 1, 2, 3].map(|i| source(node, i)) else {
            return undefined("it has no mask");
        };
        if source(node, 4).is_some() {
            return undefined("it has sinks");
        }
        if float(node, 1) != 0.0 {
            return undefined("it has a bias by distance");
        }
        let (out, queries) = (self.floats(Some(node))?, self.floats(Some(q))?);
        let (keys, values) = (self.view(k)?, self.view(v)?);
        let [head, tokens, heads, lanes] = queries.extents;
        let key_heads = keys.extents[2];
        let cells = keys.extents[1];
        let shapes = [keys.extents[0] == head, values.extents[1..] == [cells, key_heads, lanes]];
        let results = out.extents == [values.extents[0], heads, tokens, lanes];
        if shapes.contains(&false) || !results || keys.extents[3] != lanes || heads % key_heads != 0 {
            return undefined("its operands' shapes do not fit");
        }
        if [keys.element, values.element] != [Element::F16; 2] || !values.has_plain_rows() {
            return undefined("its keys and values are not binary16");
        }
        if values.extents[0] % 16 != 0 {
            return undefined("the width of its values is not a multiple of 16");
        }
        if ptr::eq(root(k), root(v)) || !self.keys_in_place(k, &keys) {
            return undefined("its keys are laid out in another way");
        }
        if root(v).op != sys::GGML_OP_NONE {
            return undefined("its values are not cached");
        }
        let seen = match self.masks.get(&ptr::from_ref(mask)) {
            Some(seen) => Arc::clone(seen),
            None => {
                let view = self.view(mask)?;
                self.see(mask, view)
            }
        };
        if mask.ne[0] as usize != cells
            || mask.ne[1] as usize != tokens
            || mask.ne[2] != 1
            || mask.ne[3] as usize != lanes
        {
            return undefined("its mask's shape does not fit");
        }
        let cap = float(node, 2);
        let scale = if cap == 0.0 { float(node, 0) } else { float(node, 0) / cap };
        self.plan.push(Attention { out, queries, keys, values, seen, scale, cap });
        Ok(())
    }

    /// Whether keys are a view of whole cells of a cache, heads side by side, from a block of cells on.
    fn keys_in_place(&self, tensor: &Tensor, keys: &View) -> bool {
        let cache = root(tensor);
        let row = keys.strides[1];
        let offset = tensor.data.addr().wrapping_sub(cache.data.addr());
        let heads_adjoin = keys.extents[2] == 1 || keys.strides[2] == keys.extents[0] * 2;
        cache.op == sys::GGML_OP_NONE
            && cache.ne[0] as usize * 2 == row
            && keys.extents[0] * keys.extents[2] * 2 == row
            && heads_adjoin
            && offset.is_multiple_of(16 * row)
            && keys.extents[1].is_multiple_of(16)
            && (keys.extents[3] == 1 || keys.strides[3].is_multiple_of(16 * row))
            && Keys::fit(&View { extents: [row / 2, keys.extents[1], 1, 1], ..*keys })
    }

    /// Whether a tensor is read as a mask by attention, and by nobody else.
    pub(super) fn masks_only(&self, node: &Tensor) -> bool {
        node.flags & OUTPUT == 0 && self.mask_tensors.contains(&ptr::from_ref(node))
    }

    /// Adds the step that reads a mask, whose elements `view` shows.
    pub(super) fn see(&mut self, mask: &Tensor, view: View) -> Arc<Seen> {
        let seen = Arc::new(Seen::new(view.extents[1] * view.extents[3]));
        self.plan.push(See { mask: view, seen: Arc::clone(&seen) });
        self.masks.insert(mask, Arc::clone(&seen));
        seen
    }
}

/// The tensors that attention reads as masks, and that no other operator reads.
pub(super) fn mask_tensors(nodes: &[&Tensor]) -> HashSet<*const Tensor> {
    let mut masks = HashSet::new();
    let mut others = HashSet::new();
    for node in nodes {
        for (i, &read) in node.src.iter().enumerate() {
            let set = if node.op == sys::GGML_OP_FLASH_ATTN_EXT && i == 3 { &mut masks } else { &mut others };
            set.insert(read.cast_const());
        }
    }
    &masks - &others
}
