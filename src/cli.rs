//! The command line as clap types. Value lists come from the registries; no behaviour here.

use std::{ffi::OsString, fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser},
};

use crate::source::{FORMATS, WRAPPINGS};
use crate::{
    finding::Severity, migration::FRAMEWORKS, report::OUTPUTS, rules::RULES, sql::Fingerprint,
};

/// Finds what slows a Postgres-backed application, proves it, and writes the migration
#[derive(Debug, Parser)]
#[command(name = "pgassay", version, about, after_help = EXAMPLES, max_term_width = 110, infer_subcommands = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How everything is shown.
    #[command(flatten)]
    pub display: DisplayArgs,
}

const EXAMPLES: &str = "\
Examples:
  pgassay demo                                          see it work: a throwaway server, seeded faults, measured fixes
  pgassay audit --database-url postgres://app@db/shop   audit a database from its statistics
  pgassay audit --log postgresql.log                    the same, with a query log as further evidence
  pgassay check test.log                                in CI: exit 1 when a log holds an N+1
  pgassay migrate --from report.json --out migrations   write the fixes as migration files
  pgassay rules n-plus-one                              what a rule finds, how it decides, when it is wrong

Exit status: 0 clean, 1 findings at or above --fail-on, 2 could not run or one named input gave nothing.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Audit a database, query logs, or both
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(AuditArgs),
    /// Audit query logs in CI: exit 1 on findings
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Compare two reports: what is new, gone, worse, better
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Write the index changes of an audit as migration files
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate(MigrateArgs),
    /// Freeze schema, planner statistics and workload of a database into one file, without its rows
    #[command(after_help = CAPTURE_EXAMPLES)]
    Capture(CaptureArgs),
    /// Show the plans of statements, as the captured or connected server makes them
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// Choose the best set of indexes from a published cost table, without any server
    Choose(ChooseArgs),
    /// Start a throwaway Postgres, audit a workload with seeded faults, apply the fixes, measure again
    Demo(DemoArgs),
    /// Say what each rule lacks on a server, and how to provide it
    Doctor(DoctorArgs),
    /// List the rules, or document one
    Rules(RulesArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print the manual page, in roff
    Man,
}

const AUDIT_EXAMPLES: &str = "\
Examples:
  DATABASE_URL=postgres://app@db/shop pgassay audit
  pgassay audit --database-url 'service=shop' --log /var/log/postgresql/postgresql.log
  pgassay audit --log app.csv.gz --format json --output report.json
  pgassay audit --database-url \"$URL\" --relation jobs --all --show-literals

Without --database-url, DATABASE_URL and the PG* variables are used as psql would; without those, the logs alone.";

const CHECK_EXAMPLES: &str = "\
Examples:
  pgassay check postgresql.log
  pgassay check --rule n-plus-one --fail-on warning logs/*.json
  docker logs db 2>&1 | pgassay check -
  pgassay check test.log --database-url postgres://localhost/test   # also judges indexes
  pgassay check test.log --baseline pgassay-baseline.json --output sarif=pgassay.sarif --output markdown=comment.md
  pgassay check --init                                              # a commented pgassay.toml to start from

Log with: log_min_duration_statement = 0, log_line_prefix = '%m [%p] %q%u@%d/%a ' (or csvlog, jsonlog).";

const DIFF_EXAMPLES: &str = "\
Examples:
  pgassay diff before.json after.json
  pgassay diff monday.pgassay today.pgassay                             # and which statements are planned otherwise
  pgassay diff before.json after.json --format json --fail-on warning   # exit 1 when something new or worse is that grave";

const CAPTURE_EXAMPLES: &str = "\
Examples:
  pgassay capture --database-url \"$URL\" -o shop.pgassay
  pgassay capture --show shop.pgassay                                   # what values a file holds

A role with pg_monitor and pg_read_all_data sees all but extended statistics and GIN counters; a superuser sees everything.";

const PLAN_EXAMPLES: &str = "\
Examples:
  pgassay plan --snapshot shop.pgassay 'SELECT * FROM orders WHERE customer_id = 7'
  pgassay plan --snapshot shop.pgassay --file queries.sql --format json
  pgassay plan --snapshot shop.pgassay --as 17 --file queries.sql       # preview of a newer major version
  pgassay plan plan.json                                                # what makes a plan slow that EXPLAIN (ANALYZE, BUFFERS) printed";

const MIGRATE_EXAMPLES: &str = "\
Examples:
  pgassay audit --database-url \"$URL\" --format json --output report.json
  pgassay migrate --from report.json --project .                # in the project's own framework, where it belongs
  pgassay migrate --from report.json --out migrations           # plain SQL
  pgassay migrate --database-url \"$URL\" --out migrations --dry-run
  psql -X -v ON_ERROR_STOP=1 -f migrations/20261122230501_jobs_country_idx.up.sql";

/// How everything is shown.
#[derive(Debug, Clone, Args)]
pub struct DisplayArgs {
    /// Colour: auto is on for terminals, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Display"
    )]
    pub color: ColorChoice,
    /// No progress, no remarks on stderr
    #[arg(long, short, global = true, help_heading = "Display")]
    pub quiet: bool,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where plans come from when the audited server is not asked.
#[derive(Debug, Clone, Default, Args)]
pub struct TwinArgs {
    /// Snapshot of `pgassay capture`, in place of a database
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "database_url",
        help_heading = "Inputs"
    )]
    pub snapshot: Option<PathBuf>,
    /// Folder with Postgres's server binaries: plans are priced in a throwaway server [env: PGASSAY_PG_BIN]
    #[arg(long, value_name = "DIR", help_heading = "Inputs")]
    pub pg_bin: Option<PathBuf>,
    /// Download server binaries of the right version where there are none
    #[arg(long, help_heading = "Inputs")]
    pub fetch_server: bool,
    /// Throwaway servers that price at the same time, 1 to 32; the findings are the same [default: one a core, at most 8, fewer for few statements]
    #[arg(long, value_name = "N", help_heading = "Inputs", value_parser = twins)]
    pub twins: Option<usize>,
}

/// `pgassay audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The database.
    #[command(flatten)]
    pub server: ServerArgs,
    /// In place of the database.
    #[command(flatten)]
    pub twin: TwinArgs,
    /// Query log, folder or 'pattern*' of logs, or a .sql file of statements; - is stdin. Repeatable
    #[arg(long = "log", value_name = "FILE", help_heading = "Inputs")]
    pub logs: Vec<PathBuf>,
    /// A copy of the database that nobody uses: the proposed indexes are built there, sampled reads are run before and after, and all is rolled
    /// back. Refused for the audited server itself, for one with replicas, and where others are connected
    #[arg(long, value_name = "URL", help_heading = "Database")]
    pub verify_on: Option<SecretUrl>,
    /// Read pg_stat_statements twice, so long apart, and judge what ran in between
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, help_heading = "Inputs")]
    pub interval: Option<Duration>,
    /// Look into pg_stat_activity meanwhile, so many times a second (10), for --for or 10 s: values that stand in statements, what sessions wait for,
    /// who blocks whom
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "10", value_parser = clap::value_parser!(u32).range(1..=50), help_heading = "Inputs")]
    pub sample_activity: Option<u32>,
    /// How logs are read.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to look at.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Which rules, with which thresholds.
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// What to print.
    #[command(flatten)]
    pub report: ReportArgs,
    /// When the run fails.
    #[command(flatten)]
    pub gate: GateArgs,
}

/// `pgassay check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Query logs, folders or 'patterns*' of logs, or .sql files of statements; - is stdin [default: those of pgassay.toml]
    #[arg(value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// The database.
    #[command(flatten)]
    pub server: ServerArgs,
    /// In place of the database.
    #[command(flatten)]
    pub twin: TwinArgs,
    /// How logs are read.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to look at.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Which rules, with which thresholds.
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// Exit 2 when this rule could not judge, because the inputs lacked what it needs. Repeatable
    #[arg(long, value_name = "ID", value_parser = names(RULES.iter().map(|r| (r.id, r.summary))), help_heading = "Rules")]
    pub require: Vec<String>,
    /// What to print.
    #[command(flatten)]
    pub report: ReportArgs,
    /// When the run fails.
    #[command(flatten)]
    pub gate: GateArgs,
    /// Write a commented pgassay.toml here, and check nothing
    #[arg(long, help_heading = "Configuration")]
    pub init: bool,
}

/// `pgassay diff`
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Report of the earlier run (`--format json`), or the earlier snapshot of `pgassay capture`
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// Report of the later run, or the later snapshot
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
    /// Folder with Postgres's server binaries, to price the indexes of snapshots [env: PGASSAY_PG_BIN]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Download server binaries of the right version where there are none
    #[arg(long)]
    pub fetch_server: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = PlanFormat::Terminal, value_name = "FORMAT")]
    pub format: PlanFormat,
    /// Exit 1 when a new or worse finding is at or above this severity
    #[arg(long, value_enum, default_value_t = FailOn::Never, value_name = "SEVERITY")]
    pub fail_on: FailOn,
}

/// `pgassay migrate`
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Report of `pgassay audit --format json`; - is stdin. Without it, the audit is run now
    #[arg(long, value_name = "REPORT.json", help_heading = "Inputs")]
    pub from: Option<PathBuf>,
    /// The database.
    #[command(flatten)]
    pub server: ServerArgs,
    /// In place of the database.
    #[command(flatten)]
    pub twin: TwinArgs,
    /// Query log, folder or 'pattern*' of logs for the audit. Repeatable
    #[arg(
        long = "log",
        value_name = "FILE",
        conflicts_with = "from",
        help_heading = "Inputs"
    )]
    pub logs: Vec<PathBuf>,
    /// How logs are read.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to look at.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Which rules, with which thresholds.
    #[command(flatten)]
    pub judge: JudgeArgs,
    /// Also write changes whose predicate holds a value of the workload
    #[arg(long, help_heading = "Migrations")]
    pub show_literals: bool,
    /// The project's folder: its framework, its migrations' folder and the next number are found there
    #[arg(long, value_name = "DIR", help_heading = "Migrations")]
    pub project: Option<PathBuf>,
    /// Migration framework [default: that of --project, else sql]
    #[arg(long, value_name = "NAME", value_parser = names(FRAMEWORKS.iter().map(|f| (f.name, f.summary))), help_heading = "Migrations")]
    pub framework: Option<String>,
    /// Folder to write into; created when missing, nothing outside it is touched [default: the framework's folder in --project, else migrations]
    #[arg(long, value_name = "DIR", help_heading = "Migrations")]
    pub out: Option<PathBuf>,
    /// Also write index drops, into a folder of their own below --out
    #[arg(long, help_heading = "Migrations")]
    pub include_drops: bool,
    /// Print the files instead of writing them
    #[arg(long, help_heading = "Migrations")]
    pub dry_run: bool,
    /// Timestamp of the first file, as YYYYMMDDhhmmss [default: now, UTC]
    #[arg(long, value_name = "TIMESTAMP", help_heading = "Migrations")]
    pub timestamp: Option<String>,
}

/// `pgassay demo`
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Reference workload [default: the first of --list]
    pub workload: Option<String>,
    /// Multiplies the number of rows
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub scale: f64,
    /// Seed of the data and of the traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Leave the server running and print its URL
    #[arg(long)]
    pub keep: bool,
    /// List the workloads and the faults seeded in them
    #[arg(long)]
    pub list: bool,
    /// Folder with Postgres's server binaries [env: PGASSAY_PG_BIN]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// What to print.
    #[command(flatten)]
    pub report: ReportArgs,
}

/// `pgassay capture`
#[derive(Debug, Clone, Args)]
pub struct CaptureArgs {
    /// The database.
    #[command(flatten)]
    pub server: ServerArgs,
    /// File to write; its name usually ends in .pgassay
    #[arg(long, short, value_name = "FILE", required_unless_present = "show")]
    pub output: Option<PathBuf>,
    /// What happens to values that the planner's statistics and the statements hold
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub redact: Redact,
    /// Read pg_stat_statements twice, so long apart, and keep what ran in between
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
    /// Look into pg_stat_activity meanwhile, so many times a second (10), for --for or 10 s: values that stand in statements, what sessions wait for,
    /// who blocks whom
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "10", value_parser = clap::value_parser!(u32).range(1..=50))]
    pub sample_activity: Option<u32>,
    /// Query log, folder or 'pattern*' of logs, or .sql file: its statements with their values, or the classes of these, go into the file too. Repeatable
    #[arg(long, value_name = "LOG")]
    pub log: Vec<PathBuf>,
    /// Read catalogs alone: no probes of the ends of b-tree indexes, no sample of columns of ranges
    #[arg(long)]
    pub no_endpoints: bool,
    /// Say what values a snapshot holds, and capture nothing
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    pub show: Option<PathBuf>,
}

/// `--redact`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Redact {
    /// Times, keys, codes, enum labels and constants of the schema's own SQL stay; others are replaced by stand-ins, rounded or dropped
    #[default]
    Default,
    /// No value stays
    All,
    /// Everything stays
    None,
}

/// `pgassay plan`
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Statement to plan; or a file with a plan that EXPLAIN printed, JSON or text (- is stdin), to be explained without a server
    #[arg(
        value_name = "QUERY | PLAN",
        required_unless_present_any = ["file", "snapshot"],
        conflicts_with = "file"
    )]
    pub query: Option<String>,
    /// Statements to plan, separated by semicolons; - is stdin
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Snapshot of `pgassay capture`: plans are made here, in a twin of its server; those of its own statements where none is named
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
    /// The database.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Schemas in which unqualified names are looked up [default: as the captured role's]
    #[arg(long, value_name = "SCHEMAS", value_delimiter = ',')]
    pub search_path: Vec<String>,
    /// Plan as this major version would: a preview
    #[arg(long = "as", value_name = "MAJOR")]
    pub as_major: Option<u16>,
    /// Plan as if this index existed: a CREATE INDEX statement of any access method; plans before and after are compared
    #[arg(long, value_name = "DDL", requires = "snapshot")]
    pub index: Vec<String>,
    /// Plan as if this index did not exist
    #[arg(long, value_name = "NAME", requires = "snapshot")]
    pub without_index: Vec<String>,
    /// Plan with this setting, such as random_page_cost=1.1
    #[arg(long, value_name = "NAME=VALUE", requires = "snapshot", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Folder with Postgres's server binaries [env: PGASSAY_PG_BIN]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Download server binaries of the right version where there are none
    #[arg(long)]
    pub fetch_server: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = PlanFormat::Terminal, value_name = "FORMAT")]
    pub format: PlanFormat,
}

fn twins(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=32) => Ok(n),
        _ => Err("expected a number from 1 to 32".to_owned()),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// `pgassay plan --format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    Terminal,
    /// One JSON document
    Json,
}

/// `pgassay choose`
#[derive(Debug, Clone, Args)]
pub struct ChooseArgs {
    /// Cost table: sizes of indexes, and what each statement costs with which of them; - is stdin
    #[arg(long, value_name = "FILE")]
    pub cost_table: PathBuf,
    /// Most megabytes (10^6 bytes) that the indexes may take together [default: no bound]
    #[arg(long, value_name = "MB")]
    pub budget_mb: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = PlanFormat::Terminal, value_name = "FORMAT")]
    pub format: PlanFormat,
}

/// `pgassay doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// The database.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `pgassay rules`
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// Rule to document
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Print the rules as the README's Markdown table
    #[arg(long, hide = true)]
    pub table: bool,
}

/// `pgassay completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// The database, and what it may cost.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct ServerArgs {
    /// URL or key=value string as libpq takes it [env: DATABASE_URL, else PGHOST, PGUSER, PGSERVICE …]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<SecretUrl>,
    /// Another server of the same data, whose index usage counts too: standbys, or a standby's primary. Only its catalog is read. Repeatable
    #[arg(long, value_name = "URL")]
    pub replica: Vec<SecretUrl>,
    /// Send no EXPLAIN; indexes are then not priced
    #[arg(long)]
    pub no_explain: bool,
    /// Run the loops that were found and their batches, and compare: executes SELECTs of the log on the database of --database-url, or on the one
    /// given here, in read-only transactions, on at most 50 sampled keys, 1 s a statement. Only plain reads of harmless functions are run
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true)]
    pub verify: Option<Option<SecretUrl>>,
    /// Server time that the audit may take
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub max_server_time: Duration,
}

/// How logs are read.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Inputs")]
pub struct LogArgs {
    /// Whose statements are audited when a log and a database are given
    #[arg(long, value_enum, default_value_t, value_name = "SOURCE")]
    pub statements: StatementsFrom,
    /// Log format, when it is not recognised [default: sniffed]
    #[arg(long, value_name = "FORMAT", value_parser = names(FORMATS.iter().map(|f| (f.name, f.summary)).chain(WRAPPINGS.iter().map(|w| (w.name, w.summary)))))]
    pub log_format: Option<String>,
    /// log_line_prefix of the server that wrote the log [default: worked out from the log]
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    pub log_line_prefix: Option<String>,
    /// A setting of the server that wrote the log, where no database is given, for instance log_statement_sample_rate=0.1: a log that holds a sample is
    /// reckoned up by it. Repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub log_setting: Vec<(String, String)>,
    /// Leave out what was logged before: RFC 3339, 'YYYY-MM-DD hh:mm' in local time, or an age such as 2h
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Leave out what was logged after
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// What to look at.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Only findings and statements about this schema. Repeatable
    #[arg(long, value_name = "NAME")]
    pub schema: Vec<String>,
    /// Nothing about this schema. Repeatable
    #[arg(long, value_name = "NAME")]
    pub exclude_schema: Vec<String>,
    /// Only this relation, with or without its schema. Repeatable
    #[arg(long, value_name = "NAME")]
    pub relation: Vec<String>,
    /// Only statements of this role. Repeatable
    #[arg(long, value_name = "ROLE")]
    pub user: Vec<String>,
    /// Only statements of this application_name (logs only). Repeatable
    #[arg(long, value_name = "NAME")]
    pub application: Vec<String>,
    /// Only statements of this database (logs only). Repeatable
    #[arg(long, value_name = "NAME")]
    pub database: Vec<String>,
    /// Only this statement, by its fingerprint. Repeatable
    #[arg(long, value_name = "HEX", value_parser = Fingerprint::from_str)]
    pub fingerprint: Vec<Fingerprint>,
    /// Leave out statements called less often [default: 0]
    #[arg(long, value_name = "N")]
    pub min_calls: Option<u64>,
}

/// Which rules, with which thresholds.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rules")]
pub struct JudgeArgs {
    /// Only this rule; none runs no rule. Repeatable [default: all]
    #[arg(long, value_name = "ID", value_parser = names(RULES.iter().map(|r| (r.id, r.summary)).chain([("none", "no rule: read and count only")])))]
    pub rule: Vec<String>,
    /// Repeats in one session before a burst counts as N+1 [default: each rule's own]
    #[arg(long, value_name = "N")]
    pub min_repeats: Option<u64>,
    /// Network round trip between application and database, ms, by which saved round trips become saved time [default: 0.5, and said to be assumed]
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub rtt: Option<f64>,
    /// Days of usage statistics before an index may be called unused [default: 30]
    #[arg(long, value_name = "DAYS")]
    pub min_window: Option<f64>,
    /// Megabytes that all new indexes may take together [default: no bound]
    #[arg(long, value_name = "MB")]
    pub storage_budget: Option<u64>,
    /// Indexes that a table may have, those that exist included [default: no bound]
    #[arg(long, value_name = "N")]
    pub max_indexes_per_table: Option<usize>,
    /// Seconds after which no more candidates are priced; what is known by then is reported [default: no bound]
    #[arg(long, value_name = "SECONDS")]
    pub max_time: Option<u64>,
    /// Say what was tried for this statement, and why it got no index (16 hex digits). Repeatable
    #[arg(long, value_name = "FINGERPRINT", value_parser = Fingerprint::from_str)]
    pub why_not: Vec<Fingerprint>,
    /// Configuration file [default: the closest pgassay.toml, from here upward]
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
}

/// When a run fails.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Gate")]
pub struct GateArgs {
    /// Exit 1 on a finding at or above this severity [default: warning for check, else never]
    #[arg(long, value_enum, value_name = "SEVERITY")]
    pub fail_on: Option<FailOn>,
    /// Exit 1 only when there are more such findings than this [default: 0]
    #[arg(long, value_name = "N")]
    pub max_findings: Option<usize>,
    /// Findings that are known: only new or worse ones count, and one that is gone must leave the file
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the findings of this run into the baseline
    #[arg(long)]
    pub update_baseline: bool,
    /// Report of an earlier run: say what is new, gone, worse and better
    #[arg(long, value_name = "REPORT.json")]
    pub compare: Option<PathBuf>,
    /// Folder of the code: findings then name the line of the query, model or migration
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
}

/// What to print.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "terminal", value_parser = names(OUTPUTS.iter().map(|o| (o.name, o.summary))))]
    pub format: String,
    /// Write the report there instead of to stdout; FORMAT=FILE writes another format beside. Repeatable
    #[arg(long, short, value_name = "[FORMAT=]FILE")]
    pub output: Vec<OsString>,
    /// Findings to show
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub top: usize,
    /// Show all findings
    #[arg(long, conflicts_with = "top", action = ArgAction::SetTrue)]
    pub all: bool,
    /// Print values of the workload, such as those in index predicates
    #[arg(long)]
    pub show_literals: bool,
}

/// Whose statements are audited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum StatementsFrom {
    /// Both; never summed.
    #[default]
    Both,
    /// The logs'.
    Log,
    /// The server's.
    #[value(name = "pg_stat_statements", alias = "pgss")]
    PgStatStatements,
}

/// `--fail-on`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Only errors: an invalid index, an exceeded budget.
    Error,
    /// Warnings and errors.
    Warning,
    /// Any finding.
    Info,
    /// Nothing.
    Never,
}

impl FailOn {
    /// The severity from which on a finding counts; `None` when none does.
    #[must_use]
    pub fn threshold(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Info => Some(Severity::Info),
            Self::Never => None,
        }
    }
}

/// A connection string. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The string itself, for `db` only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl(…)")
    }
}

impl From<&str> for SecretUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Parses `1s`, `500ms`, `1m 30s`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<f64>().ok().map_or_else(
        || {
            text.parse::<jiff::SignedDuration>()
                .ok()
                .and_then(|duration| Duration::try_from(duration).ok())
        },
        |seconds| Duration::try_from_secs_f64(seconds).ok(),
    );
    parsed.ok_or_else(|| "not a length of time: write 500ms, 1s or 1m 30s".to_owned())
}

/// A parser for the names of a registry, each with its one line of help.
fn names(entries: impl Iterator<Item = (&'static str, &'static str)>) -> PossibleValuesParser {
    PossibleValuesParser::new(entries.map(|(name, help)| PossibleValue::new(name).help(help)))
}

/// Parses the process's arguments; the error is clap's, to be shown by `app`.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(arguments)
}

/// A length of time in ms: finite, and not below zero.
fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ms) if ms.is_finite() && ms >= 0.0 => Ok(ms),
        _ => Err("a number of milliseconds, as 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parsed(arguments: &[&str]) -> Cli {
        Cli::try_parse_from(arguments).unwrap()
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn debug_output_hides_the_connection_string() {
        let cli = parsed(&["pgassay", "audit", "--database-url", "postgres://u:pw@h/d"]);
        assert!(!format!("{cli:?}").contains("pw@h"));
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("2"), Ok(Duration::from_secs(2)));
        assert!(parse_duration("-1s").is_err() && parse_duration("soon").is_err());
    }
}
