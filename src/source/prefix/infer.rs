//! Finds the `log_line_prefix` of a log from its lines.
//!
//! The text before `LOG:  ` is cut into atoms (times, numbers, addresses, words, separators); the commonest sequence of atoms becomes
//! a prefix, and the one under which most lines read wins. Which word is the user and which the database follows from labels
//! (`user=`), from `@`, else from Postgres's own order of the two.

use std::collections::BTreeMap;

use super::{Clock, Level, Prefix, level};
use crate::source::time::looks_like_time;

/// Lines that are looked at.
const MAX_LINES: usize = 2_000;
/// Shapes that are tried, the commonest first.
const MAX_SHAPES: usize = 8;
/// Bytes of a line in which its level is looked for.
const MAX_PREFIX_BYTES: usize = 1_024;
/// Lines of the sample that must read under a prefix for it to be taken, percent. The rest may be foreign text or another prefix.
const MIN_MATCH_PERCENT: usize = 50;

/// Digits from which on a number is taken for a query id: no process id or transaction id has so many.
const QUERY_ID_DIGITS: usize = 12;

/// Finds the level in a line without knowing the prefix: the level, where it starts, and where the message starts.
pub(in crate::source) fn find_severity(line: &[u8]) -> Option<(Level, usize, usize)> {
    let window = &line[..line.len().min(MAX_PREFIX_BYTES)];
    memchr::memmem::find_iter(window, b":  ").find_map(|colon| {
        let is_word = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let is_foreign_word = |byte: &u8| is_word(byte) || *byte >= 0x80;
        // French sets the colon off
        let before = &window[..colon];
        let before = before.strip_suffix(b" ").unwrap_or(before);
        let start_of = |word: &dyn Fn(&u8) -> bool| {
            before.len() - before.iter().rev().take_while(|byte| word(byte)).count()
        };
        [start_of(&is_word), start_of(&is_foreign_word)]
            .into_iter()
            .find_map(|start| {
                let bounded = start == 0 || !window[start - 1].is_ascii_alphanumeric();
                let (level, len) = level(&line[start..]).filter(|_| bounded)?;
                Some((level, start, start + len))
            })
    })
}

/// The prefix under which most lines of `sample` read, if there is one.
pub(in crate::source) fn infer(sample: &[u8]) -> Option<Prefix> {
    let lines: Vec<&[u8]> = sample
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"\t"))
        .take(MAX_LINES)
        .filter(|line| find_severity(line).is_some())
        .collect();
    let mut shapes: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        let (_, end, _) = find_severity(line)?;
        *shapes
            .entry(assign(&atoms(&line[..end], Evidence::Lines)))
            .or_default() += 1;
    }
    let mut shapes: Vec<(String, usize)> = shapes.into_iter().collect();
    shapes.sort_by_key(|(shape, n)| (std::cmp::Reverse(*n), std::cmp::Reverse(shape.len())));
    let best = shapes
        .iter()
        .take(MAX_SHAPES)
        .filter_map(|(shape, _)| with_session_mark(shape, &lines))
        .max_by_key(|(prefix, n_matching)| (*n_matching, simplicity(prefix.text())))?;
    let (prefix, n_matching) = best;
    (n_matching * 100 >= lines.len() * MIN_MATCH_PERCENT).then_some(prefix)
}

/// The prefix of a line, as far as that line alone tells it: what looks like an application's name with spaces in it is taken for one.
pub(in crate::source) fn shape(line: &[u8]) -> Option<String> {
    let (_, end, _) = find_severity(line)?;
    Some(assign(&atoms(&line[..end], Evidence::Line)))
}

/// How many lines tell what a prefix is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// One: names with spaces in it look like several fields.
    Line,
    /// Many: most names have no spaces, and show what the fields are.
    Lines,
}

/// Of prefixes that read as many lines, one without `%q` is likelier, then one with more fields.
fn simplicity(prefix: &str) -> (bool, usize) {
    (!prefix.contains("%q"), prefix.matches('%').count())
}

fn n_matching(prefix: &Prefix, lines: &[&[u8]]) -> usize {
    let mut clock = Clock::new(0);
    lines
        .iter()
        .filter(|line| prefix.read(line, &mut clock).is_some())
        .count()
}

/// The prefix, with `%q` where that lets more lines read: those of processes without a session end there.
fn with_session_mark(shape: &str, lines: &[&[u8]]) -> Option<(Prefix, usize)> {
    let plain = Prefix::compile(shape)?;
    let n_plain = n_matching(&plain, lines);
    if n_plain == lines.len() {
        return Some((plain, n_plain));
    }
    let mut clock = Clock::new(0);
    let other: Vec<&[u8]> = lines
        .iter()
        .copied()
        .filter(|line| plain.read(line, &mut clock).is_none())
        .collect();
    let marked = (0..shape.len())
        .filter(|at| shape.is_char_boundary(*at) && !shape[..*at].ends_with('%'))
        .filter_map(|at| Prefix::compile(&format!("{}%q{}", &shape[..at], &shape[at..])))
        .map(|prefix| (n_matching(&prefix, &other), prefix))
        .max_by_key(|(n, _)| *n);
    match marked {
        Some((n, prefix)) if n > 0 => Some((prefix, n_plain + n)),
        _ => Some((plain, n_plain)),
    }
}

/// A piece of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Atom<'a> {
    /// A time, with or without milliseconds.
    Time {
        milliseconds: bool,
    },
    Epoch,
    SessionId,
    VirtualTransaction,
    Number(&'a [u8]),
    Address {
        port: bool,
    },
    Word(&'a [u8]),
    Separator(u8),
}

fn atoms(text: &[u8], evidence: Evidence) -> Vec<Atom<'_>> {
    let mut atoms = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (mut atom, mut len) = atom(&text[at..]);
        let after_label = matches!(atoms.last(), Some(Atom::Separator(b'=')));
        // `app=my app,`; `bob@shop/my app `
        let in_database = matches!(
            atoms.as_slice(),
            [
                ..,
                Atom::Separator(b'@'),
                Atom::Word(_),
                Atom::Separator(b'/')
            ]
        );
        if matches!(atom, Atom::Word(_))
            && evidence == Evidence::Line
            && (after_label || in_database)
        {
            len += more_of_name(&text[at + len..]);
            atom = Atom::Word(&text[at..at + len]);
        }
        if after_label && matches!(atom, Atom::Separator(_)) {
            // `user=,db=`: processes without a session
            atoms.push(Atom::Word(b""));
        }
        atoms.push(atom);
        at += len;
    }
    atoms
}

/// Bytes of further words of a name: up to a label, to what is no word, and to a command's tag.
fn more_of_name(text: &[u8]) -> usize {
    let mut len = 0;
    while text.get(len) == Some(&b' ')
        && let Some(first) = text.get(len + 1)
        && first.is_ascii_alphabetic()
    {
        let (word, n) = atom(&text[len + 1..]);
        let Atom::Word(word) = word else { break };
        let is_label = text.get(len + 1 + n) == Some(&b'=');
        if is_label || word.iter().all(u8::is_ascii_uppercase) {
            break;
        }
        len += 1 + n;
    }
    len
}

fn atom(text: &[u8]) -> (Atom<'_>, usize) {
    if looks_like_time(text)
        && let Some((_, len)) = Clock::new(0).read(text)
    {
        let milliseconds = text.get(19) == Some(&b'.');
        return (Atom::Time { milliseconds }, len);
    }
    let run = |is: fn(&u8) -> bool| text.iter().take_while(|byte| is(byte)).count();
    let digits = run(u8::is_ascii_digit);
    let hex = run(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase() || *b == b'.');
    let words = run(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(b) || *b >= 0x80);
    if let Some(found) = bracketed(text).or_else(|| address(text)) {
        return found;
    }
    if digits == 10 && text.get(10) == Some(&b'.') && hex == 14 {
        return (Atom::Epoch, hex);
    }
    if digits > 0 && text.get(digits) == Some(&b'/') && digits + 1 < text.len() {
        let rest = text[digits + 1..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if rest > 0 {
            return (Atom::VirtualTransaction, digits + 1 + rest);
        }
    }
    let is_session =
        hex == words && hex > 8 && memchr::memchr_iter(b'.', &text[..hex]).count() == 1;
    if is_session {
        return (Atom::SessionId, hex);
    }
    let n_signed = text
        .iter()
        .skip(1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if text[0] == b'-' && n_signed >= QUERY_ID_DIGITS {
        return (Atom::Number(&text[..=n_signed]), n_signed + 1);
    }
    if digits > 0 && !text.get(digits).is_some_and(u8::is_ascii_alphabetic) {
        return (Atom::Number(&text[..digits]), digits);
    }
    match words {
        0 => (Atom::Separator(text[0]), 1),
        _ if !text[0].is_ascii_alphanumeric() && text[0] < 0x80 && text[0] != b'_' => {
            (Atom::Separator(text[0]), 1)
        }
        len => (Atom::Word(&text[..len]), len),
    }
}

/// `[local]` and `[unknown]`.
fn bracketed(text: &[u8]) -> Option<(Atom<'_>, usize)> {
    if text.starts_with(b"[local]") {
        return Some((Atom::Address { port: true }, 7));
    }
    text.starts_with(b"[unknown]")
        .then(|| (Atom::Word(&text[..9]), 9))
}

/// `10.0.0.1`, `::1`, with or without `(5432)`.
fn address(text: &[u8]) -> Option<(Atom<'_>, usize)> {
    let is_part = |b: &u8| b.is_ascii_hexdigit() || *b == b'.' || *b == b':';
    let mut len = text.iter().take_while(|byte| is_part(byte)).count();
    while len > 0 && text[len - 1] == b':' {
        len -= 1;
    }
    let part = std::str::from_utf8(&text[..len]).ok()?;
    // a prefix may set an address off by a colon
    let part = match part.parse::<std::net::IpAddr>() {
        Ok(_) => part,
        Err(_) => part.split(':').next()?,
    };
    part.parse::<std::net::IpAddr>().ok()?;
    let len = part.len();
    let digits = text.get(len + 1..).map_or(0, |rest| {
        rest.iter().take_while(|b| b.is_ascii_digit()).count()
    });
    let has_port = text.get(len) == Some(&b'(') && text.get(len + 1 + digits) == Some(&b')');
    let end = if has_port { len + digits + 2 } else { len };
    Some((Atom::Address { port: has_port }, end))
}

/// Escapes that were given out.
#[derive(Default)]
struct Given(Vec<u8>);

impl Given {
    /// The first of `candidates` that is still free; the last may be given out again.
    fn first_free(&mut self, candidates: &[u8]) -> u8 {
        let free = candidates.iter().find(|escape| !self.0.contains(escape));
        let escape = *free.or(candidates.last()).unwrap_or(&b'i');
        self.0.push(escape);
        escape
    }
}

/// The prefix that these atoms are an instance of.
fn assign(atoms: &[Atom<'_>]) -> String {
    let mut given = Given::default();
    let mut prefix = String::new();
    for (n, atom) in atoms.iter().enumerate() {
        let next = atoms.get(n + 1);
        let previous = n.checked_sub(1).map(|n| atoms[n]);
        let label = match (previous, n.checked_sub(2).map(|n| atoms[n])) {
            (Some(Atom::Separator(b'=')), Some(Atom::Word(label))) => Some(label),
            _ => None,
        };
        if let (Atom::Word(word), Some(Atom::Separator(b'='))) = (atom, next) {
            prefix.push_str(&String::from_utf8_lossy(word));
        } else if let Atom::Separator(byte) = atom {
            match byte {
                b'%' => prefix.push_str("%%"),
                byte => prefix.push(char::from(*byte)),
            }
        } else {
            let escape = match label.and_then(labelled) {
                Some(escape) => given.first_free(&[escape, b'i']),
                None => unlabelled(atom, previous, next, &mut given),
            };
            prefix.push('%');
            prefix.push(char::from(escape));
        }
    }
    prefix
}

/// What a label says that its value is.
fn labelled(label: &[u8]) -> Option<u8> {
    const LABELS: &[(&str, u8)] = &[
        ("user", b'u'),
        ("usr", b'u'),
        ("u", b'u'),
        ("db", b'd'),
        ("database", b'd'),
        ("dbname", b'd'),
        ("d", b'd'),
        ("app", b'a'),
        ("application", b'a'),
        ("application_name", b'a'),
        ("appname", b'a'),
        ("a", b'a'),
        ("client", b'r'),
        ("host", b'r'),
        ("remote", b'r'),
        ("h", b'h'),
        ("r", b'r'),
        ("pid", b'p'),
        ("p", b'p'),
        ("xid", b'x'),
        ("txid", b'x'),
        ("tx", b'x'),
        ("x", b'x'),
        ("vxid", b'v'),
        ("v", b'v'),
        ("session", b'c'),
        ("sid", b'c'),
        ("c", b'c'),
        ("line", b'l'),
        ("l", b'l'),
        ("qid", b'Q'),
        ("query_id", b'Q'),
        ("queryid", b'Q'),
        ("state", b'e'),
        ("sqlstate", b'e'),
        ("e", b'e'),
        ("cmd", b'i'),
        ("tag", b'i'),
        ("backend", b'b'),
        ("type", b'b'),
    ];
    let label = std::str::from_utf8(label).ok()?.to_ascii_lowercase();
    let found = LABELS.iter().find(|(name, _)| *name == label);
    found.map(|(_, escape)| *escape)
}

fn unlabelled(
    atom: &Atom<'_>,
    previous: Option<Atom<'_>>,
    next: Option<&Atom<'_>>,
    given: &mut Given,
) -> u8 {
    match atom {
        Atom::Time { milliseconds: true } => given.first_free(b"ms"),
        Atom::Time {
            milliseconds: false,
        } => given.first_free(b"ts"),
        Atom::Epoch => b'n',
        Atom::SessionId => b'c',
        Atom::VirtualTransaction => given.first_free(b"vi"),
        Atom::Address { port: true } => b'r',
        Atom::Address { port: false } => b'h',
        Atom::Number(b"00000") => b'e',
        Atom::Number(_) if previous == Some(Atom::Separator(b'-')) && given.0.contains(&b'p') => {
            given.first_free(b"lx")
        }
        Atom::Number(digits) if digits.len() >= QUERY_ID_DIGITS => given.first_free(b"Qx"),
        // a transaction id is 0 outside writes, a query id before parsing; a process id never is
        Atom::Number(b"0") => given.first_free(b"xQ"),
        Atom::Number(_) => given.first_free(b"plxQ"),
        Atom::Word(_) if previous == Some(Atom::Separator(b'@')) => given.first_free(b"di"),
        Atom::Word(_) if next == Some(&Atom::Separator(b'@')) => given.first_free(b"ui"),
        Atom::Word(_) => given.first_free(b"udai"),
        Atom::Separator(_) => b'i',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, expected: &str) {
        let prefix = infer(lines.as_bytes()).expect("a prefix");
        assert_eq!(prefix.text(), expected);
    }

    #[test]
    fn common_prefixes() {
        check("2026-11-22 20:36:03.041 UTC [8197] LOG:  x", "%m [%p] ");
        check(
            "2026-11-22 20:36:03.041 UTC [8197] postgres@shop LOG:  x",
            "%m [%p] %u@%d ",
        );
        check(
            "2026-11-22 20:36:03 UTC:10.0.0.1(5432):bob@shop:[8197]:LOG:  x",
            "%t:%r:%u@%d:[%p]:",
        );
        check(
            "2026-11-22 20:36:03 UTC [8197]: [3-1] user=bob,db=shop,app=psql,client=10.0.0.1 LOG:  x",
            "%t [%p]: [%l-%x] user=%u,db=%d,app=%a,client=%r ",
        );
        check(
            "1795379763.041 6738f3a1.2005 3/1130 0 LOG:  x",
            "%n %c %v %x ",
        );
        check("LOG:  x", "");
    }

    #[test]
    fn processes_without_a_session() {
        check(
            "2026-11-22 20:36:03.041 UTC [8197] bob@shop LOG:  x\n\
             2026-11-22 20:36:03.041 UTC [8198] bob@shop LOG:  x\n\
             2026-11-22 20:36:03.041 UTC [1] LOG:  checkpoint starting: time",
            "%m [%p] %q%u@%d ",
        );
        check(
            "2026-11-22 20:36:03.041 UTC [1] user=,db=,app= LOG:  checkpoint starting: time\n\
             2026-11-22 20:36:03.041 UTC [8] user=bob,db=shop,app=my app LOG:  x",
            "%m [%p] user=%u,db=%d,app=%a ",
        );
    }

    #[test]
    fn query_ids() {
        check(
            "2026-11-23 00:38:07.790 UTC [6b038aef.34b9] LOG:  starting PostgreSQL 15.18\n\
             2026-11-23 00:38:08.040 UTC [6b038af0.34c1] [unknown]@[unknown]/[unknown]  0 LOG:  connection received\n\
             2026-11-23 00:38:08.041 UTC [6b038af0.34c1] u@d/[unknown] 2/1 0 LOG:  connection authorized\n\
             2026-11-23 00:38:08.074 UTC [6b038af0.34c1] u@d/psql 2/0 -7352607280455992127 LOG:  x\n\
             2026-11-23 00:38:08.074 UTC [6b038af0.34c1] u@d/psql 2/0 7352607280455992127 LOG:  x\n\
             2026-11-23 00:38:08.074 UTC [6b038af0.34c1] u@d/node pg 2/0 7352607280455992127 LOG:  x\n",
            "%m [%c] %q%u@%d/%a %v %Q ",
        );
    }

    #[test]
    fn names_with_spaces_in_a_single_line() {
        for (line, expected) in [
            (
                "2026-11-22 20:36:03 UTC [8]: [3-1] user=bob,db=shop,app=my app,client=10.0.0.1 LOG:  x",
                "%t [%p]: [%l-%x] user=%u,db=%d,app=%a,client=%r ",
            ),
            (
                "2026-11-22 20:36:03.041 UTC [8] bob@shop/my own app 3/1 0 LOG:  x",
                "%m [%p] %u@%d/%a %v %x ",
            ),
            (
                "2026-11-22 20:36:03.041 UTC user=bob app=my app db=shop LOG:  x",
                "%m user=%u app=%a db=%d ",
            ),
            (
                "2026-11-22 20:36:03.041 UTC [8] bob@shop/psql SELECT LOG:  x",
                "%m [%p] %u@%d/%a %i ",
            ),
        ] {
            assert_eq!(shape(line.as_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn foreign_text_is_no_prefix() {
        assert!(infer(b"hello\nworld").is_none());
        assert!(infer(b"").is_none());
    }

    #[test]
    fn levels_are_found_anywhere_in_a_line() {
        let line = b"2026-11-22 app: x [8197] STATEMENT:  select 1";
        assert_eq!(find_severity(line), Some((Level::Statement, 25, 37)));
        assert_eq!(find_severity(b"CATALOG:  x"), None);
    }
}
