//! What was found, for a terminal.

use super::{Diagnosis, State, role, service::Service};
use crate::{catalog::Catalog, report::escape};

/// The whole text. Identifiers and settings are hostile text: every line is made safe at the end.
pub(super) fn render(catalog: &Catalog, place: &str, found: &[Diagnosis]) -> String {
    let server = &catalog.server;
    let version = match server.setting("server_version") {
        Some(version) => version.to_owned(),
        None => (server.version_num / 10_000).to_string(),
    };
    let mut lines = vec![
        format!(
            "{place}: PostgreSQL {version}, {}",
            Service::of(server).name()
        ),
        String::new(),
    ];
    for diagnosis in found {
        lines.push(format!("{}  {}", label(diagnosis.state), diagnosis.found));
        part(&mut lines, "means", std::slice::from_ref(&diagnosis.means));
        part(&mut lines, "fix", &diagnosis.fix);
        part(&mut lines, "cost", std::slice::from_ref(&diagnosis.cost));
        part(&mut lines, "undo", &diagnosis.undo);
    }
    lines.push(String::new());
    lines.push("A role for pgassay with no more rights than it needs:".to_owned());
    lines.push(String::new());
    lines.extend(
        role::script(catalog)
            .into_iter()
            .map(|line| format!("    {line}")),
    );
    let mut text = String::new();
    for line in &lines {
        text.push_str(&escape::terminal_line(line));
        text.push('\n');
    }
    let n_lacking = found.iter().filter(|d| d.state == State::Lacking).count();
    text.push_str(&match n_lacking {
        0 => "\nnothing lacks\n".to_owned(),
        1 => "\n1 thing lacks\n".to_owned(),
        n => format!("\n{n} things lack\n"),
    });
    text
}

fn label(state: State) -> &'static str {
    match state {
        State::Fine => "ok     ",
        State::Note => "note   ",
        State::Lacking => "lacking",
    }
}

fn part(lines: &mut Vec<String>, name: &str, texts: &[String]) {
    let mut name = format!("{name}:");
    for text in texts.iter().filter(|text| !text.is_empty()) {
        lines.push(format!("         {name:6} {text}"));
        name.clear();
    }
}
