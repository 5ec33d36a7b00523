//! Which fields of a prefix differ from line to line of one session, and what stands between them.

use super::{Clock, Field, Step, Syntax};

/// Fields that may differ within a session; prefixes with more are read step by step.
pub(super) const MAX_HOLES: usize = 6;

/// A field that differs from line to line: time, line number, transactions, query id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) syntax: Syntax,
    pub(super) field: Field,
    /// It is padded: where there is nothing, spaces stand.
    pub(super) may_be_empty: bool,
}

/// A prefix as pieces that one session's lines share, with holes between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::source) struct Layout {
    /// What differs, in order; none where there would be too many.
    pub(super) holes: Vec<Hole>,
    /// The pieces ahead of the first one that has a field: the same in all lines. That one tells sessions apart.
    pub(super) lead: Vec<Vec<u8>>,
    /// Too many holes: no line is like another.
    pub(super) is_irregular: bool,
}

impl Layout {
    /// The layout of these steps, whose holes get their numbers.
    pub(super) fn of(steps: &mut [Step]) -> Self {
        let mut layout = Self::default();
        let mut literal = Some(Vec::new());
        for step in steps {
            match step {
                Step::Literal(text) => {
                    if let Some(literal) = &mut literal {
                        literal.extend_from_slice(text);
                    }
                }
                Step::Field {
                    field,
                    syntax,
                    width,
                    hole,
                } if is_hole(*field, *syntax) => {
                    if layout.holes.len() == MAX_HOLES {
                        layout.is_irregular = true;
                        return layout;
                    }
                    *hole = Some(layout.holes.len() as u8);
                    layout.holes.push(Hole {
                        syntax: *syntax,
                        field: *field,
                        may_be_empty: *width != 0,
                    });
                    if let Some(text) = &mut literal {
                        layout.lead.push(std::mem::take(text));
                    }
                    // padding differs with what it pads
                    layout.is_irregular |= *width > 0;
                }
                Step::Field { .. } | Step::SessionOnly => literal = None,
            }
        }
        layout
    }
}

fn is_hole(field: Field, syntax: Syntax) -> bool {
    match field {
        Field::Time | Field::Transaction | Field::QueryId => true,
        // `%l`, `%x`
        Field::Ignored => syntax == Syntax::Digits,
        _ => false,
    }
}

/// Reads a field whose end its own syntax tells: the time, if it is one, and its length.
#[inline]
pub(super) fn read_hole(
    hole: Hole,
    rest: &[u8],
    clock: &mut Clock,
) -> Option<(Option<i64>, usize)> {
    let run = |is: fn(&u8) -> bool| rest.iter().take_while(|byte| is(byte)).count();
    let mut time_us = None;
    let len = match hole.syntax {
        Syntax::Timestamp if hole.field == Field::Time => {
            let (us, len) = clock.read(rest)?;
            time_us = Some(us);
            len
        }
        Syntax::Timestamp => Clock::default().read(rest)?.1,
        Syntax::Epoch => {
            let len = run(|b| b.is_ascii_digit() || *b == b'.');
            time_us = Some(epoch_us(&rest[..len])?);
            len
        }
        Syntax::Digits => run(u8::is_ascii_digit),
        Syntax::Signed => run(|b| b.is_ascii_digit() || *b == b'-'),
        Syntax::Hex => run(|b| b.is_ascii_hexdigit() || *b == b'.'),
        Syntax::Virtual => run(|b| b.is_ascii_digit() || *b == b'/'),
        Syntax::Free => 0,
    };
    // processes without a session have no transaction, and with padding only spaces
    let is_there = len > 0 || hole.syntax == Syntax::Virtual || hole.may_be_empty;
    is_there.then_some((time_us, len))
}

fn epoch_us(text: &[u8]) -> Option<i64> {
    let (us, len) = crate::source::message::milliseconds(text)?;
    // read as milliseconds, so the point has moved by three
    (len == text.len())
        .then_some(us)
        .and_then(|us| i64::try_from(us.checked_mul(1000)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::prefix::Prefix;

    #[test]
    fn what_differs_and_what_stands_between() {
        let layout = |text: &str| Prefix::compile(text).unwrap().layout;
        let lead = |text: &str| -> Vec<String> {
            let lead = layout(text).lead;
            lead.into_iter()
                .map(|l| String::from_utf8(l).unwrap())
                .collect()
        };
        assert_eq!(lead("%m [%p] %q%u@%d/%a "), [""]);
        assert_eq!(lead("< %t %l:%p >"), ["< ", " "]);
        assert_eq!(lead("[%p] %t "), [""; 0]);
        assert_eq!(layout("%m [%p] %l %v %x %Q ").holes.len(), 5);
        assert!(layout("%m%l%l%l%l%l%l %p").is_irregular);
        assert!(layout("%m %5l %p").is_irregular);
    }

    #[test]
    fn epochs() {
        assert_eq!(epoch_us(b"1795379763.041"), Some(1_795_379_763_041_000));
        assert_eq!(epoch_us(b"1795379763"), Some(1_795_379_763_000_000));
    }
}
