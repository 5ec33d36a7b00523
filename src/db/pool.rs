//! The pool of connections: made by [`connect`], never given back in doubt.

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};

use super::{
    connect::{Session, connect},
    conninfo::Conninfo,
    error::{DbError, DbErrorKind},
};

/// Makes connections for the pool.
#[derive(Debug)]
pub(super) struct Connector {
    info: Conninfo,
}

/// A connection that goes back to the pool when dropped.
pub(super) type Pooled = Object<Connector>;

impl Manager for Connector {
    type Type = Session;
    type Error = DbError;

    async fn create(&self) -> Result<Session, DbError> {
        connect(&self.info).await
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<DbError> {
        if session.client.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        Ok(())
    }
}

/// A pool of at most `max_size` connections; none is opened yet.
pub(super) fn pool(info: &Conninfo, max_size: usize) -> Pool<Connector> {
    Pool::builder(Connector { info: info.clone() })
        .max_size(max_size)
        .build()
        .expect("a pool without timeouts needs no runtime")
}

/// Takes a connection, opening one if need be.
pub(super) async fn take(pool: &Pool<Connector>) -> Result<Pooled, DbError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        _ => DbError::new(DbErrorKind::Lost, "the connection pool is closed"),
    })
}
