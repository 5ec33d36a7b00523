//! Prisma: a folder a migration with migration.sql. Versions that do not split it send it whole, so a concurrent statement stands alone in it.

use super::{
    Framework, LATER, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step,
    StepKind, Subfolders,
    alone::{self, Piece},
    host::Host,
    javascript, model,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined},
    version::{Style, Versions},
};
use crate::catalog::Direction;

pub(super) static FRAMEWORK: Framework = Framework {
    name: "prisma",
    summary: "Prisma Migrate",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

const NOTE: &str = "Prisma has no down migrations: down.sql beside each is for psql -f, then prisma migrate resolve --rolled-back NAME";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["schema.prisma"])
        .or_else(|| javascript::config(view, "prisma.config"))
        .map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    match view.find(&["schema.prisma"]) {
        Some(schema) => joined(folder_of(schema), "migrations"),
        None => "prisma/migrations".to_owned(),
    }
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "", Style::Stamp, request.start);
    let mut noted = "";
    for piece in request.fresh_pieces(&mut rendered) {
        let stem = format!("{}_{}", versions.next(), piece.slug);
        rendered.files.extend(files(&piece, &stem));
        // a step that became several files has one line
        if let Some(step) = piece.step
            && step.slug != noted
        {
            rendered.notes.extend(model_line(step));
            noted = &step.slug;
        }
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(NOTE.to_owned());
        rendered.notes.push(alone::TIMEOUTS_NOTE.to_owned());
    }
    Ok(rendered)
}

/// Prisma takes every folder for a migration: a drop waits as plain files, until it gets a folder of its own.
fn files(piece: &Piece<'_>, stem: &str) -> [MigrationFile; 2] {
    let (up, down) = if piece.is_drop() {
        let up = format!("drop.{stem}.migration.sql.{LATER}");
        (up, format!("drop.{stem}.down.sql.{LATER}"))
    } else {
        (format!("{stem}/migration.sql"), format!("{stem}/down.sql"))
    };
    let header = piece.header();
    [
        MigrationFile::new(up, format!("{header}{}", piece.up)),
        MigrationFile::new(down, piece.down.clone()),
    ]
}

/// What the schema must say, or `migrate dev` finds drift and drops the index.
fn model_line(step: &Step) -> Option<String> {
    let StepKind::Create(change) = &step.kind else {
        return None;
    };
    let def = &change.def;
    let columns = model::plain_columns(def)?;
    if !def.include.is_empty() || def.predicate.is_some() || !def.keys.iter().all(model::is_plain) {
        return None;
    }
    let fields: Vec<String> = columns
        .iter()
        .zip(&def.keys)
        .map(|(column, key)| match key.direction {
            Direction::Asc => (*column).to_owned(),
            Direction::Desc => format!("{column}(sort: Desc)"),
        })
        .collect();
    let method = match def.method.as_str() {
        "" | "btree" => "",
        "hash" => ", type: Hash",
        "gin" => ", type: Gin",
        "gist" => ", type: Gist",
        "spgist" => ", type: SpGist",
        "brin" => ", type: Brin",
        _ => return None,
    };
    let attribute = if def.unique { "@@unique" } else { "@@index" };
    let name = Host::Script.quoted(&def.name);
    Some(format!(
        "add to the model of {} (columns as its field names), or the next prisma migrate dev drops the index: {attribute}([{}]{method}, map: {name})",
        def.table,
        fields.join(", ")
    ))
}
