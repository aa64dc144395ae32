//! Codecs: any stored bytes decode or are refused; any raw bytes come back.

use std::sync::{Arc, OnceLock};

use lma::codec::{self, Choice, Level};
use lma::format::{CodecId, ContextPolicy, ModelRecord};
use lma::predict::{LoadedModel, Models, PredictError, toy};

use super::input::Input;

/// Most raw bytes of a chunk.
const RAW: usize = 4096;

/// Takes a codec, a model, a direction, and the bytes to decode or to encode.
pub fn chunk(data: &[u8]) {
    let mut input = Input::new(data);
    let codec = *input.pick(&[CodecId::Lm, CodecId::Zstd, CodecId::Store, CodecId::Cm, CodecId::Mix]);
    let toys = Toys(models()[input.below(3)].clone());
    let direction = input.below(4);
    if direction == 0 {
        let choice = if input.once_in(2) { Choice::Auto } else { Choice::Only(codec) };
        return there_and_back(input.rest().chunks(RAW).next().unwrap_or_default(), choice, &toys);
    }
    let mut record = toys.0.record.clone();
    if direction == 1 {
        // What the record says of windows is the archive's claim.
        record.context = ContextPolicy { window: input.u16().into(), overlap: input.u16().into() };
    }
    let raw_len = input.below(RAW + 1);
    let model = (direction < 3 || codec.needs_model()).then_some(&record);
    let stored = input.rest();
    if let Ok(raw) = codec::decode(codec, model, stored, raw_len, &toys) {
        assert_eq!(raw.len(), raw_len);
        if codec == CodecId::Store {
            assert_eq!(raw, stored);
        }
    }
}

fn there_and_back(raw: &[u8], choice: Choice, toys: &Toys) {
    let encoded = codec::encode(raw, choice, Level::BEST, Some(&toys.0)).expect("the toy does not fail");
    assert!(encoded.stored.len() <= raw.len(), "{} bytes for {}", encoded.stored.len(), raw.len());
    let again = codec::encode(raw, choice, Level::BEST, Some(&toys.0)).expect("the toy does not fail");
    assert_eq!(encoded, again, "encoding depends on its arguments alone");
    let back = codec::decode(encoded.codec, Some(&toys.0.record), &encoded.stored, raw.len(), toys);
    assert_eq!(back.expect("what was encoded decodes"), raw);
    let cut = encoded.stored.len().saturating_sub(1);
    let decode = |stored, len| codec::decode(encoded.codec, Some(&toys.0.record), stored, len, toys);
    // Under a model of either sort fewer bytes, or another length, can be another text's: the digest tells.
    let other = [decode(&encoded.stored[..cut], raw.len()), decode(&encoded.stored, raw.len() + 1)];
    let exact = matches!(encoded.codec, CodecId::Store | CodecId::Zstd);
    assert!(!exact || raw.is_empty() || other.iter().all(Result::is_err));
}

/// With every byte, without some, and with windows so small that every chunk crosses several.
fn models() -> &'static [LoadedModel; 3] {
    static MODELS: OnceLock<[LoadedModel; 3]> = OnceLock::new();
    MODELS.get_or_init(|| {
        let small = ContextPolicy { window: 9, overlap: 8 };
        [toy::model(), toy::model_with(b"ae\0\xff"), toy::model_of(b"\n", small, 2, 3)]
    })
}

/// One model, whatever is asked for.
struct Toys(LoadedModel);

impl Models for Toys {
    fn open(&self, _: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        Ok(Arc::new(self.0.clone()))
    }
}
