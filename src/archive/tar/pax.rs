//! Records of pax headers: `LENGTH KEY=VALUE\n`, the length counting itself.

use crate::format::Mtime;

/// Prefix of the keys of extended attributes.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// The records of one header, or those in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records(pub(super) Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Reads a header's data; `None` where it is malformed.
    pub(super) fn parse(mut data: &[u8]) -> Option<Self> {
        let mut records = Vec::new();
        while data.first().is_some_and(|&byte| byte != 0) {
            let space = data.iter().take(20).position(|&byte| byte == b' ')?;
            let len: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
            let record = data.get(space + 1..len)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|&byte| byte == b'=')?;
            records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
            data = &data[len..];
        }
        Some(Self(records))
    }

    /// The last value of a key; an empty one takes an earlier value back.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|(found, _)| found == key.as_bytes());
        last.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// The value of a key as a decimal number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        std::str::from_utf8(self.get(key)?).ok()?.parse().ok()
    }

    pub(super) fn push(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
    }

    /// The header's data.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, value) in &self.0 {
            let rest = key.len() + value.len() + 3;
            let mut len = rest + 1;
            while rest + len.to_string().len() != len {
                len = rest + len.to_string().len();
            }
            out.extend_from_slice(len.to_string().as_bytes());
            out.push(b' ');
            out.extend_from_slice(key);
            out.push(b'=');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out
    }
}

/// A time in decimal seconds: `-4.000000001` is one nanosecond before four seconds before the epoch.
pub(super) fn time(mtime: Mtime) -> String {
    let total = i128::from(mtime.secs) * 1_000_000_000 + i128::from(mtime.nanos);
    let (sign, total) = if total < 0 { ("-", -total) } else { ("", total) };
    let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// The inverse of [`time`]; digits behind the nanoseconds are dropped.
pub(super) fn parse_time(text: &[u8]) -> Option<Mtime> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (secs, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || fraction.contains('.') {
        return None;
    }
    let nanos: i128 = format!("{:0<9.9}", fraction).parse().ok()?;
    let total = secs.parse::<i64>().ok().map(i128::from)? * 1_000_000_000 + nanos;
    let total = if negative { -total } else { total };
    let secs = i64::try_from(total.div_euclid(1_000_000_000)).ok()?;
    Some(Mtime { secs, nanos: total.rem_euclid(1_000_000_000) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_may_hold_anything() {
        let mut records = Records::default();
        for len in 80..110 {
            records.push(format!("key{len}"), vec![b'\n'; len]);
        }
        records.push("path", b"a=b\n\xff");
        let data = records.encode();
        assert_eq!(Records::parse(&data), Some(records.clone()));
        assert_eq!(records.get("path"), Some(&b"a=b\n\xff"[..]));
        assert_eq!(Records::parse(&data[..data.len() - 1]), None);
        assert_eq!(Records::parse(b"9 key=va\n"), Some(Records(vec![(b"key".to_vec(), b"va".to_vec())])));
        assert_eq!(Records::parse(b"99999999999999999999 a=b\n"), None);
        assert_eq!(Records::parse(b"3 a=b\n"), None);
    }

    #[test]
    fn times_round_trip_on_both_sides_of_the_epoch() {
        for (secs, nanos, text) in [
            (0, 0, "0"),
            (5, 20_000_000, "5.02"),
            (-5, 999_999_999, "-4.000000001"),
            (-1, 500_000_000, "-0.5"),
            (100, 0, "100"),
        ] {
            let mtime = Mtime { secs, nanos };
            assert_eq!(time(mtime), text);
            assert_eq!(parse_time(text.as_bytes()), Some(mtime), "{text}");
        }
        assert_eq!(parse_time(b"1.1234567891234"), Some(Mtime { secs: 1, nanos: 123_456_789 }));
        assert_eq!(parse_time(b"x"), None);
        assert_eq!(parse_time(b"1.2.3"), None);
    }
}
