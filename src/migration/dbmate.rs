//! dbmate: SQL with an up and a down section. Without a transaction a section is sent whole, so it holds one statement.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Subfolders,
    alone::{self, Piece},
    name::MAX_NAME_BYTES,
    project::{resolved, setting},
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "dbmate",
    summary: "dbmate",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find_text(".sql", "-- migrate:up").map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let configured = view
        .text(".env")
        .and_then(|text| resolved("", setting(&text, "DBMATE_MIGRATIONS_DIR")?));
    let existing = || {
        let file = view.find_text(".sql", "-- migrate:up")?;
        Some(super::project::folder_of(file).to_owned())
    };
    configured
        .or_else(existing)
        .unwrap_or_else(|| "db/migrations".to_owned())
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let steps = request.without_marks(&mut rendered);
    let request = &Request {
        steps: &steps,
        ..*request
    };
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    for piece in request.fresh_pieces(&mut rendered) {
        let name = format!("{}_{}.sql", versions.next(), piece.slug);
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.piece_path(&piece, &name),
            content(&piece),
        ));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(alone::TIMEOUTS_NOTE.to_owned());
    }
    Ok(rendered)
}

/// Comments stand inside the section: dbmate refuses text before the first marker.
fn content(piece: &Piece<'_>) -> String {
    let switch = if piece.is_transactional {
        ""
    } else {
        " transaction:false"
    };
    format!(
        "-- migrate:up{switch}\n{}{}\n-- migrate:down{switch}\n{}",
        piece.header(),
        piece.up,
        piece.down
    )
}
