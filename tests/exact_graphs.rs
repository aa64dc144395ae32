//! The graphs that llama.cpp builds are part of the numerics profile (spec/numerics.md §7): a version of
//! llama.cpp that builds others is noticed here, not by a user.
#![cfg(feature = "llama")]

mod gguf_support;

use std::sync::Arc;

use gguf_support::{Architecture, Kind, Model};
use lma::exact::KernelSet;
use lma::hash::Digest;
use lma::model::engine::{Arithmetic, Geometry, LlamaPredictor, Weights};
use lma::predict::Feed;

/// The first half of the digest of [`LlamaPredictor::graph`] for two layers. Where one changes, show that the
/// new graph gives the same numbers (the digests below still hold), or name a new profile.
const GRAPHS: [(Architecture, &str); 8] = [
    (Architecture::Llama, "1fc19f8e5cc456ef50f6131cf1f27e2b"),
    (Architecture::LlamaFactors, "845a7108a8bca1910c049e138595e19d"),
    (Architecture::Qwen2, "32d8c975d75314b65dd6a3a809461ef4"),
    (Architecture::Qwen3, "6333041cd33b950e15de6c5b34b9066b"),
    (Architecture::Gemma2, "aa70cc8020290c7d0f6db0fa816685c8"),
    (Architecture::Gemma3, "29f082a06c691da046f5fafa5f34fa72"),
    (Architecture::Phi3, "74e5f87b28b2eb4a90f456137cd6eddd"),
    (Architecture::Phi3Long, "2a9f18f127db8a75e247532b053dbea7"),
];

/// The first half of the digest of the logits of binary16 models, by architecture: the numbers of `exact-1`
/// on every machine.
const LOGITS: [(Architecture, &str); 8] = [
    (Architecture::Llama, "ecafd568be1fa35fffe4dffa56bb0ce6"),
    (Architecture::LlamaFactors, "595924194b40a8e5e036f92650e28ed8"),
    (Architecture::Qwen2, "189dc537b09f70c16e31273380ac4c53"),
    (Architecture::Qwen3, "feca53465091b8e87fd04f39b413cacc"),
    (Architecture::Gemma2, "158affdefb6f5de34a7edea3da3f437a"),
    (Architecture::Gemma3, "41b44e8950d0b486766b059bab7ee483"),
    (Architecture::Phi3, "bb9c2e656f5100ab54329400c41ee52c"),
    (Architecture::Phi3Long, "e168da3b83e2cc61baee6134c1f56439"),
];

/// The same of llama models, by the type of their weights.
const LOGITS_BY_TYPE: [(Kind, &str); 11] = [
    (Kind::F32, "7e0d272003f73b0454968d5e983a0296"),
    (Kind::F16, "ecafd568be1fa35fffe4dffa56bb0ce6"),
    (Kind::BF16, "6cdaf66ae91f3ca11a9b901e56401e73"),
    (Kind::Q8_0, "54dca28d9c58e0ba4925f1bddfee1dbd"),
    (Kind::Q4_0, "ad1c0d3a83cf0dc6c553fc0058503f6c"),
    (Kind::Q4_1, "d68a700fb13ae9bc6bd06490aebe60ff"),
    (Kind::Q5_0, "9a1b30fcfa92a0c022717086caf3eb5d"),
    (Kind::Q5_1, "180c3d998dadc234d41c3f911149912a"),
    (Kind::Q4K, "e0ab1a0f9ecdd08ff1437ceb626bce2d"),
    (Kind::Q5K, "abbba2760726f89bceef53d94d4d7495"),
    (Kind::Q6K, "86802b9d823d79de85d42b8b86559be0"),
];

/// The graph of a model, a line for each operator, and the digest of the logits it gave, for one feed of three
/// tokens with one output.
fn evaluate(model: &Model) -> (String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    model.write(file.path()).unwrap();
    let weights = Arc::new(Weights::load(file.path(), "random", Arithmetic::Exact).unwrap());
    let table = Arc::new(weights.table());
    let geometry = Geometry { lanes: 1, window: 64, slides: false, threads: 1, kernels: KernelSet::current() };
    let mut predictor = LlamaPredictor::new(weights, Arc::clone(&table), geometry).unwrap();
    assert!(predictor.graph().is_none());
    let tokens = [table.start(), 40, 41];
    let feed = Feed { lane: 0, restart: Some(0), tokens: &tokens, outputs: 1 };
    let mut logits = Vec::new();
    predictor.evaluate(&[feed], &mut |_, row| logits.extend(row.iter().flat_map(|x| x.to_le_bytes()))).unwrap();
    (predictor.graph().unwrap().to_owned(), digest(&logits))
}

fn digest(bytes: &[u8]) -> String {
    format!("{:.32}", Digest::of(bytes).to_string())
}

#[test]
fn llama_cpp_builds_the_graphs_of_the_profile() {
    let mut changed = String::new();
    for (architecture, expected) in GRAPHS {
        let (graph, _) = evaluate(&Model::tiny(architecture, Kind::F16));
        let found = digest(graph.as_bytes());
        if found != expected {
            changed += &format!("{architecture:?} is now {found}:\n{graph}\n");
        }
    }
    assert!(changed.is_empty(), "{changed}");
}

#[test]
fn logits_are_those_of_the_profile() {
    let by_architecture = LOGITS.map(|(architecture, digest)| (Model::tiny(architecture, Kind::F16), digest));
    let by_type = LOGITS_BY_TYPE.map(|(kind, digest)| (Model::tiny(Architecture::Llama, kind), digest));
    let mut wrong = String::new();
    for (model, expected) in by_architecture.iter().chain(&by_type) {
        let (_, found) = evaluate(model);
        if found != *expected {
            wrong += &format!("{:?} {:?}: {found}\n", model.architecture, model.weighting);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
