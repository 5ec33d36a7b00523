//! The only code that talks to the audited Postgres: connection strings, TLS, pool, guard, catalog, statements, plans, HypoPG.
//!
//! Two kinds of session, and no third: [`Audited`] sends every statement through the guard (a short READ ONLY transaction of its own,
//! with timeouts, nothing left behind); [`Owned`] may write, and can only be made for a server that pgassay itself started, or within
//! [`DatabaseCopy`] for a copy that the user names.

mod activity;
mod admission;
mod audited;
mod catalog;
mod connect;
mod conninfo;
mod cost;
mod database_copy;
mod error;
mod explain;
mod guard;
mod hypopg;
mod owned;
mod owned_pool;
mod planner;
mod planner_state;
mod pool;
mod real;
mod rows;
mod statements;
mod stream;
mod tls;
mod verify;

pub use audited::{Audited, AuditedOptions};
pub use conninfo::{Conninfo, Environment, FileContent, OwnConninfo};
pub use cost::ServerCost;
pub use database_copy::{BuiltIndex, CopyError, DatabaseCopy, Measured, ServerIdentity};
pub use error::{DbError, DbErrorKind};
pub use owned::{Owned, OwnedSession, TextRow};
pub use planner::LivePlanner;
pub use planner_state::EndpointReads;
pub use real::RealPlanner;

pub use statements::StatementsError;
pub use tokio_postgres::{Error as OwnError, Row, SimpleQueryMessage, types::ToSql};
pub use verify::{Trial, TrialResult};

/// What our connections call themselves.
pub const APPLICATION_NAME: &str = "pgassay";

/// Oldest `server_version_num` that pgassay knows the catalogs of.
pub const OLDEST_SERVER: u32 = 130_000;

/// Largest answer to one statement, bytes. A catalog of 5,000 tables with statistics is some 30 MB; a plan is kilobytes, unless a text
/// such as `name = repeat('x', 50000000)` blows it up.
pub const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
