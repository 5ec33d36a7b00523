//! The grammar of messages that carry a statement: what `src/backend/tcop/postgres.c` and `auto_explain` write.

use crate::{
    sql::{Lexer, TokenKind},
    workload::{Escape, Text, json_string},
};

/// A message, understood. Durations are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// `statement: SQL` or `execute NAME: SQL` of log_statement: a statement that starts.
    Started {
        step: Step,
        name: &'a [u8],
        text: &'a [u8],
    },
    /// `duration: N ms` alone.
    Duration(u64),
    /// `duration: N ms  statement: SQL`, `… parse NAME: SQL`, `… bind …`, `… execute …`.
    Finished {
        duration_us: u64,
        step: Step,
        name: &'a [u8],
        text: &'a [u8],
    },
    /// `duration: N ms  plan:` and the plan.
    Plan { duration_us: u64, body: &'a [u8] },
    /// Something else.
    Other,
}

/// Which step of a protocol a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The whole of a simple query.
    Simple,
    Parse,
    Bind,
    Execute,
    /// More rows of a portal that was executed before.
    Fetch,
}

/// `duration: N ms  STEP NAME: SQL`, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) duration_us: u64,
    pub(super) step: Step,
    /// The prepared statement's name as a number, see [`name_hash`].
    pub(super) name: u32,
    pub(super) text: Text<'a>,
}

/// A prepared statement's name as a number; the portal behind it is another with each execution. 0 for none.
pub(super) fn name_hash(name: &[u8]) -> u32 {
    if name.is_empty() || name.starts_with(b"<unnamed>") {
        return 0;
    }
    let end = memchr::memchr(b'/', name).unwrap_or(name.len());
    (xxhash_rust::xxh3::xxh3_64(&name[..end]) >> 32) as u32 | 1
}

/// Reads a message text.
pub(super) fn parse(message: &[u8]) -> Message<'_> {
    if let Some(rest) = message.strip_prefix(b"duration: ") {
        return duration(rest).unwrap_or(Message::Other);
    }
    match step(message) {
        Some((step @ (Step::Simple | Step::Execute | Step::Fetch), name, text)) => {
            Message::Started { step, name, text }
        }
        _ => Message::Other,
    }
}

/// Reads a message that may still be escaped as its format writes it; `None` when that might matter, and for all but the commonest shapes.
/// What it gives is what [`parse`] gives of the message unescaped, but for the statement's text, which keeps its escaping.
pub(super) fn parse_escaped(message: &[u8]) -> Option<Message<'_>> {
    let duration_us = match message.strip_prefix(b"duration: ") {
        None => None,
        Some(rest) => {
            let (duration_us, len) = milliseconds(rest)?;
            Some((duration_us, rest[len..].strip_prefix(b" ms")?))
        }
    };
    let rest = match duration_us {
        None => message,
        Some((duration_us, b"")) => return Some(Message::Duration(duration_us)),
        Some((_, rest)) => rest.strip_prefix(b"  ")?,
    };
    let (step, name, text) = if let Some(text) = rest.strip_prefix(b"statement: ") {
        (Step::Simple, &b""[..], text)
    } else {
        let (step, named) = match rest.first()? {
            b'b' => (Step::Bind, rest.strip_prefix(b"bind ")?),
            b'e' => (Step::Execute, rest.strip_prefix(b"execute ")?),
            b'p' => (Step::Parse, rest.strip_prefix(b"parse ")?),
            _ => return None,
        };
        let (name, text) = split_plain_name(named)?;
        (step, name, text)
    };
    match duration_us {
        Some((duration_us, _)) => Some(Message::Finished {
            duration_us,
            step,
            name,
            text,
        }),
        None if matches!(step, Step::Simple | Step::Execute) => {
            Some(Message::Started { step, name, text })
        }
        None => None,
    }
}

/// What a message with a duration says, if [`parse_escaped`] reads it.
pub(super) fn told(message: &[u8], escape: Escape) -> Option<Told<'_>> {
    match parse_escaped(message)? {
        Message::Finished {
            duration_us,
            step,
            name,
            text,
        } => Some(Told {
            duration_us,
            step,
            name: name_hash(name),
            text: Text::new(text, escape),
        }),
        _ => None,
    }
}

/// The time of `duration: N ms  …`, microseconds, and where what follows it starts.
#[inline]
pub(super) fn behind_duration(message: &[u8]) -> Option<(u64, usize)> {
    const START: &[u8] = b"duration: ";
    const END: &[u8] = b" ms  ";
    let rest = message.strip_prefix(START)?;
    let (duration_us, len) = milliseconds(rest)?;
    rest[len..]
        .starts_with(END)
        .then_some((duration_us, START.len() + len + END.len()))
}

/// Cuts `NAME[/PORTAL]: SQL` where the name is plain and a common statement follows.
fn split_plain_name(named: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(text) = named.strip_prefix(b"<unnamed>: ") {
        return Some((b"", text));
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'-');
    let len = named.iter().take_while(|byte| is_plain(byte)).count();
    let text = named[len..].strip_prefix(b": ")?;
    let verb = text.first_chunk::<6>()?.map(|byte| byte | 0x20);
    let is_common = matches!(
        &verb,
        b"select" | b"insert" | b"update" | b"delete" | b"commit"
    ) || verb.starts_with(b"begin") && !verb[5].is_ascii_alphabetic();
    let ends = !matches!(text.get(6), Some(byte) if byte.is_ascii_alphabetic());
    (is_common && ends).then_some((&named[..len], text))
}

fn duration(rest: &[u8]) -> Option<Message<'_>> {
    let (duration_us, len) = milliseconds(rest)?;
    let rest = rest[len..].strip_prefix(b" ms")?;
    let Some(rest) = rest.strip_prefix(b"  ") else {
        return rest
            .trim_ascii()
            .is_empty()
            .then_some(Message::Duration(duration_us));
    };
    if let Some(body) = rest.strip_prefix(b"plan:") {
        return Some(Message::Plan { duration_us, body });
    }
    let (step, name, text) = step(rest)?;
    Some(Message::Finished {
        duration_us,
        step,
        name,
        text,
    })
}

/// Digits of whole milliseconds that are read: more than any duration has, and no overflow.
const MAX_MS_DIGITS: usize = 15;

/// Reads `0.139`: microseconds and the bytes read.
pub(super) fn milliseconds(text: &[u8]) -> Option<(u64, usize)> {
    let mut us = 0u64;
    let mut at = 0;
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        us = us * 10 + u64::from(digit - b'0');
        at += 1;
        if at > MAX_MS_DIGITS {
            return None;
        }
    }
    if at == 0 {
        return None;
    }
    us *= 1000;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let mut unit = 100;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            us += u64::from(digit - b'0') * unit;
            unit /= 10;
            at += 1;
        }
    }
    Some((us, at))
}

fn step(rest: &[u8]) -> Option<(Step, &[u8], &[u8])> {
    const NAMED: [(&[u8], Step); 4] = [
        (b"execute fetch from ", Step::Fetch),
        (b"execute ", Step::Execute),
        (b"bind ", Step::Bind),
        (b"parse ", Step::Parse),
    ];
    if let Some(text) = rest.strip_prefix(b"statement: ") {
        return Some((Step::Simple, b"", text));
    }
    let (step, named) = NAMED
        .iter()
        .find_map(|(words, step)| Some((*step, rest.strip_prefix(*words)?)))?;
    let (name, text) = split_name(named)?;
    Some((step, name, text))
}

/// Cuts `NAME[/PORTAL]: SQL`. Names hold any bytes, so the first `: ` that a statement may follow is taken, else the first.
fn split_name(named: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(text) = named.strip_prefix(b"<unnamed>: ") {
        return Some((b"", text));
    }
    let mut ends = memchr::memmem::find_iter(named, b": ").take(MAX_NAME_CUTS);
    let first = ends.next()?;
    let cut = std::iter::once(first)
        .chain(ends)
        .find(|end| starts_statement(&named[end + 2..]))
        .unwrap_or(first);
    Some((&named[..cut], &named[cut + 2..]))
}

/// Places at which the end of a statement's name is looked for.
const MAX_NAME_CUTS: usize = 8;

/// Whether a text starts like SQL: with a verb, a bracket or a comment.
pub(super) fn starts_statement(text: &[u8]) -> bool {
    const VERBS: &[&[u8]] = &[
        b"select",
        b"insert",
        b"update",
        b"delete",
        b"with",
        b"merge",
        b"values",
        b"table",
        b"begin",
        b"start",
        b"commit",
        b"rollback",
        b"end",
        b"abort",
        b"savepoint",
        b"release",
        b"set",
        b"reset",
        b"show",
        b"declare",
        b"fetch",
        b"move",
        b"close",
        b"copy",
        b"create",
        b"alter",
        b"drop",
        b"truncate",
        b"grant",
        b"revoke",
        b"analyze",
        b"vacuum",
        b"explain",
        b"execute",
        b"prepare",
        b"deallocate",
        b"discard",
        b"do",
        b"call",
        b"lock",
        b"listen",
        b"notify",
        b"unlisten",
        b"refresh",
        b"reindex",
        b"cluster",
        b"comment",
        b"checkpoint",
        b"load",
        b"reassign",
        b"import",
        b"security",
    ];
    match text.trim_ascii_start() {
        [b'(' | b';', ..] | [b'/', b'*', ..] | [b'-', b'-', ..] | [] => true,
        text => {
            let len = text
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count();
            let word = &text[..len];
            VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb))
        }
    }
}

/// The bound parameters in a DETAIL: `parameters: $1 = …` up to 16, `Parameters: …` from 17.
pub(super) fn parameters(detail: &[u8]) -> &[u8] {
    let rest = detail
        .strip_prefix(b"parameters: ")
        .or_else(|| detail.strip_prefix(b"Parameters: "));
    rest.filter(|rest| rest.starts_with(b"$")).unwrap_or(b"")
}

/// The bound parameters in the CONTEXT of an error (13+): `unnamed portal with parameters: $1 = …`.
pub(super) fn context_parameters(context: &[u8]) -> &[u8] {
    let line = &context[..memchr::memchr(b'\n', context).unwrap_or(context.len())];
    let found = memchr::memmem::find(line, b"portal ").and_then(|at| {
        let with = memchr::memmem::find(&context[at..], b" with parameters: $")?;
        Some(at + with + b" with parameters: ".len())
    });
    found.map_or(b"", |at| &context[at..])
}

/// The statement behind SQL `EXECUTE name (…)`, from the DETAIL `prepare: PREPARE name (…) AS SQL`.
pub(super) fn prepared_text(detail: &[u8]) -> Option<&[u8]> {
    behind_prepare(detail.strip_prefix(b"prepare: ")?)
}

/// The statement in `PREPARE name (…) AS SQL`.
pub(super) fn behind_prepare(sql: &[u8]) -> Option<&[u8]> {
    let mut lexer = Lexer::new(sql);
    let mut next_word = |expected: &[u8]| {
        let found = lexer.by_ref().take(MAX_PREPARE_TOKENS).find(|token| {
            token.kind == TokenKind::Word
                && sql[token.start..token.end].eq_ignore_ascii_case(expected)
        });
        found.map(|token| (token.start, token.end))
    };
    let (start, _) = next_word(b"prepare")?;
    if !sql[..start].trim_ascii().is_empty() {
        return None;
    }
    let (_, end) = next_word(b"as")?;
    Some(sql[end..].trim_ascii_start())
}

/// Tokens of a PREPARE that may stand before its AS: a name and up to some hundred types.
const MAX_PREPARE_TOKENS: usize = 1_000;

/// Appends the arguments of `EXECUTE name (1, 'x')` as bound parameters are logged: `$1 = '1', $2 = 'x'`.
pub(super) fn execute_arguments(sql: &[u8], parameters: &mut Vec<u8>) {
    let mut tokens = Lexer::new(sql).skip_while(|token| token.kind != TokenKind::Open);
    let Some(open) = tokens.next() else { return };
    let mut depth = 1usize;
    let (mut start, mut n) = (open.end, 0);
    for token in tokens {
        match token.kind {
            TokenKind::Open | TokenKind::OpenBracket => depth += 1,
            TokenKind::Close | TokenKind::CloseBracket => depth -= 1,
            _ => {}
        }
        if depth == 0 || depth == 1 && token.kind == TokenKind::Comma {
            n += 1;
            argument(n, sql[start..token.start].trim_ascii(), parameters);
            start = token.end;
        }
        if depth == 0 {
            return;
        }
    }
}

fn argument(n: usize, value: &[u8], parameters: &mut Vec<u8>) {
    if n > 1 {
        parameters.extend_from_slice(b", ");
    }
    if value.is_empty() {
        return;
    }
    parameters.extend_from_slice(format!("${n} = ").as_bytes());
    let quoted = value.starts_with(b"'") && value.ends_with(b"'") && value.len() > 1;
    if quoted || value.eq_ignore_ascii_case(b"null") {
        parameters.extend_from_slice(if quoted { value } else { b"NULL" });
        return;
    }
    parameters.push(b'\'');
    for byte in value {
        parameters.push(*byte);
        if *byte == b'\'' {
            parameters.push(b'\'');
        }
    }
    parameters.push(b'\'');
}

/// The statement in a plan of `auto_explain`, as logged: text and YAML escape nothing, JSON and XML do.
pub(super) fn plan_text(body: &[u8], scratch: &mut Vec<u8>) {
    scratch.clear();
    let body = body.trim_ascii_start();
    let find = |mark: &[u8]| memchr::memmem::find(body, mark).map(|at| &body[at + mark.len()..]);
    match body.first() {
        Some(b'{' | b'[') => {
            if let Some(rest) = find(b"\"Query Text\": \"") {
                json_string(rest, scratch);
            }
        }
        Some(b'<') => {
            if let Some(rest) = find(b"<Query-Text>") {
                let end = memchr::memmem::find(rest, b"</Query-Text>").unwrap_or(rest.len());
                xml_text(&rest[..end], scratch);
            }
        }
        _ => plain_plan_text(body, scratch),
    }
}

/// Text and YAML: `Query Text: SQL` up to the line where the plan starts.
fn plain_plan_text(body: &[u8], scratch: &mut Vec<u8>) {
    let Some(rest) = body.strip_prefix(b"Query Text: ") else {
        return;
    };
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        json_string(quoted, scratch);
        return;
    }
    let mut end = 0;
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        if end > 0 && starts_plan(line) {
            break;
        }
        end += line.len();
    }
    scratch.extend_from_slice(rest[..end].trim_ascii_end());
}

/// The bound parameters in a plan (16+): `Query Parameters: $1 = '7'`, quoted as the format has it.
pub(super) fn plan_parameters(body: &[u8], scratch: &mut Vec<u8>) {
    scratch.clear();
    let find = |mark: &[u8]| memchr::memmem::find(body, mark).map(|at| &body[at + mark.len()..]);
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => {
            if let Some(quoted) = find(b"\n  \"Query Parameters\": \"") {
                json_string(quoted, scratch);
            }
        }
        Some(b'<') => {
            if let Some(rest) = find(b"<Query-Parameters>") {
                let end = memchr::memmem::find(rest, b"</").unwrap_or(rest.len());
                xml_text(&rest[..end], scratch);
            }
        }
        _ => {
            let rest = find(b"\nQuery Parameters: ").unwrap_or_default();
            let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
            match line.strip_prefix(b"\"") {
                Some(quoted) => {
                    json_string(quoted, scratch);
                }
                None => scratch.extend_from_slice(line),
            }
        }
    }
}

/// Whether a line opens the plan behind the query's text.
fn starts_plan(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    line.starts_with(b"Query Parameters: ")
        || line.starts_with(b"Plan:")
        || line.ends_with(b")")
            && (memchr::memmem::find(line, b"  (cost=").is_some()
                || memchr::memmem::find(line, b" (actual ").is_some())
}

fn xml_text(text: &[u8], out: &mut Vec<u8>) {
    const ENTITIES: [(&[u8], u8); 5] = [
        (b"&lt;", b'<'),
        (b"&gt;", b'>'),
        (b"&amp;", b'&'),
        (b"&quot;", b'"'),
        (b"&#x0d;", b'\r'),
    ];
    let mut at = 0;
    while at < text.len() {
        let entity = ENTITIES
            .iter()
            .find(|(name, _)| text[at..].starts_with(name));
        let (byte, len) = entity.map_or((text[at], 1), |(name, byte)| (*byte, name.len()));
        out.push(byte);
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn finished(message: &str, duration_us: u64, step: Step, name: &str, text: &str) {
        let expected = Message::Finished {
            duration_us,
            step,
            name: name.as_bytes(),
            text: text.as_bytes(),
        };
        assert_eq!(parse(message.as_bytes()), expected);
    }

    #[test]
    fn shapes_with_a_duration() {
        finished(
            "duration: 0.139 ms  statement: select '\nx'",
            139,
            Step::Simple,
            "",
            "select '\nx'",
        );
        finished(
            "duration: 12.5 ms  parse <unnamed>: select 1",
            12_500,
            Step::Parse,
            "",
            "select 1",
        );
        finished(
            "duration: 1 ms  bind S_1/C_2: select 1",
            1_000,
            Step::Bind,
            "S_1/C_2",
            "select 1",
        );
        finished(
            "duration: 0.002 ms  execute fetch from S_1/C_1: select 1",
            2,
            Step::Fetch,
            "S_1/C_1",
            "select 1",
        );
        finished(
            "duration: 0.002 ms  execute weird: name/port/al: x: select $1::int",
            2,
            Step::Execute,
            "weird: name/port/al: x",
            "select $1::int",
        );
        assert_eq!(parse(b"duration: 0.225 ms"), Message::Duration(225));
        assert_eq!(parse(b"duration: 0.225 ms\r"), Message::Duration(225));
    }

    #[test]
    fn shapes_without() {
        let started = |step, name, text| Message::Started { step, name, text };
        assert_eq!(
            parse(b"statement: begin"),
            started(Step::Simple, b"", b"begin")
        );
        assert_eq!(
            parse(b"execute <unnamed>: select 1"),
            started(Step::Execute, b"", b"select 1")
        );
        for other in [
            "",
            "duration: x",
            "duration: 5 s",
            "duration: 99999999999999999999999 ms",
            "checkpoint complete",
        ] {
            assert_eq!(parse(other.as_bytes()), Message::Other, "{other}");
        }
    }

    #[test]
    fn parameters_in_both_wordings() {
        assert_eq!(parameters(b"parameters: $1 = 'a, b'"), b"$1 = 'a, b'");
        assert_eq!(parameters(b"Parameters: $1 = NULL"), b"$1 = NULL");
        assert_eq!(parameters(b"Process 1 waits"), b"");
        assert_eq!(
            context_parameters(b"unnamed portal with parameters: $1 = '0'"),
            b"$1 = '0'"
        );
        assert_eq!(
            context_parameters(b"portal \"x\" with parameters: $1 = '0'"),
            b"$1 = '0'"
        );
    }

    #[test]
    fn sql_level_execute() {
        assert_eq!(
            prepared_text(b"prepare: prepare p1(int,text) as select * from t where a = $1;"),
            Some(&b"select * from t where a = $1;"[..])
        );
        assert_eq!(behind_prepare(b"select 1 as prepare"), None);
        let mut parameters = Vec::new();
        execute_arguments(
            b"execute p1(5, 'it''s', null, (1 + f(2)), now())",
            &mut parameters,
        );
        assert_eq!(
            String::from_utf8(parameters).unwrap(),
            "$1 = '5', $2 = 'it''s', $3 = NULL, $4 = '(1 + f(2))', $5 = 'now()'"
        );
    }

    #[test]
    fn statements_of_plans_in_all_formats() {
        for body in [
            "\nQuery Text: select 'a'\n from t;\nSeq Scan on t  (cost=0.00..1.00 rows=1 width=4)",
            "\n{\n  \"Query Text\": \"select 'a'\\n from t;\",\n  \"Plan\": {}\n}",
            "\n<explain xmlns=\"x\">\n  <Query-Text>select 'a'\n from t;</Query-Text>\n</explain>",
            "\nQuery Text: \"select 'a'\\n from t;\"\nPlan: \n  Node Type: \"x\"",
        ] {
            let mut text = Vec::new();
            plan_text(body.as_bytes(), &mut text);
            assert_eq!(
                String::from_utf8(text).unwrap(),
                "select 'a'\n from t;",
                "{body}"
            );
        }
    }

    #[test]
    fn parameters_of_plans_in_all_formats() {
        for body in [
            "\nQuery Text: select $1\nQuery Parameters: $1 = 'a \"<'\nResult  (cost=0.00..1.00 rows=1 width=4)",
            "\n{\n  \"Query Text\": \"select $1\",\n  \"Query Parameters\": \"$1 = 'a \\\"<'\",\n  \"Plan\": {}\n}",
            "\n<explain>\n  <Query-Text>select $1</Query-Text>\n  <Query-Parameters>$1 = 'a &quot;&lt;'</Query-Parameters>\n</explain>",
            "\nQuery Text: \"select $1\"\nQuery Parameters: \"$1 = 'a \\\"<'\"\nPlan: \n",
        ] {
            let mut text = Vec::new();
            plan_parameters(body.as_bytes(), &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), "$1 = 'a \"<'", "{body}");
        }
    }

    #[test]
    fn json_escapes() {
        let mut out = Vec::new();
        let len = json_string(br#"a\n\"\u00e9\ud83d\ude00\/" rest"#, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\n\"é😀/");
        assert_eq!(len, br#"a\n\"\u00e9\ud83d\ude00\/""#.len());
    }
}
