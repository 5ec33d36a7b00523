//! goose: SQL with an Up and a Down section, sent statement by statement outside a transaction.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    Subfolders,
    name::MAX_NAME_BYTES,
    project::folder_of,
    script, split,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "goose",
    summary: "goose (Go)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const OPEN: &str = "-- +goose StatementBegin\n";
const CLOSE: &str = "-- +goose StatementEnd\n";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find_text(".sql", "-- +goose Up").map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    view.find_text(".sql", "-- +goose Up").map_or_else(
        || "migrations".to_owned(),
        |path| folder_of(path).to_owned(),
    )
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
        let name = format!("{}_{}.sql", versions.next(), step.slug);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step),
        ));
    }
    Ok(rendered)
}

fn content(step: &Step) -> String {
    format!(
        "-- +goose NO TRANSACTION\n{}\n-- +goose Up\n{}\n-- +goose Down\n{}",
        split::header(step, &["run: goose up"]),
        split::text(&script::up(step), OPEN, CLOSE),
        split::text(&script::down(step), OPEN, CLOSE),
    )
}
