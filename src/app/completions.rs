//! `pgassay completions` and `pgassay man`: both derive from the command line's definition.

use clap::CommandFactory;

use super::{Context, Error, Outcome};
use crate::cli::{Cli, CompletionsArgs};

/// Prints a completion script.
pub(super) fn completions(args: &CompletionsArgs, context: &Context) -> Result<Outcome, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pgassay", &mut script);
    context.print(&script)?;
    Ok(Outcome::Clean)
}

/// Prints the manual page: the program, then each subcommand.
pub(super) fn man(context: &Context) -> Result<Outcome, Error> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .and_then(|()| {
            command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
                .try_for_each(|sub| clap_mangen::Man::new(sub.clone()).render(&mut page))
        });
    rendered.map_err(|error| Error::output("the manual page", error))?;
    context.print(&page)?;
    Ok(Outcome::Clean)
}
