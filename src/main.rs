//! Parses the command line, runs it, maps the result to an exit code.

fn main() {}
