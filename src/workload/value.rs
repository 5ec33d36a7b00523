//! Operand values as 64 bits: integers as themselves, everything else as a hash; and the reader of logged parameters.

use xxhash_rust::xxh3::xxh3_64;

/// Bit that tells an integer from a hash.
const INTEGER: u64 = 1 << 63;
/// Offset that keeps small negative integers in order with positive ones.
const INTEGER_BIAS: i64 = 1 << 61;
/// Decimal digits that surely fit the 62 bits.
const MAX_DIGITS: usize = 18;

/// One operand's value: equal values are equal however they were sent (literal `7`, `'7'` or parameter `'7'`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Value {
    /// The integer or the hash.
    pub(crate) bits: u64,
    /// Elements of the list or array that stood there; 1 for a scalar.
    pub(crate) width: u32,
}

impl Value {
    /// The value of a literal or a parameter as it stands in the log, quotes and all.
    pub(crate) fn of(text: &[u8]) -> Self {
        let inner = unquoted(text);
        match (inner, array_width(inner)) {
            // `= ANY('{7}')` asks for the same row as `= 7`
            ([b'{', only @ .., b'}'], 1) if memchr::memchr(b':', only).is_none() => Self {
                bits: bits_of(only),
                width: 1,
            },
            (_, width) => Self {
                bits: bits_of(inner),
                width,
            },
        }
    }

    /// The value of a list, from the values of its elements.
    pub(crate) fn list(elements: &[Self]) -> Self {
        match elements {
            [only] => *only,
            many => Self {
                bits: many.iter().fold(0_u64, |hash, element| {
                    (hash.rotate_left(5) ^ element.bits).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                }) & !INTEGER,
                width: u32::try_from(many.len()).unwrap_or(u32::MAX),
            },
        }
    }

    /// The integer, where it is one.
    pub(crate) fn integer(self) -> Option<i64> {
        (self.bits & INTEGER != 0).then(|| (self.bits & !INTEGER).cast_signed() - INTEGER_BIAS)
    }
}

/// Without the quotes around it, and without an `E`, `B`, … before them.
fn unquoted(text: &[u8]) -> &[u8] {
    let Some(stripped) = text.strip_suffix(b"'") else {
        return text;
    };
    if let [b'\'', inner @ ..] = stripped {
        return inner;
    }
    match memchr::memchr(b'\'', stripped) {
        Some(open) if open <= 2 => &stripped[open + 1..],
        _ => text,
    }
}

fn bits_of(text: &[u8]) -> u64 {
    match integer_of(text) {
        Some(number) => (number + INTEGER_BIAS) as u64 | INTEGER,
        None => xxh3_64(text) & !INTEGER,
    }
}

fn integer_of(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_i64, |number, &digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Elements of an array value `{1,2,3}`. JSON objects hold a colon and count as one value.
fn array_width(text: &[u8]) -> u32 {
    match text {
        [b'{', inner @ .., b'}'] if memchr::memchr(b':', inner).is_none() && !inner.is_empty() => {
            let commas = memchr::memchr_iter(b',', inner).count();
            u32::try_from(commas + 1).unwrap_or(u32::MAX)
        }
        _ => 1,
    }
}

/// The parameters of `$1 = 'it''s', $2 = NULL, …` in order; each keeps its quotes. Stops at the first thing it does not know.
pub(crate) fn parameters(text: &[u8]) -> Parameters<'_> {
    Parameters { text, at: 0 }
}

/// See [`parameters`].
pub(crate) struct Parameters<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parameters<'_> {
    /// Number of the next parameter, and where its value starts and ends.
    pub(crate) fn next_place(&mut self) -> Option<(u16, usize, usize)> {
        let rest = self.text.get(self.at..)?.strip_prefix(b"$")?;
        let mut digits = 0;
        let mut number = 0_u16;
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            number = number
                .checked_mul(10)?
                .checked_add(u16::from(digit - b'0'))?;
            digits += 1;
        }
        let value = rest[digits..].strip_prefix(b" = ").filter(|_| digits > 0)?;
        let len = match value.first()? {
            b'\'' => quoted_length(value),
            _ => memchr::memchr(b',', value).unwrap_or(value.len()),
        };
        let start = self.text.len() - value.len();
        let behind = &value[len..];
        self.at = if behind.starts_with(b", ") {
            start + len + 2
        } else {
            self.text.len()
        };
        Some((number, start, start + len))
    }
}

impl<'a> Iterator for Parameters<'a> {
    /// Number and text.
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, start, end) = self.next_place()?;
        Some((number, &self.text[start..end]))
    }
}

/// Length of a quoted value with its quotes; a doubled quote stands for one.
fn quoted_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(quote) = memchr::memchr(b'\'', &text[at..]) {
        at += quote + 1;
        if text.get(at) != Some(&b'\'') {
            return at;
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u16, &str)> {
        parameters(text.as_bytes())
            .map(|(n, value)| (n, std::str::from_utf8(value).unwrap()))
            .collect()
    }

    #[test]
    fn parameters_are_split_at_quotes_not_at_commas() {
        assert_eq!(
            read("$1 = 'it''s a, b = ''c'', $2\nnew', $2 = NULL, $10 = '3.5'"),
            [
                (1, "'it''s a, b = ''c'', $2\nnew'"),
                (2, "NULL"),
                (10, "'3.5'")
            ]
        );
        assert_eq!(read("$1 = 'cut off"), [(1, "'cut off")]);
        assert_eq!(read(""), []);
        assert_eq!(read("$x = 1"), []);
        assert_eq!(read("$1 = "), []);
    }

    #[test]
    fn a_value_is_the_same_as_literal_and_as_parameter() {
        assert_eq!(Value::of(b"7"), Value::of(b"'7'"));
        assert_eq!(Value::of(b"E'x'"), Value::of(b"'x'"));
        assert_ne!(Value::of(b"7"), Value::of(b"'seven'"));
        assert_eq!(Value::of(b"-7").integer(), Some(-7));
        assert_eq!(Value::of(b"'1e3'").integer(), None);
        assert!(Value::of(b"-1").bits < Value::of(b"0").bits);
    }

    #[test]
    fn arrays_have_a_width() {
        assert_eq!(Value::of(b"'{7,8,9}'").width, 3);
        assert_eq!(Value::of(b"'{7}'"), Value::of(b"7"));
        assert_eq!(Value::of(b"'{\"a\": 1, \"b\": 2}'").width, 1);
        assert_eq!(Value::list(&[Value::of(b"7")]), Value::of(b"7"));
        assert_eq!(Value::list(&[Value::of(b"7"), Value::of(b"8")]).width, 2);
    }
}
