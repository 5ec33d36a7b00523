//! `pgassay check`: the audit on query logs, for CI. Only flags name a database: a job's `DATABASE_URL` is for the tests.

use std::path::Path;

use super::{
    Context, Error, ErrorKind, Outcome,
    audit::Request,
    config::{self, Config},
    connect::Naming,
    gate::Gate,
    write,
};
use crate::cli::{CheckArgs, FailOn};

/// Runs the command.
pub(super) async fn run(args: &CheckArgs, context: &Context) -> Result<Outcome, Error> {
    if args.init {
        return init(context);
    }
    let config = Config::load(args.judge.config.as_deref())?;
    let logs = if args.logs.is_empty() {
        config.logs()
    } else {
        args.logs.clone()
    };
    if logs.is_empty() {
        let message = "no log to check";
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("pgassay check LOG…, or pgassay.toml: [inputs] logs = [\"log/test.log\"]"));
    }
    let mut log = args.log.clone();
    log.log_line_prefix = log.log_line_prefix.or_else(|| config.log_line_prefix());
    let request = Request {
        server: &args.server,
        twin: &args.twin,
        naming: Naming::Flag,
        logs: &logs,
        log: &log,
        filters: &args.filters,
        judge: &args.judge,
        required: &args.require,
        config: &config,
        interval: None,
        watching: None,
        show_literals: args.report.show_literals,
        verify_on: None,
    };
    let gate = Gate::new(&args.gate, FailOn::Warning, &config)?;
    request.report(&args.report, &gate, context).await
}

/// Writes a configuration to start from, never over an existing one.
fn init(context: &Context) -> Result<Outcome, Error> {
    write::new_file(Path::new(config::FILE_NAME), config::TEMPLATE)?;
    context.print(format!("{}\n", config::FILE_NAME).as_bytes())?;
    Ok(Outcome::Clean)
}
