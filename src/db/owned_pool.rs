//! The pool behind [`Owned`](super::Owned): deadpool-postgres, with connections made by our own [`connect`].
//!
//! The audited server has a pool of its own kind (`pool`): each of its connections carries an allowance of bytes, for which
//! deadpool-postgres has no place.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};
use tokio_postgres::{Client, Config, Error, NoTls};

use super::{
    connect::connect,
    conninfo::Conninfo,
    error::{DbError, DbErrorKind, io_cause},
};

/// What a server of our own may answer to one statement, bytes: whatever it likes.
const UNLIMITED: u64 = u64::MAX / 2;

/// A pool of at most `max_size` connections; none is opened yet.
pub(super) fn pool(info: &Conninfo, max_size: usize) -> Pool {
    let dialer = Dialer { info: info.clone() };
    let config = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Pool::builder(Manager::from_connect(Config::new(), dialer, config))
        .max_size(max_size)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool without timeouts needs nothing more")
}

/// Takes a connection, opening one if need be.
pub(super) async fn take(pool: &Pool) -> Result<Object, DbError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => carried(&error)
            .cloned()
            .unwrap_or_else(|| DbError::of_own_statement(&error)),
        _ => DbError::new(DbErrorKind::Lost, "the connection pool is closed"),
    })
}

/// Connects as everything in `db` does.
struct Dialer {
    info: Conninfo,
}

impl Connect for Dialer {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(async {
            match connect(&self.info).await {
                Ok(session) => {
                    session.allowance.reset(UNLIMITED);
                    // the connection's own task ends with the client; there is nothing left to abort
                    Ok((session.client, tokio::spawn(async {})))
                }
                Err(error) => Err(carrying(error).await),
            }
        })
    }
}

/// A `tokio_postgres::Error`, the only kind that deadpool-postgres lets through, with ours inside. It can't be made directly: it is what
/// tokio-postgres itself says of a stream that fails so.
async fn carrying(error: DbError) -> Error {
    let mut config = Config::new();
    config.user("nobody");
    match config.connect_raw(Broken(Some(error)), NoTls).await {
        Err(error) => error,
        Ok(_) => unreachable!("nothing can be sent over a broken stream"),
    }
}

/// Our error in one of tokio-postgres's.
fn carried(error: &Error) -> Option<&DbError> {
    let io = io_cause(error)?;
    io.get_ref()
        .and_then(|inner| inner.downcast_ref())
        .or_else(|| io.source()?.downcast_ref())
}

/// A stream on which everything fails.
struct Broken(Option<DbError>);

impl Broken {
    fn error(&mut self) -> io::Error {
        self.0
            .take()
            .map_or_else(|| io::ErrorKind::BrokenPipe.into(), io::Error::other)
    }
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.error()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(self.error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_of_ours_comes_out_of_the_pool_as_it_went_in() {
        let error =
            DbError::new(DbErrorKind::Unreachable, "no server on /nowhere").hint("start it");
        let through = carrying(error).await;
        let out = carried(&through).unwrap();
        assert_eq!(out.kind(), DbErrorKind::Unreachable);
        assert_eq!(
            (out.to_string().as_str(), out.hints().len()),
            ("no server on /nowhere", 1)
        );
    }
}
