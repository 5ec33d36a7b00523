//! Values as they lie in an index tuple: text from a snapshot → the bytes that Postgres itself would have written.

use jiff::civil::{Date, DateTime, Time};

/// Longer keys are left out: the histogram's bounds must do. Keeps a varlena header at one byte (`VARATT_SHORT_MAX` is 127).
const MAX_SHORT_PAYLOAD: usize = 126;
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Digits in one base-10000 digit of a numeric.
const NUMERIC_GROUP: usize = 4;

/// The bytes of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyImage {
    /// As in the tuple, starting at an address aligned to 8.
    pub bytes: Vec<u8>,
    /// Of variable length.
    pub varlena: bool,
}

impl KeyImage {
    /// A key of fixed length.
    pub(super) fn fixed(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            varlena: false,
        }
    }

    /// A varlena with a header of one byte.
    fn short_varlena(payload: &[u8]) -> Option<Self> {
        let len = u8::try_from(payload.len()).ok()?;
        if usize::from(len) > MAX_SHORT_PAYLOAD {
            return None;
        }
        let mut bytes = vec![((len + 1) << 1) | 1];
        bytes.extend_from_slice(payload);
        Some(Self {
            bytes,
            varlena: true,
        })
    }

    /// The key that `text` is as a value of `type_name` (as `format_type` names it). `None` for types and values that
    /// this function does not know.
    #[must_use]
    pub(super) fn parse(type_name: &str, text: &str) -> Option<Self> {
        Some(match type_name {
            "smallint" => Self::fixed(text.parse::<i16>().ok()?.to_le_bytes()),
            "integer" => Self::fixed(text.parse::<i32>().ok()?.to_le_bytes()),
            "bigint" => Self::fixed(text.parse::<i64>().ok()?.to_le_bytes()),
            "oid" => Self::fixed(text.parse::<u32>().ok()?.to_le_bytes()),
            "real" => Self::fixed(text.parse::<f32>().ok()?.to_le_bytes()), // not through f64: rounds once, like float4in
            "double precision" => Self::fixed(text.parse::<f64>().ok()?.to_le_bytes()),
            "boolean" => Self::fixed([u8::from(text == "t" || text == "true")]),
            "date" => Self::fixed(days(text)?.to_le_bytes()),
            "time without time zone" => Self::fixed(time_us(text.parse().ok()?).to_le_bytes()),
            "timestamp without time zone" => Self::fixed(timestamp_us(text)?.to_le_bytes()),
            "timestamp with time zone" => {
                let utc = if text.ends_with("infinity") {
                    text
                } else {
                    text.strip_suffix("+00")?
                };
                Self::fixed(timestamp_us(utc)?.to_le_bytes())
            }
            "uuid" => Self::fixed(uuid(text)?),
            "text" | "character varying" | "character" => Self::short_varlena(text.as_bytes())?,
            "numeric" => Self::short_varlena(&numeric(text)?)?,
            _ => return None,
        })
    }
}

/// Days since 2000-01-01.
fn days(text: &str) -> Option<i32> {
    match text {
        "infinity" => Some(i32::MAX),
        "-infinity" => Some(i32::MIN),
        _ => days_since_2000(text.parse().ok()?),
    }
}

fn days_since_2000(date: Date) -> Option<i32> {
    let epoch = jiff::civil::date(2000, 1, 1);
    Some(epoch.until(date).ok()?.get_days())
}

/// Microseconds since 2000-01-01 00:00.
fn timestamp_us(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let at: DateTime = text.parse().ok()?;
    Some(i64::from(days_since_2000(at.date())?) * DAY_US + time_us(at.time()))
}

fn time_us(time: Time) -> i64 {
    let seconds =
        i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1000
}

fn uuid(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if digits.len() != 32 {
        return None;
    }
    hex(&digits)
}

/// Hexadecimal digits → bytes.
#[must_use]
pub(super) fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}

/// A numeric's payload in the short format (`src/backend/utils/adt/numeric.c`, `NUMERIC_SHORT`); `None` where it does not fit there.
fn numeric(text: &str) -> Option<Vec<u8>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let scale = u16::try_from(fraction.len()).ok().filter(|s| *s <= 63)?;
    let (groups, weight) = base_10000(whole, fraction);
    if !(-64..=63).contains(&weight) {
        return None;
    }
    let sign = if negative { 0x2000 } else { 0 };
    let header = 0x8000 | sign | scale << 7 | (weight as u16 & 0x7f);
    let mut payload = header.to_le_bytes().to_vec();
    for group in groups {
        payload.extend_from_slice(&group.to_le_bytes());
    }
    Some(payload)
}

/// Base-10000 digits without leading and trailing zeros, and the weight of the first.
fn base_10000(whole: &str, fraction: &str) -> (Vec<i16>, i32) {
    let lead = whole.len().next_multiple_of(NUMERIC_GROUP) - whole.len();
    let mut digits = "0".repeat(lead) + whole + fraction;
    digits.push_str(&"0".repeat(digits.len().next_multiple_of(NUMERIC_GROUP) - digits.len()));
    let mut groups: Vec<i16> = digits
        .as_bytes()
        .chunks(NUMERIC_GROUP)
        .map(|group| {
            group
                .iter()
                .fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0'))
        })
        .collect();
    let digits = i32::try_from((whole.len() + lead) / NUMERIC_GROUP).unwrap_or(i32::MAX);
    let mut weight = digits - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i32::try_from(zeros).unwrap_or(i32::MAX);
    if groups.is_empty() {
        weight = 0;
    }
    (groups, weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(type_name: &str, text: &str) -> Vec<u8> {
        KeyImage::parse(type_name, text).unwrap().bytes
    }

    #[test]
    fn encodes_as_postgres_does() {
        assert_eq!(bytes("integer", "-2"), (-2_i32).to_le_bytes());
        assert_eq!(bytes("date", "2000-01-02"), 1_i32.to_le_bytes());
        assert_eq!(bytes("date", "1999-12-31"), (-1_i32).to_le_bytes());
        assert_eq!(
            bytes("timestamp with time zone", "2000-01-01 00:00:01.5+00"),
            1_500_000_i64.to_le_bytes()
        );
        assert_eq!(
            bytes("timestamp without time zone", "1999-12-31 23:59:59"),
            (-1_000_000_i64).to_le_bytes()
        );
        assert_eq!(bytes("real", "0.1"), 0.1_f32.to_le_bytes());
        assert_eq!(bytes("text", "ab"), [7, b'a', b'b']);
        assert_eq!(
            bytes("uuid", "00000000-0000-0000-0000-0000000000ff")[15],
            0xff
        );
    }

    #[test]
    fn numerics_are_short_base_10000() {
        // select encode(numeric_send(…)) shows the same digits and weights
        assert_eq!(numeric("0").unwrap(), 0x8000_u16.to_le_bytes());
        let groups = |text: &str| {
            base_10000(
                text.split('.').next().unwrap(),
                text.split('.').nth(1).unwrap_or(""),
            )
        };
        assert_eq!(groups("12345.6789"), (vec![1, 2345, 6789], 1));
        assert_eq!(groups("10000"), (vec![1], 1));
        assert_eq!(groups("0.0001"), (vec![1], -1));
        assert_eq!(groups("0.00001"), (vec![1000], -2));
        let payload = numeric("-1.50").unwrap();
        assert_eq!(payload[..2], (0x8000_u16 | 0x2000 | 2 << 7).to_le_bytes());
        assert_eq!(payload[2..], [1, 0, 0x88, 0x13]);
    }

    #[test]
    fn unknown_values_are_left_out() {
        for (type_name, text) in [
            ("integer", "x"),
            ("numeric", "NaN"),
            ("date", "0044-03-15 BC"),
            ("jsonb", "{}"),
            ("uuid", "12"),
            ("timestamp with time zone", "2000-01-01 00:00:00+02"),
        ] {
            assert_eq!(KeyImage::parse(type_name, text), None, "{type_name} {text}");
        }
        assert_eq!(KeyImage::parse("text", &"x".repeat(127)), None);
    }
}
