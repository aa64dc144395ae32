//! Attention.

use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::{OUTPUT, Tensor, Translator, Undefined, float, numbers, root, source, undefined};
use crate::exact::steps::{Attention, Keys, Lanes, Ring, See, Seen, Slide};
use crate::exact::view::{Element, View};

/// Keys and values that are kept by lane and position. Masks are not read then, nor the cells that llama.cpp chooses: what
/// a token sees is a matter of positions alone.
pub(super) struct Placed {
    /// The tokens that one attends to, at most.
    pub(super) window: usize,
    /// The lane of each of llama.cpp's sequences.
    pub(super) lanes: Arc<Lanes>,
    /// The position of each token, lane after lane.
    pub(super) positions: View,
}

/// The tensors whose memory attention reads its operand `i` from: 1 for keys, 2 for values.
pub(super) fn caches(nodes: &[&Tensor], i: usize) -> HashSet<*const Tensor> {
    let attentions = nodes.iter().filter(|node| node.op == sys::GGML_OP_FLASH_ATTN_EXT);
    attentions.filter_map(|node| source(node, i)).map(|cache| ptr::from_ref(root(cache))).collect()
}

/// The positions of a graph's tokens, as rotations read them.
pub(super) fn positions(nodes: &[&Tensor]) -> Result<View, Undefined> {
    let mut found = nodes.iter().filter(|node| node.op == sys::GGML_OP_ROPE).filter_map(|node| source(node, 1));
    let Some(first) = found.next() else {
        return undefined("keys are kept by position, and nothing says where tokens stand");
    };
    let view = numbers(first).filter(|view| view.element == Element::I32);
    match view {
        Some(view) if found.all(|other| ptr::eq(other, first)) => Ok(view),
        _ => undefined("keys are kept by position, and positions are not numbers of one row"),
    }
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
        let (keys, values, rows, sequences) = match &self.placed {
            None => (keys, values, cells, None),
            Some(placed) => {
                let rings = ring_of(k).zip(ring_of(v)).filter(|(keys, values)| keys == values);
                let Some((Rings { rows, lanes: all, first }, _)) = rings else {
                    return undefined("keys are kept by position, and its keys and values are no rings");
                };
                if cells > rows || placed.window > rows || all > placed.lanes.len() || first + lanes > all {
                    return undefined("keys are kept by position, and lanes have no rows for it");
                }
                if placed.positions.extents[0] != tokens * lanes {
                    return undefined("keys are kept by position, and some tokens have no positions");
                }
                // From the cache's first lane on, whichever come first here.
                let whole = |view: View, cache: &Tensor| {
                    let [a, b, c, _] = view.extents;
                    let [x, y, z, _] = view.strides;
                    View { data: cache.data.cast(), extents: [a, b, c, all], strides: [x, y, z, cache.nb[2]], ..view }
                };
                (whole(keys, root(k)), whole(values, root(v)), rows, Some((Arc::clone(&placed.lanes), first)))
            }
        };
        let cap = float(node, 2);
        let scale = if cap == 0.0 { float(node, 0) } else { float(node, 0) / cap };
        self.plan.push(Attention { out, queries, keys, values, rows, sequences, seen, scale, cap });
        Ok(())
    }

    /// Where the rows go that a node writes into a cache, if windows slide.
    pub(super) fn ring(&self, node: &Tensor) -> Result<Option<Ring>, Undefined> {
        let cache = ptr::from_ref(root(node));
        let cached = self.key_caches.contains(&cache) || self.value_caches.contains(&cache);
        let Some(placed) = self.placed.as_ref().filter(|_| cached) else { return Ok(None) };
        let [_, rows, lanes, _] = root(node).ne.map(|n| n as usize);
        let all = node.data == root(node).data && super::rows_of(node) == rows * lanes;
        let written = source(node, 0).map_or(0, super::rows_of);
        if !all || written != placed.positions.extents[0] || lanes > placed.lanes.len() {
            return undefined("keys are kept by position, and it does not write a row for each token");
        }
        Ok(Some(Ring { positions: placed.positions, rows, lanes: Arc::clone(&placed.lanes) }))
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
        match &self.placed {
            None => self.plan.push(See { mask: view, seen: Arc::clone(&seen) }),
            Some(Placed { window, positions, .. }) => {
                let (window, positions) = (*window, *positions);
                self.plan.push(Slide { positions, window, seen: Arc::clone(&seen) });
            }
        }
        self.masks.insert(mask, Arc::clone(&seen));
        seen
    }
}

/// The lanes of a cache, each a ring of rows.
#[derive(PartialEq, Eq)]
struct Rings {
    rows: usize,
    lanes: usize,
    /// The lane that a tensor shows first.
    first: usize,
}

/// The lanes that a tensor shows the beginnings of.
fn ring_of(tensor: &Tensor) -> Option<Rings> {
    let cache = root(tensor);
    let [_, rows, lanes, one] = cache.ne.map(|n| n as usize);
    let offset = tensor.data.addr().wrapping_sub(cache.data.addr());
    let whole = rows > 0 && rows.is_multiple_of(16) && one == 1 && offset.is_multiple_of(cache.nb[2]);
    let first = || Rings { rows, lanes, first: offset / cache.nb[2] };
    (whole && (tensor.ne[3] == 1 || tensor.nb[3] == cache.nb[2])).then(first)
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
