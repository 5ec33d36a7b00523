//! Which operators ANALYZE used: `pg_stats` does not say, but they follow from the column's type.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DbError, Reader};

/// What statistics need to know of a type.
#[derive(Debug, Clone, Default, Deserialize)]
struct TypeFacts {
    oid: u32,
    name: String,
    kind: String,
    category: String,
    base: u32,
    element: u32,
    /// Types that this one is binary-coercible to, implicitly.
    coercible: Vec<u32>,
}

/// Equality and order of one operator class.
#[derive(Debug, Clone, Deserialize)]
struct ClassFacts {
    input: u32,
    method: String,
    equal: Option<String>,
    less: Option<String>,
}

/// Types and default operator classes of the audited database.
#[derive(Debug)]
pub(super) struct Operators {
    types: BTreeMap<u32, TypeFacts>,
    classes: Vec<ClassFacts>,
}

/// Pseudo-types under which default operator classes of whole families are registered.
const ANY_ENUM: u32 = 3500;
const ANY_ARRAY: u32 = 2277;
const ANY_RANGE: u32 = 3831;
const ANY_MULTIRANGE: u32 = 4537;
const RECORD: u32 = 2249;

/// Domains nest; deeper than this nobody goes.
const MAX_DOMAIN_DEPTH: usize = 32;

impl Operators {
    pub(super) async fn read(reader: &Reader<'_>) -> Result<Self, DbError> {
        let types: Vec<TypeFacts> = reader.rows("reading types", TYPES, &[]).await?;
        let classes = reader
            .rows("reading operator classes", CLASSES, &[])
            .await?;
        Ok(Self {
            types: types.into_iter().map(|facts| (facts.oid, facts)).collect(),
            classes,
        })
    }

    /// The type under all domains.
    pub(super) fn base(&self, oid: u32) -> u32 {
        let mut at = oid;
        for _ in 0..MAX_DOMAIN_DEPTH {
            match self.types.get(&at) {
                Some(facts) if facts.kind == "d" => at = facts.base,
                _ => break,
            }
        }
        at
    }

    /// `format_type` of a type.
    pub(super) fn name(&self, oid: u32) -> String {
        self.types
            .get(&oid)
            .map(|facts| facts.name.clone())
            .unwrap_or_default()
    }

    /// Element type of an array; of a tsvector, text.
    pub(super) fn element(&self, oid: u32) -> u32 {
        const TSVECTOR: u32 = 3614;
        const TEXT: u32 = 25;
        match self.base(oid) {
            TSVECTOR => TEXT,
            base => self.types.get(&base).map_or(0, |facts| facts.element),
        }
    }

    pub(super) fn equal(&self, oid: u32) -> Option<String> {
        self.class(oid)?.equal.clone()
    }

    pub(super) fn less(&self, oid: u32) -> Option<String> {
        self.class(oid)?.less.clone()
    }

    /// As `lookup_type_cache` does: the default b-tree class of the type, else its default hash class.
    fn class(&self, oid: u32) -> Option<&ClassFacts> {
        let base = self.base(oid);
        let facts = self.types.get(&base)?;
        let family = match (facts.kind.as_str(), facts.category.as_str()) {
            ("e", _) => Some(ANY_ENUM),
            ("r", _) => Some(ANY_RANGE),
            ("m", _) => Some(ANY_MULTIRANGE),
            ("c", _) => Some(RECORD),
            (_, "A") => Some(ANY_ARRAY),
            _ => None,
        };
        let candidates: Vec<u32> = [base]
            .into_iter()
            .chain(family)
            .chain(facts.coercible.iter().copied())
            .collect();
        ["btree", "hash"].into_iter().find_map(|method| {
            candidates.iter().find_map(|input| {
                self.classes
                    .iter()
                    .find(|class| class.method == method && class.input == *input)
            })
        })
    }
}

const TYPES: &str = "SELECT json_build_object('oid', t.oid::int8, 'name', format_type(t.oid, NULL), 'kind', t.typtype::text, 'category', t.typcategory::text, \
    'base', t.typbasetype::int8, 'element', CASE WHEN t.typlen = -1 THEN t.typelem::int8 ELSE 0 END, \
    'coercible', (SELECT coalesce(json_agg(k.casttarget::int8 ORDER BY k.casttarget), '[]') FROM pg_cast k WHERE k.castsource = t.oid AND k.castmethod = 'b' AND k.castcontext = 'i'))::text \
    FROM pg_type t WHERE t.oid IN (SELECT atttypid FROM pg_attribute UNION SELECT e.typelem FROM pg_attribute a JOIN pg_type e ON e.oid = a.atttypid) \
    OR t.typtype IN ('d', 'r') OR t.oid IN (SELECT typbasetype FROM pg_type WHERE typtype = 'd') \
    OR t.oid IN (SELECT b.typelem FROM pg_type d JOIN pg_type b ON b.oid = d.typbasetype WHERE d.typtype = 'd')";

const CLASSES: &str = "SELECT json_build_object('input', c.opcintype::int8, 'method', am.amname, \
    'equal', max(CASE WHEN o.amopstrategy = CASE am.amname WHEN 'btree' THEN 3 ELSE 1 END THEN o.amopopr::regoperator::text END), \
    'less', max(CASE WHEN am.amname = 'btree' AND o.amopstrategy = 1 THEN o.amopopr::regoperator::text END))::text \
    FROM pg_opclass c JOIN pg_am am ON am.oid = c.opcmethod JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype \
    WHERE c.opcdefault AND am.amname IN ('btree', 'hash') GROUP BY c.opcintype, am.amname";
