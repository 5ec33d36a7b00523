//! The report for a person at a terminal: where the time goes, the findings that matter most with their proof, what was left alone, what could not be judged.

mod finding;
mod layout;
mod time;

use layout::{Page, Painted};

use super::{
    Output, View,
    escape::{self, terminal_line},
    words,
};
use crate::{
    finding::{Report, ServerSummary, Skipped, figures},
    plan::WhatIfKind,
};

pub(super) static OUTPUT: Output = Output {
    name: "terminal",
    summary: "for people: where the time goes, then the findings with proof and remedy",
    extension: "txt",
    render,
};

/// Reasons for skipping that are shown; the JSON report has all.
const MAX_SKIPPED_SHOWN: usize = 8;

fn render(report: &Report, view: &View) -> String {
    let mut page = Page::new(view.width, view.color);
    title(report, &mut page);
    observations(report, &mut page);
    time::section(report, view, &mut page);
    findings(report, view, &mut page);
    left_alone(report, &mut page);
    not_judged(report, &mut page);
    footer(report, &mut page);
    escape::without_commands_in_any_line(&page.finish())
}

fn title(report: &Report, page: &mut Page) {
    let tool = Painted::default().with(concat!("pgassay ", env!("CARGO_PKG_VERSION")), |text| {
        page.paint.bold(text)
    });
    let server = report.server.as_ref().map(server).unwrap_or_default();
    page.start(&tool, &server);
}

fn server(server: &ServerSummary) -> String {
    let role = if server.is_standby {
        "standby"
    } else {
        "primary"
    };
    let pricing = match server.what_if {
        WhatIfKind::Hypopg => "candidates priced with HypoPG",
        WhatIfKind::Real => "candidates really built and rolled back",
        WhatIfKind::Twin => "candidates priced in a twin",
        WhatIfKind::None => "candidates not priced",
    };
    format!(
        "· PostgreSQL {} · database {} ({role}) · {pricing}",
        version(server.version_num),
        terminal_line(&server.database)
    )
}

/// `15.18` of 150018.
fn version(number: u32) -> String {
    format!("{}.{}", number / 10_000, number % 10_000)
}

fn observations(report: &Report, page: &mut Page) {
    for observation in &report.observations {
        let label = format!("{:<19} ", terminal_line(&observation.source));
        page.paragraph(&label, &terminal_line(&words::observed(observation)));
    }
    for note in &report.notes {
        page.paragraph(&format!("{:<19} ", "note"), &terminal_line(note));
    }
}

fn findings(report: &Report, view: &View, page: &mut Page) {
    let n = report.findings.len();
    let order = if n > 1 {
        ", most time saved per day first"
    } else {
        ""
    };
    page.heading(&format!("{}{order}", words::verdict(report)));
    for (at, finding) in report.findings.iter().take(view.top).enumerate() {
        page.blank();
        let standing = words::standing(report, finding);
        finding::section(at + 1, finding, standing.as_deref(), page);
    }
    if n > view.top {
        page.blank();
        let rest = figures::counted((n - view.top) as u64, "more finding");
        page.line(&format!("{rest}: --all shows them"));
    }
}

fn left_alone(report: &Report, page: &mut Page) {
    if !report.ignored.is_empty() {
        page.heading("Ignored, as asked");
        for ignored in &report.ignored {
            page.paragraph("   ", &terminal_line(&words::ignored(ignored)));
        }
    }
    if report.summary.n_fingerprints > 0 {
        page.heading("Left alone");
        page.paragraph("   ", &words::left_alone(report));
    }
}

fn not_judged(report: &Report, page: &mut Page) {
    let lacking = words::lacking_by_reason(report);
    let skipped = &report.summary.skipped;
    if lacking.is_empty() && skipped.is_empty() {
        return;
    }
    page.heading("Not judged, or only in part");
    for (why, rules) in lacking {
        page.paragraph(
            "   ",
            &format!("{}: {}", rules.join(", "), terminal_line(&why)),
        );
    }
    for skip in skipped.iter().take(MAX_SKIPPED_SHOWN) {
        let label = format!("   {:>24} ", format!("{} ×", figures::count(skip.n)));
        page.excerpt(&label, &terminal_line(&skip_text(skip)), 2);
    }
    if skipped.len() > MAX_SKIPPED_SHOWN {
        let more = figures::counted((skipped.len() - MAX_SKIPPED_SHOWN) as u64, "more reason");
        page.line(&format!("   {more} in the JSON report"));
    }
}

fn skip_text(skip: &Skipped) -> String {
    if skip.example.is_empty() {
        skip.reason.clone()
    } else {
        format!("{}: {}", skip.reason, skip.example)
    }
}

fn footer(report: &Report, page: &mut Page) {
    page.blank();
    let run = &report.run;
    let cost = if run.n_server_statements > 0 {
        format!(
            "Cost on the server: {}, {}. ",
            figures::counted(run.n_server_statements, "statement"),
            figures::milliseconds(run.server_time_ms)
        )
    } else {
        String::new()
    };
    let text = format!("{cost}Took {}.", figures::seconds(run.wall_s));
    let text = page.paint.dim(&text);
    page.line(&text);
}
