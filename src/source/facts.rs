//! Messages that tell something of a session or of the server: waits, temporary files, ends of sessions, checkpoints.

use super::{message::milliseconds, pgbouncer, record::Record};
use crate::workload::{FactKind, Who};

/// The fact in a message of severity LOG, if it is one.
pub(super) fn of_log<'a>(record: &Record<'a>) -> Option<FactKind<'a>> {
    let message = record.message;
    match message.first()? {
        b'c' => connection(message),
        b'd' => disconnection(message),
        b't' => temp_file(record),
        b'p' => wait(record).or_else(|| setting(message)),
        b'a' => autovacuum(message),
        b'C' | b'S' | b's' => pgbouncer::fact(message),
        b'r' => message
            .strip_prefix(b"restartpoint complete: ")
            .and_then(checkpoint),
        _ => None,
    }
}

/// The fact in an error, if it is one.
pub(super) fn of_error<'a>(record: &Record<'a>) -> Option<FactKind<'a>> {
    let message = record.message;
    let text = record.statement;
    if message.starts_with(b"deadlock detected") {
        return Some(FactKind::Deadlock { text });
    }
    if let Some(reason) = message.strip_prefix(b"canceling statement due to ") {
        return Some(FactKind::Cancelled { reason, text });
    }
    if let Some(reason) = message.strip_prefix(b"terminating connection due to ") {
        return Some(FactKind::Cancelled { reason, text });
    }
    let too_many = [
        &b"sorry, too many clients already"[..],
        b"remaining connection slots are reserved",
        b"too many connections for ",
    ];
    too_many
        .iter()
        .any(|start| message.starts_with(start))
        .then_some(FactKind::TooManyClients)
}

fn connection(message: &[u8]) -> Option<FactKind<'_>> {
    if message.starts_with(b"connection received: ") {
        return Some(FactKind::Received);
    }
    if let Some(names) = message.strip_prefix(b"connection authorized: ") {
        return Some(FactKind::Connected { who: who(names) });
    }
    checkpoint(message.strip_prefix(b"checkpoint complete: ")?)
}

/// `disconnection: session time: 0:00:00.835 user=…`
fn disconnection(message: &[u8]) -> Option<FactKind<'_>> {
    let time = message.strip_prefix(b"disconnection: session time: ")?;
    let end = memchr::memchr(b' ', time).unwrap_or(time.len());
    let mut parts = time[..end].split(|byte| *byte == b':');
    let (hours, minutes) = (whole(parts.next()?)?, whole(parts.next()?)?);
    // read as milliseconds, so a thousand times too small
    let (seconds, _) = milliseconds(parts.next()?)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    let session_us = minutes
        .checked_mul(60_000_000)?
        .checked_add(seconds.checked_mul(1000)?)?;
    let names = time.get(end + 1..).unwrap_or_default();
    let who = who(names);
    Some(FactKind::Disconnected { session_us, who })
}

/// `user=app database=shop application_name=my shop SSL enabled (…)`: values are not quoted and may hold spaces, so each ends where the next known
/// key starts.
fn who(names: &[u8]) -> Who<'_> {
    const KEYS: [&[u8]; 6] = [
        b" database=",
        b" application_name=",
        b" host=",
        b" port=",
        b" SSL enabled (",
        b" GSS (",
    ];
    let value = |key: &[u8]| {
        let from = if names.starts_with(key) {
            key.len()
        } else {
            let at = memchr::memmem::find(names, &[b" ", key].concat())?;
            at + 1 + key.len()
        };
        let rest = &names[from..];
        let ends = KEYS
            .iter()
            .filter_map(|key| memchr::memmem::find(rest, key));
        Some(&rest[..ends.min().unwrap_or(rest.len())])
    };
    Who {
        user: value(b"user=").unwrap_or_default(),
        database: value(b"database=").unwrap_or_default(),
        application: value(b"application_name=").unwrap_or_default(),
    }
}

fn whole(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The number that stands directly behind `mark`.
fn number_behind(message: &[u8], mark: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(message, mark)? + mark.len();
    let len = message[at..]
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .count();
    whole(&message[at..at + len])
}

/// The time behind `mark`, read as milliseconds, microseconds.
fn time_behind(message: &[u8], mark: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(message, mark)? + mark.len();
    Some(milliseconds(&message[at..])?.0)
}

/// `temporary file: path "…", size N`
fn temp_file<'a>(record: &Record<'a>) -> Option<FactKind<'a>> {
    record
        .message
        .starts_with(b"temporary file: path ")
        .then_some(())?;
    let bytes = number_behind(record.message, b"\", size ")?;
    Some(FactKind::TempFile {
        bytes,
        text: record.statement,
    })
}

/// `process N still waiting for ShareLock on … after 1000.123 ms`, `process N acquired …`
fn wait<'a>(record: &Record<'a>) -> Option<FactKind<'a>> {
    let rest = record.message.strip_prefix(b"process ")?;
    let space = memchr::memchr(b' ', rest)?;
    let acquired = match &rest[space + 1..] {
        what if what.starts_with(b"acquired ") => true,
        what if what.starts_with(b"still waiting for ") => false,
        _ => return None,
    };
    Some(FactKind::LockWait {
        waited_us: time_behind(record.message, b" after ")?,
        acquired,
        text: record.statement,
    })
}

/// `parameter "x" changed to "y"`, `parameter "x" removed from configuration file, reset to default`: then the value is empty.
fn setting(message: &[u8]) -> Option<FactKind<'_>> {
    let rest = message.strip_prefix(b"parameter \"")?;
    if let Some(name) = rest.strip_suffix(b"\" removed from configuration file, reset to default") {
        return Some(FactKind::Setting { name, value: b"" });
    }
    let end = memchr::memmem::find(rest, b"\" changed to \"")?;
    let value = &rest[end + b"\" changed to \"".len()..];
    Some(FactKind::Setting {
        name: &rest[..end],
        value: value.strip_suffix(b"\"").unwrap_or(value),
    })
}

/// `wrote N buffers (…); …; write=0.1 s, sync=0.0 s, total=0.2 s; …`
fn checkpoint(rest: &[u8]) -> Option<FactKind<'_>> {
    Some(FactKind::Checkpoint {
        n_buffers: number_behind(rest, b"wrote ")?,
        total_us: time_behind(rest, b"total=")?.checked_mul(1000)?,
    })
}

/// `automatic [aggressive] vacuum [to prevent wraparound] of table "db.schema.table": …`, `automatic analyze of table …`
fn autovacuum(message: &[u8]) -> Option<FactKind<'_>> {
    let rest = message.strip_prefix(b"automatic ")?;
    let open = memchr::memmem::find(rest, b" of table \"")?;
    let name = &rest[open + b" of table \"".len()..];
    let close = memchr::memmem::find(name, b"\"")?;
    Some(FactKind::Autovacuum {
        relation: &name[..close],
        analyze: rest.starts_with(b"analyze"),
        elapsed_us: time_behind(message, b"elapsed: ").unwrap_or(0) * 1000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn log(message: &str, expected: FactKind<'_>) {
        let record = Record {
            message: message.as_bytes(),
            statement: b"select 1",
            ..Record::default()
        };
        assert_eq!(of_log(&record), Some(expected));
    }

    #[test]
    fn messages_of_every_kind() {
        let text = &b"select 1"[..];
        log(
            "connection authorized: user=u database=d application_name=my app SSL enabled (protocol=TLSv1.3, cipher=x, bits=256)",
            FactKind::Connected {
                who: Who {
                    user: b"u",
                    database: b"d",
                    application: b"my app",
                },
            },
        );
        log(
            "disconnection: session time: 1:02:03.835 user=u database=d host=[local]",
            FactKind::Disconnected {
                session_us: 3_723_835_000,
                who: Who {
                    user: b"u",
                    database: b"d",
                    application: b"",
                },
            },
        );
        log(
            "temporary file: path \"base/pgsql_tmp/pgsql_tmp8197.1\", size 1400000",
            FactKind::TempFile {
                bytes: 1_400_000,
                text,
            },
        );
        log(
            "process 8349 still waiting for ShareLock on transaction 740 after 1000.123 ms",
            FactKind::LockWait {
                waited_us: 1_000_123,
                acquired: false,
                text,
            },
        );
        log(
            "process 8349 acquired ShareLock on transaction 740 after 2000 ms",
            FactKind::LockWait {
                waited_us: 2_000_000,
                acquired: true,
                text,
            },
        );
        log(
            "checkpoint complete: wrote 42 buffers (0.3%); 0 WAL file(s) added, 0 removed, 0 recycled; write=4.1 s, sync=0.002 s, total=4.123 s; sync files=2",
            FactKind::Checkpoint {
                n_buffers: 42,
                total_us: 4_123_000,
            },
        );
        log(
            "automatic analyze of table \"d.public.t\"\nsystem usage: CPU: user: 0.01 s, system: 0.00 s, elapsed: 0.25 s",
            FactKind::Autovacuum {
                relation: b"d.public.t",
                analyze: true,
                elapsed_us: 250_000,
            },
        );
        log(
            "parameter \"log_min_duration_statement\" changed to \"250\"",
            FactKind::Setting {
                name: b"log_min_duration_statement",
                value: b"250",
            },
        );
    }

    #[test]
    fn errors_of_every_kind() {
        let error = |message: &'static str| {
            of_error(&Record {
                message: message.as_bytes(),
                ..Record::default()
            })
        };
        assert_eq!(
            error("deadlock detected"),
            Some(FactKind::Deadlock { text: b"" })
        );
        assert_eq!(
            error("canceling statement due to statement timeout"),
            Some(FactKind::Cancelled {
                reason: b"statement timeout",
                text: b""
            })
        );
        assert_eq!(
            error("sorry, too many clients already"),
            Some(FactKind::TooManyClients)
        );
        assert_eq!(error("syntax error at or near \"x\""), None);
    }
}
