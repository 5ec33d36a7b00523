//! Raw text → fingerprint, operands and tags, in three steps of which each is tried when the one before fails: a cache of texts as logged,
//! by one hash of their bytes; forms of texts that differ in their literals only; and the normaliser. What comes out never depends on which.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Text, value::Value};
use crate::sql::{Fingerprint, Gap, Normaliser, OperandKind, OperandSpan, Skeleton};

/// Slots of the cache of texts as a power of two: a worker's cache stays within a core's own cache.
const SLOT_BITS: u32 = 12;
/// Forms kept; beyond, all are forgotten and found again.
const MAX_FORMS: usize = 4096;
/// Longest literal whose text is kept, bytes: one more than the longest constant that statistics keep.
const MAX_LITERAL_BYTES: usize = super::statistics::MAX_CONSTANT_BYTES + 1;

/// What stands at one placeholder of a raw text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    /// A literal, or a list of literals; its text as a range of [`Template::literals`].
    Literal { value: Value, start: u32, end: u32 },
    /// `$n`, or a list that starts with it.
    Parameter { number: u16, list_len: u32 },
}

/// A raw text, understood.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    hash: u64,
    length: usize,
    /// A text that was seen in this slot's place once. When it comes again, it takes the slot.
    candidate: u64,
    /// Position in the fold's table of queries.
    pub(super) query: u32,
    pub(super) operands: Vec<Operand>,
    /// Texts of the literals, cut to [`MAX_LITERAL_BYTES`] each.
    literals: Vec<u8>,
    /// Hash of the request id in its comment; 0 for none.
    pub(super) request: u64,
    /// Interned tags; 0 for none.
    pub(super) label: u32,
}

impl Template {
    /// The text of a literal, cut.
    pub(super) fn literal(&self, start: u32, end: u32) -> &[u8] {
        &self.literals[start as usize..end as usize]
    }
}

/// How texts of one skeleton, and with the same numbers that stay, are understood.
#[derive(Debug)]
struct Form {
    query: u32,
    operands: Box<[Placed]>,
}

/// An operand of a form. Its place is told by the gaps of the skeleton before it.
#[derive(Debug, Clone, Copy)]
struct Placed {
    start: Anchor,
    end: Anchor,
    kind: OperandKind,
    list_len: u32,
}

/// So many bytes behind the end of the gap before.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    n_gaps: u32,
    n_bytes: u32,
}

impl Anchor {
    /// The anchor of an offset; `None` within a gap, whose length may differ in another text.
    fn of(offset: u32, gaps: &[Gap]) -> Option<Self> {
        let n_gaps = gaps.partition_point(|gap| gap.start < offset);
        let base = n_gaps.checked_sub(1).map_or(0, |before| gaps[before].end);
        Some(Self {
            n_gaps: n_gaps as u32,
            n_bytes: offset.checked_sub(base)?,
        })
    }

    fn offset(self, gaps: &[Gap]) -> Option<usize> {
        let base = match self.n_gaps {
            0 => 0,
            n => gaps.get(n as usize - 1)?.end,
        };
        Some((base + self.n_bytes) as usize)
    }
}

/// Understands texts. One for each fold: what it knows refers to the fold's table of queries.
#[derive(Debug, Default)]
pub(super) struct Templates {
    slots: Vec<Template>,
    /// The text that was looked up last and has no slot.
    fresh: Template,
    skeleton: Skeleton,
    /// By hash of a skeleton: which of its gaps hold numbers that stay.
    kept_gaps: HashMap<u64, Box<[u32]>, foldhash::fast::FixedState>,
    /// By hash of a skeleton and of the numbers that stay.
    forms: HashMap<u64, Form, foldhash::fast::FixedState>,
    normaliser: Normaliser,
    /// Takes texts that had to be unescaped.
    decoded: Vec<u8>,
}

/// Where a text that was looked up is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Cached(usize),
    Fresh,
}

/// What a lookup found.
#[derive(Debug)]
pub(super) enum Lookup {
    /// Understood.
    Known(Slot),
    /// Its tags are to be filled in ([`Templates::tag`]).
    Commented(u64),
    /// Normalised, but its query is not known here, and its tags are to be filled in ([`Templates::learn`]).
    New(Fingerprint, u64),
}

impl Templates {
    /// Finds a text, or normalises it.
    pub(super) fn look_up(&mut self, text: Text<'_>) -> Lookup {
        if self.slots.is_empty() {
            self.slots.resize_with(1 << SLOT_BITS, Template::default);
        }
        let hash = text.raw_hash();
        let at = slot_of(hash);
        let slot = &self.slots[at];
        // an empty text has length 0 like an empty slot, and its hash is not 0
        if slot.hash == hash && slot.length == text.raw().len() {
            return Lookup::Known(Slot::Cached(at));
        }
        self.fresh.hash = hash;
        self.fresh.length = text.raw().len();
        self.understand(text, hash)
    }

    fn understand(&mut self, text: Text<'_>, hash: u64) -> Lookup {
        let mut decoded = std::mem::take(&mut self.decoded);
        let sql = text.decode(&mut decoded);
        let lookup = if self.fill_from_form(sql) {
            if self.skeleton.has_comment() {
                Lookup::Commented(hash)
            } else {
                self.fresh.request = 0;
                self.fresh.label = 0;
                Lookup::Known(self.settle(hash))
            }
        } else {
            let fingerprint = self.normaliser.run(sql);
            let operands = self.normaliser.operands();
            self.fresh
                .fill(sql, operands.iter().map(|span| Some(*span)));
            Lookup::New(fingerprint, hash)
        };
        self.decoded = decoded;
        lookup
    }

    /// Reads the operands of a text whose form is known.
    fn fill_from_form(&mut self, sql: &[u8]) -> bool {
        let Some(key) = self.form_key(sql) else {
            return false;
        };
        let Some(form) = self.forms.get(&key) else {
            return false;
        };
        self.fresh.query = form.query;
        let gaps = self.skeleton.gaps();
        let spans = form.operands.iter().map(|placed| placed.span(gaps));
        self.fresh.fill(sql, spans)
    }

    /// Reads the skeleton; gives the key of its form, if a text of that skeleton was seen.
    fn form_key(&mut self, sql: &[u8]) -> Option<u64> {
        let skeleton = self.skeleton.read(sql)?;
        let kept = self.kept_gaps.get(&skeleton)?;
        Some(key_of(skeleton, kept, self.skeleton.gaps(), sql))
    }

    /// Takes down what the fold knows of the text that was found to be new, for texts of its form too.
    pub(super) fn learn(
        &mut self,
        text: Text<'_>,
        hash: u64,
        query: u32,
        tags: (u64, u32),
    ) -> Slot {
        self.fresh.query = query;
        let mut decoded = std::mem::take(&mut self.decoded);
        self.add_form(text.decode(&mut decoded), query);
        self.decoded = decoded;
        self.tag(hash, tags)
    }

    /// Takes down the tags (request and label) of the text that was looked up last.
    pub(super) fn tag(&mut self, hash: u64, (request, label): (u64, u32)) -> Slot {
        self.fresh.request = request;
        self.fresh.label = label;
        self.settle(hash)
    }

    fn add_form(&mut self, sql: &[u8], query: u32) {
        let Some(skeleton) = self.skeleton.read(sql) else {
            return;
        };
        let gaps = self.skeleton.gaps();
        let at = |start: u32| gaps.binary_search_by_key(&start, |gap| gap.start).ok();
        let kept = self.normaliser.kept_numbers().iter();
        let kept: Option<Box<[u32]>> = kept.map(|start| at(*start).map(|gap| gap as u32)).collect();
        let operands = self.normaliser.operands().iter();
        let operands: Option<Box<[Placed]>> = operands.map(|span| Placed::of(span, gaps)).collect();
        let (Some(kept), Some(operands)) = (kept, operands) else {
            return;
        };
        if self.forms.len() >= MAX_FORMS {
            self.forms.clear();
            self.kept_gaps.clear();
        }
        let key = key_of(skeleton, &kept, gaps, sql);
        self.kept_gaps.insert(skeleton, kept);
        self.forms.insert(key, Form { query, operands });
    }

    /// Gives the fresh text the slot of its hash, unless it has literals and is seen for the first time: those mostly don't come again.
    fn settle(&mut self, hash: u64) -> Slot {
        let at = slot_of(hash);
        let slot = &mut self.slots[at];
        if !self.fresh.literals.is_empty() && slot.candidate != hash {
            slot.candidate = hash;
            return Slot::Fresh;
        }
        self.fresh.candidate = slot.candidate;
        std::mem::swap(slot, &mut self.fresh);
        Slot::Cached(at)
    }

    /// The normalised form of a text.
    pub(super) fn normalise(&mut self, sql: &[u8]) -> String {
        self.normaliser.run(sql);
        self.normaliser.text()
    }

    /// The normalised form of the text that was last found to be new.
    pub(super) fn normalised(&self) -> String {
        self.normaliser.text()
    }

    pub(super) fn get(&self, slot: Slot) -> &Template {
        match slot {
            Slot::Cached(at) => &self.slots[at],
            Slot::Fresh => &self.fresh,
        }
    }
}

fn slot_of(hash: u64) -> usize {
    (hash >> (64 - SLOT_BITS)) as usize
}

/// Key of a form: its skeleton, and the numbers that stay.
fn key_of(skeleton: u64, kept: &[u32], gaps: &[Gap], sql: &[u8]) -> u64 {
    kept.iter().fold(skeleton, |key, gap| {
        let Gap { start, end } = gaps[*gap as usize];
        xxh3_64_with_seed(&sql[start as usize..end as usize], key)
    })
}

impl Placed {
    fn of(span: &OperandSpan, gaps: &[Gap]) -> Option<Self> {
        Some(Self {
            start: Anchor::of(span.start, gaps)?,
            end: Anchor::of(span.end, gaps)?,
            kind: span.kind,
            list_len: span.list_len,
        })
    }

    fn span(&self, gaps: &[Gap]) -> Option<OperandSpan> {
        Some(OperandSpan {
            start: self.start.offset(gaps)? as u32,
            end: self.end.offset(gaps)? as u32,
            kind: self.kind,
            list_len: self.list_len,
        })
    }
}

impl Template {
    /// Reads the operands at these places. False when one is not there.
    fn fill(&mut self, sql: &[u8], spans: impl Iterator<Item = Option<OperandSpan>>) -> bool {
        self.operands.clear();
        self.literals.clear();
        for span in spans {
            let Some(operand) = span.and_then(|span| self.operand(sql, &span)) else {
                return false;
            };
            self.operands.push(operand);
        }
        true
    }

    fn operand(&mut self, sql: &[u8], span: &OperandSpan) -> Option<Operand> {
        if let OperandKind::Parameter(number) = span.kind {
            return Some(Operand::Parameter {
                number,
                list_len: span.list_len,
            });
        }
        let text = sql.get(span.start as usize..span.end as usize)?;
        let mut value = Value::of(text);
        if span.list_len != 1 {
            value.width = span.list_len.max(2);
        }
        let start = self.literals.len() as u32;
        self.literals
            .extend_from_slice(&text[..text.len().min(MAX_LITERAL_BYTES)]);
        Some(Operand::Literal {
            value,
            start,
            end: self.literals.len() as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the fold would be told of a text: its query here stands for its normalised text.
    fn told(
        templates: &mut Templates,
        queries: &mut Vec<String>,
        sql: &str,
    ) -> (String, Vec<String>) {
        let text = Text::from(sql.as_bytes());
        let slot = match templates.look_up(text) {
            Lookup::Known(slot) => slot,
            Lookup::Commented(hash) => templates.tag(hash, (0, 0)),
            Lookup::New(_, hash) => {
                queries.push(templates.normalised());
                templates.learn(text, hash, queries.len() as u32 - 1, (0, 0))
            }
        };
        let template = templates.get(slot);
        let operands = template.operands.iter().map(|operand| match *operand {
            Operand::Literal { value, start, end } => format!(
                "{value:?} {}",
                String::from_utf8_lossy(template.literal(start, end))
            ),
            parameter @ Operand::Parameter { .. } => format!("{parameter:?}"),
        });
        (queries[template.query as usize].clone(), operands.collect())
    }

    fn check(texts: &[String]) {
        let mut templates = Templates::default();
        let mut queries = Vec::new();
        for sql in texts {
            let expected = told(&mut Templates::default(), &mut Vec::new(), sql);
            // the second time it is a candidate, the third time cached
            for _ in 0..3 {
                assert_eq!(
                    told(&mut templates, &mut queries, sql),
                    expected,
                    "{sql} among {texts:?}"
                );
            }
        }
    }

    #[test]
    fn numbers_that_stay_tell_texts_apart() {
        let texts = [
            "select a from t order by 1",
            "select a from t order by 2",
            "select a from t order by 1.5",
            "select 1::numeric(10, 2), 5",
            "select 1::numeric(12, 2), 6",
            "select 1::numeric(10, 2), 7",
            "select a from t where b in (1, 2, 3) and c = -4",
            "select a from t where b in (10, 20, 30) and c = - 40",
            "insert into t values (1, 'x'), (2, 'y')",
            "insert into t values (10, 'xx'), (20, 'yy')",
            "insert into t values (10, 'xx'), (20, null)",
            "alter role a password 'x'",
        ];
        check(&texts.map(str::to_owned));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn every_way_tells_the_same(
            shape in prop::collection::vec(prop::sample::select(vec![
                "select", "a", "from t", "where", "=", "in (", ")", ",", "order by", "?", "?", "?", "-", "::numeric(", "values (", "limit", "$1", "any (array[",
                "]", "and", "is null", "null", "/* c? */", "set", "E", ".", "cast(", "as varchar(", ";", "group by", "--?\n", "interval",
            ]), 0..16),
            literals in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["1", "2", "-3", "4.5", "'x'", "'it''s'", "E'\\n'", "1e5", "''"]), 16), 1..5),
        ) {
            let texts: Vec<String> = literals.iter().map(|literals| {
                let mut literals = literals.iter();
                let words: Vec<String> = shape.iter().map(|word| word.replace('?', literals.next().unwrap())).collect();
                words.join(" ")
            }).collect();
            check(&texts);
        }
    }
}
