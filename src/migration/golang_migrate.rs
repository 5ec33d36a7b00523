//! golang-migrate: an .up.sql and a .down.sql, each sent whole, without a transaction of its own: one concurrent statement a file.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Subfolders,
    alone,
    name::MAX_NAME_BYTES,
    project::{file_name, folder_of},
    version::{self, Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "golang-migrate",
    summary: "golang-migrate (migrate)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const NOTE: &str = "golang-migrate: a file that fails marks the version dirty: mend it, then migrate force VERSION. Do not set x-multi-statement: it splits DO blocks at their semicolons";

fn is_pair(name: &str) -> bool {
    !version::leading_digits(name).is_empty() && name.ends_with(".up.sql")
}

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    let module = view.find_where(|path| {
        file_name(path) == "go.mod"
            && view
                .text(path)
                .is_some_and(|text| text.contains("golang-migrate/migrate"))
    });
    if let Some(module) = module {
        return Some(Marker::certain(module));
    }
    let pair = view.find_where(|path| is_pair(file_name(path)))?;
    view.find(&["go.mod"])?;
    Some(Marker::likely(pair))
}

fn folder(view: &ProjectView<'_>) -> String {
    view.find_where(|path| is_pair(file_name(path)))
        .map_or_else(
            || "migrations".to_owned(),
            |path| folder_of(path).to_owned(),
        )
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    for piece in request.fresh_pieces(&mut rendered) {
        let stem = format!("{}_{}", versions.next(), piece.slug);
        for (suffix, content) in [
            ("up", format!("{}{}", piece.header(), piece.up)),
            ("down", piece.down.clone()),
        ] {
            let path = FRAMEWORK.piece_path(&piece, &format!("{stem}.{suffix}.sql"));
            rendered.files.push(MigrationFile::new(path, content));
        }
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(alone::TIMEOUTS_NOTE.to_owned());
        rendered.notes.push(NOTE.to_owned());
    }
    Ok(rendered)
}
