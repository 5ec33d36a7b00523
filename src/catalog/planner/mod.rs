//! What the planner looks at, by names: enough to build a server that plans as the audited one does, without its rows.
//!
//! Nothing here holds an OID or an attribute number of the audited server, because those differ in any other server. `db` reads it,
//! `snapshot` keeps and redacts it, `twin` writes it into a throwaway server.

mod array;
pub mod extended;
mod objects;
mod physical;
mod statistics;

pub use array::{format_array, parse_array};
pub use objects::{
    AggregateDef, CastDef, CollationDef, ColumnDef, ConstraintDef, ConstraintKind, Dropped,
    ExtensionDef, FunctionDef, IndexObject, OperatorDef, PolicyDef, SchemaObjects,
    SearchConfigurationDef, SearchDictionaryDef, StatisticsDef, TableDef, TableKind, TypeDef,
    TypeShape, ViewDef,
};
pub use physical::{BrinMeta, Endpoint, GinMeta, HeightSource, PhysicalKind, PhysicalState};
pub use statistics::{
    ColumnStatistics, Combination, CommonCombinations, Dependency, DistinctGroup,
    ExtendedStatistics, McvBlob, Slot, SlotKind, SlotValues, StatisticRow, StatisticsColumn,
    StatisticsTarget,
};

use serde::{Deserialize, Serialize};

/// Block size of every server that a twin can stand for. Others are compiled specially and can't be matched by an installed server.
pub const BLOCK_BYTES: u64 = 8192;

/// Everything that decides a plan, apart from the query itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannerState {
    /// `server_version_num`
    pub version_num: u32,
    /// Role that was captured: row security asks for it by name.
    #[serde(default)]
    pub role: String,
    /// Encoding and locale of the database.
    pub locale: Locale,
    /// Planner settings as a new session of the audited role starts with, sorted by name: role and database settings included.
    pub settings: Vec<PlannerSetting>,
    /// Options of the database's own tablespace (`spcoptions`): what a page costs there, whatever the settings say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespace: Vec<PlannerSetting>,
    /// Objects that the twin creates.
    pub objects: SchemaObjects,
    /// Sizes and index metadata now, sorted by name.
    pub physical: Vec<PhysicalState>,
    /// `pg_statistic`, or what `pg_stats` shows of it.
    pub column_statistics: Vec<ColumnStatistics>,
    /// `pg_statistic_ext_data`
    pub extended_statistics: Vec<ExtendedStatistics>,
    /// Smallest and largest values at the ends of b-tree indexes.
    pub endpoints: Vec<Endpoint>,
    /// What could not be read, with what it costs in fidelity.
    pub gaps: Vec<Gap>,
}

/// Encoding and locale of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locale {
    /// `pg_encoding_to_char(encoding)`, e.g. `UTF8`.
    pub encoding: String,
    /// `datcollate`
    pub collate: String,
    /// `datctype`
    pub ctype: String,
    /// `datlocprovider`: `c` libc, `i` ICU, `b` builtin; `c` before 15.
    pub provider: String,
    /// Locale of ICU or the builtin provider (`datlocale`, `daticulocale`).
    #[serde(default)]
    pub locale: Option<String>,
}

impl Locale {
    /// Does the database compare bytes? Decides whether a plain b-tree serves LIKE prefixes.
    #[must_use]
    pub fn is_c(&self) -> bool {
        match self.provider.as_str() {
            "i" => false,
            "b" => true,
            _ => matches!(self.collate.as_str(), "C" | "POSIX"),
        }
    }
}

/// One planner setting.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlannerSetting {
    /// Name of the parameter.
    pub name: String,
    /// `reset_val`, in the unit of `pg_settings.unit`.
    pub value: String,
}

/// Something that could not be read, and what its lack does to the plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// What is missing: `extended statistics`, `statistics of public.secrets`, …
    pub what: String,
    /// How many objects are affected.
    pub n: u64,
    /// What it costs, in words.
    pub cost: String,
}
