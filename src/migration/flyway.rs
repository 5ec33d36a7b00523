//! Flyway: versioned SQL, parsed statement by statement, with a configuration file beside it that turns the transaction off.

use super::{
    Framework, Marker, MigrationFile, ProjectView, RenderError, Rendered, Request, Subfolders,
    name::MAX_NAME_BYTES,
    project::{file_name, folder_of, quoted_after, resolved, setting},
    script, split,
    version::{Style, Versions},
};

pub(super) static FRAMEWORK: Framework = Framework {
    name: "flyway",
    summary: "Flyway",
    max_name_bytes: MAX_NAME_BYTES,
    subfolders: Subfolders::Read,
    detect,
    folder,
    render,
};

const LOCK: &str = "set flyway.postgresql.transactional.lock=false in the project's configuration (not in the .conf beside the file), or the build waits forever for Flyway's own lock transaction";

fn is_migration(name: &str) -> bool {
    name.strip_prefix('V').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.contains("__")
            && rest.ends_with(".sql")
    })
}

fn detect(view: &ProjectView<'_>) -> Option<Marker> {
    let config = view.find(&["flyway.toml", "flyway.conf"]);
    let in_resources = || {
        view.find_where(|path| {
            is_migration(file_name(path)) && folder_of(path).ends_with("db/migration")
        })
    };
    if let Some(file) = config.or_else(in_resources) {
        return Some(Marker::certain(file));
    }
    let build = view.find_where(|path| {
        matches!(
            file_name(path),
            "pom.xml" | "build.gradle" | "build.gradle.kts"
        ) && view.text(path).is_some_and(|text| text.contains("flyway"))
    })?;
    Some(Marker::certain(build))
}

fn folder(view: &ProjectView<'_>) -> String {
    if let Some(folder) = view.folder_with(is_migration) {
        return folder;
    }
    let configured = view
        .find(&["flyway.toml", "flyway.conf"])
        .and_then(|config| {
            let text = view.text(config)?;
            let location =
                quoted_after(&text, "locations").or_else(|| setting(&text, "flyway.locations"))?;
            let location = location.split(',').next()?.trim();
            let folder = location.strip_prefix("filesystem:").unwrap_or(location);
            (!folder.contains(':')).then(|| resolved(folder_of(config), folder))?
        });
    configured.unwrap_or_else(|| {
        let resources = "src/main/resources";
        if view.has_folder(resources) {
            format!("{resources}/db/migration")
        } else {
            "sql".to_owned()
        }
    })
}

fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let mut rendered = Rendered::default();
    let mut versions = Versions::behind(request.existing, "V", Style::Stamp, request.start);
    for step in request.fresh(&mut rendered) {
        let stem = format!("V{}__{}", versions.next(), step.slug);
        let header = split::header(step, &[LOCK]);
        let content = format!("{header}\n{}", split::text(&script::up(step), "", ""));
        let mut settings = "executeInTransaction=false\n".to_owned();
        // placeholders are looked for in strings, too
        if content.contains("${") {
            settings.push_str("placeholderReplacement=false\n");
        }
        let path = |suffix: &str| FRAMEWORK.path(step, &format!("{stem}{suffix}"));
        rendered
            .files
            .push(MigrationFile::new(path(".sql"), content));
        rendered
            .files
            .push(MigrationFile::new(path(".sql.conf"), settings));
        rendered.files.push(split::undo_script(step, &stem));
    }
    if !rendered.files.is_empty() {
        rendered.notes.push(LOCK.to_owned());
        rendered.notes.push(
            "undo migrations are a paid part of Flyway: undo/*.psql are for psql -f".to_owned(),
        );
    }
    Ok(rendered)
}
