//! `--sample-activity`: looks at `pg_stat_activity` again and again, for a while.

use std::time::{Duration, Instant};

use super::Context;
use crate::{
    db::{Audited, DbError},
    workload::{Seen, Watcher},
};

/// How often and how long to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watching {
    /// Samples a second.
    pub per_second: u32,
    /// For how long.
    pub length: Duration,
}

/// How long to look where `--for` does not say.
const DEFAULT_LENGTH: Duration = Duration::from_secs(10);

impl Watching {
    /// What `--sample-activity` and `--for` come to.
    pub(super) fn of(per_second: Option<u32>, interval: Option<Duration>) -> Option<Self> {
        Some(Self {
            per_second: per_second?.max(1),
            length: interval.unwrap_or(DEFAULT_LENGTH),
        })
    }
}

/// Takes the samples. A sample that takes longer than its turn delays the next one: no two are taken at once.
///
/// # Errors
/// When the first sample can't be taken; a later failure ends the watch with what was seen.
pub(super) async fn watch(
    server: &Audited,
    watching: Watching,
    context: &Context,
) -> Result<Seen, DbError> {
    let mut watcher = Watcher::new(server.activity_text_bytes().await?);
    let turn = Duration::from_secs(1) / watching.per_second;
    let started = Instant::now();
    let mut n_taken = 0;
    loop {
        match server.backends().await {
            Ok((backends, n_left_out)) => watcher.sample(&backends, n_left_out),
            Err(error) if n_taken == 0 => return Err(error),
            Err(error) => {
                context.complain(&format!(
                    "{error}: {n_taken} samples of pg_stat_activity were taken until then"
                ));
                break;
            }
        }
        n_taken += 1;
        let next = turn.saturating_mul(n_taken).max(started.elapsed());
        if next >= watching.length {
            break;
        }
        tokio::time::sleep(next.saturating_sub(started.elapsed())).await;
    }
    Ok(watcher.finish(started.elapsed().as_secs_f64()))
}
