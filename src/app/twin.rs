//! Finds binaries for a twin and builds it.

use std::path::{Path, PathBuf};

use super::{
    Context, Error, ErrorKind,
    binaries::{cache, search},
};
use crate::{
    catalog::planner::PlannerState,
    server::{self, Binaries, ServerError},
    twin::{Fleet, NOT_AVAILABLE, NOT_NEEDED, Twin, TwinError, TwinOptions},
};

/// Where the binaries of a twin come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source<'a> {
    /// `--pg-bin`
    pub pg_bin: Option<&'a Path>,
    /// May they be downloaded?
    pub fetch: bool,
    /// A major version to preview.
    pub as_major: Option<u16>,
    /// How many to price with; by default as many as there are cores and work.
    pub n_twins: Option<usize>,
}

/// Majors that a twin may stand in for an older server with, nearest first.
const NEWER_MAJORS: u16 = 5;

impl Source<'_> {
    /// Binaries of exactly that major version.
    pub(super) fn exact(self, major: u16, context: &Context) -> Result<Binaries, ServerError> {
        let search = search(self.pg_bin, context);
        match server::find(&search, Some(major)) {
            Err(ServerError::NotFound { .. }) if self.fetch => {
                server::fetch(&search, Some(major), &mut |text| context.remark(text))
            }
            found => found,
        }
    }

    /// Refuses an older version than the captured one, before anything is fetched or started.
    pub(super) fn check(self, state: &PlannerState) -> Result<(), Error> {
        let captured = state.version_num / 10_000;
        match self.as_major {
            Some(major) if u32::from(major) < captured => Err(Error::new(
                ErrorKind::Usage,
                format!("--as {major}: the snapshot is of PostgreSQL {captured}, and an older version cannot stand in for it"),
            )
            .hint(format!("name {captured} or a newer version"))),
            _ => Ok(()),
        }
    }

    /// Binaries of that major version, else of the nearest newer one that is at hand.
    fn nearest(self, major: u16, context: &Context) -> Result<Binaries, ServerError> {
        self.exact(major, context).or_else(|error| {
            let search = search(self.pg_bin, context);
            (major + 1..=major + NEWER_MAJORS)
                .find_map(|newer| server::find(&search, Some(newer)).ok())
                .ok_or(error)
        })
    }
}

/// Builds the twin: same major version, else the nearest newer one that is at hand.
///
/// # Errors
/// When there are no binaries, or the server does not start.
pub(super) async fn build(
    state: PlannerState,
    source: Source<'_>,
    context: &Context,
) -> Result<Twin, Error> {
    let (binaries, options) = at_hand(&state, source, context)?;
    let _spinner = context.spinner("building a twin of the server");
    Ok(Twin::build(state, binaries, options).await?)
}

/// Builds `n` of them, to share the work.
///
/// # Errors
/// As [`build`].
pub(super) async fn build_fleet(
    state: PlannerState,
    source: Source<'_>,
    n: usize,
    context: &Context,
) -> Result<Fleet, Error> {
    let (binaries, options) = at_hand(&state, source, context)?;
    let _spinner = context.spinner("building twins of the server");
    Ok(Fleet::build(state, binaries, options, n).await?)
}

/// Most twins by default: each takes 50 MB of disk and 30 MB of memory, and few machines that do this have more idle cores.
const MAX_TWINS: usize = 8;

/// Statements a twin: a copy takes 0.2 s to start, which fewer do not repay.
const STATEMENTS_A_TWIN: usize = 10;

/// Twins to price that many statements with: one a core, as far as there is work for it.
pub(super) fn n_twins(asked: Option<usize>, n_statements: usize) -> usize {
    asked.unwrap_or_else(|| {
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let n_useful = n_statements.div_ceil(STATEMENTS_A_TWIN);
        n_cores.min(MAX_TWINS).min(n_useful).max(1)
    })
}

fn at_hand(
    state: &PlannerState,
    source: Source<'_>,
    context: &Context,
) -> Result<(Binaries, TwinOptions), Error> {
    let captured = u16::try_from(state.version_num / 10_000).unwrap_or(0);
    let binaries = match source.as_major {
        Some(major) => source.exact(major, context)?,
        None => source.nearest(captured, context)?,
    };
    let options = TwinOptions {
        cache: cache(context),
        temp: PathBuf::from("/tmp"),
    };
    Ok((binaries, options))
}

/// What a reader must know of a twin: what it lacks, and whose planner it is.
pub(super) fn remarks(twin: &Twin) -> Vec<String> {
    let mut remarks = Vec::new();
    if !twin.is_same_major() {
        remarks.push(format!(
            "preview: planned by PostgreSQL {}, not by the version that was captured",
            twin.major()
        ));
    }
    let missing = extensions(twin, NOT_AVAILABLE);
    if !missing.is_empty() {
        remarks.push(format!(
            "extensions that are not installed on this machine: {}; the twin has none of their operators and indexes, and statements that need them have other plans or none",
            missing.join(", ")
        ));
    }
    let not_needed = extensions(twin, NOT_NEEDED);
    if !not_needed.is_empty() {
        remarks.push(format!(
            "extensions that the twin goes without: {}",
            not_needed.join(", ")
        ));
    }
    let mut others: Vec<&String> = (twin.skipped().iter())
        .filter(|skipped| !skipped.ends_with(NOT_NEEDED) && !skipped.ends_with(NOT_AVAILABLE))
        .collect();
    // what the others fail for
    others.sort_by_key(|skipped| !skipped.starts_with("type "));
    for skipped in others.iter().take(MAX_LISTED) {
        remarks.push(format!("left out of the twin: {skipped}"));
    }
    if others.len() > MAX_LISTED {
        remarks.push(format!(
            "left out of the twin: {} more objects",
            others.len() - MAX_LISTED
        ));
    }
    remarks
}

/// Names of the extensions that it lacks for this reason.
fn extensions<'t>(twin: &'t Twin, reason: &str) -> Vec<&'t str> {
    let skipped = twin.skipped().iter();
    skipped
        .filter_map(|skipped| {
            let name = skipped.strip_suffix(reason)?;
            name.strip_prefix("extension ")
        })
        .collect()
}

/// Objects that are listed one by one.
const MAX_LISTED: usize = 20;

impl From<TwinError> for Error {
    fn from(error: TwinError) -> Self {
        match error {
            TwinError::Server(error) => error.into(),
            other => Self::new(ErrorKind::Server, other.to_string()),
        }
    }
}
