//! Typed access to the columns of an answer, in order. A column of another type than expected is an error, never a panic: forks and
//! poolers answer oddly.

use tokio_postgres::{Row, types::FromSql};

use super::error::{DbError, DbErrorKind};

/// Reads the columns of one row from left to right.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    row: &'a Row,
    at: usize,
    what: &'static str,
}

impl<'a> Columns<'a> {
    /// `what` says what is being read, for the error.
    pub(super) fn of(row: &'a Row, what: &'static str) -> Self {
        Self { row, at: 0, what }
    }

    pub(super) fn next<T: FromSql<'a>>(&mut self) -> Result<T, DbError> {
        let at = self.at;
        self.at += 1;
        self.row.try_get(at).map_err(|_| {
            let message = format!("{}: unexpected column {at} in the answer", self.what);
            DbError::new(DbErrorKind::Query, message)
        })
    }

    /// A count. Negative ones (statistics that were never set) are 0.
    pub(super) fn next_count(&mut self) -> Result<u64, DbError> {
        let value: Option<i64> = self.next()?;
        Ok(value
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(0))
    }
}
