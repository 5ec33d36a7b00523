//! `pgassay.toml`: found upward from the working folder, read strictly, checked against the registries.

mod ignore;
mod model;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::civil::Date;

use super::{Context, Error, ErrorKind, path_text};
use crate::{
    cli::FailOn,
    finding::{Report, Severity},
    rules::{Budget, RULES},
    sql::Fingerprint,
    workload::Workload,
};
use model::{File, Level, RuleLevel};

/// Name of the file.
pub(super) const FILE_NAME: &str = "pgassay.toml";

/// What `--init` writes.
pub(super) const TEMPLATE: &str = include_str!("template.toml");

/// The configuration that holds for this run; empty where there is no file.
#[derive(Debug, Default)]
pub(super) struct Config {
    path: Option<PathBuf>,
    text: String,
    file: File,
}

impl Config {
    /// The file that `--config` names, else the closest `pgassay.toml` from the working folder upward.
    ///
    /// # Errors
    /// When it can't be read or says something that pgassay does not know.
    pub(super) fn load(named: Option<&Path>) -> Result<Self, Error> {
        let path = match named {
            Some(path) => Some(path.to_path_buf()),
            None => std::env::current_dir().ok().and_then(|dir| closest(&dir)),
        };
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        Self::parse(path, text)
    }

    fn parse(path: PathBuf, text: String) -> Result<Self, Error> {
        let file = match toml::from_str::<File>(&text) {
            Ok(file) => file,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let message = error.message().replace('\n', " ");
                return Err(wrong(&path, &text, at, &message));
            }
        };
        let config = Self {
            path: Some(path),
            text,
            file,
        };
        config.check()?;
        Ok(config)
    }

    /// Rule ids, fingerprints and dates are right.
    fn check(&self) -> Result<(), Error> {
        let file = &self.file;
        let rules = file.rules.keys();
        let ignores = || file.ignore.iter().map(toml::Spanned::get_ref);
        for name in rules.chain(ignores().filter_map(|ignore| ignore.rule.as_ref())) {
            if !RULES.iter().any(|rule| rule.id == name.get_ref()) {
                let message = format!("no rule is called {:?}", name.get_ref());
                let error = self.wrong(name.span().start, &message);
                return Err(error.hint("pgassay rules lists them"));
            }
        }
        for print in ignores().filter_map(|ignore| ignore.fingerprint.as_ref()) {
            if print.get_ref().parse::<Fingerprint>().is_err() {
                let message = format!("{:?} is no fingerprint: 16 hex digits", print.get_ref());
                return Err(self.wrong(print.span().start, &message));
            }
        }
        for date in ignores().filter_map(|ignore| ignore.expires.as_ref()) {
            if date.get_ref().parse::<Date>().is_err() {
                let message = format!("{:?} is no date: write YYYY-MM-DD", date.get_ref());
                return Err(self.wrong(date.span().start, &message));
            }
        }
        for ignore in &file.ignore {
            let all = ignore.get_ref();
            let conditions = [
                all.rule.is_some(),
                all.relation.is_some(),
                all.fingerprint.is_some(),
                all.route.is_some(),
            ];
            let message = match (conditions.contains(&true), all.reason.trim().is_empty()) {
                (false, _) => "an ignore needs a condition: rule, relation, fingerprint or route",
                (_, true) => "an ignore needs a reason",
                _ => continue,
            };
            return Err(self.wrong(ignore.span().start, message));
        }
        for (pattern, budget) in &file.budgets {
            if budget.max_queries.is_none() && budget.max_repeats.is_none() {
                let message = "a budget needs a limit: max-queries or max-repeats";
                return Err(self.wrong(pattern.span().start, message));
            }
        }
        Ok(())
    }

    fn wrong(&self, at: usize, message: &str) -> Error {
        let path = self.path.clone().unwrap_or_default();
        wrong(&path, &self.text, at, message)
    }

    /// A path of the file: relative to the folder that the file is in.
    fn resolved(&self, path: &Path) -> PathBuf {
        match self.path.as_deref().and_then(Path::parent) {
            Some(folder) if path.is_relative() && !folder.as_os_str().is_empty() => {
                folder.join(path)
            }
            _ => path.to_path_buf(),
        }
    }

    /// `pgassay.toml` as outputs name it, else its usual name.
    pub(super) fn name(&self) -> String {
        match &self.path {
            None => FILE_NAME.to_owned(),
            Some(path) => match std::env::current_dir() {
                Ok(dir) => path_text(path.strip_prefix(dir).unwrap_or(path)),
                Err(_) => path_text(path),
            },
        }
    }

    /// `[inputs] logs`
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let logs = &self.file.inputs.logs;
        logs.iter().map(|path| self.resolved(path)).collect()
    }

    /// `[inputs] snapshot`
    pub(super) fn snapshot(&self) -> Option<PathBuf> {
        let snapshot = self.file.inputs.snapshot.as_deref();
        snapshot.map(|path| self.resolved(path))
    }

    /// `[inputs] log-line-prefix`
    pub(super) fn log_line_prefix(&self) -> Option<String> {
        self.file.inputs.log_line_prefix.clone()
    }

    /// `[check] baseline`
    pub(super) fn baseline(&self) -> Option<PathBuf> {
        let baseline = self.file.check.baseline.as_deref();
        baseline.map(|path| self.resolved(path))
    }

    /// `[check] source`
    pub(super) fn source(&self) -> Option<PathBuf> {
        let source = self.file.check.source.as_deref();
        source.map(|path| self.resolved(path))
    }

    /// `[check] fail-on`
    pub(super) fn fail_on(&self) -> Option<FailOn> {
        self.file.check.fail_on.map(|level| match level {
            Level::Error => FailOn::Error,
            Level::Warning => FailOn::Warning,
            Level::Info => FailOn::Info,
            Level::Never => FailOn::Never,
        })
    }

    /// `[check] max-findings`
    pub(super) fn max_findings(&self) -> Option<usize> {
        self.file.check.max_findings
    }

    /// `[thresholds]`
    pub(super) fn thresholds(&self) -> &model::Thresholds {
        &self.file.thresholds
    }

    /// `[budgets]`, in order of their patterns.
    pub(super) fn budgets(&self) -> Vec<Budget> {
        let budgets = self.file.budgets.iter();
        budgets
            .map(|(pattern, budget)| Budget {
                pattern: pattern.get_ref().clone(),
                max_queries: budget.max_queries,
                max_repeats: budget.max_repeats,
            })
            .collect()
    }

    /// Is a rule switched off?
    pub(super) fn is_off(&self, rule: &str) -> bool {
        self.level(rule) == Some(RuleLevel::Off)
    }

    fn level(&self, rule: &str) -> Option<RuleLevel> {
        let mut levels = self.file.rules.iter();
        levels.find_map(|(id, level)| (id.get_ref() == rule).then_some(*level))
    }

    /// Severities and ignores, applied to a report.
    pub(super) fn apply(&self, report: &mut Report, workload: &Workload, context: &Context) {
        for finding in &mut report.findings {
            match self.level(finding.rule) {
                Some(RuleLevel::Error) => finding.severity = Severity::Error,
                Some(RuleLevel::Warning) => finding.severity = Severity::Warning,
                Some(RuleLevel::Info) => finding.severity = Severity::Info,
                Some(RuleLevel::On | RuleLevel::Off) | None => {}
            }
        }
        ignore::apply(self, report, workload, context);
    }
}

fn closest(folder: &Path) -> Option<PathBuf> {
    let mut candidates = folder.ancestors().map(|folder| folder.join(FILE_NAME));
    candidates.find(|path| path.is_file())
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let message = format!("cannot read {:?}", path_text(path));
    let hint = "pgassay check --init writes one to start from";
    Error::new(ErrorKind::Usage, message)
        .because(error)
        .hint(hint)
}

fn wrong(path: &Path, text: &str, at: usize, message: &str) -> Error {
    let line = line_of(text, at);
    Error::new(
        ErrorKind::Usage,
        format!("{}:{line}: {message}", path_text(path)),
    )
}

/// The 1-based line of a byte.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse("ci/pgassay.toml".into(), text.to_owned()).map_err(|error| error.message)
    }

    #[test]
    fn the_template_is_a_valid_file_that_changes_nothing() {
        let config = parse(TEMPLATE).unwrap();
        assert!(config.logs().is_empty() && config.fail_on().is_none());
        assert!(config.file.ignore.is_empty() && config.file.rules.is_empty());
        // what is commented out is valid too
        let all: String = TEMPLATE
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let config = parse(&all).unwrap();
        assert_eq!(config.logs(), [PathBuf::from("ci/log/test.log")]);
        assert_eq!(config.file.ignore.len(), 1);
        assert!(config.is_off("unused-index"));
        assert_eq!(config.budgets().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            (
                "[rules]\n\nn-plus-on = \"off\"",
                "ci/pgassay.toml:3: no rule is called \"n-plus-on\"",
            ),
            (
                "[check]\nfail_on = \"info\"",
                "ci/pgassay.toml:2: unknown field `fail_on`",
            ),
            (
                "[check]\nfail-on = \"sometimes\"",
                "ci/pgassay.toml:2: unknown variant `sometimes`",
            ),
            (
                "\n[[ignore]]\nrule = \"n-plus-one\"",
                "ci/pgassay.toml:2: missing field `reason`",
            ),
            (
                "[[ignore]]\nreason = \"x\"",
                "ci/pgassay.toml:1: an ignore needs a condition",
            ),
            (
                "[[ignore]]\nrule = \"n-plus-one\"\nreason = \" \"",
                "ci/pgassay.toml:1: an ignore needs a reason",
            ),
            (
                "[[ignore]]\nrelation = \"a\"\nreason = \"x\"\nexpires = \"soon\"",
                "ci/pgassay.toml:4: \"soon\" is no date",
            ),
            (
                "[[ignore]]\nfingerprint = \"xyz\"\nreason = \"x\"",
                "ci/pgassay.toml:2: \"xyz\" is no fingerprint",
            ),
            (
                "[budgets]\n\"*\" = {}",
                "ci/pgassay.toml:2: a budget needs a limit",
            ),
            ("[check\n", "ci/pgassay.toml:1: "),
            ("[inputs]\nlogs = [", "ci/pgassay.toml:2: "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_closest_file_upward_counts() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(root.path().join(FILE_NAME), "").unwrap();
        assert_eq!(closest(&below), Some(root.path().join(FILE_NAME)));
        fs::write(root.path().join("a").join(FILE_NAME), "").unwrap();
        assert_eq!(closest(&below), Some(root.path().join("a").join(FILE_NAME)));
    }
}
