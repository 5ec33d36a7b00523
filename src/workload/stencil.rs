//! Texts that differ in their literals only, recognised as logged: what stands between the literals of an earlier text is compared, and what
//! stands in its holes is read. That takes a fraction of the time that it takes to find literals in a text of which nothing is known.
//!
//! A hole takes only what the lexer would read there as the same kind of token, and nothing that is escaped; whatever else stands there, the
//! text does not match, and is looked at in full.

use super::{Escape, Text, template::Placed};
use crate::sql::{Gap, OperandSpan};

/// Longest text that is made a stencil of, bytes.
const MAX_BYTES: usize = 16 << 10;
/// Stencils kept; beyond, no more are made.
const MAX_STENCILS: usize = 4096;
/// Stencils of one form: they differ in their comments. Where these differ from text to text, no stencil helps.
const MAX_OF_FORM: usize = 4;
/// Writers whose last stencil is remembered.
const MAX_WHO: usize = 1 << 16;
/// Stands for no stencil.
const NONE: u32 = u32::MAX;

/// What a hole takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// `42`
    Integer,
    /// `4.2`
    Decimal,
    /// `'it''s'`
    String,
}

/// A raw text with holes for its literals.
#[derive(Debug)]
pub(super) struct Stencil {
    escape: Escape,
    /// All that stands around the holes.
    fixed: Box<[u8]>,
    /// Where in `fixed` the holes are, and what they take.
    holes: Box<[(u32, Hole)]>,
    pub(super) query: u32,
    pub(super) request: u64,
    pub(super) label: u32,
    /// The operands, placed by the holes before them.
    operands: Box<[Placed]>,
    /// What followed it last, the latest first.
    next: [u32; 2],
}

impl Stencil {
    /// A stencil of a text whose literals and comments stand at `gaps` of its decoded form; those in `kept` and comments are no holes.
    pub(super) fn of(
        text: Text<'_>,
        sql: &[u8],
        gaps: &[Gap],
        kept: &[u32],
        operands: impl Iterator<Item = Option<OperandSpan>>,
        (query, request, label): (u32, u64, u32),
    ) -> Option<Self> {
        let raw = text.raw();
        if raw.len() > MAX_BYTES {
            return None;
        }
        let places = Places::of(text, sql)?;
        let (mut fixed, mut holes, mut raw_gaps) = (Vec::new(), Vec::new(), Vec::new());
        let mut copied = 0;
        for (at, gap) in gaps.iter().enumerate() {
            let literal = &sql[gap.start as usize..gap.end as usize];
            let is_comment = literal.starts_with(b"--") || literal.starts_with(b"/*");
            if is_comment || kept.contains(&(at as u32)) {
                continue;
            }
            let (start, end) = (places.raw(gap.start)?, places.raw(gap.end)?);
            let hole = Hole::of(&raw[start..], end - start)?;
            fixed.extend_from_slice(&raw[copied..start]);
            holes.push((fixed.len() as u32, hole));
            raw_gaps.push(Gap {
                start: start as u32,
                end: end as u32,
            });
            copied = end;
        }
        fixed.extend_from_slice(&raw[copied..]);
        let operands: Option<Box<[Placed]>> = operands
            .map(|span| {
                let span = span?;
                let (start, end) = (places.raw(span.start)?, places.raw(span.end)?);
                // decoded it is what it is raw
                (end - start == (span.end - span.start) as usize).then_some(())?;
                let raw_span = OperandSpan {
                    start: start as u32,
                    end: end as u32,
                    ..span
                };
                Placed::of(&raw_span, &raw_gaps)
            })
            .collect();
        Some(Self {
            escape: text.escape(),
            fixed: fixed.into(),
            holes: holes.into(),
            query,
            request,
            label,
            operands: operands?,
            next: [NONE; 2],
        })
    }

    /// Whether a text matches; its literals go to `gaps`.
    fn matches(&self, text: Text<'_>, gaps: &mut Vec<Gap>) -> bool {
        gaps.clear();
        if text.escape() != self.escape {
            return false;
        }
        let raw = text.raw();
        let (mut at, mut done) = (0, 0);
        for &(until, hole) in &self.holes {
            let fixed = &self.fixed[done..until as usize];
            if !raw[at..].starts_with(fixed) {
                return false;
            }
            at += fixed.len();
            done = until as usize;
            let Some(len) = hole.read(&raw[at..], self.escape) else {
                return false;
            };
            gaps.push(Gap {
                start: at as u32,
                end: (at + len) as u32,
            });
            at += len;
        }
        raw[at..] == self.fixed[done..]
    }

    /// Where the operands of a text stand in it as logged.
    pub(super) fn spans(&self, gaps: &[Gap]) -> impl Iterator<Item = Option<OperandSpan>> {
        self.operands.iter().map(|placed| placed.span(gaps))
    }
}

impl Hole {
    /// A hole for the literal that takes the first `len` bytes; `None` where another literal could not be told to end where it does.
    fn of(text: &[u8], len: usize) -> Option<Self> {
        let literal = &text[..len];
        let ends =
            |byte: &u8| !byte.is_ascii_alphanumeric() && *byte < 0x80 && !b"_.$'\"".contains(byte);
        if !text.get(len).is_none_or(ends) {
            return None;
        }
        [Self::Integer, Self::Decimal, Self::String]
            .into_iter()
            .find(|hole| hole.read(literal, Escape::None) == Some(len))
    }

    /// Length of the literal at the start of `text`, if it is of that kind.
    fn read(self, text: &[u8], escape: Escape) -> Option<usize> {
        match self {
            Self::Integer => digits(text),
            Self::Decimal => {
                let whole = digits(text)?;
                let rest = text[whole..].strip_prefix(b".")?;
                Some(whole + 1 + digits(rest)?)
            }
            Self::String => string(text, escape),
        }
    }
}

/// Number of digits at the start, if there are any.
fn digits(text: &[u8]) -> Option<usize> {
    let n = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (n > 0).then_some(n)
}

/// Length of the plain string at the start, if nothing in it is escaped by the log or by a backslash.
fn string(text: &[u8], escape: Escape) -> Option<usize> {
    let mut at = 1;
    text.strip_prefix(b"'")?;
    loop {
        at += memchr::memchr3(b'\'', b'\\', b'\n', text.get(at..)?)?;
        if text[at] != b'\'' {
            return None;
        }
        at += 1;
        if text.get(at) != Some(&b'\'') {
            break;
        }
        at += 1;
    }
    let is_escaped = escape == Escape::Quotes && memchr::memchr(b'"', &text[..at]).is_some();
    (!is_escaped).then_some(at)
}

/// Places of a decoded text in the raw one.
struct Places {
    /// Decoded offsets behind which one raw byte more was left out, ascending.
    left_out: Vec<u32>,
}

impl Places {
    /// `None` for escapes that leave more than a byte out here and there.
    fn of(text: Text<'_>, sql: &[u8]) -> Option<Self> {
        let raw = text.raw();
        let mut left_out = Vec::new();
        let mut skip = |found: usize, n: usize| left_out.push((found + 1 - n) as u32);
        match text.escape() {
            Escape::None => {}
            Escape::Tabs => {
                let newlines = memchr::memchr_iter(b'\n', raw);
                let tabbed = newlines.filter(|at| raw.get(at + 1) == Some(&b'\t'));
                tabbed.enumerate().for_each(|(n, at)| skip(at, n));
            }
            Escape::Quotes => {
                let (mut from, mut n) = (0, 0);
                while let Some(quote) = memchr::memchr(b'"', &raw[from..]) {
                    let at = from + quote;
                    (raw.get(at + 1) == Some(&b'"')).then_some(())?;
                    skip(at, n);
                    (from, n) = (at + 2, n + 1);
                }
            }
            Escape::Json => return None,
        }
        (left_out.len() + sql.len() == raw.len()).then_some(Self { left_out })
    }

    /// The raw place of a decoded one; `None` right behind a byte that was left out, where a place could be on either side.
    fn raw(&self, decoded: u32) -> Option<usize> {
        let before = self.left_out.partition_point(|at| *at < decoded);
        let on_border = self.left_out.get(before) == Some(&decoded);
        (!on_border).then_some(decoded as usize + before)
    }
}

/// The stencils of one fold, and which followed which.
#[derive(Debug, Default)]
pub(super) struct Stencils {
    all: Vec<Stencil>,
    by_form: hashbrown::HashMap<u64, Vec<u32>, foldhash::fast::FixedState>,
    /// The last one by writer.
    last: Vec<u32>,
    gaps: Vec<Gap>,
}

impl Stencils {
    /// The stencil that a text matches, if it is one that followed its writer's last one before; and the text's literals.
    pub(super) fn find(&mut self, who: u32, text: Text<'_>) -> Option<(&Stencil, &[Gap])> {
        let who = who as usize;
        let last = *self.last.get(who)?;
        let before = self.all.get(last as usize)?;
        let found = before.next.into_iter().find(|next| {
            let stencil = self.all.get(*next as usize);
            stencil.is_some_and(|stencil| stencil.matches(text, &mut self.gaps))
        })?;
        self.last[who] = found;
        Some((&self.all[found as usize], &self.gaps))
    }

    /// Takes down that a writer's text has this form, so that texts like it are recognised when they come again.
    pub(super) fn learn(
        &mut self,
        who: u32,
        text: Text<'_>,
        form: u64,
        make: impl FnOnce() -> Option<Stencil>,
    ) {
        let who = who as usize;
        if who >= MAX_WHO {
            return;
        }
        let known = self.by_form.entry(form).or_default();
        let (all, gaps) = (&mut self.all, &mut self.gaps);
        let found = known
            .iter()
            .copied()
            .find(|at| all[*at as usize].matches(text, gaps));
        let at = match found {
            Some(at) => at,
            None if known.len() < MAX_OF_FORM && all.len() < MAX_STENCILS => {
                let Some(stencil) = make() else { return };
                let at = all.len() as u32;
                all.push(stencil);
                known.push(at);
                at
            }
            None => return,
        };
        if self.last.len() <= who {
            self.last.resize(who + 1, NONE);
        }
        let before = std::mem::replace(&mut self.last[who], at);
        if let Some(before) = all.get_mut(before as usize)
            && before.next[0] != at
        {
            before.next = [at, before.next[0]];
        }
    }

    /// Another part of the input: its writers have other numbers.
    pub(super) fn forget_writers(&mut self) {
        self.last.clear();
    }
}
