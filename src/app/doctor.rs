//! `pgassay doctor`: what pgassay lacks on this server, what each change costs, and how to take it back. Changes nothing itself.

mod checks;
mod logging;
mod render;
mod role;
mod service;

use super::{
    Context, Error, Outcome,
    connect::{self, Naming},
};
use crate::{catalog::Catalog, cli::DoctorArgs, db::StatementsError, workload::InputFacts};
use service::Service;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing lacks.
    Fine,
    /// Nothing can be changed, or it is the user's choice, and one should know.
    Note,
    /// Something lacks that a change would give.
    Lacking,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// How it stands.
    pub state: State,
    /// What was found, in a sentence without a full stop.
    pub found: String,
    /// What it means for the audit.
    pub means: String,
    /// What changes it, line by line: SQL, a managed service's parameter, or words.
    pub fix: Vec<String>,
    /// What that costs.
    pub cost: String,
    /// How to take it back, line by line.
    pub undo: Vec<String>,
}

impl Diagnosis {
    fn fine(found: impl Into<String>) -> Self {
        Self::of(State::Fine, found, "")
    }

    fn note(found: impl Into<String>, means: impl Into<String>) -> Self {
        Self::of(State::Note, found, means)
    }

    fn lacking(found: impl Into<String>, means: impl Into<String>) -> Self {
        Self::of(State::Lacking, found, means)
    }

    fn of(state: State, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self {
            state,
            found: found.into(),
            means: means.into(),
            fix: Vec::new(),
            cost: String::new(),
            undo: Vec::new(),
        }
    }

    fn change(mut self, change: service::Change, cost: &str) -> Self {
        self.fix.extend(change.fix);
        self.undo.extend(change.undo);
        cost.clone_into(&mut self.cost);
        self
    }

    fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }

    fn undo(mut self, line: impl Into<String>) -> Self {
        self.undo.push(line.into());
        self
    }

    fn cost(mut self, cost: &str) -> Self {
        cost.clone_into(&mut self.cost);
        self
    }
}

/// What every look is taken at.
#[derive(Debug, Clone, Copy)]
struct Patient<'a> {
    catalog: &'a Catalog,
    statements: Result<&'a InputFacts, &'a StatementsError>,
    service: Service,
}

impl<'a> Patient<'a> {
    /// A setting's value where somebody set it; `None` where it stands at its default.
    fn was_set(self, name: &str) -> Option<&'a str> {
        let settings = &self.catalog.server.settings;
        let setting = settings.iter().find(|setting| setting.name == name)?;
        (setting.source != "default").then_some(setting.value.as_str())
    }
}

/// Looks at everything, in the order in which it matters. Pure: the same server gives the same answer.
#[must_use]
pub fn diagnose(
    catalog: &Catalog,
    statements: Result<&InputFacts, &StatementsError>,
) -> Vec<Diagnosis> {
    let patient = Patient {
        catalog,
        statements,
        service: Service::of(&catalog.server),
    };
    let looks: &[fn(Patient<'_>) -> Vec<Diagnosis>] = &[
        checks::statements,
        checks::privileges,
        logging::durations,
        logging::prefix,
        logging::plans,
        checks::query_ids,
        checks::io_timing,
        checks::usage_window,
        checks::standbys,
        checks::column_statistics,
        checks::pricing,
        checks::role_settings,
        checks::pooler,
    ];
    looks.iter().flat_map(|look| look(patient)).collect()
}

/// Runs the command.
///
/// # Errors
/// When the database cannot be connected to or read.
pub(super) async fn run(args: &DoctorArgs, context: &Context) -> Result<Outcome, Error> {
    let audited = connect::connect(&args.server, Naming::Always, context)
        .await?
        .ok_or_else(|| Error::new(super::ErrorKind::Usage, "no database to look at"))?;
    let spinner = context.spinner("looking");
    let catalog = audited.catalog().await?;
    let statements = audited.statements().await;
    drop(spinner);
    let facts = statements.as_ref().map(|(_, facts)| facts);
    let found = diagnose(&catalog, facts);
    let text = render::render(&catalog, audited.place(), &found);
    context.print(text.as_bytes())?;
    Ok(Outcome::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{ExtensionInfo, Relation, RelationName, ServerFacts, Setting, Standby},
        workload::PgssFacts,
    };

    fn setting(name: &str, value: &str, source: &str) -> Setting {
        Setting {
            name: name.into(),
            value: value.into(),
            unit: None,
            source: source.into(),
        }
    }

    /// A server on which nothing lacks.
    fn healthy() -> Catalog {
        let day_us = 86_400_000_000;
        let mut server = ServerFacts {
            version_num: 150_018,
            database: "shop".into(),
            can_read_all_stats: true,
            ..ServerFacts::default()
        };
        server.stats_window.since_us = Some(0);
        server.stats_window.read_at_us = 60 * day_us;
        server.settings = vec![
            setting("auto_explain.log_analyze", "on", "configuration file"),
            setting("auto_explain.log_min_duration", "500", "configuration file"),
            setting("compute_query_id", "auto", "default"),
            setting("log_destination", "stderr", "default"),
            setting(
                "log_line_prefix",
                "%m [%p] %q%u@%d %Q ",
                "configuration file",
            ),
            setting("log_min_duration_statement", "0", "configuration file"),
            setting("track_counts", "on", "default"),
            setting("track_io_timing", "on", "configuration file"),
        ];
        server.extensions = vec![ExtensionInfo {
            name: "hypopg".into(),
            version: "1.4.1".into(),
            schema: "public".into(),
        }];
        Catalog {
            server,
            ..Catalog::default()
        }
    }

    fn facts() -> InputFacts {
        InputFacts {
            pgss: Some(PgssFacts {
                version: "1.10".into(),
                n_entries: 412,
                n_evicted: Some(0),
                ..PgssFacts::default()
            }),
            ..InputFacts::default()
        }
    }

    fn lacking(catalog: &Catalog) -> Vec<Diagnosis> {
        let mut found = diagnose(catalog, Ok(&facts()));
        found.retain(|diagnosis| diagnosis.state != State::Fine);
        found
    }

    #[test]
    fn a_healthy_server_lacks_nothing() {
        assert_eq!(lacking(&healthy()), []);
    }

    #[test]
    fn every_change_says_what_it_costs_and_how_to_take_it_back() {
        let mut catalog = healthy();
        catalog.server.settings.clear();
        catalog.server.extensions.clear();
        catalog.server.available_extensions = vec!["hypopg".into()];
        catalog.server.can_read_all_stats = false;
        catalog
            .unread
            .push("column statistics of 3 relations: no SELECT privilege".into());
        catalog.relations.push(Relation {
            name: RelationName::new("public", "never"),
            size_bytes: 100 << 20,
            ..Relation::default()
        });
        let absent = StatementsError::Absent("shop".into());
        let found = diagnose(&catalog, Err(&absent));
        let n_lacking = found.iter().filter(|d| d.state == State::Lacking).count();
        assert!(n_lacking >= 7, "{found:#?}");
        for diagnosis in found.iter().filter(|d| d.state == State::Lacking) {
            assert!(!diagnosis.means.is_empty(), "{diagnosis:?}");
            assert!(!diagnosis.fix.is_empty(), "{diagnosis:?}");
            assert!(!diagnosis.cost.is_empty(), "{diagnosis:?}");
            assert!(!diagnosis.undo.is_empty(), "{diagnosis:?}");
        }
    }

    #[test]
    fn a_managed_service_is_told_in_its_own_words() {
        let mut catalog = healthy();
        catalog
            .server
            .settings
            .retain(|s| s.name != "track_io_timing");
        catalog
            .server
            .settings
            .push(setting("track_io_timing", "off", "default"));
        let words = |catalog: &Catalog| lacking(catalog)[0].fix.join("\n");
        assert!(words(&catalog).contains("ALTER SYSTEM SET track_io_timing = 'on'"));
        for (name, word) in [
            ("rds.extensions", "aws rds modify-db-parameter-group"),
            ("cloudsql.iam_authentication", "gcloud sql instances patch"),
            (
                "azure.extensions",
                "az postgres flexible-server parameter set",
            ),
        ] {
            let mut managed = catalog.clone();
            managed.server.settings.push(setting(name, "", "default"));
            let fix = words(&managed);
            assert!(fix.contains(word), "{fix}");
            assert!(!fix.contains("ALTER SYSTEM"), "{fix}");
        }
    }

    #[test]
    fn standbys_and_a_young_window_are_noted() {
        let mut catalog = healthy();
        catalog.server.standbys = vec![Standby::default(), Standby::default()];
        catalog.server.stats_window.since_us = Some(59 * 86_400_000_000);
        let found = lacking(&catalog);
        assert!(
            found.iter().any(|d| d.found.contains("counting for 1 day")),
            "{found:#?}"
        );
        assert!(
            found.iter().any(|d| d.found.contains("2 standbys")),
            "{found:#?}"
        );
        assert!(found.iter().all(|d| d.state == State::Note));
    }

    #[test]
    fn settings_of_the_role_are_named() {
        let mut catalog = healthy();
        catalog
            .server
            .settings
            .push(setting("enable_seqscan", "off", "user"));
        assert!(lacking(&catalog)[0].found.contains("enable_seqscan = off"));
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let mut catalog = healthy();
        catalog.server.database = "x\n##[error]\u{1b}[31m".into();
        let text = render::render(
            &catalog,
            "database \"x\n\u{1b}[31m\"",
            &diagnose(&catalog, Ok(&facts())),
        );
        assert!(!text.contains('\u{1b}') && !text.contains("##["), "{text}");
    }
}
