//! Reports to render: a typical one, one with a withheld remedy, one whose every text is hostile.

use pgassay::{
    catalog::{IndexDef, IndexKey, RelationName},
    finding::{
        BurstFacts, Confidence, Evidence, Finding, Ignored, Impact, ImpactBasis, ImpactSource,
        IndexChange, IndexEvidence, KnownFinding, LeftAlone, Location, LocationKind,
        NPlusOneEvidence, Observation, ParentFacts, QueryCost, Remedy, RemedyKind, Report,
        RuleMeta, RuleOutcome, RuleStatus, RunCost, ServerSummary, Severity, Skipped, Standing,
        Subject, Summary, TimelineEntry, TopQuery,
    },
    plan::WhatIfKind,
    sql::Fingerprint,
};

const DAY_S: f64 = 86_400.0;

const JOBS: &str = "SELECT j.id, j.title, j.company_id FROM jobs j WHERE j.country = $1 AND j.employment_type = $2 ORDER BY j.created_at DESC LIMIT $3";
const COMPANY: &str = "SELECT c.id, c.name, c.logo_url FROM companies c WHERE c.id = $1";

/// A job board's database with a log.
pub(super) fn report() -> Report {
    Report {
        server: Some(ServerSummary {
            version_num: 150_018,
            database: "jobs".into(),
            is_standby: false,
            what_if: WhatIfKind::Hypopg,
        }),
        run: RunCost {
            wall_s: 1.84,
            n_server_statements: 132,
            server_time_ms: 214.0,
            n_planner_calls: 480,
        },
        observations: observations(),
        rules: vec![
            rule("missing-index", RuleStatus::Ran, &[]),
            rule("n-plus-one", RuleStatus::Partial, &["log threshold 250 ms"]),
            rule(
                "unused-index",
                RuleStatus::LackedInput,
                &["2.1 days of statistics, 30 are needed"],
            ),
        ],
        top_queries: top_queries(),
        left_alone: LeftAlone {
            n_fingerprints: 412,
            share: 0.031,
        },
        summary: Summary {
            n_statements: 1_204_331,
            n_fingerprints: 415,
            window_s: 2.1 * DAY_S,
            skipped: vec![Skipped {
                reason: "SQL that the parser does not know".into(),
                n: 57,
                example: "app.log:1042: SELECT FROM WHERE".into(),
            }],
        },
        findings: vec![missing_index(), n_plus_one(), unused_index()],
        anchor: Location {
            file: "pgassay.toml".into(),
            line: 1,
            kind: LocationKind::Definition,
        },
        standing: None,
        ignored: Vec::new(),
        why_not: Vec::new(),
        notes: vec!["pg_stat_statements evicted entries 3 times: totals are a lower bound".into()],
    }
}

/// The typical report beside a baseline, with a finding that was left out.
pub(super) fn judged_against_a_baseline() -> Report {
    let report = report();
    let known = report.findings[0].id();
    let worse = report.findings[1].id();
    Report {
        standing: Some(Standing {
            known: [known].into(),
            worse: [(worse, "longest burst 10 became 50".to_owned())].into(),
            fixed: vec![(
                "missing-index-0000000000000000".to_owned(),
                KnownFinding {
                    rule: "missing-index".to_owned(),
                    subject: "public.gone (id)".to_owned(),
                    severity: Severity::Warning,
                    n_repeats_max: None,
                },
            )],
        }),
        ignored: vec![Ignored {
            id: "unused-index-0000000000000000".to_owned(),
            rule: "unused-index".to_owned(),
            subject: "public.x".to_owned(),
            reason: "monthly report".to_owned(),
        }],
        ..report
    }
}

/// A report whose one remedy holds a value of the workload.
pub(super) fn withheld() -> Report {
    let mut finding = missing_index();
    let change = &mut finding.remedy.changes[0];
    change.def.predicate = Some("owner = 'secret'".into());
    finding.remedy.sql = Some("CREATE INDEX x ON jobs (id) WHERE owner = 'secret'".into());
    finding.remedy.withheld = true;
    Report {
        findings: vec![finding],
        ..report()
    }
}

/// The typical report with something nasty in every text.
pub(super) fn hostile() -> Report {
    let mut report = report();
    let evil = "\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\r\n::error::x\n##[error]y <img src=x onerror=z> @bob [l](http://evil) www.evil.com ``` `a` | * _ #1 \u{e0041}";
    report.notes.push(evil.into());
    report.observations[0].name = evil.into();
    report.observations[0].from = evil.into();
    report.top_queries[0].query = evil.into();
    report.summary.skipped[0].reason = evil.into();
    report.summary.skipped[0].example = evil.into();
    report.rules[1].lacked = vec![evil.into()];
    if let Some(server) = &mut report.server {
        server.database = evil.into();
    }
    for finding in &mut report.findings {
        make_hostile(finding, evil);
    }
    report
}

fn make_hostile(finding: &mut Finding, evil: &str) {
    finding.message = evil.into();
    finding.subject.relation = Some(RelationName::new(evil, evil));
    finding.subject.columns = vec![evil.into()];
    finding.subject.index = finding.subject.index.as_ref().map(|_| evil.into());
    finding.subject.query = Some(evil.into());
    finding.locations = vec![Location {
        file: evil.into(),
        line: 1,
        kind: LocationKind::Caller,
    }];
    finding.remedy.sql = Some(evil.into());
    finding.remedy.hint = evil.into();
    for change in &mut finding.remedy.changes {
        change.def.table = RelationName::new(evil, evil);
        change.def.name = evil.into();
    }
    match &mut finding.evidence {
        Evidence::NPlusOne(evidence) => {
            evidence.tags.insert(evil.into(), evil.into());
            evidence.applications = vec![evil.into()];
            evidence.sessions = vec![evil.into()];
            evidence.timeline[0].text = evil.into();
            if let Some(parent) = &mut evidence.parent {
                parent.query = evil.into();
            }
        }
        Evidence::Index(evidence) => {
            for query in &mut evidence.queries {
                query.query = evil.into();
                query.plan_before = Some(evil.into());
            }
            evidence.replaces = vec![evil.into()];
            evidence.facts.insert(evil.into(), evil.into());
        }
        Evidence::Facts(facts) => {
            facts.insert(evil.into(), evil.into());
        }
        Evidence::None => {}
    }
}

fn observations() -> Vec<Observation> {
    vec![
        Observation {
            source: "log".into(),
            name: "app.log".into(),
            from: "2026-11-22T10:00:00Z".into(),
            to: "2026-11-22T11:00:00Z".into(),
            window_s: 3_600.0,
            n_statements: 120_412,
            total_time_ms: 480_120.0,
        },
        Observation {
            source: "pg_stat_statements".into(),
            name: "database jobs".into(),
            from: "2026-11-20T09:36:00Z".into(),
            to: "2026-11-22T12:00:00Z".into(),
            window_s: 2.1 * DAY_S,
            n_statements: 1_204_331,
            total_time_ms: 11_520_000.0,
        },
    ]
}

fn rule(id: &'static str, status: RuleStatus, lacked: &[&str]) -> RuleOutcome {
    RuleOutcome {
        meta: RuleMeta {
            id,
            summary: "a rule",
            severity: Severity::Warning,
            docs: "",
        },
        status,
        lacked: lacked.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn top_queries() -> Vec<TopQuery> {
    vec![
        TopQuery {
            fingerprint: Fingerprint(0x1111),
            query: JOBS.into(),
            share: 0.412,
            n_calls: 92_041,
            n_logged: None,
            n_calls_error: None,
            total_ms: 4_746_240.0,
            mean_ms: 51.6,
            p95_ms: Some(88.4),
            rows_per_call: Some(50.0),
            hit_ratio: Some(0.991),
            io_ms: Some(12_000.0),
            temp_blks: Some(0),
            wal_bytes: Some(0),
        },
        TopQuery {
            fingerprint: Fingerprint(0x2222),
            query: COMPANY.into(),
            share: 0.187,
            n_calls: 4_602_050,
            total_ms: 2_154_240.0,
            mean_ms: 0.041,
            rows_per_call: Some(1.0),
            hit_ratio: Some(1.0),
            wal_bytes: Some(1_200_000),
            ..TopQuery::default()
        },
    ]
}

fn missing_index() -> Finding {
    let def = IndexDef {
        table: RelationName::new("public", "jobs"),
        name: "jobs_country_employment_type_idx".into(),
        method: "btree".into(),
        keys: vec![
            IndexKey::column("country"),
            IndexKey::column("employment_type"),
        ],
        ..IndexDef::default()
    };
    let mut change = IndexChange::create(def);
    change.size_bytes = Some(4_400_000);
    Finding {
        rule: "missing-index",
        severity: Severity::Warning,
        confidence: Confidence::High,
        subject: Subject {
            relation: Some(RelationName::new("public", "jobs")),
            columns: vec!["country".into(), "employment_type".into()],
            fingerprint: Some(Fingerprint(0x1111)),
            query: Some(JOBS.into()),
            ..Subject::default()
        },
        message: "no index serves country = … AND employment_type = … on public.jobs: each of 92,041 calls reads the whole table".into(),
        impact: Impact {
            n_calls: 92_041,
            total_time_ms: 4_746_240.0,
            saved_time_ms: 4_650_000.0,
            saved_interval_ms: None,
            saved_share: 0.404,
            basis: ImpactBasis::CalibratedEstimate,
            source: ImpactSource::PgStatStatements,
            window_s: 2.1 * DAY_S,
        },
        evidence: Evidence::Index(IndexEvidence {
            queries: vec![QueryCost {
                fingerprint: Fingerprint(0x1111),
                query: JOBS.into(),
                n_calls: 92_041,
                cost_before: 5_432.1,
                cost_after: 108.2,
                uses_index: true,
                mean_ms: Some(51.6),
                plan_before: Some("Seq Scan on jobs".into()),
                plan_after: Some("Bitmap Heap Scan on jobs".into()),
            }],
            size_bytes: 4_400_000,
            write_cost: 120.0,
            replaces: vec!["public.jobs_country_idx".into()],
            ..IndexEvidence::default()
        }),
        locations: Vec::new(),
        remedy: Remedy {
            kind: RemedyKind::CreateIndex,
            sql: Some("CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_country_employment_type_idx ON public.jobs (country, employment_type);".into()),
            hint: "create the index; jobs_country_idx can go once it is valid".into(),
            changes: vec![change],
            withheld: false,
        },
    }
}

fn n_plus_one() -> Finding {
    Finding {
        rule: "n-plus-one",
        severity: Severity::Warning,
        confidence: Confidence::High,
        subject: Subject {
            relation: Some(RelationName::new("public", "companies")),
            columns: vec!["id".into()],
            fingerprint: Some(Fingerprint(0x2222)),
            query: Some(COMPANY.into()),
            ..Subject::default()
        },
        message: "companies is read by id once for each row of the query before it: 2,050 single reads in 41 bursts".into(),
        impact: Impact {
            n_calls: 2_050,
            total_time_ms: 840.0,
            saved_time_ms: 790.0,
            saved_interval_ms: None,
            saved_share: 0.0017,
            basis: ImpactBasis::CalibratedEstimate,
            source: ImpactSource::Log,
            window_s: 3_600.0,
        },
        evidence: Evidence::NPlusOne(Box::new(NPlusOneEvidence {
            statement_kind: "select".into(),
            n_repeats: 2_050,
            n_bursts: 41,
            n_repeats_max: 50,
            distinct_keys: 1_312,
            parent: Some(ParentFacts {
                fingerprint: Fingerprint(0x1111),
                query: JOBS.into(),
                relation: Some("public.jobs".into()),
            }),
            sessions: vec!["6740a1b2.1f4".into()],
            tags: [("route".to_owned(), "GET /jobs".to_owned())].into(),
            applications: vec!["web".into()],
            bursts: vec![BurstFacts {
                session: "6740a1b2.1f4".into(),
                start: "2026-11-22T10:00:01.012Z".into(),
                end: "2026-11-22T10:00:01.094Z".into(),
                n_repeats: 50,
            }],
            timeline: timeline(),
            ..NPlusOneEvidence::default()
        })),
        locations: vec![Location {
            file: "app.log".into(),
            line: 1_042,
            kind: LocationKind::Log,
        }],
        remedy: Remedy {
            kind: RemedyKind::Rewrite,
            sql: Some("SELECT c.id, c.name, c.logo_url FROM companies c WHERE c.id = ANY($1)".into()),
            hint: "load the companies of all jobs in one query".into(),
            ..Remedy::default()
        },
    }
}

fn timeline() -> Vec<TimelineEntry> {
    let entry = |at_ms, duration_ms, text: &str| TimelineEntry {
        at_ms,
        duration_ms,
        text: text.into(),
    };
    vec![
        entry(0.0, Some(51.2), JOBS),
        entry(52.4, Some(0.041), COMPANY),
        entry(54.1, Some(0.039), COMPANY),
        entry(54.1, None, "… 47 more …"),
        entry(132.8, Some(0.043), COMPANY),
    ]
}

fn unused_index() -> Finding {
    let def = IndexDef {
        table: RelationName::new("public", "jobs"),
        name: "jobs_title_idx".into(),
        method: "btree".into(),
        keys: vec![IndexKey::column("title")],
        ..IndexDef::default()
    };
    let before = "CREATE INDEX jobs_title_idx ON public.jobs USING btree (title)".to_owned();
    let facts = serde_json::json!({ "scans": 0, "window_days": 43.2 });
    Finding {
        rule: "unused-index",
        severity: Severity::Info,
        confidence: Confidence::Medium,
        subject: Subject {
            relation: Some(RelationName::new("public", "jobs")),
            index: Some("public.jobs_title_idx".into()),
            ..Subject::default()
        },
        message: "jobs_title_idx was not scanned in 43.2 days".into(),
        impact: Impact {
            source: ImpactSource::Catalog,
            ..Impact::default()
        },
        evidence: Evidence::Index(IndexEvidence {
            size_bytes: 9_100_000,
            facts: facts.as_object().unwrap().clone(),
            ..IndexEvidence::default()
        }),
        locations: Vec::new(),
        remedy: Remedy {
            kind: RemedyKind::DropIndex,
            sql: Some("DROP INDEX CONCURRENTLY IF EXISTS public.jobs_title_idx;".into()),
            hint: "drop it, after a look at what runs once a month".into(),
            changes: vec![IndexChange::drop(def, before)],
            withheld: false,
        },
    }
}
