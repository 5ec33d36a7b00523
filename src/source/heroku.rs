//! Heroku Postgres: logplex's lines, in files (`heroku logs --ps postgres`) and in drains (with lengths, RFC 6587). The lines are syslog's
//! with the database's name ahead of the text, so syslog's reader takes them apart.

use super::{
    syslog,
    unwrap::{Pieces, Wrapping},
};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "heroku",
    summary: "logplex lines of Heroku Postgres",
    pieces: Pieces::Lines,
    is_one: |line| is_logplex(line) && (syslog::WRAPPING.is_one)(line),
    unwrap: |options| (syslog::WRAPPING.unwrap)(options),
};

fn is_logplex(line: &[u8]) -> bool {
    [
        &b"app[postgres."[..],
        b" app postgres.",
        b"app[heroku-postgres",
    ]
    .iter()
    .any(|mark| memchr::memmem::find(line, mark).is_some())
}
