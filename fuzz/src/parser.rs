//! The push parser: whatever the input, every split of it gives the same events and the same end.

use lma::container::{Event, Parser};

use super::forge;

/// Takes an archive.
pub fn parser(data: &[u8]) {
    for bytes in forge::forms(data) {
        let whole = parse([&bytes[..]]);
        assert_eq!(whole, parse(bytes.chunks(1)), "byte by byte");
        let seed = bytes.iter().fold(0u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        assert_eq!(whole, parse(Pieces { rest: &bytes, seed }), "in pieces");
    }
}

/// The events of an input that is pushed in pieces, and how it ends.
pub fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Result<(), String>) {
    let mut parser = Parser::new(forge::limits());
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    parser.push(b"more");
                    let again = parser.next_event().map_err(|error| error.to_string());
                    assert_eq!(again, Err(error.to_string()), "an error stays");
                    return (events, Err(error.to_string()));
                }
            }
        }
    }
    (events, parser.finish().map_err(|error| error.to_string()))
}

/// Cuts the bytes at places that depend on all of them: a changed byte changes the cuts.
struct Pieces<'a> {
    rest: &'a [u8],
    seed: u32,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly short pieces, some empty.
        let len = (self.seed >> 16) as usize % (1 << (self.seed >> 13 & 7));
        let (piece, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
