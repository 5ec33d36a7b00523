//! diesel: a folder a migration with up.sql, down.sql and, outside a transaction, metadata.toml; each file is sent whole, so it holds one statement.

use super::{
    DROPS, Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request,
    Subfolders,
    alone::{self, Piece},
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, quoted_after, resolved},
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "diesel",
    summary: "diesel (Rust)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

/// diesel takes every folder for a migration, but for those with a dot in front.
const HIDDEN: &str = ".";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["diesel.toml"])
        .map(Marker::certain)
        .or_else(|| view.cargo_dependency("diesel").map(Marker::likely))
}

fn folder(view: &ProjectView<'_>) -> String {
    let config = view.find(&["diesel.toml"]);
    let named = config.and_then(|config| {
        let text = view.text(config)?;
        let section = text.split_once("[migrations_directory]")?.1;
        resolved(folder_of(config), quoted_after(section, "dir")?)
    });
    let base = config
        .or_else(|| view.cargo_dependency("diesel"))
        .map_or("", folder_of);
    named.unwrap_or_else(|| joined(base, "migrations"))
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::after(&[], Style::Stamp, request.start);
    let dated: Vec<String> = request
        .existing
        .top()
        .into_iter()
        .filter_map(|name| Some(name.split_once('_')?.0.replace('-', "")))
        .filter(|digits| digits.len() == 14 && digits.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    if !dated.is_empty() {
        let dated: Vec<&str> = dated.iter().map(String::as_str).collect();
        versions = Versions::after(&dated, Style::Stamp, request.start);
    }
    for piece in request.fresh_pieces(&mut rendered) {
        let version = dashed(&versions.next());
        rendered.files.extend(files(&piece, &version));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(alone::TIMEOUTS_NOTE.to_owned());
    }
    if rendered
        .files
        .iter()
        .any(|file| file.path.starts_with(HIDDEN))
    {
        rendered.notes.push(format!(
            "drops are in {HIDDEN}{DROPS}: diesel would run those in a folder without the dot"
        ));
    }
    Ok(rendered)
}

/// `2026-01-02-030405`, as `diesel migration generate` names them.
fn dashed(stamp: &str) -> String {
    let part = |range: std::ops::Range<usize>| stamp.get(range).unwrap_or_default();
    format!(
        "{}-{}-{}-{}",
        part(0..4),
        part(4..6),
        part(6..8),
        part(8..14)
    )
}

fn files(piece: &Piece<'_>, version: &str) -> Vec<MigrationFile> {
    let above = if piece.is_drop() {
        format!("{HIDDEN}{DROPS}/")
    } else {
        String::new()
    };
    let folder = format!("{above}{version}_{}", piece.slug);
    let mut files = vec![
        MigrationFile::new(
            format!("{folder}/up.sql"),
            format!("{}{}", piece.header(), piece.up),
        ),
        MigrationFile::new(format!("{folder}/down.sql"), piece.down.clone()),
    ];
    if !piece.is_transactional {
        let metadata = "# CONCURRENTLY cannot run in a transaction\nrun_in_transaction = false\n";
        files.push(MigrationFile::new(
            format!("{folder}/metadata.toml"),
            metadata,
        ));
    }
    files
}
