//! sql-migrate: SQL with an Up and a Down section, each with its own switch against the transaction.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, resolved, setting},
    script, split,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sql-migrate",
    summary: "sql-migrate (Go)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const OPEN: &str = "-- +migrate StatementBegin\n";
const CLOSE: &str = "-- +migrate StatementEnd\n";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["dbconfig.yml"])
        .or_else(|| view.find_text(".sql", "-- +migrate Up"))
        .map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let configured = view.find(&["dbconfig.yml"]).map(|config| {
        let base = folder_of(config);
        let text = view.text(config).unwrap_or_default();
        setting(&text, "dir")
            .and_then(|named| resolved(base, named))
            .unwrap_or_else(|| joined(base, "migrations"))
    });
    configured.unwrap_or_else(|| {
        view.find_text(".sql", "-- +migrate Up").map_or_else(
            || "migrations".to_owned(),
            |path| folder_of(path).to_owned(),
        )
    })
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let steps = request.without_marks(&mut rendered);
    let request = &Request {
        steps: &steps,
        ..*request
    };
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    for step in request.fresh(&mut rendered) {
        let name = format!("{}-{}.sql", versions.next(), step.slug);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step),
        ));
    }
    Ok(rendered)
}

/// Comments stand inside the section: sql-migrate refuses text before the first marker.
fn content(step: &Step) -> String {
    format!(
        "-- +migrate Up notransaction\n{}\n{}\n-- +migrate Down notransaction\n{}",
        split::header(step, &["run: sql-migrate up"]),
        split::text(&script::up(step), OPEN, CLOSE),
        split::text(&script::down(step), OPEN, CLOSE),
    )
}
