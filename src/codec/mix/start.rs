//! What a lane knows before its first byte (spec/mix-codec.md §12).
//!
//! Two files belong to the format: what maps, mixers and refinements have learnt, for each way that a
//! chunk is modelled, and a text whose contexts are known. Both are made by `model/start`.

use std::sync::{Arc, LazyLock, OnceLock};

use super::head::Head;
use super::memory::Known;
use super::model::{Learnt, Model};
use super::transform::detect::Kind;
use crate::wire::Cursor;

/// The learnt values, packed with zstd.
static LEARNT: &[u8] = include_bytes!("../../../model/start/learnt-1.zst");
/// The dictionary, packed with zstd.
static DICTIONARY: &[u8] = include_bytes!("../../../model/start/dictionary-1.zst");

/// The largest that the files are unpacked.
const MOST: usize = 4 << 20;

/// Ways that a chunk is modelled that have learnt values of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `cm` on text, without the dictionary.
    Plain,
    /// `cm` on text, with the dictionary.
    Dictionary,
    /// `cm` on machine code.
    Code,
    /// `cm` on tables of records.
    Records,
    /// `cm` on pixels.
    Image,
    /// `mix`.
    Mix,
}

impl Way {
    /// All, in the order of the file.
    pub const ALL: [Self; 6] = [Self::Plain, Self::Dictionary, Self::Code, Self::Records, Self::Image, Self::Mix];

    pub(super) fn of(head: Head) -> Option<Self> {
        match head.kind {
            Kind::Plain => Some(if head.dictionary { Self::Dictionary } else { Self::Plain }),
            Kind::X86 { .. } | Kind::Arm64 { .. } => Some(Self::Code),
            Kind::Records { .. } => Some(Self::Records),
            Kind::Image { .. } => Some(Self::Image),
            Kind::Audio { .. } => None,
        }
    }
}

/// Starting values.
pub(super) struct Start {
    ways: Vec<Learnt>,
    /// For sound: with a weight for the logit of its predictor.
    fresh: Learnt,
    text: Vec<u8>,
    dictionary: OnceLock<Arc<Known>>,
}

static START: LazyLock<Start> = LazyLock::new(|| Start::new(&unpack(LEARNT), unpack(DICTIONARY)));

fn unpack(file: &[u8]) -> Vec<u8> {
    // The files are part of the program; a test reads them.
    zstd::bulk::decompress(file, MOST).unwrap_or_default()
}

impl Start {
    /// Values from the files' contents; those that are missing are fresh.
    pub(super) fn new(learnt: &[u8], text: Vec<u8>) -> Self {
        let mut cursor = Cursor::new(learnt);
        let load = |way| Learnt::load(way == Way::Mix, &mut cursor).unwrap_or_else(|| Learnt::new(way == Way::Mix));
        let ways = Way::ALL.into_iter().map(load).collect();
        Self { ways, fresh: Learnt::sound(), text, dictionary: OnceLock::new() }
    }

    /// The values that the format defines.
    pub(super) fn get() -> &'static Self {
        &START
    }

    pub(super) fn learnt(&self, head: Head) -> &Learnt {
        Way::of(head).map_or(&self.fresh, |way| &self.ways[way as usize])
    }

    pub(super) fn mix(&self) -> &Learnt {
        &self.ways[Way::Mix as usize]
    }

    /// The contexts of the dictionary; they are learnt on first use.
    pub(super) fn dictionary(&self) -> Arc<Known> {
        let study = || {
            let mut model = Model::new(false, self.fresh.clone(), self.text.len());
            model.study(&self.text);
            Arc::new(model.into_known())
        };
        Arc::clone(self.dictionary.get_or_init(study))
    }
}

#[cfg(test)]
mod tests;
