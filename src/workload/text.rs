//! A text as its log wrote it: unescaped only by who needs its characters. Most statements of a log were seen before, and are recognised raw.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How a log writes what would break its framing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Escape {
    /// As it is.
    #[default]
    None,
    /// A tab behind every newline (stderr).
    Tabs,
    /// Every `"` doubled (csvlog).
    Quotes,
    /// `\n`, `\"`, `\u00e9` (jsonlog). Not all that JSON allows needs to be valid.
    Json,
}

/// A text as its log wrote it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text<'a> {
    raw: &'a [u8],
    escape: Escape,
    /// Hash of raw bytes and escape, where it is known; else 0.
    hash: u64,
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw && self.escape == other.escape
    }
}

impl Eq for Text<'_> {}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(plain: &'a [u8]) -> Self {
        Self::new(plain, Escape::None)
    }
}

impl<'a> Text<'a> {
    /// A text that is written so.
    #[must_use]
    pub const fn new(raw: &'a [u8], escape: Escape) -> Self {
        let hash = 0;
        Self { raw, escape, hash }
    }

    /// The same, with its hash worked out for all who will ask for it.
    #[must_use]
    pub fn hashed(self) -> Self {
        Self {
            hash: self.raw_hash(),
            ..self
        }
    }

    /// A hash of the bytes as logged and of how they are written.
    #[must_use]
    pub fn raw_hash(&self) -> u64 {
        match self.hash {
            0 => xxh3_64_with_seed(self.raw, self.escape as u64),
            known => known,
        }
    }

    /// The bytes as logged. Equal raw bytes with equal escapes are equal texts; different ones may be equal too.
    #[must_use]
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// How they are written.
    #[must_use]
    pub const fn escape(&self) -> Escape {
        self.escape
    }

    /// Nothing is there.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Something in it is not written as it is.
    #[must_use]
    pub fn is_escaped(&self) -> bool {
        self.first_escape().is_some()
    }

    fn first_escape(&self) -> Option<usize> {
        let needle = match self.escape {
            Escape::None => return None,
            Escape::Tabs => b'\n',
            Escape::Quotes => b'"',
            Escape::Json => b'\\',
        };
        memchr::memchr(needle, self.raw)
    }

    /// The text itself; `scratch` takes it where something had to be unescaped.
    pub fn decode<'b>(&self, scratch: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        let Some(first) = self.first_escape() else {
            return self.raw;
        };
        scratch.clear();
        scratch.extend_from_slice(&self.raw[..first]);
        let rest = &self.raw[first..];
        match self.escape {
            Escape::Tabs => without_tabs(rest, scratch),
            Escape::Quotes => without_doubled_quotes(rest, scratch),
            Escape::Json | Escape::None => {
                json_string(rest, scratch);
            }
        }
        scratch
    }
}

fn without_tabs(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    for newline in memchr::memchr_iter(b'\n', raw) {
        out.extend_from_slice(&raw[at..=newline]);
        at = newline + 1 + usize::from(raw.get(newline + 1) == Some(&b'\t'));
    }
    out.extend_from_slice(&raw[at..]);
}

fn without_doubled_quotes(raw: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    for quote in memchr::memchr_iter(b'"', raw) {
        if quote >= at {
            out.extend_from_slice(&raw[at..=quote]);
            at = quote + 2;
        }
    }
    out.extend_from_slice(raw.get(at..).unwrap_or_default());
}

/// Appends a JSON string whose opening quote has been read, unescaped; gives where what follows its closing quote starts.
pub(crate) fn json_string(text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at..]) {
        out.extend_from_slice(&text[at..at + found]);
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += json_escape(&text[at..], out);
    }
    out.extend_from_slice(&text[at..]);
    text.len()
}

/// Appends what one `\…` means; gives its length.
fn json_escape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(kind) = text.get(1) else {
        return 1;
    };
    let plain = match kind {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'u' => return unicode_escape(text, out),
        other => *other,
    };
    out.push(plain);
    2
}

fn unicode_escape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |at: usize| -> Option<u32> {
        let digits = std::str::from_utf8(text.get(at..at + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(2) else {
        return 2;
    };
    let second = unit(8).filter(|_| text[6..8] == *b"\\u");
    let (code, len) = match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        _ => (first, 6),
    };
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(escape: Escape, raw: &str, expected: &str) {
        let text = Text::new(raw.as_bytes(), escape);
        let mut scratch = b"left over".to_vec();
        assert_eq!(
            std::str::from_utf8(text.decode(&mut scratch)),
            Ok(expected),
            "{escape:?} {raw:?}"
        );
    }

    #[test]
    fn every_escape_is_undone() {
        check(Escape::None, "a\n\tb\"\"\\n", "a\n\tb\"\"\\n");
        check(Escape::Tabs, "a\n\tb\n\t\tc\nd\n\t", "a\nb\n\tc\nd\n");
        check(Escape::Quotes, "a \"\"b\"\" \"\"\"\"", "a \"b\" \"\"");
        check(Escape::Json, r#"a\n\"b\" \u00e9\\"#, "a\n\"b\" é\\");
    }

    #[test]
    fn what_is_cut_off_or_wrong_is_kept() {
        check(Escape::Quotes, "a\"b", "a\"");
        check(Escape::Json, r"a\", "a");
        check(Escape::Json, r"\ud83d\ude00 \ud83d \u12", "😀 \u{fffd} 12");
    }
}
