//! Reads what the planner looks at from an audited server: catalog rows through the guard, in short read-only transactions.
//!
//! Nothing is locked for longer than one catalog query; what a role may not read becomes a [`Gap`] with its price.

mod combinations;
mod endpoints;
mod extended;
mod extended_view;
mod gin;
mod heights;
mod objects;
mod operators;
mod physical;
mod probed_distinct;
mod ranges;
mod settings;
mod statistics;

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    Audited,
    error::{DbError, DbErrorKind},
    guard::{Guarded, Param},
};
use crate::catalog::planner::{Gap, PlannerState};

/// User schemas, in every query below: `n` is `pg_namespace`. No user can make a schema whose name begins with `pg_`.
const USER_SCHEMA: &str = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

/// From this version on `pg_stats` shows histograms of ranges.
const RANGES_SHOWN: u32 = 170_000;

/// What to read beyond catalogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndpointReads {
    /// Probe the ends of b-tree indexes: two index descents a column, each under a timeout of its own. For a role that may not read histograms of
    /// ranges, a bounded sample of pages, too.
    #[default]
    Probe,
    /// Leave them out: nothing but catalogs is read.
    Skip,
}

impl Audited {
    /// Everything that decides plans on this server.
    ///
    /// # Errors
    /// When the catalogs can't be read at all. What a role may not see is no error but a gap.
    pub async fn planner_state(&self, endpoints: EndpointReads) -> Result<PlannerState, DbError> {
        let mut reader = Reader::begin(self).await?;
        let mut state = PlannerState {
            version_num: self.version_num(),
            locale: settings::locale(&reader).await?,
            settings: settings::settings(&reader).await?,
            tablespace: settings::tablespace(&reader).await?,
            objects: objects::read(&reader).await?,
            ..PlannerState::default()
        };
        state.physical = physical::read(&mut reader).await?;
        state.column_statistics = statistics::read(&mut reader).await?;
        state.extended_statistics = extended::read(&mut reader).await?;
        state.role = settings::role(&reader).await?;
        settings::elsewhere(&mut reader).await?;
        let mut gaps = std::mem::take(&mut reader.gaps);
        let is_superuser = reader.is_superuser;
        reader.guarded.end().await?;
        if !is_superuser {
            let objects = probed_distinct::objects(self).await?;
            let (mut shown, hidden) = extended_view::read(self, objects).await?;
            let mut probed = probed_distinct::read(self, &hidden, &mut gaps).await?;
            let known = &state.column_statistics;
            combinations::read(self, &hidden, known, &mut probed, &mut gaps).await?;
            shown.append(&mut probed);
            state.extended_statistics = shown;
        }
        gin::read(self, &mut state.physical, &mut gaps).await?;
        let hides_ranges = !is_superuser && self.version_num() < RANGES_SHOWN;
        if hides_ranges && endpoints == EndpointReads::Probe {
            ranges::read(self, &mut state.column_statistics, &mut gaps).await?;
        } else if hides_ranges {
            gaps.push(Gap {
                what: "histograms of range columns".into(),
                n: 0,
                cost: "left out by choice: conditions on ranges are estimated by default values"
                    .into(),
            });
        }
        heights::read(self, &mut state.physical, &mut gaps).await?;
        if endpoints == EndpointReads::Probe {
            state.endpoints = endpoints::read(self, is_superuser, &mut gaps).await?;
        } else {
            gaps.push(Gap {
                what: "ends of b-tree indexes".into(),
                n: 0,
                cost: "left out by choice: ranges near the newest and oldest values are estimated from histograms".into(),
            });
        }
        state.gaps = gaps;
        Ok(state)
    }
}

/// An open transaction with what could not be read so far.
struct Reader<'a> {
    audited: &'a Audited,
    guarded: Guarded,
    gaps: Vec<Gap>,
    is_superuser: bool,
}

impl<'a> Reader<'a> {
    async fn begin(audited: &'a Audited) -> Result<Self, DbError> {
        let mut reader = Self {
            audited,
            guarded: begin(audited).await?,
            gaps: Vec::new(),
            is_superuser: false,
        };
        let found: Vec<bool> = reader
            .rows(
                "reading the role",
                "SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user",
                &[],
            )
            .await?;
        reader.is_superuser = found == [true];
        Ok(reader)
    }

    fn version_num(&self) -> u32 {
        self.audited.version_num()
    }

    /// Rows of one text column that holds JSON.
    async fn rows<T: DeserializeOwned>(
        &self,
        what: &str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, DbError> {
        rows(&self.guarded, what, sql, params).await
    }

    /// The same, but what the server refuses becomes a gap and an empty answer; the transaction is opened anew.
    async fn rows_or_gap<T: DeserializeOwned>(
        &mut self,
        gap: Gap,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<T>, DbError> {
        match self.rows(&gap.what, sql, params).await {
            Ok(rows) => Ok(rows),
            Err(error) if error.kind() == DbErrorKind::Lost => Err(error),
            Err(_) => {
                self.gaps.push(gap);
                self.guarded = begin(self.audited).await?;
                Ok(Vec::new())
            }
        }
    }
}

/// A transaction in which values print the same whatever the role's settings.
async fn begin(audited: &Audited) -> Result<Guarded, DbError> {
    let guarded = audited.begin().await?;
    set_formats(&guarded).await?;
    Ok(guarded)
}

async fn set_formats(guarded: &Guarded) -> Result<(), DbError> {
    guarded
        .try_batch(3, "SET /* pgassay */ LOCAL TimeZone = 'UTC'; SET /* pgassay */ LOCAL bytea_output = 'hex'; SET /* pgassay */ LOCAL lc_monetary = 'C'")
        .await
        .map_err(|failure| failure.into_error("setting output formats"))
}

async fn rows<T: DeserializeOwned>(
    guarded: &Guarded,
    what: &str,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<T>, DbError> {
    // so that pg_stat_statements' reader tells our own statements from the workload
    let marked = sql.replacen("SELECT ", "SELECT /* pgassay */ ", 1);
    let rows = guarded.query(what, &marked, params).await?;
    rows.iter()
        .map(|row| {
            let text: &str = row.try_get(0).map_err(|_| unexpected(what))?;
            serde_json::from_str(text).map_err(|_| unexpected(what))
        })
        .collect()
}

fn unexpected(what: &str) -> DbError {
    DbError::new(DbErrorKind::Query, format!("{what}: unexpected answer"))
}

fn gap(what: impl Into<String>, n: usize, cost: &str) -> Gap {
    Gap {
        what: what.into(),
        n: n as u64,
        cost: cost.to_owned(),
    }
}

/// How long all optional probing of one kind may take.
const PROBE_BUDGET: Duration = Duration::from_millis(1_500);
