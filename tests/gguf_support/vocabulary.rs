//! A byte-level BPE vocabulary of any size: a start token, the 256 bytes, and merges.

use super::file::Value;

/// Letters in order of their frequency in English, so that small vocabularies hold useful pairs. The
/// first stands for a space.
const LETTERS: &str = "\u{120}etaoinshrdlcumwfgypbvkjxqz";

/// Metadata of a vocabulary of `size` tokens. Token 0 is the start token, 1 + b is the byte b, the rest
/// are strings of two letters, then of three, then of four, each a merge of two shorter ones.
///
/// # Panics
/// Fewer than 257 tokens are asked for, or more than there are such strings.
pub(super) fn metadata(size: usize) -> Vec<(String, Value)> {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    let mut tokens = vec!["<|start|>".to_owned()];
    tokens.extend(byte_chars().iter().map(char::to_string));
    let merges: Vec<(String, String)> = pairs().take(size.checked_sub(tokens.len()).unwrap()).collect();
    tokens.extend(merges.iter().map(|(left, right)| format!("{left}{right}")));
    assert_eq!(tokens.len(), size);
    let mut types = vec![NORMAL; size];
    types[0] = CONTROL;
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    vec![
        (key("model"), Value::Text("gpt2".into())),
        (key("pre"), Value::Text("qwen2".into())),
        (key("tokens"), Value::Texts(tokens)),
        (key("token_type"), Value::Integers(types)),
        (key("merges"), Value::Texts(merges.iter().map(|(left, right)| format!("{left} {right}")).collect())),
        (key("bos_token_id"), Value::Number(0)),
        (key("eos_token_id"), Value::Number(0)),
        (key("add_bos_token"), Value::Bool(false)),
    ]
}

/// GPT-2's printable character for each byte.
fn byte_chars() -> Vec<char> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut others = 256..;
    let code = |byte| if printable(byte) { byte } else { others.next().unwrap() };
    (0..256).map(code).map(|code| char::from_u32(code).unwrap()).collect()
}

/// What to merge, shortest results first. A space stands at the front only.
fn pairs() -> impl Iterator<Item = (String, String)> {
    let two = || LETTERS.chars().flat_map(|a| LETTERS.chars().skip(1).map(move |b| (a.to_string(), b.to_string())));
    let whole = |(a, b): (String, String)| format!("{a}{b}");
    let three = two().map(whole).flat_map(|a| LETTERS.chars().skip(1).map(move |b| (a.clone(), b.to_string())));
    let inner = move || two().filter(|(a, _)| !LETTERS.starts_with(a)).map(whole);
    let four = two().map(whole).flat_map(move |a| inner().map(move |b| (a.clone(), b)));
    two().chain(three).chain(four)
}
