//! What a framework sees of the project that it writes into: names of files, and their text on demand. `app` walks the folders and reads.

use std::fmt;

use serde_json::Value;

/// A folder tree as a renderer sees it: sorted paths relative to its root, `/` between folders; text by request.
pub struct ProjectView<'a> {
    paths: Vec<String>,
    read: ReadText<'a>,
}

/// Gives the text of a file, if it has one.
pub type ReadText<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

impl fmt::Debug for ProjectView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProjectView").field(&self.paths).finish()
    }
}

/// Files of one kind whose text is looked into at most, in search of a marker. A project's own tool has its marker in each of them.
const MAX_LOOKED_INTO: usize = 50;

/// Why a project is taken for one of a framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The file that says so.
    pub file: String,
    /// The framework's own configuration or files, not only a dependency that may serve something else.
    pub is_certain: bool,
}

impl Marker {
    pub(super) fn certain(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            is_certain: true,
        }
    }

    pub(super) fn likely(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            is_certain: false,
        }
    }
}

impl<'a> ProjectView<'a> {
    /// A view of these files, whose text `read` gives.
    #[must_use]
    pub fn new(mut paths: Vec<String>, read: ReadText<'a>) -> Self {
        paths.sort();
        Self { paths, read }
    }

    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Vec::new(), Box::new(|_| None))
    }

    /// All paths, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths
            .binary_search_by(|known| known.as_str().cmp(path))
            .is_ok()
    }

    /// Is there a file below this folder?
    pub(super) fn has_folder(&self, folder: &str) -> bool {
        let prefix = format!("{folder}/");
        self.paths().any(|path| path.starts_with(&prefix))
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.has(path).then(|| (self.read)(path)).flatten()
    }

    /// The file of one of these names that is nearest to the root.
    pub(super) fn find(&self, names: &[&str]) -> Option<&str> {
        self.find_where(|path| names.contains(&file_name(path)))
    }

    /// The file nearest to the root that passes.
    pub(super) fn find_where(&self, passes: impl Fn(&str) -> bool) -> Option<&str> {
        let matching = self.paths().filter(|path| passes(path));
        matching.min_by_key(|path| (path.matches('/').count(), *path))
    }

    /// The first file of this ending whose text has `marker`.
    pub(super) fn find_text(&self, ending: &str, marker: &str) -> Option<&str> {
        let mut files: Vec<&str> = self.paths().filter(|path| path.ends_with(ending)).collect();
        files.sort_by_key(|path| path.matches('/').count());
        files.truncate(MAX_LOOKED_INTO);
        files
            .into_iter()
            .find(|path| self.text(path).is_some_and(|text| text.contains(marker)))
    }

    /// Names directly in the root: files and folders.
    pub(super) fn top(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .paths()
            .map(|path| path.split('/').next().unwrap_or(path))
            .collect();
        names.dedup();
        names
    }

    /// Names directly in a folder below the root.
    pub(super) fn names_in(&self, folder: &str) -> Vec<&str> {
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let mut names: Vec<&str> = self
            .paths()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|rest| rest.split('/').next().unwrap_or(rest))
            .collect();
        names.dedup();
        names
    }

    /// The package.json nearest to the root that depends on an npm package.
    pub(super) fn npm_dependency(&self, package: &str) -> Option<&str> {
        let depends = |path: &str| {
            let Some(Ok(manifest)) = self
                .text(path)
                .map(|text| serde_json::from_str::<Value>(&text))
            else {
                return false;
            };
            ["dependencies", "devDependencies"].iter().any(|kind| {
                manifest
                    .get(kind)
                    .and_then(|all| all.get(package))
                    .is_some()
            })
        };
        self.find_where(|path| file_name(path) == "package.json" && depends(path))
    }

    /// The Cargo.toml nearest to the root that depends on a crate.
    pub(super) fn cargo_dependency(&self, name: &str) -> Option<&str> {
        let depends = |line: &str| {
            let line = line.trim();
            let is_entry = line
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with('=') || rest.starts_with('.'));
            is_entry || (line.starts_with('[') && line.ends_with(&format!("dependencies.{name}]")))
        };
        self.find_where(|path| {
            file_name(path) == "Cargo.toml"
                && self
                    .text(path)
                    .is_some_and(|text| text.lines().any(depends))
        })
    }

    /// The folder nearest to the root that holds a file whose name passes.
    pub(super) fn folder_with(&self, passes: impl Fn(&str) -> bool) -> Option<String> {
        self.find_where(|path| passes(file_name(path)))
            .map(|path| folder_of(path).to_owned())
    }
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What stands before the last part; empty at the root.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A folder as a configuration names it, relative to the configuration's own folder. `None` when that leads out of the project.
pub(super) fn resolved(base: &str, folder: &str) -> Option<String> {
    if folder.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in folder.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// `folder/name`, or `name` at the root.
pub(super) fn joined(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// The first quoted string behind `key` in a configuration's text, past separators such as `:`, `=`, `[` and blanks.
pub(super) fn quoted_after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.match_indices(key).find_map(|(at, _)| {
        let rest = text[at + key.len()..].trim_start_matches(['\'', '"']);
        let rest = rest.trim_start_matches([' ', '\t', '\n', ':', '=', '[']);
        let quote = rest
            .chars()
            .next()
            .filter(|c| matches!(c, '\'' | '"' | '`'))?;
        let rest = &rest[1..];
        rest.find(quote).map(|end| &rest[..end])
    })
}

/// The value of `key = value` or `key: value` on a line of its own; quotes taken off.
pub(super) fn setting<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(key)?.trim_start();
        let value = rest.strip_prefix(['=', ':'])?.trim();
        Some(value.trim_matches(['"', '\'']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(files: &'static [(&'static str, &'static str)]) -> ProjectView<'static> {
        let read = |path: &str| {
            files
                .iter()
                .find(|(known, _)| *known == path)
                .map(|(_, text)| (*text).to_owned())
        };
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        ProjectView::new(paths, Box::new(read))
    }

    #[test]
    fn dependencies_are_found_where_they_are_declared() {
        let view = view(&[
            ("a/Cargo.toml", "[dependencies]\nsqlx-core = \"1\"\n"),
            ("b/Cargo.toml", "[dependencies.sqlx]\nversion = \"1\"\n"),
            ("package.json", "{\"devDependencies\": {\"knex\": \"3\"}}"),
            ("x/package.json", "no json"),
        ]);
        assert_eq!(view.cargo_dependency("sqlx"), Some("b/Cargo.toml"));
        assert_eq!(view.npm_dependency("knex"), Some("package.json"));
        assert_eq!(view.npm_dependency("kysely"), None);
    }

    #[test]
    fn folders_of_a_configuration_stay_in_the_project() {
        assert_eq!(resolved("app", "./db/../x"), Some("app/x".into()));
        assert_eq!(resolved("", "../x"), None);
        assert_eq!(resolved("", "/etc"), None);
    }

    #[test]
    fn settings_are_read_from_any_syntax() {
        assert_eq!(setting("# dir\n dir = \"m\"", "dir"), Some("m"));
        assert_eq!(quoted_after("out: './drizzle',", "out"), Some("./drizzle"));
        assert_eq!(
            quoted_after("\"migrations\": [ \"a/*.ts\" ]", "migrations"),
            Some("a/*.ts")
        );
    }
}
