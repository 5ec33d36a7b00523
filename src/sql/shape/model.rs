//! The types of a query's shape. Names are as written in the query, folded to lower case where unquoted; `advise` resolves them against the catalog.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a statement does.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum StatementKind {
    /// SELECT, VALUES, TABLE, WITH … SELECT
    Select,
    /// INSERT
    Insert,
    /// UPDATE
    Update,
    /// DELETE
    Delete,
    /// MERGE
    Merge,
    /// Everything else: DDL, SET, transaction control, COPY, …
    #[default]
    Utility,
}

/// A statement's columns by role.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryShape {
    /// What it does.
    pub kind: StatementKind,
    /// Every reference to a base relation, in every scope (CTEs, subqueries, set operations), in order of appearance. CTE names are
    /// resolved away. Two references to one relation are two scans.
    pub scans: Vec<Scan>,
    /// The outermost SELECT's output is a lone `count(…)`.
    pub is_count: bool,
    /// The statement only asks whether rows exist (`SELECT 1 … LIMIT 1`, `SELECT EXISTS (…)`).
    pub is_exists: bool,
    /// Outermost LIMIT.
    pub limit: Option<LimitClause>,
    /// Outermost OFFSET is present.
    pub has_offset: bool,
    /// `FOR UPDATE`, `FOR SHARE`, … anywhere.
    pub locks_rows: bool,
    /// `SKIP LOCKED` anywhere: a queue's worker.
    pub skips_locked: bool,
    /// For INSERT … VALUES: number of tuples; 0 for other statements.
    pub n_value_tuples: u32,
    /// Columns set by UPDATE or ON CONFLICT DO UPDATE, or listed by INSERT.
    pub written_columns: Vec<String>,
    /// Function names called anywhere, lower case, sorted, without duplicates.
    pub functions: Vec<String>,
    /// Operators called anywhere, as written, sorted, without duplicates; `OPERATOR(s.+)` keeps its schema.
    pub operators: Vec<String>,
    /// Types that something is cast to, lower case, sorted, without duplicates.
    pub cast_types: Vec<String>,
    /// Highest `$n`.
    pub n_parameters: u16,
    /// Some unqualified column could not be attributed without knowing the relations' columns: such columns are in no scan. Parse again with
    /// [`super::parse_with`] to have them resolved.
    pub has_unresolved: bool,
}

impl QueryShape {
    /// Gives back memory that was taken to grow: thousands of shapes are kept, and most of their lists hold one or two of four.
    pub(super) fn fit(&mut self) {
        self.scans.shrink_to_fit();
        self.written_columns.shrink_to_fit();
        self.functions.shrink_to_fit();
        self.operators.shrink_to_fit();
        self.cast_types.shrink_to_fit();
        for scan in &mut self.scans {
            scan.predicates.shrink_to_fit();
            scan.any_of.shrink_to_fit();
            scan.other_conditions.shrink_to_fit();
            scan.sort.shrink_to_fit();
            scan.group.shrink_to_fit();
            scan.distinct_on.shrink_to_fit();
            scan.min_max.shrink_to_fit();
            scan.columns.shrink_to_fit();
        }
    }
}

/// A relation as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelationRef {
    /// Schema, if written.
    pub schema: Option<String>,
    /// Name.
    pub name: String,
}

/// How a relation is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScanRole {
    /// Read in FROM or JOIN.
    #[default]
    Read,
    /// Target of UPDATE, DELETE or MERGE: read and written.
    Target,
    /// Target of INSERT: written only.
    InsertInto,
}

/// One reference to a base relation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// The relation as written.
    pub relation: RelationRef,
    /// Alias, or the relation's name.
    pub alias: String,
    /// Read or written.
    pub role: ScanRole,
    /// Number of the (sub)query that this scan stands in; scans of one scope are joined with each other. 0 is the outermost.
    pub scope: u32,
    /// Conditions that must all hold (top-level ANDs of WHERE and of inner-join ONs; for the nullable side of an outer join its own ON).
    pub predicates: Vec<Predicate>,
    /// ORs whose every branch is one condition on this scan: each branch could use an index of its own.
    pub any_of: Vec<Vec<Predicate>>,
    /// Conditions with OR or NOT, or over several relations, that could not be split; as SQL text.
    pub other_conditions: Vec<String>,
    /// ORDER BY of this scope, when every key is of this scan.
    pub sort: Vec<SortKey>,
    /// GROUP BY or DISTINCT of this scope, when every key is of this scan.
    pub group: Vec<Target>,
    /// `DISTINCT ON (…)` keys, when all are of this scan.
    pub distinct_on: Vec<Target>,
    /// LIMIT of this scope; only useful to this scan when `sort` covers the scope's ORDER BY and nothing above multiplies rows.
    pub limit: Option<LimitClause>,
    /// `min(x)` / `max(x)` over a plain column with no GROUP BY.
    pub min_max: Vec<String>,
    /// Columns of this scan that are read for any purpose (output, conditions, sort …), sorted, without duplicates.
    pub columns: Vec<String>,
    /// `*` or `alias.*`: all columns are read.
    pub all_columns: bool,
    /// The scan stands on the nullable side of an outer join.
    pub nullable: bool,
}

/// A column or an expression over columns of one scan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A plain column.
    Column(String),
    /// An expression as SQL, columns unqualified: `lower(email)`, `(data ->> 'kind')`.
    Expression(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(&crate::sql::quote_identifier(name)),
            Self::Expression(text) => f.write_str(text),
        }
    }
}

/// How a predicate compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// `=`
    Equal,
    /// `IN (…)` or `= ANY (…)`
    In,
    /// `<>`, `NOT IN`
    NotEqual,
    /// `<`, `<=`
    Less,
    /// `>`, `>=`
    Greater,
    /// `BETWEEN`
    Between,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
    /// A boolean column (or `NOT column`, or `IS TRUE`) by itself; the operand holds the literal `true` or `false`.
    IsBool,
    /// `LIKE`
    Like,
    /// `ILIKE`
    ILike,
    /// `~`, `~*`, `SIMILAR TO`
    Regex,
    /// `@>` on json, arrays or ranges
    Contains,
    /// `<@`
    ContainedBy,
    /// `&&`
    Overlaps,
    /// `?`, `?|`, `?&` on jsonb
    HasKey,
    /// `@@` on tsvector or jsonb
    Match,
    /// `(a, b) > (x, y)`: a keyset; one predicate per column, in order
    RowGreater,
    /// `(a, b) < (x, y)`
    RowLess,
    /// Any other operator
    Other,
}

/// What a predicate compares with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// `$n`
    Parameter(u16),
    /// A constant, as SQL text.
    Literal(String),
    /// A list or array: number of elements, 0 when it is one array parameter.
    List(u32),
    /// A column of another scan: a join.
    Column(ColumnRef),
    /// Any other expression, as SQL text (may call functions or read a sub-select).
    Expression(String),
    /// Nothing to compare with (`IS NULL`).
    None,
}

/// A column of a scan, by the scan's position in [`QueryShape::scans`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnRef {
    /// Position in `scans`.
    pub scan: u32,
    /// Column name.
    pub column: String,
}

/// One condition on one scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicate {
    /// Left side, normalised so that the scan's own column or expression stands there.
    pub target: Target,
    /// Operator.
    pub comparison: Comparison,
    /// Right side.
    pub operand: Operand,
    /// The operator as written (`@>`, `~~*`, `<->`).
    pub operator: String,
}

/// One ORDER BY key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKey {
    /// What is sorted by.
    pub target: Target,
    /// DESC
    pub descending: bool,
    /// NULLS FIRST (true), NULLS LAST (false), or the direction's default.
    pub nulls_first: Option<bool>,
}

/// LIMIT or FETCH FIRST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitClause {
    /// A constant.
    Rows(u64),
    /// A parameter or an expression.
    Unknown,
}

/// Why a text has no shape. The `Display` is the reason that the report counts under; it never holds literals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// sqlparser can't parse it.
    #[error("SQL that the parser does not know")]
    Unparsable(String),
    /// More than one statement.
    #[error("several statements in one text")]
    Several,
    /// Nested too deeply or with too many terms to parse safely.
    #[error("SQL too deep or too large to parse safely")]
    TooLarge,
    /// Text was cut (`track_activity_query_size`, log truncation).
    #[error("truncated SQL text")]
    Truncated,
    /// Nothing but comments or white space.
    #[error("empty statement")]
    Empty,
}
