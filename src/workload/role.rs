//! What part a statement plays in a session: a point query that may be looped, a query whose rows may drive a loop, a boundary, or chatter.
//!
//! Worked out once per fingerprint, from its normalised text and its shape.

use crate::sql::{
    QueryShape, StatementKind,
    shape::{Comparison, LimitClause, Operand, Scan, ScanRole, Target},
};

/// The part a statement plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// A SELECT by equality: may be the repeated child of a loop.
    Point,
    /// Any other SELECT.
    List,
    /// INSERT of one row, UPDATE or DELETE by equality: may be a loop's body.
    Write,
    /// BEGIN, START TRANSACTION
    Begin,
    /// COMMIT, END, ROLLBACK, PREPARE TRANSACTION
    End,
    /// A change of context between units of work: `SET search_path`, `SET ROLE`, `set_config(…)`.
    Boundary,
    /// CREATE, ALTER, DROP, TRUNCATE
    Ddl,
    /// Driver and pool housekeeping: never part of a sequence.
    Chatter,
    /// Counts as work, and is never repeated by a loop of ours (COPY, CALL, bulk writes …).
    #[default]
    Other,
}

/// First words of housekeeping.
const CHATTER: [&str; 13] = [
    "reset",
    "discard",
    "show",
    "deallocate",
    "listen",
    "unlisten",
    "notify",
    "fetch",
    "move",
    "close",
    "lock",
    "explain",
    "prepare",
];
/// First words of DDL and maintenance.
const DDL: [&str; 12] = [
    "create", "alter", "drop", "truncate", "comment", "grant", "revoke", "vacuum", "analyze",
    "reindex", "cluster", "refresh",
];

/// What the window machine needs to know about a fingerprint.
#[derive(Debug, Clone, Default)]
pub(super) struct Traits {
    pub(super) role: Role,
    /// Placeholders (0-based) that are compared for equality, or a row's values: the key of a loop.
    pub(super) key: Vec<u16>,
    /// The placeholder of LIMIT.
    pub(super) limit: Option<u16>,
    /// Placeholders that page: LIMIT, OFFSET, and ranges.
    pub(super) paging: Vec<u16>,
    /// At most one row, as far as the text tells: it cannot drive a loop.
    pub(super) single_row: bool,
    /// Takes row locks (`FOR UPDATE`).
    pub(super) locks_rows: bool,
    /// Undoes work: ROLLBACK, also to a savepoint.
    pub(super) undoes: bool,
    /// SAVEPOINT
    pub(super) saves: bool,
    /// The relation written, for writes.
    pub(super) writes: Option<String>,
    /// The relation that holds the key, for point queries.
    pub(super) reads: Option<String>,
}

impl Traits {
    /// From the normalised text (its placeholders are `$1`, `$2` … in order) and the shape, if the text could be parsed.
    pub(super) fn of(text: &str, kind: StatementKind, shape: Option<&QueryShape>) -> Self {
        let mut traits = match (Self::by_words(text), shape) {
            (Some(role), _) => Self {
                role,
                undoes: starts_with_any(text, &["rollback", "abort"]),
                saves: starts_with_any(text, &["savepoint"]),
                ..Self::default()
            },
            (None, Some(shape)) => Self::of_shape(text, shape),
            (None, None) => Self {
                role: match kind {
                    StatementKind::Select => Role::List,
                    _ => Role::Other,
                },
                ..Self::default()
            },
        };
        traits.key.sort_unstable();
        traits
    }

    /// May its rows drive a loop?
    pub(super) fn can_drive(&self) -> bool {
        matches!(self.role, Role::List | Role::Point) && !self.single_row
    }

    /// May it be a loop's body?
    pub(super) fn can_repeat(&self) -> bool {
        matches!(self.role, Role::Point | Role::Write)
    }

    /// Statements that are recognised by their first words alone.
    fn by_words(text: &str) -> Option<Role> {
        let mut words = text
            .split(|c: char| c.is_ascii_whitespace() || c == ';' || c == '(')
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase);
        let first = words.next()?;
        let second = words.next().unwrap_or_default();
        Some(match (first.as_str(), second.as_str()) {
            ("begin" | "start", _) => Role::Begin,
            ("rollback", "to") | ("savepoint" | "release", _) => Role::Chatter,
            ("commit" | "end" | "abort" | "rollback", _) | ("prepare", "transaction") => Role::End,
            ("set", _) => set_role(text),
            (word, _) if CHATTER.contains(&word) => Role::Chatter,
            ("declare", _) => Role::List,
            (word, _) if DDL.contains(&word) => Role::Ddl,
            ("copy" | "call" | "do" | "merge", _) => Role::Other,
            ("select", _) => return select_role(text),
            _ => return None,
        })
    }

    fn of_shape(text: &str, shape: &QueryShape) -> Self {
        let limit = parameter_after(text, "limit");
        let paging: Vec<u16> = [limit, parameter_after(text, "offset")]
            .into_iter()
            .flatten()
            .chain(ranged_parameters(shape))
            .collect();
        match shape.kind {
            StatementKind::Select if shape.scans.is_empty() => Self {
                role: Role::Chatter,
                ..Self::default()
            },
            StatementKind::Select => Self {
                role: select_shape_role(shape, &paging),
                key: equality_parameters(shape, &paging),
                limit,
                single_row: is_single_row(shape),
                locks_rows: shape.locks_rows,
                reads: keyed_scan(shape).map(|scan| scan.relation.name.clone()),
                paging,
                ..Self::default()
            },
            StatementKind::Insert => insert_traits(shape),
            StatementKind::Update | StatementKind::Delete => {
                let key = equality_parameters(shape, &paging);
                let looped = !key.is_empty() && shape.scans.len() == 1;
                Self {
                    role: if looped { Role::Write } else { Role::Other },
                    key,
                    writes: written(shape),
                    ..Self::default()
                }
            }
            StatementKind::Merge | StatementKind::Utility => Self::default(),
        }
    }
}

fn starts_with_any(text: &str, words: &[&str]) -> bool {
    let text = text.trim_start().as_bytes();
    words.iter().any(|word| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// `SET` that changes whose data is seen is a boundary between units of work; every other is chatter.
fn set_role(text: &str) -> Role {
    let lower = text.to_ascii_lowercase();
    let boundary = ["search_path", " role", "session authorization", "set local"]
        .iter()
        .any(|word| lower.contains(word));
    if boundary {
        Role::Boundary
    } else {
        Role::Chatter
    }
}

/// SELECTs that are housekeeping; `None` for real ones.
fn select_role(text: &str) -> Option<Role> {
    let lower = text.to_ascii_lowercase();
    let has_from = lower.contains(" from ") || lower.contains("\nfrom ");
    if lower.contains("set_config") && !has_from {
        return Some(Role::Boundary);
    }
    let housekeeping = [
        "pg_catalog",
        "information_schema",
        "pg_advisory",
        "pg_try_advisory",
        "pg_type",
        "pg_class",
        "pg_attribute",
        "pg_namespace",
        "pg_sleep",
        "nextval",
        "currval",
        "setval",
        "lastval",
    ]
    .iter()
    .any(|name| lower.contains(name));
    (housekeeping || !has_from).then_some(Role::Chatter)
}

fn select_shape_role(shape: &QueryShape, paging: &[u16]) -> Role {
    if shape.skips_locked {
        Role::Other
    } else if equality_parameters(shape, paging).is_empty() {
        Role::List
    } else {
        Role::Point
    }
}

/// One row at most: counts, existence tests, LIMIT 1, or one relation by its `id`.
fn is_single_row(shape: &QueryShape) -> bool {
    let by_id = match shape.scans.as_slice() {
        [only] => only.predicates.iter().any(|predicate| {
            predicate.comparison == Comparison::Equal
                && matches!(&predicate.target, Target::Column(name) if name.eq_ignore_ascii_case("id"))
                && !matches!(predicate.operand, Operand::Column(_))
        }),
        _ => false,
    };
    by_id || shape.is_count || shape.is_exists || shape.limit == Some(LimitClause::Rows(1))
}

fn insert_traits(shape: &QueryShape) -> Traits {
    let single = shape.n_value_tuples == 1;
    Traits {
        role: if single { Role::Write } else { Role::Other },
        key: if single {
            (0..shape.n_parameters).collect()
        } else {
            Vec::new()
        },
        writes: written(shape),
        ..Traits::default()
    }
}

fn written(shape: &QueryShape) -> Option<String> {
    let target = shape
        .scans
        .iter()
        .find(|scan| scan.role != ScanRole::Read)?;
    Some(target.relation.name.clone())
}

/// The scan that the first equality with a parameter stands on.
#[must_use]
pub fn keyed_scan(shape: &QueryShape) -> Option<&Scan> {
    shape
        .scans
        .iter()
        .find(|scan| scan.predicates.iter().any(|p| is_key(p).is_some()))
}

/// The parameter that a predicate compares for equality (one element, or one array).
#[must_use]
pub fn is_key(predicate: &crate::sql::shape::Predicate) -> Option<u16> {
    match (predicate.comparison, &predicate.operand) {
        (Comparison::Equal | Comparison::In, Operand::Parameter(n)) => Some(*n),
        _ => None,
    }
}

/// 0-based placeholders compared for equality and not used for paging.
fn equality_parameters(shape: &QueryShape, paging: &[u16]) -> Vec<u16> {
    let mut key: Vec<u16> = predicates(shape)
        .filter_map(is_key)
        .filter_map(|n| n.checked_sub(1))
        .filter(|at| !paging.contains(at))
        .collect();
    key.sort_unstable();
    key.dedup();
    key
}

/// 0-based placeholders compared by a range.
fn ranged_parameters(shape: &QueryShape) -> impl Iterator<Item = u16> {
    predicates(shape).filter_map(
        |predicate| match (predicate.comparison, &predicate.operand) {
            (
                Comparison::Less
                | Comparison::Greater
                | Comparison::Between
                | Comparison::RowGreater
                | Comparison::RowLess,
                Operand::Parameter(n),
            ) => n.checked_sub(1),
            _ => None,
        },
    )
}

fn predicates(shape: &QueryShape) -> impl Iterator<Item = &crate::sql::shape::Predicate> {
    shape.scans.iter().flat_map(|scan| &scan.predicates)
}

/// The 0-based placeholder that follows the last `word`, as in `limit $3`.
fn parameter_after(text: &str, word: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let at = lower.rfind(&format!(" {word} $"))? + word.len() + 3;
    let digits: String = lower[at..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse::<u16>().ok()?.checked_sub(1)
}
