//! `pgassay check`: the audit on query logs, for CI. Only flags name a database: a job's `DATABASE_URL` is for the tests.

use super::{Context, Error, Outcome, audit::Request, connect::Naming};
use crate::cli::CheckArgs;

/// Runs the command.
pub(super) async fn run(args: &CheckArgs, context: &Context) -> Result<Outcome, Error> {
    let request = Request {
        server: &args.server,
        naming: Naming::Flag,
        logs: &args.logs,
        log: &args.log,
        filters: &args.filters,
        judge: &args.judge,
        required: &args.require,
        show_literals: args.report.show_literals,
    };
    request.report(&args.report, args.fail_on, context).await
}
