//! The reference workloads against the audit: every seeded fault is found, nothing healthy is accused, and the fixes fix.

use std::collections::BTreeSet;

use pgassay::{
    app::{
        Context,
        demo::{Act, Stage},
    },
    cli::{self, ColorChoice, Command, DemoArgs},
    demo::{self, Fault, Reference},
    finding::{ChangeAction, Finding, Severity},
    sql::normalise,
};

use crate::support;

/// Large enough for every threshold of size, small enough for a test.
const SCALE: &str = "0.3";

fn context() -> Context {
    Context {
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        environment: ["PATH", "HOME", "PGASSAY_PG_BIN"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), support::variable(name)?)))
            .collect(),
        stdout_is_terminal: false,
        stderr_is_terminal: false,
        width: 100,
        quiet: true,
        color: ColorChoice::Never,
    }
}

fn args(workload: &str) -> DemoArgs {
    let cli = cli::parse(["pgassay", "demo", workload, "--scale", SCALE].map(Into::into)).unwrap();
    match cli.command {
        Command::Demo(args) => args,
        other => panic!("{other:?}"),
    }
}

fn describe(finding: &Finding) -> String {
    let subject = &finding.subject;
    let relation = subject.relation.as_ref().map(ToString::to_string);
    format!(
        "{} {} {} {:?} {:?} {:?}",
        finding.severity,
        finding.rule,
        relation.unwrap_or_default(),
        subject.columns,
        subject.index,
        subject.query
    )
}

fn describe_all(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(|finding| describe(finding) + "\n")
        .collect()
}

fn assert_all_faults_found(reference: &Reference, findings: &[Finding]) {
    let missed: Vec<&Fault> = reference
        .faults
        .iter()
        .filter(|fault| demo::matching(fault, findings).is_none())
        .collect();
    assert!(
        missed.is_empty(),
        "not found: {missed:#?}\nfound:\n{}",
        describe_all(findings)
    );
}

fn assert_nothing_else(reference: &Reference, findings: &[Finding]) {
    let healthy: BTreeSet<_> = reference
        .healthy
        .iter()
        .map(|healthy| normalise(healthy.sql.as_bytes()).fingerprint)
        .collect();
    for finding in findings {
        let accused = finding
            .subject
            .fingerprint
            .is_some_and(|query| healthy.contains(&query));
        assert!(
            !accused,
            "a healthy statement is accused: {}",
            describe(finding)
        );
        let seeded = reference
            .faults
            .iter()
            .any(|fault| fault.is_reported_by(finding));
        let loud = finding.severity >= Severity::Warning;
        assert!(
            seeded || !loud,
            "nothing of that kind was seeded: {}",
            describe(finding)
        );
    }
}

/// Drives and audits, applies the migrations, drives and audits again.
async fn whole_demo(name: &str) {
    let context = context();
    let reference = Reference::named(name).unwrap();
    let stage = Stage::set(reference, &args(name), &context).await.unwrap();
    let before = stage.act("before", &context).await.unwrap();
    let findings = &before.conclusion.report.findings;
    assert!(before.conclusion.failed.is_empty());
    assert_all_faults_found(reference, findings);
    assert_nothing_else(reference, findings);

    let applied = stage
        .migrate(&before.conclusion.report, &context)
        .await
        .unwrap();
    let changes: Vec<_> = findings
        .iter()
        .flat_map(|finding| &finding.remedy.changes)
        .collect();
    let extensions: BTreeSet<_> = changes
        .iter()
        .filter_map(|change| change.extension.as_ref())
        .collect();
    assert_eq!(
        applied.len(),
        changes.len() + extensions.len(),
        "one migration a change, and one an extension"
    );

    let after = stage.act("after", &context).await.unwrap();
    assert_eq!(before.driven.n_requests, reference.n_requests());
    assert_eq!(after.driven.n_requests, reference.n_requests());
    let left = &after.conclusion.report.findings;
    for finding in findings
        .iter()
        .filter(|finding| !finding.remedy.changes.is_empty())
    {
        let still_there = left.iter().any(|other| other.id() == finding.id());
        assert!(!still_there, "a fix did not fix: {}", describe(finding));
    }
    assert_nothing_else(reference, left);
    assert_measured(findings, &before, &after);
    assert_rewrites(&stage, reference, findings, &context).await;
}

/// Statements that a new index serves touch fewer blocks, in as many calls.
fn assert_measured(findings: &[Finding], before: &Act, after: &Act) {
    let (old, new) = (
        &before.conclusion.snapshot.workload,
        &after.conclusion.snapshot.workload,
    );
    let creates = |finding: &&Finding| {
        let mut changes = finding.remedy.changes.iter();
        changes.any(|change| change.action == ChangeAction::Create)
    };
    for finding in findings.iter().filter(creates) {
        let effects = demo::effects(finding, old, new);
        let first = effects
            .first()
            .unwrap_or_else(|| panic!("not measured: {}", describe(finding)));
        assert_eq!(first.before.n_calls, first.after.n_calls, "{}", first.query);
        assert!(
            first.before.p95_ms.is_some() && first.after.p95_ms.is_some(),
            "{first:?}"
        );
        assert!(first.after.blocks < first.before.blocks, "{first:?}");
    }
}

/// Every seeded loop is run against its batch, and both give the same.
async fn assert_rewrites(
    stage: &Stage,
    reference: &Reference,
    findings: &[Finding],
    context: &Context,
) {
    let rewrites = stage.rewrites(findings, context).await.unwrap();
    let n_loops = reference
        .faults
        .iter()
        .filter(|fault| fault.calls.is_some())
        .count();
    assert_eq!(rewrites.len(), n_loops);
    for rewritten in &rewrites {
        assert!(rewritten.effect.equal, "{}", rewritten.fault.what);
        assert!(rewritten.effect.n_keys > 5, "{}", rewritten.fault.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_board() {
    Box::pin(whole_demo("jobs-board")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_ledger() {
    Box::pin(whole_demo("orders-ledger")).await;
}
