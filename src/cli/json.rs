//! JSON for scripts.

use serde_json::{Map, Value};

/// A JSON object that is being built.
pub(super) type Object = Map<String, Value>;

/// Adds bytes that are text by custom: as text, and where they are not UTF-8, as hexadecimal digits under
/// `NAME_hex` as well, with U+FFFD in the text.
pub(super) fn text(object: &mut Object, name: &str, bytes: &[u8]) {
    object.insert(name.into(), String::from_utf8_lossy(bytes).into());
    if std::str::from_utf8(bytes).is_err() {
        object.insert(format!("{name}_hex"), hex(bytes).into());
    }
}

/// The same for a list: an array of objects with `name`.
pub(super) fn texts(name: &str, list: &[Vec<u8>]) -> Value {
    let objects = list.iter().map(|bytes| {
        let mut object = Object::new();
        text(&mut object, name, bytes);
        Value::Object(object)
    });
    objects.collect()
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_survive() {
        let mut object = Object::new();
        text(&mut object, "path", b"a\xffb");
        text(&mut object, "user", "u\"\n".as_bytes());
        let json = Value::Object(object).to_string();
        assert_eq!(json, "{\"path\":\"a\u{fffd}b\",\"path_hex\":\"61ff62\",\"user\":\"u\\\"\\n\"}");
    }
}
