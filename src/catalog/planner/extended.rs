//! Binary forms of extended statistics: `pg_ndistinct`, `pg_dependencies` and `pg_mcv_list`, decoded to names and encoded again.
//!
//! Layouts: `src/backend/statistics/{mvdistinct,dependencies,mcv}.c` and `src/include/statistics/statistics.h`, the same in PostgreSQL 13 to 18.
//! Bytes come from the audited server or from a file that somebody may have changed: everything is checked before it is used.

use super::statistics::{Dependency, DistinctGroup, StatisticsColumn};

/// `STATS_NDISTINCT_MAGIC`
const NDISTINCT_MAGIC: u32 = 0xA352_BFA4;
/// `STATS_DEPS_MAGIC`
const DEPENDENCIES_MAGIC: u32 = 0xB454_9A2C;
/// `STATS_MCV_MAGIC`
const MCV_MAGIC: u32 = 0xE1A6_51C2;
/// The type word of all three (`STATS_*_TYPE_BASIC`).
const TYPE_BASIC: u32 = 1;
/// `STATS_MAX_DIMENSIONS`
const MAX_COLUMNS: usize = 8;
/// Combinations of 8 columns: 2^8 for distinct groups, 8 * 2^7 for dependencies.
const MAX_ITEMS: u32 = 1024;
/// `STATS_MCVLIST_MAX_ITEMS`
const MAX_MCV_ITEMS: u32 = 10_000;
/// `sizeof(DimensionInfo)`
const DIMENSION_BYTES: usize = 20;

/// Why bytes are no extended statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct Malformed(&'static str);

/// Names of attribute numbers, both ways.
pub trait Columns {
    /// The column of a positive number.
    fn name(&self, number: i16) -> Option<String>;
    /// The number of a column.
    fn number(&self, name: &str) -> Option<i16>;
}

/// Decodes `stxdndistinct::bytea`.
pub fn decode_distinct(
    bytes: &[u8],
    columns: &dyn Columns,
) -> Result<Vec<DistinctGroup>, Malformed> {
    let bad = Malformed("pg_ndistinct");
    let mut input = Input(bytes);
    let n = input.header(NDISTINCT_MAGIC, MAX_ITEMS).ok_or(bad)?;
    let mut groups = Vec::new();
    for _ in 0..n {
        let n_distinct = input.f64().ok_or(bad)?;
        let len = input.i32().ok_or(bad)?;
        let columns = input
            .columns(usize::try_from(len).map_err(|_| bad)?, columns)
            .ok_or(bad)?;
        groups.push(DistinctGroup {
            columns,
            n_distinct,
        });
    }
    Ok(groups)
}

/// Encodes for `CAST (bytea AS pg_ndistinct)`; `None` where a column is unknown.
#[must_use]
pub fn encode_distinct(groups: &[DistinctGroup], columns: &dyn Columns) -> Option<Vec<u8>> {
    let mut bytes = header(NDISTINCT_MAGIC, groups.len())?;
    for group in groups {
        bytes.extend(group.n_distinct.to_le_bytes());
        bytes.extend(i32::try_from(group.columns.len()).ok()?.to_le_bytes());
        bytes.extend(numbers(&group.columns, columns)?);
    }
    Some(bytes)
}

/// Decodes `stxddependencies::bytea`.
pub fn decode_dependencies(
    bytes: &[u8],
    columns: &dyn Columns,
) -> Result<Vec<Dependency>, Malformed> {
    let bad = Malformed("pg_dependencies");
    let mut input = Input(bytes);
    let n = input.header(DEPENDENCIES_MAGIC, MAX_ITEMS).ok_or(bad)?;
    let mut found = Vec::new();
    for _ in 0..n {
        let degree = input.f64().ok_or(bad)?;
        let len = input.i16().ok_or(bad)?;
        let columns = input
            .columns(usize::try_from(len).map_err(|_| bad)?, columns)
            .ok_or(bad)?;
        found.push(Dependency { columns, degree });
    }
    Ok(found)
}

/// Encodes for `CAST (bytea AS pg_dependencies)`; `None` where a column is unknown.
#[must_use]
pub fn encode_dependencies(found: &[Dependency], columns: &dyn Columns) -> Option<Vec<u8>> {
    let mut bytes = header(DEPENDENCIES_MAGIC, found.len())?;
    for dependency in found {
        bytes.extend(dependency.degree.to_le_bytes());
        bytes.extend(i16::try_from(dependency.columns.len()).ok()?.to_le_bytes());
        bytes.extend(numbers(&dependency.columns, columns)?);
    }
    Some(bytes)
}

/// What can be told of a `pg_mcv_list` without knowing its types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McvLayout {
    /// Type OID of each dimension.
    pub types: Vec<u32>,
    /// Byte range of each dimension's values.
    values: Vec<std::ops::Range<usize>>,
    /// `typlen` of each dimension.
    lengths: Vec<i32>,
}

impl McvLayout {
    /// Checks every length and index of the blob.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::try_parse(bytes).ok_or(Malformed("pg_mcv_list"))
    }

    fn try_parse(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let n_items = input.header(MCV_MAGIC, MAX_MCV_ITEMS)?;
        let n_columns = usize::try_from(input.i16()?).ok()?;
        // the server refuses an empty list each time it plans
        if n_items == 0 || n_columns == 0 || n_columns > MAX_COLUMNS {
            return None;
        }
        let types = (0..n_columns).map(|_| input.u32()).collect::<Option<_>>()?;
        let dimensions: Vec<Dimension> = (0..n_columns)
            .map(|_| Dimension::read(&mut input))
            .collect::<Option<_>>()?;
        let mut values = Vec::new();
        for dimension in &dimensions {
            let start = bytes.len() - input.0.len();
            dimension.check(input.take(dimension.n_bytes)?)?;
            values.push(start..start + dimension.n_bytes);
        }
        for _ in 0..n_items {
            input
                .take(n_columns)?
                .iter()
                .all(|null| *null <= 1)
                .then_some(())?;
            let (frequency, base) = (input.f64()?, input.f64()?);
            let share = |value: f64| (0.0..=1.0).contains(&value);
            (share(frequency) && share(base)).then_some(())?;
            for dimension in &dimensions {
                let at = u32::from(input.i16()? as u16);
                // an index into no values stands for NULL
                (at < dimension.n_values.max(1)).then_some(())?;
            }
        }
        input.0.is_empty().then_some(Self {
            types,
            values,
            lengths: dimensions.iter().map(|d| d.type_length).collect(),
        })
    }

    /// The 4-byte values of a dimension, which for an enum are label OIDs; empty for other lengths.
    #[must_use]
    pub fn words(&self, bytes: &[u8], dimension: usize) -> Vec<u32> {
        match self.lengths.get(dimension) {
            Some(4) => bytes[self.values[dimension].clone()]
                .chunks_exact(4)
                .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Replaces the type OIDs, and the words of those dimensions that `labels` maps.
    pub fn rewrite(
        &self,
        bytes: &mut [u8],
        types: &[u32],
        labels: &dyn Fn(usize, u32) -> Option<u32>,
    ) {
        for (dimension, oid) in types.iter().enumerate().take(self.types.len()) {
            let at = 14 + 4 * dimension;
            bytes[at..at + 4].copy_from_slice(&oid.to_le_bytes());
            let words = self.words(bytes, dimension);
            for (position, word) in words.into_iter().enumerate() {
                if let Some(new) = labels(dimension, word) {
                    let at = self.values[dimension].start + 4 * position;
                    bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
                }
            }
        }
    }
}

struct Dimension {
    n_values: u32,
    n_bytes: usize,
    type_length: i32,
}

impl Dimension {
    fn read(input: &mut Input<'_>) -> Option<Self> {
        let n_values = u32::try_from(input.i32()?).ok()?;
        let n_bytes = usize::try_from(input.i32()?).ok()?;
        let _aligned = input.i32()?;
        let type_length = input.i32()?;
        input.take(DIMENSION_BYTES - 16)?; // typbyval and padding
        (n_values <= MAX_MCV_ITEMS).then_some(Self {
            n_values,
            n_bytes,
            type_length,
        })
    }

    /// Do the values fill the space exactly?
    fn check(&self, values: &[u8]) -> Option<()> {
        match self.type_length {
            1.. => {
                (values.len() == self.n_values as usize * self.type_length as usize).then_some(())
            }
            -2 | -1 => {
                let mut input = Input(values);
                for _ in 0..self.n_values {
                    let len = input.u32()? as usize;
                    let value = input.take(len)?;
                    (self.type_length == -1 || value.last() == Some(&0)).then_some(())?;
                }
                input.0.is_empty().then_some(())
            }
            _ => None,
        }
    }
}

fn header(magic: u32, n_items: usize) -> Option<Vec<u8>> {
    let n_items = u32::try_from(n_items).ok()?;
    Some(
        [magic, TYPE_BASIC, n_items]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect(),
    )
}

fn numbers(columns: &[StatisticsColumn], known: &dyn Columns) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for column in columns {
        let number = match column {
            StatisticsColumn::Column(name) => known.number(name)?,
            StatisticsColumn::Expression(position) => -position,
        };
        bytes.extend(number.to_le_bytes());
    }
    Some(bytes)
}

/// A reader that never runs past the end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// Magic, type and number of items.
    fn header(&mut self, magic: u32, max_items: u32) -> Option<u32> {
        (self.u32()? == magic && self.u32()? == TYPE_BASIC).then_some(())?;
        self.u32().filter(|n| *n <= max_items)
    }

    fn columns(&mut self, n: usize, known: &dyn Columns) -> Option<Vec<StatisticsColumn>> {
        if n > MAX_COLUMNS {
            return None;
        }
        (0..n)
            .map(|_| {
                Some(match self.i16()? {
                    number @ ..=-1 => StatisticsColumn::Expression(number.checked_neg()?),
                    number => StatisticsColumn::Column(known.name(number)?),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Numbered;

    impl Columns for Numbered {
        fn name(&self, number: i16) -> Option<String> {
            Some(format!("c{number}"))
        }
        fn number(&self, name: &str) -> Option<i16> {
            name.strip_prefix('c')?.parse().ok()
        }
    }

    fn column() -> impl Strategy<Value = StatisticsColumn> {
        prop_oneof![
            (1_i16..1600).prop_map(|n| StatisticsColumn::Column(format!("c{n}"))),
            (1_i16..8).prop_map(StatisticsColumn::Expression),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(
            items in prop::collection::vec((prop::collection::vec(column(), 2..8), 0.0_f64..1e9), 0..20)
        ) {
            let groups: Vec<DistinctGroup> =
                items.iter().map(|(columns, n)| DistinctGroup { columns: columns.clone(), n_distinct: *n }).collect();
            let bytes = encode_distinct(&groups, &Numbered).unwrap();
            prop_assert_eq!(decode_distinct(&bytes, &Numbered).unwrap(), groups);
            let found: Vec<Dependency> =
                items.into_iter().map(|(columns, degree)| Dependency { columns, degree }).collect();
            let bytes = encode_dependencies(&found, &Numbered).unwrap();
            prop_assert_eq!(decode_dependencies(&bytes, &Numbered).unwrap(), found);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_distinct(&bytes, &Numbered);
            let _ = decode_dependencies(&bytes, &Numbered);
            let _ = McvLayout::parse(&bytes);
        }
    }

    /// Two dimensions, an `int4` with two values and a `text` with one; two items.
    fn mcv() -> Vec<u8> {
        let mut bytes = header(MCV_MAGIC, 2).unwrap();
        bytes.extend(2_i16.to_le_bytes());
        bytes.extend([23_u32, 25].iter().flat_map(|t| t.to_le_bytes()));
        for (n_values, n_bytes, length) in [(2_i32, 8_i32, 4_i32), (1, 6, -1)] {
            bytes.extend(
                [n_values, n_bytes, n_bytes, length]
                    .iter()
                    .flat_map(|v| v.to_le_bytes()),
            );
            bytes.extend([0; 4]);
        }
        bytes.extend([7_i32, 9].iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend(b"ab");
        for index in [0_u16, 1] {
            bytes.extend([0, 0]);
            bytes.extend([0.5_f64, 0.25].iter().flat_map(|v| v.to_le_bytes()));
            bytes.extend([index, 0].iter().flat_map(|v| v.to_le_bytes()));
        }
        bytes
    }

    #[test]
    fn a_list_of_common_combinations_is_checked_and_rewritten() {
        let mut bytes = mcv();
        let layout = McvLayout::parse(&bytes).unwrap();
        assert_eq!(layout.types, [23, 25]);
        assert_eq!(layout.words(&bytes, 0), [7, 9]);
        layout.rewrite(&mut bytes, &[1023, 25], &|dimension, word| {
            (dimension == 0).then_some(word + 100)
        });
        let again = McvLayout::parse(&bytes).unwrap();
        assert_eq!(again.types, [1023, 25]);
        assert_eq!(again.words(&bytes, 0), [107, 109]);
    }

    #[test]
    fn a_changed_list_is_refused() {
        let good = mcv();
        assert!(
            McvLayout::parse(&good[..good.len() - 1]).is_err(),
            "cut short"
        );
        let mut long = good.clone();
        long.push(0);
        assert!(McvLayout::parse(&long).is_err(), "too long");
        let mut index = good.clone();
        let last = index.len() - 4;
        index[last] = 5;
        assert!(McvLayout::parse(&index).is_err(), "index out of range");
        let mut length = good;
        length[22 + 20 + 20 + 8] = 200;
        assert!(
            McvLayout::parse(&length).is_err(),
            "value longer than its space"
        );
    }
}
