//! Bytes to symbols (spec/lm-codec.md §3): the encoder's choices. A decoder needs none of this.

use crate::predict::{TokenId, TokenTable, Tokenizer};

/// Longest text given to the tokenizer at once, bytes: some tokenizers take quadratic time.
const SPAN: usize = 16 << 10;

/// A span that the tokenizer changes is halved and tried again down to this length, bytes, so that
/// one odd character does not cost a whole span its tokens.
const SMALLEST_SPAN: usize = 64;

/// A chunk as the model sees it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::codec) struct Symbols {
    /// The start token, then the chunk's tokens.
    pub(in crate::codec) history: Vec<TokenId>,
    /// Raw bytes, each with the index in `history` of the token before it, ascending.
    pub(in crate::codec) escapes: Vec<(usize, u8)>,
}

impl Symbols {
    pub(in crate::codec) fn new(raw: &[u8], table: &TokenTable, tokenizer: &dyn Tokenizer) -> Self {
        let mut symbols = Self { history: vec![table.start()], escapes: Vec::new() };
        // Tokenizers replace, drop or refuse what is not UTF-8.
        for chunk in raw.utf8_chunks() {
            let mut text = chunk.valid();
            while !text.is_empty() {
                let (span, rest) = text.split_at(boundary(text, SPAN));
                symbols.text(span, table, tokenizer);
                text = rest;
            }
            symbols.bytes(chunk.invalid(), table);
        }
        symbols
    }

    /// How many distributions it takes: one for each token but the start, one more for escapes
    /// behind the last.
    pub(in crate::codec) fn predictions(&self) -> usize {
        let last = self.history.len() - 1;
        last + usize::from(self.escapes.last().is_some_and(|&(position, _)| position == last))
    }

    fn text(&mut self, span: &str, table: &TokenTable, tokenizer: &dyn Tokenizer) {
        let bytes = span.as_bytes();
        let mut tokens = tokenizer.tokenize(bytes);
        tokens.retain(|&token| !table.bytes(token).is_empty());
        if tokens.iter().flat_map(|&token| table.bytes(token)).eq(bytes) {
            self.history.extend(tokens);
        } else if bytes.len() > SMALLEST_SPAN {
            let (front, back) = span.split_at(boundary(span, bytes.len() / 2));
            self.text(front, table, tokenizer);
            self.text(back, table, tokenizer);
        } else {
            self.bytes(bytes, table);
        }
    }

    fn bytes(&mut self, bytes: &[u8], table: &TokenTable) {
        for symbol in table.greedy(bytes) {
            match symbol {
                Ok(token) => self.history.push(token),
                Err(byte) => self.escapes.push((self.history.len() - 1, byte)),
            }
        }
    }
}

/// Where to cut `text` at or before `most` (at least 4) bytes: behind the last line feed or space
/// of the second half, else behind a character. At least 1 for a text that is not empty.
fn boundary(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let bytes = &text.as_bytes()[..most];
    let behind = |wanted: u8| bytes.iter().rposition(|&b| b == wanted).filter(|&at| at > most / 2).map(|at| at + 1);
    let character = || (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    behind(b'\n').or_else(|| behind(b' ')).unwrap_or_else(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::toy;

    fn symbols(raw: &[u8], missing: &[u8]) -> (Symbols, crate::predict::LoadedModel) {
        let model = toy::model_with(missing);
        (Symbols::new(raw, &model.table, &*model.tokenizer), model)
    }

    #[test]
    fn escapes_stand_where_their_bytes_were() {
        let (symbols, model) = symbols(b"\x01a\x01\x01", &[1]);
        let start = model.table.start();
        assert_eq!(symbols.history.len(), 2);
        assert_eq!(symbols.history[0], start);
        assert_eq!(symbols.escapes, [(0, 1), (1, 1), (1, 1)]);
        assert_eq!(symbols.predictions(), 2);
    }

    #[test]
    fn a_lossy_span_costs_only_itself() {
        // The toy tokenizer turns U+2581 into a space, as some do.
        let text = format!("{} \u{2581} {}", " the".repeat(3000), " the".repeat(3000));
        let (symbols, model) = symbols(text.as_bytes(), &[]);
        let bytes: Vec<u8> = symbols.history.iter().flat_map(|&t| model.table.bytes(t)).copied().collect();
        assert_eq!(bytes, text.as_bytes());
        assert!(symbols.escapes.is_empty());
        assert!(symbols.history.len() < 6100, "{}", symbols.history.len());
    }

    #[test]
    fn spans_end_between_characters() {
        assert_eq!(boundary("abc", 4), 3);
        assert_eq!(boundary("abcdefgh", 4), 4);
        assert_eq!(boundary("ab\u{1f600}", 4), 2);
        assert_eq!(boundary("abcde\nfg hij", 10), 9);
        assert_eq!(boundary("abcdef\ng hij", 10), 7);
    }
}
