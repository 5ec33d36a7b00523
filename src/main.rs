//! Parses the command line, runs it, maps the result to an exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use pgassay::{
    app::{self, Context, Error, ErrorKind},
    cli::{self, Cli},
};

/// Exit code after Ctrl-C or SIGTERM: 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let context = Context::of_process(&cli.display);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorKind::Server, "cannot start threads").because(error);
            context.complain(&error.render());
            return error.exit_code().into();
        }
    };
    let code = runtime.block_on(run(cli, &context));
    // threads that still parse have nobody left to report to
    runtime.shutdown_background();
    code.into()
}

/// Runs until done or interrupted. An interrupted run is dropped, and with it every server and file that it owns.
async fn run(cli: Cli, context: &Context) -> u8 {
    let result = tokio::select! {
        result = app::run(cli, context) => result,
        () = interrupted() => {
            context.complain("\ninterrupted\n");
            return INTERRUPTED;
        }
    };
    match result {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            if error.kind != ErrorKind::BrokenPipe {
                context.complain(&error.render());
            }
            error.exit_code()
        }
    }
}

/// Resolves at Ctrl-C, and at SIGTERM where there is such a thing.
async fn interrupted() {
    let terminated = async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            if let Ok(mut signal) = signal(SignalKind::terminate()) {
                signal.recv().await;
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! { () = ctrl_c => {}, () = terminated => {} }
}

/// Help and version go to stdout with 0; a wrong command line to stderr with 2, connection strings masked.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // `--help` into a closed pipe is success
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let mut shown = app::mask_secrets(&text);
    if error.kind() == clap::error::ErrorKind::UnknownArgument && text.contains("://") {
        shown.push_str("hint: a database is named with --database-url URL\n");
    }
    let _ = io::stderr().lock().write_all(shown.as_bytes());
    ExitCode::from(2)
}
