//! Reading single records from a [`Source`].

use super::{ContainerError, Source};
use crate::format::{FormatError, MAX_HEAD_LEN, RECORD_MIN_LEN, RecordHead};

/// Bytes of most records before their body: one read gets the head and, with a hint, the body too.
const USUAL_HEADER_LEN: u64 = RECORD_MIN_LEN as u64 + 64;

pub(super) fn read_at(source: &dyn Source, position: u64, len: u64) -> Result<Vec<u8>, ContainerError> {
    let too_long = |_| ContainerError::Structure(FormatError::Limit { what: "read", actual: len, limit: u64::MAX });
    let mut bytes = vec![0; usize::try_from(len).map_err(too_long)?];
    source.read_exact_at(&mut bytes, position).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => ContainerError::Truncated(position),
        _ => ContainerError::Read { position, source },
    })?;
    Ok(bytes)
}

/// Reads the record at `position`, which ends at `end` or before, if its body takes `max_body` bytes
/// at most. `body_hint` is what the index says of the body's length; the head decides. The caller
/// has charged both to its limits.
pub(super) fn read_record(
    source: &dyn Source,
    position: u64,
    end: u64,
    body_hint: u64,
    max_body: u64,
) -> Result<(RecordHead, Vec<u8>), ContainerError> {
    let room = end.saturating_sub(position);
    let mut bytes = read_at(source, position, room.min(USUAL_HEADER_LEN.saturating_add(body_hint.min(max_body))))?;
    let (head, header_len) = decode_head(source, position, room, &mut bytes)?;
    let body_len = u64::from(head.body_len);
    FormatError::charge("record body", body_len, max_body).map_err(ContainerError::at(position))?;
    if head.record_len() > room {
        return Err(past_end(position, &head, room));
    }
    let have = bytes.len() - header_len;
    let mut body = bytes.split_off(header_len);
    if (have as u64) < body_len {
        body.extend(read_at(source, position + (header_len + have) as u64, body_len - have as u64)?);
    }
    body.truncate(body_len as usize);
    head.check_body(&body).map_err(ContainerError::at(position))?;
    Ok((head, body))
}

/// Reads the head of the record at `position` alone, with the bytes it takes.
pub(super) fn read_head(source: &dyn Source, position: u64, end: u64) -> Result<RecordHead, ContainerError> {
    let room = end.saturating_sub(position);
    let mut bytes = read_at(source, position, room.min(USUAL_HEADER_LEN))?;
    decode_head(source, position, room, &mut bytes).map(|(head, _)| head)
}

fn decode_head(
    source: &dyn Source,
    position: u64,
    room: u64,
    bytes: &mut Vec<u8>,
) -> Result<(RecordHead, usize), ContainerError> {
    if let Some(found) = RecordHead::decode(bytes, position).map_err(ContainerError::at(position))? {
        return Ok(found);
    }
    let longest = room.min((RECORD_MIN_LEN + MAX_HEAD_LEN) as u64);
    if (bytes.len() as u64) < longest {
        *bytes = read_at(source, position, longest)?;
    }
    let cut = || FormatError::corrupt("record header", format!("only {room} bytes are left for it"));
    RecordHead::decode(bytes, position).and_then(|found| found.ok_or_else(cut)).map_err(ContainerError::at(position))
}

/// The body of the record at `position` does not fit.
pub(super) fn past_end(position: u64, head: &RecordHead, room: u64) -> ContainerError {
    let why = format!("it takes {} bytes, {room} are left", head.record_len());
    ContainerError::at(position)(FormatError::corrupt("record", why))
}
