//! GGUF files with random weights, of any shape, for tests and benchmarks of the engine.
//!
//! A [`Model`] says what to make; the file depends on nothing else, byte for byte. The weights are
//! scaled so that the residual stream keeps its size through the layers, attention looks at a few
//! tokens rather than at one or all, and the logits spread over about two nats: then a wrong
//! operator moves every logit, and no distribution is trivial.

// Each test and benchmark uses a part of it.
#![allow(dead_code)]

mod file;
mod half;
mod kind;
mod kquants;
mod layers;
mod random;
pub(crate) mod requantise;
mod vocabulary;

use std::io;
use std::path::Path;

pub(crate) use kind::Kind;

/// The graph that llama.cpp builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    Llama,
    /// Llama with a factor for each rotary frequency, as Llama 3 has it.
    LlamaFactors,
    /// Biases of queries, keys and values.
    Qwen2,
    /// Normalised queries and keys.
    Qwen3,
    /// Capped scores and logits, every other layer with a sliding window, norms behind each part.
    Gemma2,
    /// As Gemma 2 without caps, with normalised queries and keys.
    Gemma3,
    /// One matrix for queries, keys and values, one for gate and up.
    Phi3,
    /// Phi 3 with the rotary factors of long contexts.
    Phi3Long,
    /// A recurrent model: what exact arithmetic does not define.
    Mamba,
}

impl Architecture {
    /// Those made of attention and feed-forward layers.
    pub(crate) const TRANSFORMERS: [Self; 8] = [
        Self::Llama,
        Self::LlamaFactors,
        Self::Qwen2,
        Self::Qwen3,
        Self::Gemma2,
        Self::Gemma3,
        Self::Phi3,
        Self::Phi3Long,
    ];

    /// `general.architecture`.
    fn name(self) -> &'static str {
        match self {
            Self::Llama | Self::LlamaFactors => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::Phi3 | Self::Phi3Long => "phi3",
            Self::Mamba => "mamba",
        }
    }

    fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }
}

/// Sizes of a model. Row lengths (width, ff, heads x head) must be multiples of 32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) width: usize,
    pub(crate) layers: usize,
    /// Width of the feed-forward layers.
    pub(crate) ff: usize,
    pub(crate) heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub(crate) kv_heads: usize,
    /// Width of one head. Qwen 2 and Phi 3 need `heads * head == width`.
    pub(crate) head: usize,
    /// Tokens, at least 257.
    pub(crate) vocabulary: usize,
    /// Context that the model claims to be trained at, in tokens.
    pub(crate) context: usize,
}

impl Shape {
    /// 1.4 million parameters; rows of 256 and 512, for weights of every type.
    pub(crate) const TINY: Self =
        Self { width: 256, layers: 2, ff: 512, heads: 4, kv_heads: 2, head: 64, vocabulary: 400, context: 256 };

    /// SmolLM's proportions, small: three heads for one of keys and values, rows that are no
    /// multiple of 256.
    pub(crate) const SMOL: Self =
        Self { width: 96, layers: 3, ff: 160, heads: 3, kv_heads: 1, head: 32, vocabulary: 333, context: 256 };

    /// [`Self::SMOL`], or [`Self::TINY`] where that has no rows for the type.
    pub(crate) fn for_weights(weighting: Weighting) -> Self {
        let Weighting::Pure(kind) = weighting else { return Self::TINY };
        if kind.for_rows_of(Self::SMOL.width) == kind { Self::SMOL } else { Self::TINY }
    }

    /// 15.7 M parameters with a matrix of its own for the output.
    pub(crate) const LLAMA_16M: Self =
        Self { width: 384, layers: 8, ff: 1024, heads: 6, kv_heads: 2, head: 64, vocabulary: 8192, context: 2048 };

    /// SmolLM2-135M, which has no output matrix.
    pub(crate) const SMOLLM2_135M: Self =
        Self { width: 576, layers: 30, ff: 1536, heads: 9, kv_heads: 3, head: 64, vocabulary: 49152, context: 8192 };
}

/// The types of the matrices. Vectors are always F32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// One type for all. Types in blocks of 256 give way to llama.cpp's substitutes in blocks of 32
    /// where a row is no multiple of 256.
    Pure(Kind),
    /// As in files called Q4_K_M: Q4_K, but Q6_K for the output and, in half of the layers, for
    /// values and the way down.
    Mixed,
}

impl Weighting {
    /// `Q8_0`, `Q4_K_M`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pure(kind) => kind.name(),
            Self::Mixed => "Q4_K_M",
        }
    }

    /// The weighting of that name, `Q8_0` or `Q4_K_M`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Kind::ALL.map(Self::Pure).into_iter().chain([Self::Mixed]).find(|weighting| weighting.name() == name)
    }

    /// The type of the matrix `name` with rows of `columns`. `tied`: the embedding is the output too.
    fn kind(self, name: &str, columns: usize, tied: bool) -> Kind {
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let better = match name {
            "token_embd.weight" => tied,
            "output.weight" => true,
            _ => {
                let part = name.ends_with("attn_v.weight") || name.ends_with("ffn_down.weight");
                part && layer.is_some_and(|layer| layer.is_multiple_of(2))
            }
        };
        let kind = match self {
            Self::Pure(kind) => kind,
            Self::Mixed if better => Kind::Q6K,
            Self::Mixed => Kind::Q4K,
        };
        kind.for_rows_of(columns)
    }
}

/// A model to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub(crate) architecture: Architecture,
    pub(crate) shape: Shape,
    pub(crate) weighting: Weighting,
    /// The embedding is the output matrix too. Gemma is always so.
    pub(crate) tied: bool,
    pub(crate) seed: u64,
}

impl Model {
    /// Whether the embedding is the output matrix too.
    fn is_tied(&self) -> bool {
        self.tied || self.architecture.is_gemma()
    }

    /// A model of [`Shape::TINY`].
    pub(crate) fn tiny(architecture: Architecture, kind: Kind) -> Self {
        Self { architecture, shape: Shape::TINY, weighting: Weighting::Pure(kind), tied: false, seed: 1 }
    }

    /// Writes the GGUF file.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let tensors = layers::tensors(self);
        let pairs = [layers::metadata(self), vocabulary::metadata(self.shape.vocabulary)].concat();
        file::write(path, &pairs, &tensors, self.seed)
    }
}
