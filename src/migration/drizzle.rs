//! Drizzle: SQL between breakpoints, listed in a journal. `drizzle-kit migrate` runs all of it in one transaction, which the file leaves and opens again.

use serde_json::{Value, json};

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    host::Host,
    javascript, model,
    name::MAX_NAME_BYTES,
    project::{folder_of, joined, quoted_after, resolved},
    script,
    split::{self, Piece},
    version::leading_digits,
};
use crate::catalog::Direction;

pub(super) static FRAMEWORK: Framework = Framework {
    name: "drizzle",
    summary: "Drizzle (drizzle-kit)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Ignored,
    detect,
    folder,
    render,
};

const JOURNAL: &str = "meta/_journal.json";
pub(super) const BREAKPOINT: &str = "--> statement-breakpoint";
const TRAP: &str = "drizzle-kit migrate runs all pending files in one transaction: this one commits it first and opens a new one at its end, so what stands before is not rolled back with it";

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    javascript::config(view, "drizzle.config").map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    let Some(config) = javascript::config(view, "drizzle.config") else {
        return "drizzle".to_owned();
    };
    let text = view.text(config).unwrap_or_default();
    quoted_after(&text, "out")
        .and_then(|named| resolved(folder_of(config), named))
        .unwrap_or_else(|| joined(folder_of(config), "drizzle"))
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let steps = request.without_marks(&mut rendered);
    let request = &Request {
        steps: &steps,
        ..*request
    };
    let old = request.existing.text(JOURNAL);
    let mut journal = read(old.as_deref())?;
    let entries = journal["entries"].as_array_mut().expect("read checks it");
    let number = |value: &Value, key: &str| value[key].as_u64().unwrap_or_default();
    let mut index = entries
        .iter()
        .map(|entry| number(entry, "idx") + 1)
        .max()
        .unwrap_or_default();
    // drizzle-kit runs what is dated after the last that it ran, so no entry may be dated before one that is there
    let latest = entries
        .iter()
        .map(|entry| number(entry, "when"))
        .max()
        .unwrap_or_default();
    let mut when = milliseconds(request).max(latest + 1);
    let is_stamped = entries.iter().any(|entry| {
        entry["tag"]
            .as_str()
            .is_some_and(|tag| leading_digits(tag).len() == 14)
    });
    for step in request.fresh(&mut rendered) {
        let prefix = if is_stamped {
            super::version::stamp(request.start.time)
        } else {
            format!("{index:04}")
        };
        let tag = format!("{prefix}_{}", step.slug);
        let path = FRAMEWORK.path(step, &format!("{tag}.sql"));
        rendered.files.push(MigrationFile::new(path, content(step)));
        let mut undo = split::undo_script(step, &tag);
        if matches!(step.kind, StepKind::Drop(_)) {
            rendered.notes.push(format!(
                "drops/{tag}.sql is not in the journal: drizzle-kit generate --custom --name {} makes its entry, then put the file's content there",
                step.slug
            ));
            undo.path = format!("drops/{}", undo.path);
        } else {
            entries.push(json!({ "idx": index, "version": "7", "when": when, "tag": tag, "breakpoints": true }));
            index += 1;
            when += 1000;
        }
        rendered.files.push(undo);
        rendered.notes.extend(model_line(step));
    }
    if rendered.files.is_empty() {
        return Ok(rendered);
    }
    let text = serde_json::to_string_pretty(&journal).expect("it was read as JSON");
    if old.as_deref().is_none_or(|old| old.trim_end() != text) {
        rendered.files.push(MigrationFile {
            path: JOURNAL.to_owned(),
            content: text + "\n",
            replaces: old,
        });
    }
    rendered.notes.push(TRAP.to_owned());
    rendered
        .notes
        .push("Drizzle has no down migrations: undo/*.psql are for psql -f".to_owned());
    Ok(rendered)
}

fn milliseconds(request: &Request<'_>) -> u64 {
    let zoned = request.start.time.to_zoned(jiff::tz::TimeZone::UTC);
    let milliseconds = zoned.map_or(0, |zoned| zoned.timestamp().as_millisecond());
    u64::try_from(milliseconds).unwrap_or_default()
}

fn read(journal: Option<&str>) -> Result<Value, RenderError> {
    let Some(text) = journal else {
        return Ok(json!({ "version": "7", "dialect": "postgresql", "entries": [] }));
    };
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    if value["entries"].is_array() {
        Ok(value)
    } else {
        Err(RenderError {
            message: format!("{JOURNAL} is no journal of drizzle-kit"),
            hint: "restore it from version control".to_owned(),
        })
    }
}

fn content(step: &Step) -> String {
    let ops = script::up(step);
    let mut statements: Vec<String> = Vec::new();
    let mut comments = split::header(step, &[TRAP, "run: npx drizzle-kit migrate"]);
    let is_concurrent = script::is_concurrent(&ops);
    if is_concurrent {
        statements.push(format!("{}COMMIT;", std::mem::take(&mut comments)));
    }
    for piece in split::pieces(&ops) {
        match piece {
            Piece::Comment(line) => comments.push_str(&line),
            Piece::Statement(sql) | Piece::Block(sql) => {
                statements.push(format!("{}{sql};", std::mem::take(&mut comments)));
            }
        }
    }
    if is_concurrent {
        statements.push("BEGIN;".to_owned());
    }
    statements.join(&format!("\n{BREAKPOINT}\n")) + "\n"
}

/// What the schema must say, or `drizzle-kit push` drops the index.
fn model_line(step: &Step) -> Option<String> {
    let StepKind::Create(change) = &step.kind else {
        return None;
    };
    let def = &change.def;
    let columns = model::plain_columns(def)?;
    if !def.include.is_empty()
        || def.predicate.is_some()
        || !model::is_btree(def)
        || !def.keys.iter().all(model::is_plain)
    {
        return None;
    }
    let keys: Vec<String> = columns
        .iter()
        .zip(&def.keys)
        .map(|(column, key)| {
            let column = format!("t[{}]", Host::Script.quoted(column));
            match key.direction {
                Direction::Asc => column,
                Direction::Desc => format!("{column}.desc().nullsFirst()"),
            }
        })
        .collect();
    let function = if def.unique { "uniqueIndex" } else { "index" };
    Some(format!(
        "add to the table {} in the schema (columns as its keys), or drizzle-kit push drops the index: {function}({}).on({}).concurrently()",
        def.table,
        Host::Script.quoted(&def.name),
        keys.join(", ")
    ))
}
