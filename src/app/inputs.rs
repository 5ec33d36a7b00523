//! Which logs a run reads: files, folders and patterns as named, and each set of rotated files in order of time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{Error, ErrorKind, path_text};
use crate::source::{self, Options, SourceError};

/// Folders within each other that are looked into.
const MAX_DEPTH: usize = 4;
/// Files of one folder or pattern that are read; more is a mistake (a data directory, a whole disk).
const MAX_FOUND: usize = 10_000;
/// Files of one run by the same name in several formats start so close to each other, microseconds.
const TWIN_US: i64 = 2_000_000;
/// Endings of compressed files.
const COMPRESSED: [&str; 5] = [".gz", ".zst", ".bz2", ".xz", ".zstd"];
/// Endings that tell formats of one log from each other.
const FORMATTED: [&str; 3] = [".log", ".csv", ".json"];

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    /// The folder or pattern by which it was found, as the user wrote it; `None` when the user named the file itself.
    pub(super) found_by: Option<String>,
}

/// Files to read, in order, and what is to be said of the others.
#[derive(Debug, Default)]
pub(super) struct Arranged {
    pub(super) files: Vec<LogFile>,
    /// Folders and patterns without any log.
    pub(super) failed: Vec<Error>,
    /// Files that were left out.
    pub(super) notes: Vec<String>,
}

/// The files of all arguments: folders with what is in them, patterns with what they match. Each file comes once.
pub(super) fn expand(named: &[PathBuf]) -> Arranged {
    let mut arranged = Arranged::default();
    let mut known = BTreeSet::new();
    for path in named {
        let found = match search(path) {
            None => vec![LogFile {
                path: path.clone(),
                found_by: None,
            }],
            Some(Ok(paths)) => {
                let found_by = Some(path_text(path));
                let file = |path| LogFile {
                    path,
                    found_by: found_by.clone(),
                };
                paths.into_iter().map(file).collect()
            }
            Some(Err(error)) => {
                arranged.failed.push(error);
                continue;
            }
        };
        let news = found.into_iter().filter(|file| {
            let whole = file.path.canonicalize();
            whole.map_or(true, |whole| known.insert(whole))
        });
        arranged.files.extend(news);
    }
    arranged
}

/// What a folder holds or a pattern matches; `None` when the path is neither.
fn search(path: &Path) -> Option<Result<Vec<PathBuf>, Error>> {
    let name = path_text(path);
    if path.is_dir() {
        let mut files = Vec::new();
        return Some(match walk(path, MAX_DEPTH, &mut files) {
            Ok(()) if files.is_empty() => Err(nothing(&format!("{name} holds no file"))),
            Ok(()) if files.len() > MAX_FOUND => Err(too_many(&name)),
            Ok(()) => Ok(files),
            Err((folder, error)) => {
                let message = format!("cannot read the folder {}", path_text(&folder));
                Err(Error::new(ErrorKind::Input, message)
                    .because(error)
                    .hint("check that you may read it; name single files otherwise"))
            }
        });
    }
    let text = path.to_str()?;
    if path.exists() || path.as_os_str() == "-" || !text.contains(['*', '?', '[']) {
        return None;
    }
    let Ok(matches) = glob::glob(text) else {
        let message = format!("{name} is no valid pattern");
        return Some(Err(Error::new(ErrorKind::Usage, message).hint(
            "* and ? stand for any characters, ** for any folders, [0-9] for one of a range",
        )));
    };
    let files: Vec<PathBuf> = matches
        .flatten()
        .filter(|path| !path.is_dir())
        .take(MAX_FOUND + 1)
        .collect();
    Some(match files.len() {
        0 => Err(nothing(&format!("no file matches {name}"))),
        n if n > MAX_FOUND => Err(too_many(&name)),
        _ => Ok(files),
    })
}

fn nothing(message: &str) -> Error {
    Error::new(ErrorKind::Input, message)
        .hint("SHOW log_directory and SHOW log_filename on the server say where its logs are")
}

fn too_many(name: &str) -> Error {
    let message = format!("{name} holds more than {MAX_FOUND} files");
    Error::new(ErrorKind::Input, message).hint("name the folder of the logs itself")
}

/// Appends the folder's files, those of its folders behind its own, each by name. Hidden ones are left out.
fn walk(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, std::io::Error)> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<fs::DirEntry> = entries.map_err(|error| (folder.to_owned(), error))?;
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    entries.sort_by_key(fs::DirEntry::file_name);
    let (folders, others): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let is_file =
        |entry: &&fs::DirEntry| entry.path().metadata().is_ok_and(|facts| facts.is_file());
    files.extend(others.iter().filter(is_file).map(fs::DirEntry::path));
    for inner in folders {
        if depth > 0 && files.len() <= MAX_FOUND {
            walk(&inner.path(), depth - 1, files)?;
        }
    }
    Ok(())
}

/// What a file was found to be, before it is read.
struct Peeked {
    file: LogFile,
    set: String,
    start: Option<Result<source::Start, SourceError>>,
}

impl Peeked {
    fn time_us(&self) -> Option<i64> {
        self.start.as_ref()?.as_ref().ok()?.time_us
    }

    fn format(&self) -> &str {
        match &self.start {
            Some(Ok(start)) => &start.format,
            _ => "",
        }
    }
}

impl Arranged {
    /// Puts the files in order: sets of rotated files one after the other, the files of a set by their first time. Files of folders and patterns
    /// that are no logs are left out, and so are second copies of one log in other formats, and what ended before `--since`.
    pub(super) fn in_order(
        mut self,
        options: &Options,
        open: impl Fn(&Path) -> source::Input,
    ) -> Self {
        let is_one_named = self.files.len() == 1 && self.files[0].found_by.is_none();
        if is_one_named {
            return self;
        }
        let peeked = std::mem::take(&mut self.files).into_iter().map(|file| {
            // a pipe or stdin can be read once only
            let is_regular = fs::metadata(&file.path).is_ok_and(|facts| facts.is_file());
            let start = is_regular.then(|| source::start(open(&file.path), options));
            Peeked {
                set: set_of(&file.path),
                file,
                start,
            }
        });
        let logs = self.without_others(peeked.collect());
        let logs = self.without_twins(logs);
        let logs = self.since(by_time(logs), options.since_us);
        self.files = logs.into_iter().map(|peeked| peeked.file).collect();
        self
    }

    /// Leaves out what folders and patterns hold beside logs.
    fn without_others(&mut self, peeked: Vec<Peeked>) -> Vec<Peeked> {
        let mut searches: BTreeMap<String, (usize, Vec<SourceError>)> = BTreeMap::new();
        let mut logs = Vec::new();
        for mut peeked in peeked {
            let Some(found_by) = &peeked.file.found_by else {
                logs.push(peeked);
                continue;
            };
            let (n_logs, others) = searches.entry(found_by.clone()).or_default();
            match peeked.start.take() {
                Some(Err(error)) if error.is_other_file() => others.push(error),
                start => {
                    *n_logs += 1;
                    peeked.start = start;
                    logs.push(peeked);
                }
            }
        }
        for (found_by, (n_logs, others)) in searches {
            let Some(first) = others.first() else {
                continue;
            };
            let why = if others.len() == 1 {
                first.to_string()
            } else {
                format!("the first: {first}")
            };
            if n_logs == 0 {
                let message = format!(
                    "no PostgreSQL log among the {} files of {found_by}",
                    others.len()
                );
                let error = Error::new(ErrorKind::Input, message);
                self.failed.push(error.hint(why).hint(first.hint()));
            } else {
                let n = others.len();
                let files = if n == 1 { "file" } else { "files" };
                self.notes.push(format!(
                    "{n} {files} of {found_by} left out as no PostgreSQL log: {why}"
                ));
            }
        }
        logs
    }

    /// Leaves out what `log_destination` wrote a second time, in another format.
    fn without_twins(&mut self, logs: Vec<Peeked>) -> Vec<Peeked> {
        let mut by_stem: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
        for (at, peeked) in logs.iter().enumerate() {
            by_stem.entry(stem(&peeked.file.path)).or_default().push(at);
        }
        let mut twin_of: BTreeMap<usize, usize> = BTreeMap::new();
        for group in by_stem.values() {
            let Some(&best) = group.iter().max_by_key(|at| richness(logs[**at].format())) else {
                continue;
            };
            let close = |at: usize| match (logs[at].time_us(), logs[best].time_us()) {
                (Some(a), Some(b)) => a.abs_diff(b) <= TWIN_US.unsigned_abs(),
                _ => false,
            };
            for &at in group {
                if at != best && logs[at].format() != logs[best].format() && close(at) {
                    twin_of.insert(at, best);
                }
            }
        }
        if let Some((&twin, &best)) = twin_of.first_key_value() {
            let example = format!(
                "{} beside {}",
                path_text(&logs[twin].file.path),
                path_text(&logs[best].file.path)
            );
            let n = twin_of.len();
            let copies = if n == 1 {
                "1 file left out as the same log".to_owned()
            } else {
                format!("{n} files left out as the same logs")
            };
            self.notes
                .push(format!("{copies} in another format: {example}"));
        }
        let numbered = logs.into_iter().enumerate();
        numbered
            .filter(|(at, _)| !twin_of.contains_key(at))
            .map(|(_, peeked)| peeked)
            .collect()
    }

    /// Leaves out rotated files behind which the set's next one starts before `--since` too.
    fn since(&mut self, logs: Vec<Peeked>, since_us: Option<i64>) -> Vec<Peeked> {
        let Some(since_us) = since_us else {
            return logs;
        };
        let ended = |at: usize| {
            let next = logs.get(at + 1).filter(|next| next.set == logs[at].set);
            next.and_then(Peeked::time_us)
                .is_some_and(|next| next <= since_us)
        };
        let is_over: Vec<bool> = (0..logs.len()).map(ended).collect();
        let n = is_over.iter().filter(|over| **over).count();
        if n > 0 {
            self.notes
                .push(format!("{n} files that end before --since were not read"));
        }
        let over = is_over.into_iter().zip(logs);
        over.filter(|(over, _)| !over).map(|(_, log)| log).collect()
    }
}

/// Which of several formats of one log is read.
fn richness(format: &str) -> u8 {
    match format {
        "jsonlog" => 2,
        "csvlog" => 1,
        _ => 0,
    }
}

/// Sets one after the other by when they start, the files of a set by time. What has no time stays where it is.
fn by_time(logs: Vec<Peeked>) -> Vec<Peeked> {
    let mut sets: Vec<Vec<Peeked>> = Vec::new();
    let mut position: BTreeMap<String, usize> = BTreeMap::new();
    for peeked in logs {
        let at = *position.entry(peeked.set.clone()).or_insert(sets.len());
        if at == sets.len() {
            sets.push(Vec::new());
        }
        sets[at].push(peeked);
    }
    for files in &mut sets {
        sort_timed(files, Peeked::time_us);
    }
    sort_timed(&mut sets, |files| files.iter().find_map(Peeked::time_us));
    sets.into_iter().flatten().collect()
}

/// Sorts what has a time among the places of what has one.
fn sort_timed<T>(all: &mut Vec<T>, time_us: impl Fn(&T) -> Option<i64>) {
    let is_timed: Vec<bool> = all.iter().map(|one| time_us(one).is_some()).collect();
    let (mut timed, untimed): (Vec<T>, Vec<T>) =
        all.drain(..).partition(|one| time_us(one).is_some());
    timed.sort_by_key(|one| time_us(one));
    let (mut timed, mut untimed) = (timed.into_iter(), untimed.into_iter());
    let next = |is_timed| {
        if is_timed {
            timed.next()
        } else {
            untimed.next()
        }
    };
    all.extend(is_timed.into_iter().filter_map(next));
}

/// A file's name without what tells compressions.
fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    let ending = COMPRESSED.iter().find(|ending| lower.ends_with(*ending));
    let len = name.len() - ending.map_or(0, |ending| ending.len());
    name.get(..len).unwrap_or(&name).to_owned()
}

/// What is the same of all files of a rotated set: folder and name, without numbers, weekdays and months.
pub(super) fn set_of(path: &Path) -> String {
    let mut set = path_text(path.parent().unwrap_or(Path::new("")));
    set.push('/');
    let name = plain_name(path);
    let words = name.split_inclusive(|char: char| !char.is_alphanumeric());
    let fixed = words.map(|word| {
        let bare = word.trim_end_matches(|char: char| !char.is_alphanumeric());
        let separator = &word[bare.len()..];
        if DATES.contains(&bare.to_lowercase().as_str()) {
            format!("0{separator}")
        } else {
            word.to_owned()
        }
    });
    let name: String = fixed.collect();
    let name = name.trim_end_matches(|char: char| !char.is_alphabetic());
    for char in name.chars() {
        match char {
            '0'..='9' if set.ends_with('#') => {}
            '0'..='9' => set.push('#'),
            char => set.push(char),
        }
    }
    set
}

/// What `%a`, `%A`, `%b` and `%B` of `log_filename` write, lower case.
const DATES: [&str; 37] = [
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// What is the same of one log in several formats: folder and name, without the ending.
fn stem(path: &Path) -> PathBuf {
    let name = plain_name(path);
    let ending = FORMATTED.iter().find(|ending| name.ends_with(*ending));
    let stem = ending.map_or(name.as_str(), |ending| &name[..name.len() - ending.len()]);
    path.with_file_name(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_one_set() {
        for set in [
            &[
                "l/postgresql-2026-11-24_180000.log",
                "l/postgresql-2026-11-25_000000.log.gz",
            ][..],
            &[
                "l/postgresql-15-main.log",
                "l/postgresql-15-main.log.1",
                "l/postgresql-15-main.log.2.gz",
            ],
            &["l/pg.log", "l/pg.log-20261124", "l/pg.log-20261123.zst"],
            &["l/pg_Nov_24.log", "l/pg_Dec_1.log"],
            &["postgresql-Mon.csv", "postgresql-Tue.csv.gz"],
        ] {
            let first = set_of(Path::new(set[0]));
            for name in set {
                assert_eq!(set_of(Path::new(name)), first, "{name}");
            }
        }
        for (one, other) in [
            ("a/pg.log", "b/pg.log"),
            ("app.log", "web.log"),
            ("pg.log", "pg.csv"),
        ] {
            assert_ne!(set_of(Path::new(one)), set_of(Path::new(other)));
        }
    }
}
