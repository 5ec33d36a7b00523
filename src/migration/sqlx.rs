//! sqlx: an .up.sql and a .down.sql, or one .sql where the project has no down files. `-- no-transaction` must be the very first bytes, and then a file holds one
//! statement.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Subfolders,
    alone::{self, Piece},
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, resolved, setting},
    version::{self, Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "sqlx",
    summary: "sqlx (Rust)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const NO_TRANSACTION: &str = "-- no-transaction\n";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    if let Some(config) = view.find(&["sqlx.toml"]) {
        return Some(Marker::certain(config));
    }
    let manifest = view.cargo_dependency("sqlx")?;
    if view.has_folder(&joined(folder_of(manifest), "migrations")) {
        Some(Marker::certain(manifest))
    } else {
        Some(Marker::likely(manifest))
    }
}

fn folder(view: &ProjectView<'_>) -> String {
    let configured = view.find(&["sqlx.toml"]).and_then(|config| {
        let text = view.text(config)?;
        resolved(folder_of(config), setting(&text, "migrations-dir")?)
    });
    configured.unwrap_or_else(|| {
        let base = view.cargo_dependency("sqlx").map_or("", folder_of);
        joined(base, "migrations")
    })
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    let is_one_way = is_one_way(request.existing);
    for piece in request.fresh_pieces(&mut rendered) {
        let stem = format!("{}_{}", versions.next(), piece.slug);
        let (up, down) = files(&piece, &stem, is_one_way);
        rendered.files.push(up);
        rendered.files.extend(down);
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(alone::TIMEOUTS_NOTE.to_owned());
    }
    Ok(rendered)
}

/// sqlx does not take both kinds in one folder.
fn is_one_way(existing: &ProjectView<'_>) -> bool {
    let mut files = existing
        .top()
        .into_iter()
        .filter(|name| !version::leading_digits(name).is_empty() && name.ends_with(".sql"))
        .peekable();
    files.peek().is_some()
        && files.all(|name| !name.ends_with(".up.sql") && !name.ends_with(".down.sql"))
}

fn files(
    piece: &Piece<'_>,
    stem: &str,
    is_one_way: bool,
) -> (MigrationFile, Option<MigrationFile>) {
    let switch = if piece.is_transactional {
        ""
    } else {
        NO_TRANSACTION
    };
    let up = format!("{switch}{}{}", piece.header(), piece.up);
    let down = format!("{switch}{}", piece.down);
    let path = |suffix: &str| FRAMEWORK.piece_path(piece, &format!("{stem}{suffix}"));
    if is_one_way {
        let undo = down
            .lines()
            .map(|line| format!("-- {line}\n"))
            .collect::<Vec<String>>()
            .concat();
        let up = format!("{up}\n-- to undo it by hand:\n{undo}");
        return (MigrationFile::new(path(".sql"), up), None);
    }
    (
        MigrationFile::new(path(".up.sql"), up),
        Some(MigrationFile::new(path(".down.sql"), down)),
    )
}
