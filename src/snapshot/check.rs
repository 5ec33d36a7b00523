//! Is what a snapshot says possible? Refuses numbers and names that no server has, before anything is made of them.

use super::Snapshot;
use crate::catalog::{
    RelationName,
    planner::{ExtendedStatistics, PhysicalState, PlannerState, StatisticRow},
};

/// `server_version_num` of servers whose catalogs we know how to stand for.
const VERSIONS: std::ops::RangeInclusive<u32> = 130_000..=999_999;
/// Longest name: `NAMEDATALEN` is 64 unless compiled otherwise, characters of up to 4 bytes do not make it longer.
const MAX_NAME_BYTES: usize = 255;
/// `MaxBlockNumber`
const MAX_BLOCKS: u64 = 0xffff_fffe;
/// All relations together, blocks: 64 TiB. Each GiB is one sparse file of a twin.
const MAX_TOTAL_BLOCKS: u64 = 8 << 30;
/// Relations; more than any schema that a catalog of this form was read from.
const MAX_RELATIONS: usize = 500_000;
/// `STATISTIC_NUM_SLOTS`
const MAX_SLOTS: usize = 5;
/// Ten times `MAX_STATISTICS_TARGET` (most common elements, `compute_array_stats`), with the minimum, maximum and share of NULLs.
const MAX_SLOT_VALUES: usize = 100_003;
/// `STATS_MCVLIST_MAX_ITEMS`
const MAX_COMBINATIONS: usize = 10_000;
/// More levels than a b-tree of 2^32 pages can have.
const MAX_HEIGHT: u32 = 21;

/// What is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckError(String);

fn refuse<T>(why: impl Into<String>) -> Result<T, CheckError> {
    Err(CheckError(why.into()))
}

/// Checks a snapshot as read.
pub(super) fn check(snapshot: &Snapshot) -> Result<(), CheckError> {
    match &snapshot.planner {
        Some(planner) => check_planner(planner),
        None => Ok(()),
    }
}

fn check_planner(state: &PlannerState) -> Result<(), CheckError> {
    if !VERSIONS.contains(&state.version_num) {
        return refuse(format!("server version {}", state.version_num));
    }
    let objects = &state.objects;
    if objects.tables.len() + objects.indexes.len() > MAX_RELATIONS
        || state.physical.len() > 2 * MAX_RELATIONS
    {
        return refuse("more relations than a database can have");
    }
    for name in &objects.schemas {
        check_name(name)?;
    }
    let names = (objects.tables.iter().map(|table| &table.name))
        .chain(objects.indexes.iter().map(|index| &index.name))
        .chain(objects.views.iter().map(|view| &view.name))
        .chain(objects.types.iter().map(|def| &def.name))
        .chain(objects.functions.iter().map(|function| &function.name))
        .chain(objects.statistics.iter().map(|statistics| &statistics.name));
    for name in names {
        check_relation_name(name)?;
    }
    for column in objects.tables.iter().flat_map(|table| &table.columns) {
        check_name(&column.name)?;
    }
    let mut total = 0_u64;
    for physical in &state.physical {
        check_physical(physical)?;
        total += physical.n_blocks;
    }
    if total > MAX_TOTAL_BLOCKS {
        return refuse("more than 64 TiB of relations");
    }
    let rows = (state
        .column_statistics
        .iter()
        .map(|statistics| &statistics.row))
    .chain(
        state
            .extended_statistics
            .iter()
            .flat_map(|statistics| &statistics.expressions),
    );
    rows.into_iter().try_for_each(check_row)?;
    state
        .extended_statistics
        .iter()
        .try_for_each(check_extended)
}

/// Numbers that the planner would take as they are.
fn check_extended(statistics: &ExtendedStatistics) -> Result<(), CheckError> {
    let share = |value: f64| (0.0..=1.0).contains(&value);
    let combinations = statistics.combinations.iter();
    let possible = statistics
        .n_distinct
        .iter()
        .all(|group| group.n_distinct.is_finite())
        && statistics
            .dependencies
            .iter()
            .all(|dependency| share(dependency.degree))
        && combinations.into_iter().all(|combinations| {
            combinations.items.len() <= MAX_COMBINATIONS
                && combinations
                    .items
                    .iter()
                    .all(|item| share(item.frequency) && share(item.base_frequency))
        });
    if possible {
        Ok(())
    } else {
        refuse(format!("extended statistics {}", statistics.name))
    }
}

fn check_name(name: &str) -> Result<(), CheckError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
        return refuse(format!("a name of {} bytes", name.len()));
    }
    Ok(())
}

fn check_relation_name(name: &RelationName) -> Result<(), CheckError> {
    check_name(&name.schema)?;
    check_name(&name.name)?;
    if name.schema.starts_with("pg_") || name.schema == "information_schema" {
        return refuse(format!("an object in the system's schema {}", name.schema));
    }
    Ok(())
}

fn check_physical(physical: &PhysicalState) -> Result<(), CheckError> {
    let pages = -1..=i64::from(i32::MAX);
    let possible = physical.n_blocks <= MAX_BLOCKS
        && physical.reltuples.is_finite()
        && physical.reltuples >= -1.0
        && pages.contains(&physical.relpages)
        && pages.contains(&physical.relallvisible)
        && physical.relallfrozen.is_none_or(|n| pages.contains(&n))
        && physical.height.is_none_or(|height| height <= MAX_HEIGHT);
    if possible {
        Ok(())
    } else {
        refuse(format!("sizes of {}", physical.name))
    }
}

fn check_row(row: &StatisticRow) -> Result<(), CheckError> {
    let possible = (0.0..=1.0).contains(&row.null_frac)
        && row.n_distinct.is_finite()
        && row.n_distinct >= -1.0
        && row.width >= 0
        && row.slots.len() <= MAX_SLOTS
        && row.slots.iter().all(|slot| {
            slot.values
                .as_ref()
                .is_none_or(|values| values.elements.len() <= MAX_SLOT_VALUES)
                && slot.numbers.as_ref().is_none_or(|numbers| {
                    numbers.len() <= MAX_SLOT_VALUES && numbers.iter().all(|n| n.is_finite())
                })
        });
    if possible {
        Ok(())
    } else {
        refuse("column statistics that ANALYZE does not make")
    }
}
