//! refinery: every file runs in a transaction, which nothing can leave. The file builds the index there as long as the table is small; on a large one it says
//! which script to run first with psql, and then finds the index ready.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Subfolders,
    guarded,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined},
    split,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "refinery",
    summary: "refinery (Rust)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

const NOTE: &str = "refinery runs every file in a transaction, where CONCURRENTLY cannot run: on a large table run by_hand/*.psql with psql -f first; the migration then finds the index ready";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["refinery.toml"])
        .or_else(|| view.cargo_dependency("refinery"))
        .map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let is_migration = |name: &str| {
        name.strip_prefix('V').is_some_and(|rest| {
            rest.contains("__") && rest.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let base = view
        .find(&["refinery.toml"])
        .or_else(|| view.cargo_dependency("refinery"))
        .map_or("", folder_of);
    view.folder_with(is_migration)
        .unwrap_or_else(|| joined(base, "migrations"))
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "V", Style::Sequence(1), request.start);
    for step in request.fresh(&mut rendered) {
        let stem = format!("V{}__{}", versions.next(), step.slug);
        let path = FRAMEWORK.path(step, &format!("{stem}.sql"));
        let header = split::header(step, &guarded::remarks(step, &stem));
        let content = format!("{header}{}", guarded::up(step, &stem));
        rendered.files.push(MigrationFile::new(path, content));
        rendered.files.extend(guarded::by_hand(step, &stem));
        rendered.files.push(split::undo_script(step, &stem));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(NOTE.to_owned());
    }
    Ok(rendered)
}
