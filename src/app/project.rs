//! Where migrations go: the project that is written into, its framework, and the folder; and the project as `migration` may see it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Context, Error, ErrorKind, path_text};
use crate::{
    cli::MigrateArgs,
    migration::{FRAMEWORKS, Framework, MigrationFile, ProjectView},
};

/// Files of a project that are looked at. A monorepo with more is still written into; its migrations are then found only if they come early.
const MAX_FILES: usize = 200_000;

/// Folders below each other: deeper than any framework's.
const MAX_DEPTH: usize = 12;

/// Largest file that is read from a project: migrations, models and settings are far smaller.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Folders of dependencies and builds: what looks like a framework there is not the project's.
const SKIPPED: &[&str] = &[
    "node_modules",
    "target",
    "vendor",
    "__pycache__",
    "site-packages",
    "_build",
    "deps",
    "bower_components",
];

/// How far above `--out` a project's root is looked for.
const MAX_ABOVE: usize = 5;

/// Folders of a project that hold settings for all of it.
const OWN_FOLDERS: &[&str] = &["config", "prisma", "src"];

/// The folder that plain SQL goes to when nothing says where.
const DEFAULT_FOLDER: &str = "migrations";

/// Where files go, for which framework, in which project.
#[derive(Debug)]
pub(super) struct Place {
    /// Named, or found.
    pub framework: &'static Framework,
    /// The project; empty when none is known.
    pub project: ProjectView<'static>,
    /// Nothing is written outside it: `--out`, or the project.
    pub root: PathBuf,
    /// The migrations' folder as the framework sees it: from the project's root, or `--out`.
    pub folder: String,
    /// From `root` to the migrations' folder; empty with `--out`.
    below: String,
}

impl Place {
    /// What the command line says, or the project.
    pub(super) fn of(args: &MigrateArgs, context: &Context) -> Result<Self, Error> {
        let named = args.framework.as_deref().and_then(Framework::of_name);
        match (&args.project, &args.out) {
            (Some(project), out) => Self::in_project(project, named, out.as_deref()),
            (None, Some(out)) => Ok(Self::in_folder(out, named, context)),
            (None, None) => Self::here(named, context),
        }
    }

    fn in_project(
        project: &Path,
        named: Option<&'static Framework>,
        out: Option<&Path>,
    ) -> Result<Self, Error> {
        let root = folder(project)?;
        let view = view(&root);
        let framework = match named {
            Some(framework) => framework,
            None => detected(&view, project)?,
        };
        if let Some(out) = out {
            let folder = below(&root, out).unwrap_or_else(|| path_text(out));
            return Ok(Self {
                framework,
                project: view,
                root: out.to_path_buf(),
                folder,
                below: String::new(),
            });
        }
        let folder = (framework.folder)(&view);
        Ok(Self {
            framework,
            project: view,
            root,
            below: folder.clone(),
            folder,
        })
    }

    /// With `--out` alone: the project is the nearest folder above it that the framework knows for its own.
    fn in_folder(out: &Path, named: Option<&'static Framework>, context: &Context) -> Self {
        let framework = named.unwrap_or_else(|| plain_sql(context));
        let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_path_buf());
        let (project, folder) = absolute
            .ancestors()
            .take(MAX_ABOVE)
            .filter(|above| above.is_dir() && above.parent().is_some())
            .find_map(|above| {
                let folder = below(above, out)?;
                let marker = (framework.detect)(&shallow(above))?;
                speaks_for(&marker.file, &folder).then(|| (view(above), folder))
            })
            .unwrap_or_else(|| (ProjectView::empty(), path_text(out)));
        Self {
            framework,
            project,
            root: out.to_path_buf(),
            folder,
            below: String::new(),
        }
    }

    /// With neither: a named framework whose project this is gets its own folder.
    fn here(named: Option<&'static Framework>, context: &Context) -> Result<Self, Error> {
        let here = Path::new(".");
        match named {
            Some(framework) if (framework.detect)(&view(here)).is_some() => {
                Self::in_project(here, named, None)
            }
            _ => Ok(Self::in_folder(Path::new(DEFAULT_FOLDER), named, context)),
        }
    }

    /// What is in the migrations' folder.
    pub(super) fn existing(&self) -> ProjectView<'static> {
        view(&self.root.join(&self.below))
    }

    /// The files with their paths below `root`.
    pub(super) fn below_root(&self, files: Vec<MigrationFile>) -> Vec<MigrationFile> {
        let place = |file: MigrationFile| MigrationFile {
            path: match self.below.as_str() {
                "" => file.path,
                folder => format!("{folder}/{}", file.path),
            },
            ..file
        };
        files.into_iter().map(place).collect()
    }
}

/// Does a marker speak for a folder of its project? One in another folder may be of a neighbour's project.
fn speaks_for(marker: &str, folder: &str) -> bool {
    match marker.rsplit_once('/') {
        None => true,
        Some((above, _)) => OWN_FOLDERS.contains(&above) || folder.starts_with(above),
    }
}

/// The default, and a word to those who stand in a project of another framework.
fn plain_sql(context: &Context) -> &'static Framework {
    let own = FRAMEWORKS
        .iter()
        .find_map(|framework| Some((framework, (framework.detect)(&shallow(Path::new(".")))?)));
    if let Some((framework, marker)) = own {
        context.remark(&format!(
            "plain SQL for psql; {} looks like {}: --project . writes its own migrations",
            marker.file, framework.name
        ));
    }
    Framework::of_name("sql").expect("plain SQL is one of the frameworks")
}

/// The one framework that a project is of. A framework's own files count before dependencies, which may serve something else.
fn detected(view: &ProjectView<'_>, project: &Path) -> Result<&'static Framework, Error> {
    let mut found: Vec<_> = FRAMEWORKS
        .iter()
        .filter_map(|framework| Some((*framework, (framework.detect)(view)?)))
        .collect();
    if found.iter().any(|(_, marker)| marker.is_certain) {
        found.retain(|(_, marker)| marker.is_certain);
    }
    let project = path_text(project);
    match found.as_slice() {
        [(framework, _)] => Ok(framework),
        [] => Err(Error::new(
            ErrorKind::Usage,
            format!("no migration framework found in {project:?}"),
        )
        .hint("name one with --framework (--help lists them); sql is plain SQL for psql")),
        several => {
            let candidates: Vec<String> = several
                .iter()
                .map(|(framework, marker)| format!("{} ({})", framework.name, marker.file))
                .collect();
            let message = format!(
                "{project:?} has several migration frameworks: {}",
                candidates.join(", ")
            );
            Err(Error::new(ErrorKind::Usage, message).hint(format!(
                "choose with --framework {}, or name the part of the project with --project",
                several[0].0.name
            )))
        }
    }
}

/// An existing folder; of a symbolic link, what it points to.
fn folder(path: &Path) -> Result<PathBuf, Error> {
    let failed = |error| {
        Error::new(
            ErrorKind::Input,
            format!("cannot read {:?}", path_text(path)),
        )
        .because(error)
    };
    let facts = fs::symlink_metadata(path).map_err(failed)?;
    if facts.is_symlink() {
        return fs::canonicalize(path).map_err(failed);
    }
    if facts.is_dir() {
        return Ok(path.to_path_buf());
    }
    let message = format!("{:?} is no folder", path_text(path));
    Err(Error::new(ErrorKind::Usage, message).hint("--project takes the project's folder"))
}

/// `path` from `root` on, if it lies below.
fn below(root: &Path, path: &Path) -> Option<String> {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    let (root, path) = (absolute(root)?, absolute(path)?);
    let parts = path.strip_prefix(root).ok()?.iter();
    let parts: Option<Vec<&str>> = parts.map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

/// A folder's tree, bounded; symbolic links to folders are not followed.
fn view(root: &Path) -> ProjectView<'static> {
    view_to(root, MAX_DEPTH)
}

/// The folder itself and one below.
fn shallow(root: &Path) -> ProjectView<'static> {
    view_to(root, 2)
}

fn view_to(root: &Path, depth: usize) -> ProjectView<'static> {
    let mut paths = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    while let Some((folder, level)) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = match folder.as_str() {
                "" => name.clone(),
                folder => format!("{folder}/{name}"),
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    if level + 1 < depth && !is_skipped(&entry.path(), &name) {
                        folders.push((path, level + 1));
                    }
                }
                Ok(_) => paths.push(path),
                Err(_) => {}
            }
        }
        if paths.len() > MAX_FILES {
            break;
        }
    }
    let root = root.to_path_buf();
    ProjectView::new(paths, Box::new(move |path| text(&root.join(path))))
}

fn is_skipped(path: &Path, name: &str) -> bool {
    name.starts_with('.') || SKIPPED.contains(&name) || path.join("pyvenv.cfg").exists()
}

fn text(path: &Path) -> Option<String> {
    let facts = fs::metadata(path).ok()?;
    if !facts.is_file() || facts.len() > MAX_FILE_BYTES {
        return None;
    }
    fs::read_to_string(path).ok()
}
