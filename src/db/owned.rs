//! Read-write sessions to a server that pgassay itself started: the demo's workload, migrations being applied, candidates really built.

use std::ops::Deref;

use bytes::BytesMut;
use deadpool_postgres::{Object, Pool};
use tokio_postgres::{
    Client, Row, SimpleQueryMessage, Statement,
    types::{Format, IsNull, ToSql, Type, to_sql_checked},
};

use super::{conninfo::OwnConninfo, error::DbError, owned_pool};

/// A pool of read-write connections to a server of our own.
#[derive(Debug, Clone)]
pub struct Owned {
    pool: Pool,
}

impl Owned {
    /// Connects once, to see that the server answers; more connections, up to `max_connections`, are opened when needed.
    ///
    /// # Errors
    /// When the server can't be reached or has no such database.
    pub async fn connect(info: &OwnConninfo, max_connections: usize) -> Result<Self, DbError> {
        let pool = owned_pool::pool(&info.0, max_connections);
        drop(owned_pool::take(&pool).await?);
        Ok(Self { pool })
    }

    /// A connection; it goes back to the pool when dropped.
    ///
    /// # Errors
    /// When a new connection had to be opened and could not be.
    pub async fn session(&self) -> Result<OwnedSession, DbError> {
        Ok(OwnedSession(Some(owned_pool::take(&self.pool).await?)))
    }

    /// Runs statements of our own, `;`-separated, over the simple protocol.
    ///
    /// # Errors
    /// When the server refuses one of them. The message is the server's own: it is our server and our SQL.
    pub async fn batch(&self, sql: &str) -> Result<(), DbError> {
        let session = self.session().await?;
        session
            .batch_execute(sql)
            .await
            .map_err(|error| DbError::of_own_statement(&error))
    }

    /// Closes all connections that are not in use.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// One connection, with all that tokio-postgres offers. Whoever opens a transaction on it ends it before it is dropped: the next user gets
/// the connection as it is.
#[derive(Debug)]
pub struct OwnedSession(Option<Object>);

impl OwnedSession {
    /// The client.
    pub(super) fn client(&self) -> &Client {
        self.0.as_ref().expect("taken only by close")
    }

    /// Closes the connection instead of giving it back.
    pub(super) fn close(&mut self) {
        if let Some(session) = self.0.take() {
            drop(Object::take(session));
        }
    }
}

/// A row as text, through the simple protocol; `None` is NULL.
pub type TextRow = Vec<Option<String>>;

impl OwnedSession {
    /// Runs statements of our own, `;`-separated, over the simple protocol. Several of them are one transaction.
    ///
    /// # Errors
    /// When the server refuses one of them, in its own words.
    pub async fn run(&self, sql: &str) -> Result<(), DbError> {
        let result = self.batch_execute(sql).await;
        result.map_err(|error| DbError::of_own_statement(&error))
    }

    /// The rows of all statements in `sql` as text, over the simple protocol.
    ///
    /// # Errors
    /// As [`OwnedSession::run`].
    pub async fn texts(&self, sql: &str) -> Result<Vec<TextRow>, DbError> {
        let messages = self.simple_query(sql).await;
        let messages = messages.map_err(|error| DbError::of_own_statement(&error))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|at| row.get(at).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// A prepared statement, as an ORM keeps them; closed on the server when dropped.
    ///
    /// # Errors
    /// As [`OwnedSession::run`].
    pub async fn prepared(&self, sql: &str) -> Result<Statement, DbError> {
        let result = self.prepare(sql).await;
        result.map_err(|error| DbError::of_own_statement(&error))
    }

    /// Executes a prepared statement with values as text, whatever their types; says how many rows came back.
    ///
    /// # Errors
    /// As [`OwnedSession::run`].
    pub async fn fetch_texts(
        &self,
        statement: &Statement,
        values: &TextRow,
    ) -> Result<usize, DbError> {
        let texts: Vec<Text<'_>> = values.iter().map(|value| Text(value.as_deref())).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = texts
            .iter()
            .map(|text| text as &(dyn ToSql + Sync))
            .collect();
        Ok(self.fetch(statement, &parameters).await?.len())
    }

    /// Executes a prepared statement.
    ///
    /// # Errors
    /// As [`OwnedSession::run`].
    pub async fn fetch(
        &self,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DbError> {
        let result = self.query(statement, parameters).await;
        result.map_err(|error| DbError::of_own_statement(&error))
    }
}

/// A value in its text form, for any type.
#[derive(Debug)]
struct Text<'a>(Option<&'a str>);

impl ToSql for Text<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = self.0 else {
            return Ok(IsNull::Yes);
        };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

impl Deref for OwnedSession {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client()
    }
}
