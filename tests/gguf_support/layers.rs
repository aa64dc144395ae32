//! Which tensors and metadata each architecture has, and the scale of its weights.

use super::file::{Fill, Tensor, Value};
use super::kind::Kind;
use super::{Architecture, Model};

/// Cells that a layer with a sliding window sees. Below the context of every test.
const SLIDING: usize = 24;

/// State and rank of the recurrent model.
const STATE: usize = 16;
const RANK: usize = 32;

/// What one attention or feed-forward part adds to the residual stream, beside the embedding's size.
const GAIN: f32 = 0.6;

/// Standard deviation of logits in nats.
const SPREAD: f32 = 2.0;

pub(super) fn metadata(model: &Model) -> Vec<(String, Value)> {
    let (arch, shape) = (model.architecture, &model.shape);
    let mut pairs = vec![
        ("general.architecture".to_owned(), Value::Text(arch.name().into())),
        // llama.cpp looks for certain tokens in models that are called "phi3".
        ("general.name".to_owned(), Value::Text("random weights".into())),
        ("general.quantization_version".to_owned(), Value::Number(2)),
    ];
    let mut put = |key: &str, value: Value| pairs.push((format!("{}.{key}", arch.name()), value));
    let number = |n: usize| Value::Number(n as u32);
    put("context_length", number(shape.context));
    put("embedding_length", number(shape.width));
    put("block_count", number(shape.layers));
    put("vocab_size", number(shape.vocabulary));
    put("attention.layer_norm_rms_epsilon", Value::Float(1e-5));
    if arch == Architecture::Mamba {
        put("feed_forward_length", number(0));
        put("attention.head_count", number(0));
        put("ssm.conv_kernel", number(4));
        put("ssm.inner_size", number(2 * shape.width));
        put("ssm.state_size", number(STATE));
        put("ssm.time_step_rank", number(RANK));
        return pairs;
    }
    put("feed_forward_length", number(shape.ff));
    put("attention.head_count", number(shape.heads));
    put("attention.head_count_kv", number(shape.kv_heads));
    put("attention.key_length", number(shape.head));
    put("attention.value_length", number(shape.head));
    put("rope.dimension_count", number(shape.head));
    let base = if arch == Architecture::LlamaFactors { 500_000.0 } else { 10_000.0 };
    put("rope.freq_base", Value::Float(base));
    if arch.is_gemma() {
        put("attention.sliding_window", number(SLIDING));
        put("attention.sliding_window_pattern", number(2));
    }
    match arch {
        Architecture::Gemma2 => {
            // Low enough to bend what random weights give.
            put("attn_logit_softcapping", Value::Float(4.0));
            put("final_logit_softcapping", Value::Float(10.0));
        }
        Architecture::Gemma3 => put("rope.freq_base_swa", Value::Float(1_000.0)),
        Architecture::Phi3Long => {
            // Shorter than any context, so that the long factors hold.
            put("rope.scaling.original_context_length", number(64));
            put("rope.scaling.attn_factor", Value::Float(1.19));
        }
        _ => {}
    }
    pairs
}

/// Collects the tensors of a model.
struct Builder<'a> {
    model: &'a Model,
    tensors: Vec<Tensor>,
}

impl Builder<'_> {
    fn vector(&mut self, name: String, columns: usize, fill: Fill) {
        self.tensors.push(Tensor { name, rows: None, columns, kind: Kind::F32, fill });
    }

    /// A matrix of `rows` outputs.
    fn matrix(&mut self, name: String, rows: usize, columns: usize, deviation: f32) {
        let kind = self.model.weighting.kind(&name, columns, self.model.is_tied());
        let fill = Fill::Normal(deviation);
        self.tensors.push(Tensor { name, rows: Some(rows), columns, kind, fill });
    }
}

pub(super) fn tensors(model: &Model) -> Vec<Tensor> {
    let (arch, shape) = (model.architecture, &model.shape);
    let tied = model.is_tied();
    let mut b = Builder { model, tensors: Vec::new() };
    let logits = SPREAD / root(shape.width);
    // Size of the residual stream behind the embedding, which Gemma multiplies by the root of the width.
    let embedding = if tied { logits } else { 1.0 };
    let stream = if arch.is_gemma() { embedding * root(shape.width) } else { embedding };
    b.matrix("token_embd.weight".into(), shape.vocabulary, shape.width, embedding);
    // The random signs keep a token whose embedding is its output row too from predicting itself.
    b.vector("output_norm.weight".into(), shape.width, Fill::Signed(1.0));
    if !tied {
        b.matrix("output.weight".into(), shape.vocabulary, shape.width, logits);
    }
    match arch {
        Architecture::LlamaFactors => {
            b.vector("rope_freqs.weight".into(), shape.head / 2, Fill::Ramp(1.0, 8.0));
        }
        Architecture::Phi3Long => {
            b.vector("rope_factors_long.weight".into(), shape.head / 2, Fill::Ramp(1.0, 20.0));
            b.vector("rope_factors_short.weight".into(), shape.head / 2, Fill::Ramp(1.0, 2.0));
        }
        _ => {}
    }
    for layer in 0..shape.layers {
        if arch == Architecture::Mamba {
            recurrent(&mut b, layer);
        } else {
            attention(&mut b, layer, stream);
            feed_forward(&mut b, layer, stream);
        }
    }
    b.tensors
}

fn attention(b: &mut Builder<'_>, layer: usize, stream: f32) {
    let (arch, shape) = (b.model.architecture, b.model.shape);
    let name = |part: &str| format!("blk.{layer}.{part}");
    let (queries, keys) = (shape.heads * shape.head, shape.kv_heads * shape.head);
    // Scores of standard deviation 1.4.
    let sharp = 1.2 / root(shape.width);
    b.vector(name("attn_norm.weight"), shape.width, Fill::Around(1.0));
    if matches!(arch, Architecture::Phi3 | Architecture::Phi3Long) {
        b.matrix(name("attn_qkv.weight"), queries + 2 * keys, shape.width, sharp);
    } else {
        b.matrix(name("attn_q.weight"), queries, shape.width, sharp);
        b.matrix(name("attn_k.weight"), keys, shape.width, sharp);
        b.matrix(name("attn_v.weight"), keys, shape.width, sharp);
    }
    if arch == Architecture::Qwen2 {
        for (part, columns) in [("attn_q.bias", queries), ("attn_k.bias", keys), ("attn_v.bias", keys)] {
            b.vector(name(part), columns, Fill::Normal(0.5));
        }
    }
    if matches!(arch, Architecture::Qwen3 | Architecture::Gemma3) {
        b.vector(name("attn_q_norm.weight"), shape.head, Fill::Around(1.2));
        b.vector(name("attn_k_norm.weight"), shape.head, Fill::Around(1.2));
    }
    b.matrix(name("attn_output.weight"), shape.width, queries, GAIN * stream / root(queries));
    if arch.is_gemma() {
        b.vector(name("post_attention_norm.weight"), shape.width, Fill::Around(GAIN * stream));
    }
}

fn feed_forward(b: &mut Builder<'_>, layer: usize, stream: f32) {
    let (arch, shape) = (b.model.architecture, b.model.shape);
    let name = |part: &str| format!("blk.{layer}.{part}");
    b.vector(name("ffn_norm.weight"), shape.width, Fill::Around(1.0));
    let wide = 1.3 / root(shape.width);
    if matches!(arch, Architecture::Phi3 | Architecture::Phi3Long) {
        b.matrix(name("ffn_up.weight"), 2 * shape.ff, shape.width, wide);
    } else {
        b.matrix(name("ffn_gate.weight"), shape.ff, shape.width, wide);
        b.matrix(name("ffn_up.weight"), shape.ff, shape.width, wide);
    }
    let down = GAIN * stream / root(shape.ff);
    b.matrix(name("ffn_down.weight"), shape.width, shape.ff, down);
    if arch.is_gemma() {
        b.vector(name("post_ffw_norm.weight"), shape.width, Fill::Around(GAIN * stream));
    }
}

fn recurrent(b: &mut Builder<'_>, layer: usize) {
    let width = b.model.shape.width;
    let (inner, name) = (2 * width, |part: &str| format!("blk.{layer}.{part}"));
    b.vector(name("attn_norm.weight"), width, Fill::Around(1.0));
    b.matrix(name("ssm_in.weight"), 2 * inner, width, 1.0 / root(width));
    b.matrix(name("ssm_x.weight"), RANK + 2 * STATE, inner, 1.0 / root(inner));
    b.matrix(name("ssm_out.weight"), width, inner, GAIN / root(inner));
    for (part, rows, columns, fill) in [
        ("ssm_conv1d.weight", Some(inner), 4, Fill::Normal(0.5)),
        ("ssm_conv1d.bias", None, inner, Fill::Normal(0.1)),
        ("ssm_dt.weight", Some(inner), RANK, Fill::Normal(0.1)),
        ("ssm_dt.bias", None, inner, Fill::Normal(0.1)),
        ("ssm_a", Some(inner), STATE, Fill::Ramp(-1.0, -16.0)),
        ("ssm_d", None, inner, Fill::Around(1.0)),
    ] {
        b.tensors.push(Tensor { name: name(part), rows, columns, kind: Kind::F32, fill });
    }
}

fn root(n: usize) -> f32 {
    (n as f32).sqrt()
}
