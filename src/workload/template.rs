//! Raw text → fingerprint, operands and tags, through a cache: a text is normalised when it is first seen, not each time it runs.

use xxhash_rust::xxh3::xxh3_64;

use super::value::Value;
use crate::sql::{Fingerprint, Normaliser, OperandKind, OperandSpan};

/// Slots of the cache as a power of two. A text that falls out is normalised again: exactness does not depend on the size.
const SLOT_BITS: u32 = 14;

/// What stands at one placeholder of a raw text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    /// A literal, or a list of literals; its text as a range.
    Literal { value: Value, start: u32, end: u32 },
    /// `$n`, or a list that starts with it.
    Parameter { number: u16, list_len: u32 },
}

/// A raw text, understood.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    hash: u64,
    length: usize,
    /// Position in the fold's table of queries.
    pub(super) query: u32,
    pub(super) operands: Vec<Operand>,
    /// Hash of the request id in its comment; 0 for none.
    pub(super) request: u64,
    /// Interned tags; 0 for none.
    pub(super) label: u32,
}

/// The cache, direct mapped: a new text takes the slot of an older one.
#[derive(Debug, Default)]
pub(super) struct Templates {
    slots: Vec<Template>,
    normaliser: Normaliser,
}

/// What a lookup found.
pub(super) enum Lookup {
    /// Seen before: its slot.
    Known(usize),
    /// Not seen, or forgotten: its slot now holds operands, but not yet query and tags.
    New(usize, Fingerprint),
}

impl Templates {
    /// Finds a text, or normalises it.
    pub(super) fn look_up(&mut self, text: &[u8]) -> Lookup {
        if self.slots.is_empty() {
            self.slots.resize_with(1 << SLOT_BITS, Template::default);
        }
        let hash = xxh3_64(text);
        let at = (hash >> (64 - SLOT_BITS)) as usize;
        let slot = &mut self.slots[at];
        // an empty text has length 0 like an empty slot, and its hash is not 0
        if slot.hash == hash && slot.length == text.len() {
            return Lookup::Known(at);
        }
        let fingerprint = self.normaliser.run(text);
        slot.hash = hash;
        slot.length = text.len();
        slot.operands.clear();
        slot.operands.extend(
            self.normaliser
                .operands()
                .iter()
                .map(|span| operand(text, span)),
        );
        Lookup::New(at, fingerprint)
    }

    /// The normalised form of the text that was last found to be new.
    pub(super) fn normalised(&self) -> String {
        self.normaliser.text()
    }

    pub(super) fn slot(&self, at: usize) -> &Template {
        &self.slots[at]
    }

    pub(super) fn slot_mut(&mut self, at: usize) -> &mut Template {
        &mut self.slots[at]
    }
}

fn operand(text: &[u8], span: &OperandSpan) -> Operand {
    if let OperandKind::Parameter(number) = span.kind {
        return Operand::Parameter {
            number,
            list_len: span.list_len,
        };
    }
    let mut value = Value::of(&text[span.start as usize..span.end as usize]);
    if span.list_len != 1 {
        value.width = span.list_len.max(2);
    }
    Operand::Literal {
        value,
        start: span.start,
        end: span.end,
    }
}
