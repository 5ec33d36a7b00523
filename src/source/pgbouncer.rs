//! pgbouncer's own log: how long clients waited for a server connection, who was refused, why connections ended. It holds no statements.
//!
//! `2026-11-24 18:59:50.406 UTC [20197] LOG stats: 2 xacts/s, …, wait 10671 us`, and `LOG C-0x55: shop/app@127.0.0.1:39146 closing because: …`
//! (C is a client, S a server); before 1.9 without zone and brackets.

use super::{
    Format,
    framing::{
        CUT_RECORD, Framing, Head, MAX_RECORD_BYTES, NO_END, line_end, line_starts,
        line_starts_from_end,
    },
    record::{Receiver, Record, Severity},
    time::Clock,
};
use crate::workload::{FactKind, PoolerSide};

pub(super) static FORMAT: Format = Format {
    name: "pgbouncer",
    summary: "pgbouncer's own log: waits, refusals, closed connections",
    open,
};

/// Reason for text that pgbouncer did not write.
const FOREIGN: &str = "lines that are no log lines";
/// Lines of the start by which it is recognised.
const MAX_SNIFFED: usize = 200;
const LEVELS: [&[u8]; 6] = [
    b"LOG ",
    b"WARNING ",
    b"ERROR ",
    b"FATAL ",
    b"DEBUG ",
    b"NOISE ",
];

struct PgBouncer {
    unknown_zone_minutes: i64,
}

fn open(head: &Head<'_>) -> Option<Box<dyn Framing>> {
    let mut clock = Clock::new(0);
    let mut lines = head.sample.split(|byte| *byte == b'\n').take(MAX_SNIFFED);
    let is_ours =
        lines.any(|line| line_of(line, &mut clock).is_some_and(|(_, text)| is_typical(text)));
    let unknown_zone_minutes = head.options.unknown_zone_minutes;
    is_ours.then(|| {
        Box::new(PgBouncer {
            unknown_zone_minutes,
        }) as Box<dyn Framing>
    })
}

/// Only pgbouncer writes so.
fn is_typical(text: &[u8]) -> bool {
    [
        &b"C-0x"[..],
        b"S-0x",
        b"stats: ",
        b"process up: PgBouncer",
        b"kernel file descriptor limit: ",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

/// Time and text of a line.
fn line_of<'a>(line: &'a [u8], clock: &mut Clock) -> Option<(i64, &'a [u8])> {
    let (time_us, len) = clock.read(line)?;
    let rest = line[len..].trim_ascii_start();
    let (process, rest) = match rest.strip_prefix(b"[") {
        Some(rest) => {
            let end = memchr::memchr(b']', rest)?;
            (&rest[..end], &rest[end + 1..])
        }
        None => rest.split_at(memchr::memchr(b' ', rest)?),
    };
    let is_process = !process.is_empty() && process.iter().all(u8::is_ascii_digit);
    let rest = rest.strip_prefix(b" ").filter(|_| is_process)?;
    let text = LEVELS.iter().find_map(|level| rest.strip_prefix(*level))?;
    Some((time_us, text.strip_suffix(b"\r").unwrap_or(text)))
}

impl Framing for PgBouncer {
    fn last_start(&self, block: &[u8]) -> Option<usize> {
        line_starts_from_end(block).next()
    }

    fn first_start(&self, block: &[u8]) -> Option<usize> {
        line_starts(block).nth(1)
    }

    fn read(&self, chunk: &[u8], receiver: &mut dyn Receiver) {
        let mut clock = Clock::new(self.unknown_zone_minutes);
        let (mut at, mut number) = (0, 0);
        while at < chunk.len() {
            let (end, next) = line_end(chunk, at);
            let line = &chunk[at..end];
            if end == chunk.len() {
                receiver.skipped(NO_END, number, line);
            } else if line.len() > MAX_RECORD_BYTES {
                receiver.skipped(CUT_RECORD, number, line);
            } else if let Some((time_us, message)) = line_of(line, &mut clock) {
                let (database, user) = names(message);
                receiver.record(&Record {
                    line: number,
                    time_us,
                    user,
                    database,
                    severity: Severity::Log,
                    message,
                    ..Record::default()
                });
            } else if !line.trim_ascii().is_empty() {
                receiver.skipped(FOREIGN, number, line);
            }
            at = next;
            number += 1;
        }
    }
}

/// Database and user of `C-0x55: shop/app@127.0.0.1:39146 …`; `(nodb)` and `(nouser)` are none.
fn names(message: &[u8]) -> (&[u8], &[u8]) {
    let find = || {
        side(message)?;
        let rest = &message[memchr::memmem::find(message, b": ")? + 2..];
        let slash = memchr::memchr(b'/', rest)?;
        let user = &rest[slash + 1..];
        Some((&rest[..slash], &user[..memchr::memchr(b'@', user)?]))
    };
    find().map_or((b"", b""), |(database, user)| {
        (known(database), known(user))
    })
}

fn known(name: &[u8]) -> &[u8] {
    match name {
        b"(nodb)" | b"(nouser)" => b"",
        name => name,
    }
}

fn side(message: &[u8]) -> Option<PoolerSide> {
    match message.get(..4)? {
        b"C-0x" => Some(PoolerSide::Client),
        b"S-0x" => Some(PoolerSide::Server),
        _ => None,
    }
}

/// The fact in a message of pgbouncer, if it is one.
pub(super) fn fact(message: &[u8]) -> Option<FactKind<'_>> {
    if let Some(rest) = message.strip_prefix(b"stats: ") {
        return stats(rest);
    }
    let side = side(message)?;
    let behind =
        |mark: &[u8]| memchr::memmem::find(message, mark).map(|at| &message[at + mark.len()..]);
    if let Some(reason) = behind(b" closing because: ") {
        let end = memchr::memmem::rfind(reason, b" (age=").unwrap_or(reason.len());
        let reason = &reason[..end];
        // what follows a colon is this one's: a database's name, an error of the system
        let end = memchr::memmem::find(reason, b": ").unwrap_or(reason.len());
        return Some(FactKind::PoolerClosed {
            side,
            reason: &reason[..end],
        });
    }
    let opens = [&b" login attempt: "[..], b" new connection to server"];
    let opened = opens.iter().any(|mark| behind(mark).is_some());
    opened.then_some(FactKind::PoolerOpened { side })
}

/// `2 xacts/s, 2 queries/s, in 34 B/s, out 185 B/s, xact 1647 us, query 1647 us, wait 10671 us`
fn stats(rest: &[u8]) -> Option<FactKind<'_>> {
    let mut stats = (None, None, None);
    for part in rest.split(|byte| *byte == b',') {
        let mut words = part.trim_ascii().split(|byte| *byte == b' ');
        let (first, second) = (words.next()?, words.next()?);
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
        match (first, second) {
            (n, b"queries/s" | b"req/s") => stats.0 = number(n),
            (b"xact", us) => stats.1 = number(us),
            (b"wait", us) => stats.2 = number(us),
            _ => {}
        }
    }
    Some(FactKind::PoolerStats {
        queries_per_s: stats.0?,
        transaction_us: stats.1.unwrap_or(0),
        wait_us: stats.2?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_kind() {
        let closed = |side, reason: &'static [u8]| Some(FactKind::PoolerClosed { side, reason });
        for (message, expected) in [
            (
                "C-0x5: shop/app@127.0.0.1:39146 login attempt: db=shop user=app tls=no",
                Some(FactKind::PoolerOpened {
                    side: PoolerSide::Client,
                }),
            ),
            (
                "S-0x5: shop/app@unix:5544 new connection to server",
                Some(FactKind::PoolerOpened {
                    side: PoolerSide::Server,
                }),
            ),
            (
                "S-0x5: shop/app@unix:5544 closing because: server idle timeout (age=2s)",
                closed(PoolerSide::Server, b"server idle timeout"),
            ),
            (
                "C-0x5: (nodb)/app@127.0.0.1:1 closing because: no such database: nosuch (age=0s)",
                closed(PoolerSide::Client, b"no such database"),
            ),
            (
                "C-0x5: (nodb)/(nouser)@127.0.0.1:1 closing because: no more connections allowed (max_client_conn) (age=0s)",
                closed(
                    PoolerSide::Client,
                    b"no more connections allowed (max_client_conn)",
                ),
            ),
            (
                "stats: 2 xacts/s, 3 queries/s, in 34 B/s, out 185 B/s, xact 1647 us, query 1700 us, wait 10671 us",
                Some(FactKind::PoolerStats {
                    queries_per_s: 3,
                    transaction_us: 1647,
                    wait_us: 10_671,
                }),
            ),
            // from 1.23 on there are more of them
            (
                "stats: 2 xacts/s, 3 queries/s, 0 client parses/s, 0 server parses/s, 0 binds/s, in 34 B/s, out 185 B/s, xact 1647 us, query 1700 us, wait 0 us",
                Some(FactKind::PoolerStats {
                    queries_per_s: 3,
                    transaction_us: 1647,
                    wait_us: 0,
                }),
            ),
            ("listening on 127.0.0.1:6533", None),
            (
                "C-0x5: shop/app@127.0.0.1:1 pooler error: query_wait_timeout",
                None,
            ),
        ] {
            assert_eq!(fact(message.as_bytes()), expected, "{message}");
        }
        assert_eq!(
            names(b"C-0x5: shop/app@unix(1):6432 x"),
            (&b"shop"[..], &b"app"[..])
        );
        assert_eq!(
            names(b"C-0x5: (nodb)/(nouser)@unix x"),
            (&b""[..], &b""[..])
        );
        assert_eq!(names(b"S-0x5"), (&b""[..], &b""[..]));
    }

    #[test]
    fn lines_of_old_and_new_versions() {
        let mut clock = Clock::new(0);
        let mut text =
            |line: &'static str| line_of(line.as_bytes(), &mut clock).map(|(_, text)| text);
        assert_eq!(
            text("2026-11-24 18:59:50.406 UTC [20197] LOG stats: x"),
            Some(&b"stats: x"[..])
        );
        assert_eq!(
            text("2014-10-11 00:26:19.561 23001 WARNING x\r"),
            Some(&b"x"[..])
        );
        for other in [
            "2026-11-24 18:59:50.406 UTC [20197] LOG:  duration: 1 ms",
            "",
            "2026-11-24 18:59:50.406 UTC [7",
        ] {
            assert_eq!(text(other), None, "{other}");
        }
    }
}
