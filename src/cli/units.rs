//! Sizes and times as people write and read them.

/// Parses a size in bytes: digits and an optional `K`, `M` or `G` of 1024, 1024² or 1024³, with an
/// optional `iB` or `B` behind it.
///
/// # Errors
/// What is wrong, for clap.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err("expected a number of bytes, such as 65536, 64K or 1M".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number of bytes, such as 65536, 64K or 1M")?;
    number.checked_mul(1 << shift).ok_or_else(|| "the size is too large".into())
}

/// A number of bytes with three significant digits: `999 B`, `1.23 kB` (powers of 1000).
pub(super) fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut units = ["kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // What would be printed as 1000 is written in the next unit.
    for next in units {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

/// So many of a thing, in the plural where they are not one: `2 chunks`, `1 entry`.
pub(super) fn count(number: u64, thing: &str) -> String {
    match (number, thing.strip_suffix('y')) {
        (1, _) => format!("1 {thing}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {thing}s"),
    }
}

/// `part` as a percentage of `whole`; `-` where there is no whole.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// Bits of `stored` for each byte of `raw`; 0 where there is none.
pub(super) fn bits_per_byte(stored: u64, raw: u64) -> f64 {
    if raw == 0 { 0.0 } else { stored as f64 * 8.0 / raw as f64 }
}

/// Seconds since 1970 as `YYYY-MM-DD HH:MM:SS`, in UTC, in the proleptic Gregorian calendar.
pub(super) fn utc(secs: i64) -> String {
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    // Eras of 400 years that start on the 1st of March make the leap day the last day of a year.
    let shifted = i128::from(days) + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        for (text, expected) in [("0", 0), ("65536", 65536), ("64K", 65536), ("64KiB", 65536), ("1m", 1 << 20)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "K", "-1", "1.5M", "1X", "64 K", "99999999999G", "18446744073709551616"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_printed_with_three_digits() {
        for (count, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (12_345, "12.3 kB"),
            (99_960, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn things_are_counted_in_english() {
        assert_eq!([count(0, "chunk"), count(1, "chunk"), count(2, "chunk")], ["0 chunks", "1 chunk", "2 chunks"]);
        assert_eq!([count(1, "entry"), count(3, "directory")], ["1 entry", "3 directories"]);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (secs, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (-62_135_596_800, "0001-01-01 00:00:00"),
        ] {
            assert_eq!(utc(secs), expected);
        }
        for extreme in [i64::MIN, i64::MAX] {
            assert!(utc(extreme).contains(':'));
        }
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!((percent(1, 0).as_str(), bits_per_byte(1, 0)), ("-", 0.0));
        assert_eq!((percent(1, 8).as_str(), bits_per_byte(1, 8)), ("12.5 %", 1.0));
    }
}
