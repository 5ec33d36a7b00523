//! Plain SQL for psql: one `.up.sql` and `.down.sql` a change.

use super::{Change, Framework, MigrationFile};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sql",
    summary: "plain SQL for psql: one .up.sql and one .down.sql a change",
    render,
};

fn render(_change: &Change<'_>) -> Vec<MigrationFile> {
    Vec::new()
}
