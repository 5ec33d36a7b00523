//! Raw text → fingerprint, operands and tags, in four steps of which each is tried when the one before fails: a cache of texts as logged,
//! by one hash of their bytes; stencils, which are texts as logged with holes for their literals; forms of texts that differ in their
//! literals only; and the normaliser. What comes out never depends on which.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    Text,
    stencil::{Stencil, Stencils},
    value::Value,
};
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
pub(super) struct Placed {
    start: Anchor,
    end: Anchor,
    kind: OperandKind,
    list_len: u32,
}

/// So many bytes behind the end of the gap before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
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
    /// What is in the slots: apart from them, so that looking texts up in vain stays within a core's cache.
    keys: Vec<Key>,
    /// The text that was looked up last and has no slot.
    fresh: Template,
    skeleton: Skeleton,
    /// By hash of a skeleton: which of its gaps hold numbers that stay.
    kept_gaps: HashMap<u64, Box<[u32]>, foldhash::fast::FixedState>,
    /// By hash of a skeleton and of the numbers that stay.
    forms: HashMap<u64, Form, foldhash::fast::FixedState>,
    stencils: Stencils,
    /// Form of the text that was looked up last, when it is known.
    form: Option<u64>,
    normaliser: Normaliser,
    /// Takes texts that had to be unescaped.
    decoded: Vec<u8>,
}

/// Which text is in a slot.
#[derive(Debug, Clone, Copy, Default)]
struct Key {
    /// Of the text: [`key_hash`]; 0 for none.
    text: u64,
    /// A text that was seen in this slot's place once. When it comes again, it takes the slot.
    candidate: u64,
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
    /// Finds a text, or normalises it. `who` is its writer's number; see [`Statement::who`](super::Statement::who).
    pub(super) fn look_up(&mut self, who: u32, text: Text<'_>) -> Lookup {
        if self.slots.is_empty() {
            self.slots.resize_with(1 << SLOT_BITS, Template::default);
            self.keys.resize(1 << SLOT_BITS, Key::default());
        }
        let hash = key_hash(text);
        let at = slot_of(hash);
        if self.keys[at].text == hash {
            return Lookup::Known(Slot::Cached(at));
        }
        if let Some((stencil, gaps)) = self.stencils.find(who, text)
            && self.fresh.fill(text.raw(), stencil.spans(gaps))
        {
            self.fresh.query = stencil.query;
            self.fresh.request = stencil.request;
            self.fresh.label = stencil.label;
            return Lookup::Known(self.settle(hash));
        }
        self.understand(who, text, hash)
    }

    fn understand(&mut self, who: u32, text: Text<'_>, hash: u64) -> Lookup {
        let mut decoded = std::mem::take(&mut self.decoded);
        let sql = text.decode(&mut decoded);
        let lookup = if self.fill_from_form(sql) {
            if self.skeleton.has_comment() {
                Lookup::Commented(hash)
            } else {
                self.fresh.request = 0;
                self.fresh.label = 0;
                self.cut_stencil(who, text, sql);
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
        self.form = self.form_key(sql);
        let Some(key) = self.form else {
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

    /// Makes a stencil of the text that was looked up last, whose form and tags are known.
    fn cut_stencil(&mut self, who: u32, text: Text<'_>, sql: &[u8]) {
        let Some((key, form)) = self.form.and_then(|key| Some((key, self.forms.get(&key)?))) else {
            return;
        };
        let (gaps, kept_gaps, fresh) = (self.skeleton.gaps(), &self.kept_gaps, &self.fresh);
        let skeleton = self.skeleton.hash();
        self.stencils.learn(who, text, key, || {
            let kept = kept_gaps.get(&skeleton)?;
            let spans = form.operands.iter().map(|placed| placed.span(gaps));
            let means = (fresh.query, fresh.request, fresh.label);
            Stencil::of(text, sql, gaps, kept, spans, means)
        });
    }

    /// Another part of the input: its writers have other numbers.
    pub(super) fn forget_writers(&mut self) {
        self.stencils.forget_writers();
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
        (self.fresh.request, self.fresh.label) = tags;
        self.settle(hash)
    }

    /// Takes down the tags (request and label) of the text that was looked up last, whose form is known.
    pub(super) fn tag(
        &mut self,
        who: u32,
        text: Text<'_>,
        hash: u64,
        (request, label): (u64, u32),
    ) -> Slot {
        self.fresh.request = request;
        self.fresh.label = label;
        let mut decoded = std::mem::take(&mut self.decoded);
        self.cut_stencil(who, text, text.decode(&mut decoded));
        self.decoded = decoded;
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
            self.stencils = Stencils::default();
        }
        let key = key_of(skeleton, &kept, gaps, sql);
        self.kept_gaps.insert(skeleton, kept);
        self.forms.insert(key, Form { query, operands });
    }

    /// Gives the fresh text the slot of its hash, unless it has literals and is seen for the first time: those mostly don't come again.
    fn settle(&mut self, hash: u64) -> Slot {
        let at = slot_of(hash);
        let key = &mut self.keys[at];
        if !self.fresh.literals.is_empty() && key.candidate != hash {
            key.candidate = hash;
            return Slot::Fresh;
        }
        key.text = hash;
        std::mem::swap(&mut self.slots[at], &mut self.fresh);
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

/// A hash of a text as logged and of its length, never 0.
fn key_hash(text: Text<'_>) -> u64 {
    let length = (text.raw().len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (text.raw_hash() ^ length).max(1)
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
    pub(super) fn of(span: &OperandSpan, gaps: &[Gap]) -> Option<Self> {
        Some(Self {
            start: Anchor::of(span.start, gaps)?,
            end: Anchor::of(span.end, gaps)?,
            kind: span.kind,
            list_len: span.list_len,
        })
    }

    pub(super) fn span(&self, gaps: &[Gap]) -> Option<OperandSpan> {
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
    use crate::workload::Escape;

    /// What the fold would be told of a text: its query here stands for its normalised text.
    fn told(
        templates: &mut Templates,
        queries: &mut Vec<String>,
        (raw, escape): (&str, Escape),
    ) -> (String, Vec<String>) {
        let text = Text::new(raw.as_bytes(), escape);
        let slot = match templates.look_up(1, text) {
            Lookup::Known(slot) => slot,
            Lookup::Commented(hash) => templates.tag(1, text, hash, (0, 0)),
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
        for escape in [Escape::None, Escape::Tabs, Escape::Quotes] {
            let raw = texts.iter().map(|text| match escape {
                Escape::Tabs => text.replace('\n', "\n\t"),
                Escape::Quotes => text.replace('"', "\"\""),
                _ => text.clone(),
            });
            check_written(&raw.collect::<Vec<_>>(), escape);
        }
    }

    fn check_written(texts: &[String], escape: Escape) {
        let mut templates = Templates::default();
        let mut queries = Vec::new();
        // texts follow each other as before, and each follows itself
        let in_turn = texts.iter().chain(texts).chain(texts);
        let again = texts.iter().flat_map(|text| [text; 3]);
        for sql in in_turn.chain(again) {
            let nothing = &mut Templates::default();
            let expected = told(nothing, &mut Vec::new(), (sql, escape));
            assert_eq!(
                told(&mut templates, &mut queries, (sql, escape)),
                expected,
                "{escape:?} {sql} among {texts:?}"
            );
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
                "]", "and", "is null", "null", "/* c? */", "set", "E", ".", "cast(", "as varchar(", ";", "group by", "--?\n", "interval", "\n", "\"c\" =", "(?)", ",?,?", "= ?;",
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
