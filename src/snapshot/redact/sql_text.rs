//! Literals in SQL text of a schema: kept where they say nothing about a row, replaced where they could.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::{Lexer, Token, TokenKind};

/// Digits of the longest number that stays: longer ones are card, account or telephone numbers more often than bounds.
const MAX_DIGITS: usize = 11;
/// Bytes of the longest text that may be a time without saying so: `2026-01-01 00:00:00.123456+00` and some.
const MAX_TIME_BYTES: usize = 40;

/// Types whose constants say nothing about a person: times, numbers, names of objects.
const PLAIN_TYPES: &[&str] = &[
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double",
    "money",
    "oid",
    "regclass",
    "regproc",
    "regtype",
    "regconfig",
    "regdictionary",
    "bit",
];

/// Words that functions of times and texts take: they name no value.
const FUNCTION_WORDS: &[&str] = &[
    "microseconds",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
    "dow",
    "isodow",
    "doy",
    "isoyear",
    "epoch",
    "utc",
    "gmt",
    "english",
    "simple",
    "german",
    "french",
    "spanish",
    "g",
    "i",
    "gi",
    "nfc",
    "hex",
    "base64",
    "md5",
    "sha256",
    "yyyy-mm-dd",
    "yyyy-mm",
    "yyyymmdd",
    "yyyymm",
    "yyyy",
    // options of indexes and views
    "on",
    "off",
    "true",
    "false",
    "auto",
];
/// Bytes of the longest name of a field in a document.
const MAX_FIELD_BYTES: usize = 40;

/// Types in which one text is as good as another.
const TEXT_TYPES: &[&str] = &["text", "character", "varchar", "bpchar", "citext", "name"];

/// Replaces literals, the same by the same wherever it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Literals {
    /// Texts that stay: words of categories.
    pub(super) kept: BTreeSet<String>,
    /// Enum types, by every name by which SQL calls them: their labels are schema.
    pub(super) enums: BTreeSet<String>,
    /// Labels of all enums. In the body of a function they stand without a type, and no other word is one.
    pub(super) labels: BTreeSet<String>,
    /// Nothing but what the type alone allows stays.
    pub(super) strict: bool,
    /// What stands for values of columns: the same stands for them here.
    pub(super) stand_ins: BTreeMap<String, String>,
    pub(super) fakes: BTreeMap<String, usize>,
    pub(super) n_replaced: usize,
}

impl Literals {
    /// The same for a partition's bound, whose numbers and times are limits, not values.
    pub(super) fn clean_bound(&mut self, sql: &str) -> String {
        let tokens = Lexer::new(sql.as_bytes());
        let is_limit = |token: &Token| {
            let text = sql[token.start..token.end].trim_matches('\'');
            token.kind != TokenKind::String
                || text.parse::<f64>().is_ok()
                || is_time_or_number(text)
        };
        if tokens.into_iter().all(|token| is_limit(&token)) {
            return sql.to_owned();
        }
        self.clean(sql)
    }

    /// The text without comments, and with its literals replaced.
    pub(super) fn clean(&mut self, sql: &str) -> String {
        let tokens: Vec<Token> = Lexer::new(sql.as_bytes()).collect();
        let mut clean = String::with_capacity(sql.len());
        let mut end = 0;
        for (at, token) in tokens.iter().enumerate() {
            // white space stays as it is, comments go
            match &sql[end..token.start] {
                "" => {}
                gap if gap.trim().is_empty() => clean.push_str(gap),
                _ => clean.push('\n'),
            }
            end = token.end;
            let text = &sql[token.start..token.end];
            match token.kind {
                TokenKind::String => {
                    let cast = cast(sql, &tokens[at + 1..]);
                    let before = at
                        .checked_sub(1)
                        .map(|before| &sql[tokens[before].start..tokens[before].end]);
                    if is_field(before, text) || is_function_word(text) {
                        clean.push_str(text);
                    } else {
                        clean.push_str(&self.string(text, cast.as_deref()));
                    }
                }
                TokenKind::Number => clean.push_str(&self.number(text)),
                _ => clean.push_str(text),
            }
        }
        clean
    }

    fn number(&mut self, text: &str) -> String {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let round = text.trim_end_matches('0').len() <= 1;
        if digits <= MAX_DIGITS || round {
            return text.to_owned();
        }
        self.n_replaced += 1;
        rounded(text).unwrap_or_else(|| "0".to_owned())
    }

    fn string(&mut self, literal: &str, cast: Option<&str>) -> String {
        let Some(inner) = literal
            .strip_prefix('\'')
            .and_then(|t| t.strip_suffix('\''))
        else {
            // E'…', $$…$$ and their like: never a word
            return self.replaced(literal, cast);
        };
        let is_long = inner.bytes().filter(u8::is_ascii_digit).count() > MAX_DIGITS;
        if is_long && let Some(short) = rounded(inner) {
            self.n_replaced += 1;
            return format!("'{short}'");
        }
        let stays = match cast {
            Some(cast) => {
                let first = cast.split([' ', '(']).next().unwrap_or(cast);
                PLAIN_TYPES.contains(&first) && !cast.ends_with("[]")
                    || self.enums.contains(cast)
                    || TEXT_TYPES.contains(&first) && self.is_kept(inner)
            }
            None => is_time_or_number(inner) || self.labels.contains(inner) || self.is_kept(inner),
        };
        if inner.is_empty() || stays {
            literal.to_owned()
        } else {
            self.replaced(literal, cast)
        }
    }

    fn is_kept(&self, text: &str) -> bool {
        !self.strict && self.kept.contains(text)
    }

    fn replaced(&mut self, literal: &str, cast: Option<&str>) -> String {
        self.n_replaced += 1;
        let is_text = cast.is_none_or(|cast| {
            let first = cast.split([' ', '(']).next().unwrap_or(cast);
            TEXT_TYPES.contains(&first.rsplit('.').next().unwrap_or(first)) && !cast.ends_with("[]")
        });
        if !is_text {
            return "NULL".to_owned();
        }
        let inner = literal.trim_matches('\'').replace("''", "'");
        if let Some(stand_in) = self.stand_ins.get(&inner) {
            return format!("'{stand_in}'");
        }
        let next = self.fakes.len() + 1;
        let n = *self.fakes.entry(literal.to_owned()).or_insert(next);
        format!("'redacted{n}'")
    }
}

/// A field's name behind `->` or `->>`: schema, as long as it reads like a name.
pub(super) fn is_field(before: Option<&str>, literal: &str) -> bool {
    let name = literal.trim_matches('\'');
    matches!(before, Some("->" | "->>"))
        && (1..=MAX_FIELD_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// A word of date_trunc and its kin, or a time zone of the form `Area/City`.
pub(super) fn is_function_word(literal: &str) -> bool {
    let word = literal.trim_matches('\'');
    let letters = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
    };
    let is_zone = word
        .split_once('/')
        .is_some_and(|(area, city)| ZONE_AREAS.contains(&area) && letters(city));
    is_zone || FUNCTION_WORDS.contains(&word.to_ascii_lowercase().as_str())
}

/// First parts of the names of time zones.
const ZONE_AREAS: &[&str] = &[
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Etc",
    "Europe",
    "Indian",
    "Pacific",
];

/// The type of `::type` that follows.
fn cast(sql: &str, tokens: &[Token]) -> Option<String> {
    let first = tokens
        .first()
        .filter(|token| token.kind == TokenKind::Cast)?;
    let mut end = first.end;
    let mut rest = tokens[1..].iter().peekable();
    while let Some(token) = rest.next() {
        let text = &sql[token.start..token.end];
        match token.kind {
            // AND, OR, THEN, … end a type; those words of types stand in lower case
            TokenKind::Word if text.bytes().any(|b| b.is_ascii_uppercase()) => break,
            TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Dot => end = token.end,
            // of an array type; an ARRAY[…] around the constant ends it
            TokenKind::OpenBracket
                if rest
                    .peek()
                    .is_some_and(|next| next.kind == TokenKind::CloseBracket) =>
            {
                end = rest.next().map_or(end, |close| close.end);
            }
            _ => break,
        }
    }
    let name = sql[first.end..end].trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Digits and the signs of times, or a word that means a time.
pub(super) fn is_time_or_number(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let looks = text.len() <= MAX_TIME_BYTES
        && digits > 0
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-+:. /".contains(&b));
    let is_time = text.bytes().filter(|b| matches!(b, b'-' | b':')).count() >= 2;
    looks && (is_time || digits <= MAX_DIGITS) || matches!(text, "infinity" | "-infinity")
}

/// The first two digits of a number, zeros after them.
pub(super) fn rounded(text: &str) -> Option<String> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    let short = format!("{value:.1e}").parse::<f64>().ok()?;
    Some(if text.contains(['.', 'e', 'E']) || short.abs() >= 1e15 {
        if short.fract() == 0.0 && short.abs() < 1e15 {
            format!("{short:.0}")
        } else {
            format!("{short}")
        }
    } else {
        format!("{short:.0}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(sql: &str) -> String {
        let mut literals = Literals {
            kept: BTreeSet::from(["paid".to_owned()]),
            enums: BTreeSet::from(["shop.state".to_owned()]),
            labels: BTreeSet::from(["new".to_owned()]),
            ..Literals::default()
        };
        literals.clean(sql)
    }

    #[test]
    fn what_could_be_data_goes() {
        for (given, expected) in [
            ("(note <> 'hunter2'::text)", "(note <> 'redacted1'::text)"),
            (
                "(status = ANY (ARRAY['paid'::text, 'hunter2'::text]))",
                "(status = ANY (ARRAY['paid'::text, 'redacted1'::text]))",
            ),
            (
                "(s = 'new'::shop.state) AND (d > '2026-01-01'::date)",
                "(s = 'new'::shop.state) AND (d > '2026-01-01'::date)",
            ),
            (
                "(data @> '{\"k\": \"hunter2\"}'::jsonb)",
                "(data @> NULL::jsonb)",
            ),
            ("(tags && '{a,b}'::text[])", "(tags && NULL::text[])"),
            (
                "nextval('shop.t_id_seq'::regclass)",
                "nextval('shop.t_id_seq'::regclass)",
            ),
            (
                "FOR VALUES IN ('hunter2', 'paid', NULL)",
                "FOR VALUES IN ('redacted1', 'paid', NULL)",
            ),
            (
                "FOR VALUES FROM ('2026-01-01 00:00:00+01') TO (MAXVALUE)",
                "FOR VALUES FROM ('2026-01-01 00:00:00+01') TO (MAXVALUE)",
            ),
            (
                "(card = '4111111111111111'::bigint) OR card = 4111111111111111",
                "(card = '4100000000000000'::bigint) OR card = 4100000000000000",
            ),
            (
                "(date_trunc('month'::text, (at AT TIME ZONE 'Europe/Berlin'::text)))",
                "(date_trunc('month'::text, (at AT TIME ZONE 'Europe/Berlin'::text)))",
            ),
            (
                "(prefs ->> 'theme'::text) = 'dark'::text",
                "(prefs ->> 'theme'::text) = 'redacted1'::text",
            ),
            (
                "CASE m WHEN 'new' THEN 0 WHEN 'hunter2' THEN 1 END",
                "CASE m WHEN 'new' THEN 0 WHEN 'redacted1' THEN 1 END",
            ),
            (
                "USING brin (at) WITH (pages_per_range='32', autosummarize='on')",
                "USING brin (at) WITH (pages_per_range='32', autosummarize='on')",
            ),
            ("SELECT 1 -- hunter2\n+ /* hunter2 */ 2", "SELECT 1\n+\n2"),
            (
                "SELECT E'hunter2', $$hunter2$$, '4111111111111111'",
                "SELECT 'redacted1', 'redacted2', '4100000000000000'",
            ),
            (
                "CASE WHEN a THEN 'hunter2'::text ELSE ''::text END",
                "CASE WHEN a THEN 'redacted1'::text ELSE ''::text END",
            ),
        ] {
            assert_eq!(clean(given), expected, "{given}");
        }
    }

    #[test]
    fn numbers_keep_two_digits() {
        for (given, expected) in [
            ("4111111111111111", "4100000000000000"),
            ("0", "0"),
            ("1234.5", "1200"),
            ("0.0123", "0.012"),
            ("-987", "-990"),
            ("NaN", "?"),
        ] {
            assert_eq!(
                rounded(given).unwrap_or_else(|| "?".into()),
                expected,
                "{given}"
            );
        }
    }
}
