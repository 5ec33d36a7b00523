//! Shows the files of the user's code to the locator: what git ignores is left out, and so is what is too large to be written by hand.

use std::{collections::BTreeMap, fs, path::Path};

use ignore::WalkBuilder;

use super::{Error, ErrorKind, path_text};
use crate::{
    finding::{Location, Locator, Report},
    workload::Workload,
};

/// Larger files are generated or data.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Files looked at; a repository with more is best searched in parts.
const MAX_FILES: usize = 50_000;
/// Folders of other people's code, where they are not ignored by git already.
const FOREIGN_FOLDERS: &[&str] = &[
    "node_modules",
    "vendor",
    "target",
    "venv",
    "site-packages",
    "dist",
];

/// Puts places of the code in front of the findings' locations.
///
/// # Errors
/// When the folder can't be read.
pub(super) fn locate(folder: &Path, report: &mut Report, workload: &Workload) -> Result<(), Error> {
    if !folder.is_dir() {
        let message = format!("--source {:?} is no folder", path_text(folder));
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let wanted = report.findings.iter().map(|finding| {
        let query = finding.subject.fingerprint.and_then(|f| workload.query(f));
        let log = query.and_then(|query| query.log.as_ref());
        let commonest = log.and_then(|log| log.routes.first());
        (
            finding,
            commonest.map(|tags| pairs(&tags.name)).unwrap_or_default(),
        )
    });
    let mut locator = Locator::new(wanted);
    let walk = WalkBuilder::new(folder)
        .sort_by_file_path(Ord::cmp)
        .max_filesize(Some(MAX_FILE_BYTES))
        .filter_entry(|entry| {
            let name = entry.file_name().to_str().unwrap_or_default();
            !(entry.depth() > 0 && FOREIGN_FOLDERS.contains(&name))
        })
        .build();
    // what can't be read is no place that a person could be sent to
    let entries = walk.filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
    for entry in files.take(MAX_FILES) {
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let path = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        locator.visit(&path_text(path).replace('\\', "/"), &text);
    }
    let prefix = prefix(folder);
    for (finding, places) in report.findings.iter_mut().zip(locator.finish()) {
        let places = places.into_iter().map(|place| Location {
            file: format!("{prefix}{}", place.file),
            ..place
        });
        finding.locations.splice(0..0, places);
    }
    Ok(())
}

/// Paths in reports are relative to where pgassay runs, which in CI is the repository.
fn prefix(folder: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let folder = folder.strip_prefix(&here).unwrap_or(folder);
    match path_text(folder)
        .trim_start_matches("./")
        .trim_end_matches('/')
    {
        "" | "." => String::new(),
        folder => format!("{folder}/"),
    }
}

fn pairs(tags: &str) -> BTreeMap<String, String> {
    let pairs = tags.split(' ').filter_map(|tag| tag.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
