//! Rows of `pg_statistic` and `pg_statistic_ext_data`, with names where the catalog has OIDs.

use serde::{Deserialize, Serialize};

use crate::catalog::RelationName;

/// What a row of statistics is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsTarget {
    /// A column of a table, by name.
    Column(String),
    /// A key of an expression index, by its number: index columns keep theirs.
    Key(i16),
}

/// Statistics of one column or index key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Table, materialised view or index.
    pub relation: RelationName,
    /// Column or key.
    pub target: StatisticsTarget,
    /// `stainherit`
    pub inherited: bool,
    /// The numbers.
    pub row: StatisticRow,
}

/// The body of a `pg_statistic` row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatisticRow {
    /// `stanullfrac`
    pub null_frac: f32,
    /// `stawidth`
    pub width: i32,
    /// `stadistinct`
    pub n_distinct: f32,
    /// Slots in use, at most five.
    pub slots: Vec<Slot>,
    /// Values are stand-ins that redaction made up: as many, as frequent and as wide as the real ones, in no order of theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_faked: bool,
}

impl StatisticRow {
    /// The slot of that kind.
    #[must_use]
    pub fn slot(&self, kind: SlotKind) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.kind == kind.number())
    }
}

/// Kinds of statistics slots (`src/include/catalog/pg_statistic.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// Most common values.
    MostCommonValues,
    /// Histogram bounds.
    Histogram,
    /// Correlation of physical and logical order.
    Correlation,
    /// Most common elements of arrays and tsvectors.
    MostCommonElements,
    /// Histogram of distinct element counts.
    DistinctElements,
    /// Histogram of range lengths.
    RangeLength,
    /// Histogram of range bounds.
    RangeBounds,
}

impl SlotKind {
    /// `STATISTIC_KIND_*`
    #[must_use]
    pub fn number(self) -> i16 {
        match self {
            Self::MostCommonValues => 1,
            Self::Histogram => 2,
            Self::Correlation => 3,
            Self::MostCommonElements => 4,
            Self::DistinctElements => 5,
            Self::RangeLength => 6,
            Self::RangeBounds => 7,
        }
    }
}

/// One slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// `stakind`
    pub kind: i16,
    /// `staop` as `regoperator` prints it under `search_path = pg_catalog`.
    pub operator: Option<String>,
    /// `stacoll` as `regcollation` prints it.
    pub collation: Option<String>,
    /// `stanumbers`
    pub numbers: Option<Vec<f32>>,
    /// `stavalues`
    pub values: Option<SlotValues>,
}

/// Values of a slot: data of the audited database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotValues {
    /// Type of an element, as SQL; of a domain its base type.
    pub type_name: String,
    /// The elements as text.
    pub elements: Vec<Option<String>>,
}

/// What `pg_statistic_ext_data` holds of one statistics object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExtendedStatistics {
    /// The object.
    pub name: RelationName,
    /// Its table.
    pub table: RelationName,
    /// `stxdinherit` (15+)
    pub inherited: bool,
    /// Numbers of distinct combinations.
    pub n_distinct: Vec<DistinctGroup>,
    /// Functional dependencies.
    pub dependencies: Vec<Dependency>,
    /// Most common combinations.
    pub most_common: Option<McvBlob>,
    /// The same as texts, of the object's columns: where the role may not read the binary form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combinations: Option<CommonCombinations>,
    /// Statistics of expressions, in the object's order.
    pub expressions: Vec<StatisticRow>,
}

/// A column of a statistics object: a name, or the position of an expression counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsColumn {
    /// A column.
    Column(String),
    /// An expression; Postgres numbers them -1, -2, …
    Expression(i16),
}

/// Distinct combinations of some columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistinctGroup {
    /// Columns.
    pub columns: Vec<StatisticsColumn>,
    /// How many combinations.
    pub n_distinct: f64,
}

/// `from` decides `to` in a share `degree` of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// Deciding columns, then the decided one.
    pub columns: Vec<StatisticsColumn>,
    /// 0 to 1.
    pub degree: f64,
}

/// Most common combinations in Postgres's own binary form (`statext_mcv_serialize`), with names for the OIDs inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct McvBlob {
    /// The bytes, in hexadecimal.
    pub hex: String,
    /// Type of each dimension, as SQL.
    pub types: Vec<String>,
    /// Enum labels that occur: (OID on the audited server, type as SQL, label).
    pub labels: Vec<(u32, String, String)>,
}

/// Most common combinations as the planner shows them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CommonCombinations {
    /// Type of each column, as SQL.
    pub types: Vec<String>,
    /// The combinations.
    pub items: Vec<Combination>,
}

/// One combination of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// A value of each column, or NULL.
    pub values: Vec<Option<String>>,
    /// Share of the rows.
    pub frequency: f64,
    /// Share that independent columns would give.
    pub base_frequency: f64,
}
