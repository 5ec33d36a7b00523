//! Reads `pg_stat_statements`, versions 1.4 to 1.12, wherever the extension lives.

use tokio_postgres::types::Type;

use super::{
    audited::Audited,
    error::{DbError, DbErrorKind},
    rows::Columns,
};
use crate::{
    sql::quote_identifier,
    workload::{InputFacts, InputKind, PgssEntry, PgssFacts, PgssStats},
};

/// Entries read at most, heaviest first: the extension keeps 5,000 unless told otherwise.
const MAX_ENTRIES: i64 = 50_000;

/// Characters of a text read at most; longer ones are cut. Generated statements reach megabytes.
const MAX_TEXT_CHARS: i32 = 100_000;

/// What `query` says of a statement of another role.
const HIDDEN_TEXT: &str = "<insufficient privilege>";

/// Stands in every statement of ours, behind the first keyword: PostgreSQL 18 drops leading comments.
const OWN_TAG: &str = "/* pgassay */";

/// Why there are no query statistics.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StatementsError {
    /// The extension isn't created in this database.
    #[error("pg_stat_statements is not installed in database \"{0}\"")]
    Absent(String),
    /// It is created, and its library isn't loaded.
    #[error("pg_stat_statements is installed in database \"{0}\", but its library is not loaded")]
    NotPreloaded(String),
    /// Another failure, privileges among them.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl StatementsError {
    /// What the user can do next.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hints: &[&str] = match self {
            Self::Absent(_) => &[
                "CREATE EXTENSION pg_stat_statements; its library must stand in shared_preload_libraries (needs a restart)",
                "without it, give a query log: --log FILE",
            ],
            Self::NotPreloaded(_) => &[
                "add pg_stat_statements to shared_preload_libraries and restart the server",
                "without it, give a query log: --log FILE",
            ],
            Self::Db(error) => return error.hints().to_vec(),
        };
        hints.iter().map(|hint| (*hint).to_owned()).collect()
    }
}

impl Audited {
    /// All entries of this database, toplevel only, pgassay's own left out, heaviest first, with what they cover.
    ///
    /// # Errors
    /// When the extension is absent, not loaded or not readable.
    pub async fn statements(&self) -> Result<(Vec<PgssEntry>, InputFacts), StatementsError> {
        let home = find_extension(self).await?;
        let coverage = read_coverage(self, &home).await?;
        let rows = self.read_entries(&home).await?;
        let mut facts = InputFacts {
            kind: InputKind::PgStatStatements,
            name: self.place().to_owned(),
            from_us: coverage.since_us,
            to_us: Some(coverage.now_us),
            ..InputFacts::default()
        };
        let mut pgss = PgssFacts {
            version: home.version.clone(),
            n_evicted: coverage.n_evicted,
            ..PgssFacts::default()
        };
        let mut entries = Vec::new();
        let mut n_without_text = 0_u64;
        for row in &rows {
            let (text, stats, since_us) = entry(&mut Columns::of(row, READING))?;
            pgss.n_entries += 1;
            match text {
                None => n_without_text += 1,
                Some(text) if text == HIDDEN_TEXT => {
                    pgss.n_hidden += 1;
                    pgss.n_hidden_calls += stats.n_calls;
                }
                Some(text) if text.contains(OWN_TAG) => pgss.n_entries -= 1,
                Some(text) => {
                    entries.push(PgssEntry {
                        text,
                        stats,
                        since_us,
                    });
                }
            }
        }
        facts.blind_spots = blind_spots(&pgss, n_without_text, &home);
        facts.pgss = Some(pgss);
        Ok((entries, facts))
    }

    async fn read_entries(&self, home: &Home) -> Result<Vec<tokio_postgres::Row>, StatementsError> {
        let guarded = self.begin().await?;
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&MAX_TEXT_CHARS, Type::INT4), (&MAX_ENTRIES, Type::INT8)];
        match guarded.try_query(&entries_sql(home), &params).await {
            Ok(rows) => {
                guarded.end().await?;
                Ok(rows)
            }
            Err(failure) if failure.sqlstate() == Some("55000") => {
                guarded.end().await?;
                Err(StatementsError::NotPreloaded(self.database().to_owned()))
            }
            Err(failure) => {
                let is_denied = failure.sqlstate() == Some("42501");
                guarded.end().await?;
                Err(failure_of(is_denied, failure.into_error(READING)).into())
            }
        }
    }
}

const READING: &str = "reading pg_stat_statements";

fn failure_of(is_denied: bool, error: DbError) -> DbError {
    if is_denied {
        DbError::new(
            DbErrorKind::NoPrivilege,
            "cannot read pg_stat_statements: permission denied",
        )
        .hint("GRANT pg_read_all_stats (or pg_monitor) to the role that pgassay connects as")
        .hint("the extension's schema may need a GRANT USAGE too")
    } else {
        error
    }
}

/// The extension as it stands in this database.
#[derive(Debug)]
struct Home {
    schema: String,
    version: String,
    /// Major and minor of `extversion`: columns go by it, since upgrades of the server leave the extension as it was.
    number: (u32, u32),
}

async fn find_extension(audited: &Audited) -> Result<Home, StatementsError> {
    let sql = "SELECT /* pgassay */ n.nspname::text, e.extversion::text \
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'";
    let guarded = audited.begin().await?;
    let rows = guarded.query(READING, sql, &[]).await?;
    guarded.end().await?;
    let Some(row) = rows.first() else {
        return Err(StatementsError::Absent(audited.database().to_owned()));
    };
    let mut columns = Columns::of(row, READING);
    let schema: String = columns.next()?;
    let version: String = columns.next()?;
    let number = parse_version(&version);
    Ok(Home {
        schema,
        version,
        number,
    })
}

fn parse_version(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').unwrap_or((text, ""));
    let digits = minor
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or("");
    (major.parse().unwrap_or(1), digits.parse().unwrap_or(0))
}

/// Since when the extension counts, and what it threw away.
#[derive(Debug, Default)]
struct Coverage {
    now_us: i64,
    since_us: Option<i64>,
    n_evicted: Option<u64>,
}

async fn read_coverage(audited: &Audited, home: &Home) -> Result<Coverage, StatementsError> {
    let info = if home.number >= (1, 9) {
        format!(
            "(extract(epoch FROM i.stats_reset) * 1000000)::int8, i.dealloc::int8 FROM {}.pg_stat_statements_info AS i",
            quote_identifier(&home.schema)
        )
    } else {
        "NULL::int8, NULL::int8".to_owned()
    };
    let sql = format!(
        "SELECT /* pgassay */ (extract(epoch FROM clock_timestamp()) * 1000000)::int8, {info}"
    );
    let guarded = audited.begin().await?;
    let answer = guarded.try_query(&sql, &[]).await;
    guarded.end().await?;
    let rows = match answer {
        Ok(rows) => rows,
        Err(failure) if failure.sqlstate() == Some("55000") => {
            return Err(StatementsError::NotPreloaded(audited.database().to_owned()));
        }
        Err(failure) => {
            let is_denied = failure.sqlstate() == Some("42501");
            return Err(failure_of(is_denied, failure.into_error(READING)).into());
        }
    };
    let Some(row) = rows.first() else {
        return Ok(Coverage::default());
    };
    let mut columns = Columns::of(row, READING);
    Ok(Coverage {
        now_us: columns.next()?,
        since_us: columns.next()?,
        n_evicted: columns
            .next::<Option<i64>>()?
            .and_then(|n| u64::try_from(n).ok()),
    })
}

fn entries_sql(home: &Home) -> String {
    let has = |minor: u32, yes: &'static str, no: &'static str| {
        if home.number >= (1, minor) { yes } else { no }
    };
    let time = has(8, "exec_time", "time");
    let blk_time = has(11, "shared_blk", "blk");
    let plan_time = has(8, "s.total_plan_time", "0::float8");
    let wal_bytes = has(8, "s.wal_bytes::int8", "0::int8");
    let toplevel = has(9, "AND s.toplevel", "");
    let since = has(
        11,
        "(extract(epoch FROM s.stats_since) * 1000000)::int8",
        "NULL::int8",
    );
    format!(
        "SELECT /* pgassay */ left(s.query, $1), s.queryid, pg_get_userbyid(s.userid)::text, s.calls, \
         s.total_{time}, s.min_{time}, s.max_{time}, s.rows, s.shared_blks_hit, s.shared_blks_read, \
         s.shared_blks_dirtied, s.temp_blks_read + s.temp_blks_written, \
         s.{blk_time}_read_time + s.{blk_time}_write_time, {wal_bytes}, {plan_time}, {since} \
         FROM {}.pg_stat_statements AS s \
         WHERE s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
         AND s.calls > 0 {toplevel} ORDER BY s.total_{time} DESC, s.queryid, s.userid LIMIT $2",
        quote_identifier(&home.schema)
    )
}

/// Text, numbers, and since when it counts.
type Entry = (Option<String>, PgssStats, Option<i64>);

fn entry(columns: &mut Columns<'_>) -> Result<Entry, DbError> {
    let text: Option<String> = columns.next()?;
    let query_id: Option<i64> = columns.next()?;
    let user: Option<String> = columns.next()?;
    let stats = PgssStats {
        query_ids: query_id.into_iter().collect(),
        n_calls: columns.next_count()?,
        total_ms: columns.next()?,
        min_ms: columns.next()?,
        max_ms: columns.next()?,
        n_rows: columns.next_count()?,
        shared_blks_hit: columns.next_count()?,
        shared_blks_read: columns.next_count()?,
        shared_blks_dirtied: columns.next_count()?,
        temp_blks: columns.next_count()?,
        io_ms: columns.next()?,
        wal_bytes: columns.next_count()?,
        plan_ms: columns.next()?,
        users: user.into_iter().collect(),
    };
    Ok((text, stats, columns.next()?))
}

fn blind_spots(facts: &PgssFacts, n_without_text: u64, home: &Home) -> Vec<String> {
    let mut spots = Vec::new();
    if facts.n_hidden > 0 {
        spots.push(format!(
            "{} statements of other roles are hidden from this role ({} calls)",
            facts.n_hidden, facts.n_hidden_calls
        ));
    }
    if n_without_text > 0 {
        spots.push(format!("{n_without_text} statements have lost their text"));
    }
    if let Some(n) = facts.n_evicted.filter(|n| *n > 0) {
        spots.push(format!(
            "rare statements were evicted {n} times since the last reset: totals are a lower bound"
        ));
    }
    if home.number < (1, 9) {
        spots.push(
            "since when it counts is not known before version 1.9 of the extension".to_owned(),
        );
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(parse_version("1.10"), (1, 10));
        assert_eq!(parse_version("1.8.1"), (1, 8));
        assert_eq!(parse_version("2"), (2, 0));
        assert_eq!(parse_version("odd"), (1, 0));
    }

    #[test]
    fn columns_go_by_the_extensions_version() {
        let sql = |minor| {
            entries_sql(&Home {
                schema: "My Schema".into(),
                version: String::new(),
                number: (1, minor),
            })
        };
        assert!(sql(7).contains("s.total_time") && !sql(7).contains("wal_bytes::"));
        assert!(sql(8).contains("s.total_exec_time") && !sql(8).contains("toplevel"));
        assert!(sql(9).contains("AND s.toplevel") && sql(9).contains("s.blk_read_time"));
        assert!(sql(12).contains("s.shared_blk_read_time"));
        assert!(sql(12).contains("\"My Schema\".pg_stat_statements"));
    }
}
