//! Objects that must exist before a query can be planned: types, tables, indexes, constraints, views, functions.
//!
//! Expressions are SQL as `pg_get_expr` and its kin print it under `search_path = pg_catalog`, so that every name outside `pg_catalog`
//! is qualified.

use serde::{Deserialize, Serialize};

use crate::catalog::RelationName;

/// All objects, each list in order of creation on the audited server, which is nearly the order of dependency.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchemaObjects {
    /// `pg_namespace`, user schemas only.
    pub schemas: Vec<String>,
    /// `pg_extension`
    pub extensions: Vec<ExtensionDef>,
    /// User-defined collations.
    pub collations: Vec<CollationDef>,
    /// User-defined text search dictionaries.
    pub search_dictionaries: Vec<SearchDictionaryDef>,
    /// User-defined text search configurations.
    pub search_configurations: Vec<SearchConfigurationDef>,
    /// Enums, domains, composite and range types.
    pub types: Vec<TypeDef>,
    /// Sequences, apart from those of identity columns.
    pub sequences: Vec<RelationName>,
    /// Functions, apart from triggers and those of extensions.
    pub functions: Vec<FunctionDef>,
    /// Plain aggregates.
    pub aggregates: Vec<AggregateDef>,
    /// Operators.
    pub operators: Vec<OperatorDef>,
    /// Casts from or to user-defined types.
    pub casts: Vec<CastDef>,
    /// Tables, partitioned tables, materialised views and foreign tables.
    pub tables: Vec<TableDef>,
    /// Views.
    pub views: Vec<ViewDef>,
    /// Primary keys, unique and exclusion constraints, checks, foreign keys.
    pub constraints: Vec<ConstraintDef>,
    /// Indexes that no constraint owns, and the parents of those that one does.
    pub indexes: Vec<IndexObject>,
    /// `pg_statistic_ext`
    pub statistics: Vec<StatisticsDef>,
    /// Row-level security policies that apply to the audited role.
    pub policies: Vec<PolicyDef>,
    /// Objects left out on purpose.
    pub dropped: Vec<Dropped>,
}

/// Objects of a kind that the capture leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// What it is: `operator`, `aggregate`, …
    pub kind: String,
    /// How many.
    pub n: u64,
}

/// One extension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionDef {
    /// `extname`
    pub name: String,
    /// Schema of its objects.
    pub schema: String,
    /// `extversion`
    pub version: String,
}

/// One user-defined collation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollationDef {
    /// Schema and name.
    pub name: RelationName,
    /// `collprovider`
    pub provider: String,
    /// Locale (ICU) or `collcollate`.
    pub locale: String,
    /// `collisdeterministic`
    pub deterministic: bool,
}

/// One user-defined type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDef {
    /// Schema and name.
    pub name: RelationName,
    /// What it is.
    pub shape: TypeShape,
}

/// What a user-defined type is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeShape {
    /// Labels in order.
    Enum(Vec<String>),
    /// A domain.
    Domain {
        /// Base type as SQL.
        base: String,
        /// NOT NULL
        not_null: bool,
        /// Collation as SQL where it differs from the base type's.
        collation: Option<String>,
        /// Check constraints as `pg_get_constraintdef` prints them.
        checks: Vec<String>,
    },
    /// A free-standing composite type: (name, type, collation) of each attribute.
    Composite(Vec<(String, String, Option<String>)>),
    /// A range.
    Range {
        /// Subtype as SQL.
        subtype: String,
        /// Collation as SQL.
        collation: Option<String>,
        /// Operator class of the subtype, as SQL, where it isn't the default.
        opclass: Option<String>,
        /// Function that gives the distance of two values: estimates interpolate with it.
        difference: Option<String>,
        /// Name of its multirange type (14+).
        multirange: Option<String>,
    },
}

/// One function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FunctionDef {
    /// Schema and name.
    pub name: RelationName,
    /// Arguments with defaults, as SQL.
    pub arguments: String,
    /// Result as SQL; empty for procedures.
    pub result: String,
    /// Has OUT or TABLE arguments.
    pub has_out: bool,
    /// Language.
    pub language: String,
    /// `provolatile`
    pub volatility: String,
    /// `proparallel`
    pub parallel: String,
    /// `proisstrict`
    pub strict: bool,
    /// `prosecdef`: such a function is never inlined.
    pub security_definer: bool,
    /// Has settings of its own (`proconfig`): never inlined either.
    pub has_settings: bool,
    /// The `search_path` among these.
    #[serde(default)]
    pub search_path: Option<String>,
    /// `procost`
    pub cost: f64,
    /// `prorows`
    pub rows: f64,
    /// Body: `prosrc`, or the SQL-standard body (`BEGIN ATOMIC …`, `RETURN …`).
    pub body: Option<String>,
    /// The body is an SQL-standard one.
    pub sql_body: bool,
}

/// One text search dictionary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchDictionaryDef {
    /// Schema and name.
    pub name: RelationName,
    /// Template, as SQL.
    pub template: String,
    /// `dictinitoption`: options as SQL.
    pub options: Option<String>,
}

/// One text search configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchConfigurationDef {
    /// Schema and name.
    pub name: RelationName,
    /// Parser, as SQL.
    pub parser: String,
    /// Kind of token, and its dictionaries as SQL, in order.
    pub mappings: Vec<(String, Vec<String>)>,
}

/// One aggregate. Functions and types are SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateDef {
    /// Schema and name.
    pub name: RelationName,
    /// Arguments, as SQL.
    pub arguments: String,
    /// `SFUNC`, `STYPE`, `FINALFUNC`, …: (option, value as SQL).
    pub options: Vec<(String, String)>,
    /// `proparallel`
    pub parallel: String,
}

/// One operator. Functions, types and operators are SQL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDef {
    /// Schema and name.
    pub name: RelationName,
    /// `PROCEDURE`, `LEFTARG`, `RESTRICT`, …: (option, value as SQL).
    pub options: Vec<(String, String)>,
    /// `oprcanhash`
    pub hashes: bool,
    /// `oprcanmerge`
    pub merges: bool,
}

/// One cast.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CastDef {
    /// From, as SQL.
    pub source: String,
    /// To, as SQL.
    pub target: String,
    /// Function with its arguments; `None` for casts through text.
    pub function: Option<String>,
    /// `castcontext`: `e`, `a` or `i`.
    pub context: String,
}

/// `pg_class.relkind` of relations with columns and pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// `r`
    #[default]
    Table,
    /// `p`
    Partitioned,
    /// `m`: a plain table in the twin.
    MaterializedView,
    /// `f`: a plain table in the twin, and said so.
    Foreign,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableDef {
    /// Schema and name.
    pub name: RelationName,
    /// What it is.
    pub kind: TableKind,
    /// `relpersistence` is `u`.
    pub unlogged: bool,
    /// Columns in `attnum` order, dropped ones left out.
    pub columns: Vec<ColumnDef>,
    /// `attnum` of dropped columns: they decide which columns a scan hands on, and the width of an INSERT.
    #[serde(default)]
    pub dropped: Vec<u16>,
    /// `pg_get_partkeydef`
    pub partition_key: Option<String>,
    /// Partitioned parent and `FOR VALUES …`, of a partition.
    pub partition_of: Option<(RelationName, String)>,
    /// Inheritance parents in order.
    pub inherits: Vec<RelationName>,
    /// `reloptions` that the planner reads: `parallel_workers`, `fillfactor`.
    pub options: Vec<String>,
    /// Tablespace that has planner options.
    pub tablespace: Option<String>,
    /// Row-level security applies to the audited role.
    pub row_security: bool,
}

/// One column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// `attname`
    pub name: String,
    /// `format_type` with modifier.
    pub type_name: String,
    /// Collation as SQL where it isn't the type's.
    pub collation: Option<String>,
    /// `attnotnull`
    pub not_null: bool,
    /// `attidentity`: empty, `a` or `d`.
    pub identity: String,
    /// Sequence of an identity column.
    #[serde(default)]
    pub sequence: Option<RelationName>,
    /// `attgenerated`: empty, `s` or `v`.
    pub generated: String,
    /// Default or generation expression.
    pub expression: Option<String>,
}

/// One view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDef {
    /// Schema and name.
    pub name: RelationName,
    /// `pg_get_viewdef`
    pub definition: String,
    /// Columns: (name, type).
    pub columns: Vec<(String, String)>,
    /// `security_barrier`
    pub security_barrier: bool,
}

/// `pg_constraint.contype` of the constraints that the planner reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    /// `p`
    #[default]
    Primary,
    /// `u`
    Unique,
    /// `x`
    Exclusion,
    /// `c`
    Check,
    /// `f`
    Foreign,
}

/// One table constraint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintDef {
    /// Constrained table.
    pub table: RelationName,
    /// `conname`
    pub name: String,
    /// What it is.
    pub kind: ConstraintKind,
    /// `pg_get_constraintdef`
    pub definition: String,
}

/// One index as an object of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexObject {
    /// Schema and name.
    pub name: RelationName,
    /// Indexed table.
    pub table: RelationName,
    /// `pg_get_indexdef`; `None` when a constraint creates it.
    pub definition: Option<String>,
    /// `indisvalid`
    pub valid: bool,
    /// Partitioned index that it is attached to.
    pub parent: Option<RelationName>,
    /// The table is partitioned: the index has no pages.
    pub partitioned: bool,
}

/// One extended statistics object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsDef {
    /// Schema and name.
    pub name: RelationName,
    /// `pg_get_statisticsobjdef`
    pub definition: String,
}

/// One policy, made to apply to everybody because the twin has one role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDef {
    /// Its table.
    pub table: RelationName,
    /// `polname`
    pub name: String,
    /// `polpermissive`
    pub permissive: bool,
    /// `polcmd`: `r`, `a`, `w`, `d` or `*`.
    pub command: String,
    /// USING
    pub using: Option<String>,
    /// WITH CHECK
    pub check: Option<String>,
}
