//! Extension fields (spec/lma-format.md §2.4): how later versions add to a length-delimited structure.

use super::FormatError;
use crate::wire::Cursor;

/// The bit of a tag that marks a field that a reader must know.
const CRITICAL: u64 = 1;

/// Reads the extension fields that fill the rest of a structure. None is defined yet, so that ancillary
/// ones are skipped and critical ones refused.
pub(super) fn read_extensions(what: &'static str, cursor: &mut Cursor<'_>) -> Result<(), FormatError> {
    let mut last = None;
    while !cursor.is_empty() {
        let malformed = || FormatError::corrupt(what, "an extension field is malformed");
        let tag = cursor.varint().ok_or_else(malformed)?;
        cursor.bytes(u64::MAX).ok_or_else(malformed)?;
        if last.is_some_and(|last| tag <= last) {
            return Err(FormatError::corrupt(what, "the tags of its extension fields do not ascend"));
        }
        if tag & CRITICAL != 0 {
            return Err(FormatError::unsupported(what, format!("critical extension field {tag} is not known")));
        }
        last = Some(tag);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancillary_fields_are_skipped_and_critical_ones_refused() {
        assert_eq!(read_extensions("entry", &mut Cursor::new(&[2, 1, 0xff, 4, 0])), Ok(()));
        let unsupported = read_extensions("entry", &mut Cursor::new(&[2, 0, 5, 0]));
        assert!(matches!(unsupported, Err(FormatError::Unsupported { .. })));
        for bad in [&[2][..], &[2, 5, 1], &[4, 0, 2, 0], &[2, 0, 2, 0], &[0x80]] {
            let outcome = read_extensions("entry", &mut Cursor::new(bad));
            assert!(matches!(outcome, Err(FormatError::Corrupt { .. })), "{bad:?}");
        }
    }
}
