//! Liquibase: a formatted SQL changelog a step, and its line in the master changelog.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Step, StepKind,
    Subfolders,
    name::MAX_NAME_BYTES,
    project::{file_name, folder_of, joined},
    script::{self, Op},
    split::{self, Piece},
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "liquibase",
    summary: "Liquibase (formatted SQL)",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

fn master<'v>(view: &'v ProjectView<'_>) -> Option<&'v str> {
    view.find_where(|path| {
        let name = file_name(path).to_ascii_lowercase();
        let known = [".xml", ".yaml", ".yml"]
            .iter()
            .any(|ending| name.ends_with(ending));
        known
            && name.contains("changelog")
            && (name.contains("master")
                || name.contains("root")
                || !name.contains(|c: char| c.is_ascii_digit()))
    })
}

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    view.find(&["liquibase.properties"])
        .or_else(|| master(view))
        .map(Marker::certain)
}

fn folder(view: &ProjectView<'_>) -> String {
    master(view).map_or_else(
        || "changelog".to_owned(),
        |master| folder_of(master).to_owned(),
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
    let mut names = Vec::new();
    for step in request.fresh(&mut rendered) {
        let base = format!("{}_{}", versions.next(), step.slug);
        let name = format!("{base}.sql");
        rendered.files.push(MigrationFile::new(
            FRAMEWORK.path(step, &name),
            content(step, &base),
        ));
        if !matches!(step.kind, StepKind::Drop(_)) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        include(request, &names, &mut rendered);
    }
    Ok(rendered)
}

/// A changeset outside a transaction; a delimiter of its own, as DO blocks have semicolons inside.
fn content(step: &Step, base: &str) -> String {
    let (up, down) = (script::up(step), script::down(step));
    let delimiter = delimiter(&up, &down);
    let rollback: Vec<String> = statements(&down, &delimiter)
        .lines()
        .map(|line| format!("--rollback {line}\n"))
        .collect();
    let rollback = rollback.concat();
    format!(
        "--liquibase formatted sql\n\n--changeset pgassay:{base} dbms:postgresql runInTransaction:false splitStatements:true endDelimiter:{delimiter} \
         rollbackSplitStatements:true rollbackEndDelimiter:{delimiter}\n{}{}{rollback}",
        split::header(step, &["run: liquibase update"]),
        statements(&up, &delimiter),
    )
}

/// Text that stands in no statement.
fn delimiter(up: &[Op], down: &[Op]) -> String {
    let text = statements(&[up, down].concat(), "");
    let mut delimiter = "~~".to_owned();
    while text.contains(&delimiter) {
        delimiter.push('~');
    }
    delimiter
}

fn statements(ops: &[Op], delimiter: &str) -> String {
    split::pieces(ops)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Statement(sql) | Piece::Block(sql) => Some(format!("{sql}\n{delimiter}\n")),
            Piece::Comment(_) => None,
        })
        .collect()
}

/// Adds the files to the master changelog, where it takes such lines.
fn include(request: &Request<'_>, names: &[String], rendered: &mut Rendered) {
    let tell = |rendered: &mut Rendered| {
        rendered.notes.push(format!(
            "include in the master changelog, unless it includes the folder: {}",
            names.join(", ")
        ));
    };
    let Some((path, old)) = request.existing.top().into_iter().find_map(|name| {
        let is_master = master(request.existing) == Some(name);
        is_master.then(|| Some((name.to_owned(), request.existing.text(name)?)))?
    }) else {
        tell(rendered);
        return;
    };
    if old.contains("includeAll") {
        rendered.notes.push(format!(
            "{} includes folders: see that the new files are in one of them",
            joined(request.folder, &path)
        ));
        return;
    }
    let amended = if path.ends_with(".xml") {
        include_xml(&old, names)
    } else {
        include_yaml(&old, names)
    };
    match amended {
        Some(content) => rendered.files.push(MigrationFile {
            path,
            content,
            replaces: Some(old),
        }),
        None => tell(rendered),
    }
}

/// File names are slugs: nothing in them needs escapes.
fn include_xml(old: &str, names: &[String]) -> Option<String> {
    let end = old.rfind("</databaseChangeLog>")?;
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("    <include file=\"{name}\" relativeToChangelogFile=\"true\"/>\n"))
        .collect();
    let lines = lines.concat();
    let before = old[..end].trim_end_matches([' ', '\t']);
    let newline = if before.ends_with('\n') { "" } else { "\n" };
    Some(format!("{before}{newline}{lines}{}", &old[end..]))
}

/// Items get the indentation of those that are there.
fn include_yaml(old: &str, names: &[String]) -> Option<String> {
    let list = old
        .lines()
        .position(|line| line.trim_end() == "databaseChangeLog:")?;
    let mut below = old
        .lines()
        .skip(list + 1)
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let item = below
        .clone()
        .find(|line| line.trim_start().starts_with("- "))?;
    let indent = &item[..item.len() - item.trim_start().len()];
    // another key after the list would swallow what is put at the end
    if below.any(|line| {
        !line.starts_with(&format!("{indent}- ")) && !line.starts_with(&format!("{indent} "))
    }) {
        return None;
    }
    let items: Vec<String> = names
        .iter()
        .map(|name| format!("{indent}- include:\n{indent}    file: {name}\n{indent}    relativeToChangelogFile: true\n"))
        .collect();
    let items = items.concat();
    Some(format!("{}\n{items}", old.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_changelog_gets_its_lines() {
        let names = ["a.sql".to_owned()];
        let xml = include_xml("<databaseChangeLog>\n</databaseChangeLog>\n", &names).unwrap();
        assert_eq!(
            xml,
            "<databaseChangeLog>\n    <include file=\"a.sql\" relativeToChangelogFile=\"true\"/>\n</databaseChangeLog>\n"
        );
        let yaml = include_yaml(
            "databaseChangeLog:\n  - include:\n      file: x.sql\n",
            &names,
        )
        .unwrap();
        assert!(yaml.ends_with("      file: x.sql\n  - include:\n      file: a.sql\n      relativeToChangelogFile: true\n"), "{yaml}");
        assert_eq!(
            include_yaml(
                "databaseChangeLog:\n- include:\n    file: x\nother: 1\n",
                &names
            ),
            None
        );
    }
}
