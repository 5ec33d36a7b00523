//! Which JavaScript a project's migrations are written in.

use super::{
    ProjectView, Request,
    project::{file_name, folder_of, joined},
};

/// A dialect of JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Script {
    /// With the dot.
    pub(super) extension: &'static str,
    pub(super) modules: Modules,
    pub(super) is_typed: bool,
}

/// How a file exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modules {
    /// `exports.up = …`
    CommonJs,
    /// `export …`
    Es,
}

/// Extensions of migrations, more telling ones first.
const EXTENSIONS: &[&str] = &[".mts", ".cts", ".ts", ".mjs", ".cjs", ".js"];

impl Script {
    /// That of the migrations that are there; else that of `config`, the framework's own configuration; else `default`.
    pub(super) fn of(request: &Request<'_>, config: Option<&str>, default: &'static str) -> Self {
        let existing = request
            .existing
            .top()
            .into_iter()
            .filter(|name| {
                name.starts_with(|c: char| c.is_ascii_digit()) && !name.ends_with(".d.ts")
            })
            .filter_map(extension)
            .next_back();
        let extension = existing.or_else(|| extension(config?)).unwrap_or(default);
        let folder = config.map_or("", folder_of);
        Self::with_extension(extension, request.project, folder)
    }

    fn with_extension(extension: &'static str, project: &ProjectView<'_>, folder: &str) -> Self {
        let is_typed = extension.ends_with("ts");
        let modules = match extension {
            ".cjs" => Modules::CommonJs,
            ".js" if !is_module(project, folder) => Modules::CommonJs,
            _ => Modules::Es,
        };
        Self {
            extension,
            modules,
            is_typed,
        }
    }

    /// `export async function up(…)` or `exports.up = async function up(…)`, down to the opening brace. `typed` is added in TypeScript.
    pub(super) fn function(self, name: &str, parameter: &str, typed: &str) -> String {
        let typed = if self.is_typed { typed } else { "" };
        let returns = if self.is_typed { ": Promise<void>" } else { "" };
        match self.modules {
            Modules::Es => {
                format!("export async function {name}({parameter}{typed}){returns} {{\n")
            }
            Modules::CommonJs => {
                format!("exports.{name} = async function {name}({parameter}) {{\n")
            }
        }
    }

    /// The end of what [`Self::function`] opened.
    pub(super) fn end(self) -> &'static str {
        match self.modules {
            Modules::Es => "}\n",
            Modules::CommonJs => "};\n",
        }
    }
}

fn extension(name: &str) -> Option<&'static str> {
    EXTENSIONS
        .iter()
        .find(|extension| name.ends_with(**extension))
        .copied()
}

/// Does the nearest package.json say that .js files are ES modules?
fn is_module(project: &ProjectView<'_>, folder: &str) -> bool {
    let mut folder = folder;
    loop {
        if let Some(text) = project.text(&joined(folder, "package.json")) {
            let manifest = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
            return manifest["type"] == "module";
        }
        if folder.is_empty() {
            return false;
        }
        folder = folder_of(folder);
    }
}

/// A configuration file of this base name, whatever its extension.
pub(super) fn config<'v>(view: &'v ProjectView<'_>, base: &str) -> Option<&'v str> {
    view.find_where(|path| {
        file_name(path)
            .strip_prefix(base)
            .is_some_and(|rest| EXTENSIONS.contains(&rest) || rest == ".json")
    })
}
