//! The socket under a connection: TCP or Unix, with a limit on how much the server may answer to one statement.
//!
//! tokio-postgres has no limit on a message's size; a 1 GB plan would be 1 GB here. When the limit is passed the stream fails, and with it
//! the connection: the answer is never held.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// How many more bytes the server may send; set anew before every statement.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

/// Stands for "more was sent than allowed", for good: the connection is of no use then.
const EXCEEDED: u64 = u64::MAX;

impl Allowance {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// From now on the server may send `bytes`.
    pub(super) fn reset(&self, bytes: u64) {
        if !self.is_exceeded() {
            self.0.store(bytes, Ordering::Relaxed);
        }
    }

    /// Did the server send too much? The connection's own error doesn't tell: it only says that it is closed.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EXCEEDED
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let rest = self.0.load(Ordering::Relaxed).checked_sub(bytes);
        self.0.store(rest.unwrap_or(EXCEEDED), Ordering::Relaxed);
        rest.map(drop)
            .ok_or_else(|| io::Error::other("answer larger than allowed"))
    }
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that counts what it reads against an [`Allowance`].
#[derive(Debug)]
pub(super) struct Bounded {
    socket: Socket,
    allowance: Allowance,
}

impl Bounded {
    pub(super) fn new(socket: Socket, allowance: Allowance) -> Self {
        Self { socket, allowance }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Socket::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
        };
        match polled {
            Poll::Ready(Ok(())) => {
                let read = (buf.filled().len() - before) as u64;
                Poll::Ready(self.allowance.take(read))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Socket::Unix(unix) => Pin::new(unix).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Socket::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
        }
    }
}
