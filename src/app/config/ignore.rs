//! Findings that the user wants left out: by `[[ignore]]` in `pgassay.toml`, or by a tag in the statement's own comment.

use jiff::{civil::Date, tz::TimeZone};
use toml::Spanned;

use super::{Config, line_of, model::Ignore};
use crate::{
    app::Context,
    finding::{Evidence, Finding, Ignored, Report, RuleStatus, glob},
    sql::Fingerprint,
    workload::Workload,
};

/// Key of the tag by which a statement asks to be left alone: `/*pgassay_ignore='n-plus-one'*/`; `all` stands for every rule.
const INLINE_TAG: &str = "pgassay_ignore";

/// Takes ignored findings out of the report and lists them there. Ignores that have expired or match nothing are told in its notes.
pub(super) fn apply(config: &Config, report: &mut Report, workload: &Workload, context: &Context) {
    let today = context.now.to_zoned(TimeZone::UTC).date();
    let (expired, alive): (Vec<_>, Vec<_>) = config
        .file
        .ignore
        .iter()
        .partition(|ignore| has_expired(ignore.get_ref(), today));
    let mut n_matched = vec![0_usize; alive.len()];
    report.findings.retain(|finding| {
        let by_file = alive
            .iter()
            .position(|ignore| matches(ignore.get_ref(), finding));
        let reason = match by_file {
            Some(at) => {
                n_matched[at] += 1;
                alive[at].get_ref().reason.clone()
            }
            None if is_ignored_inline(finding, workload) => {
                format!("{INLINE_TAG} in the statement's comment")
            }
            None => return true,
        };
        report.ignored.push(Ignored {
            id: finding.id(),
            rule: finding.rule.to_owned(),
            subject: finding.subject.in_words(),
            reason,
        });
        false
    });
    let place = |ignore: &Spanned<Ignore>| {
        let line = line_of(&config.text, ignore.span().start);
        format!("{}:{line}", config.name())
    };
    for ignore in expired {
        let place = place(ignore);
        report.notes.push(format!(
            "{place}: this ignore has expired and no longer counts"
        ));
    }
    for (ignore, n) in alive.into_iter().zip(n_matched) {
        if n == 0 && could_match(ignore.get_ref(), report) {
            let place = place(ignore);
            report.notes.push(format!(
                "{place}: this ignore matches no finding: remove it"
            ));
        }
    }
}

fn has_expired(ignore: &Ignore, today: Date) -> bool {
    let expires = ignore.expires.as_ref();
    let date = expires.and_then(|text| text.get_ref().parse::<Date>().ok());
    date.is_some_and(|date| date <= today)
}

/// Did the rule that it is about see its inputs? Else silence says nothing about the ignore.
fn could_match(ignore: &Ignore, report: &Report) -> bool {
    let Some(rule) = &ignore.rule else {
        return true;
    };
    let outcome = report.rules.iter().find(|o| o.meta.id == rule.get_ref());
    outcome.is_some_and(|outcome| outcome.status != RuleStatus::LackedInput)
}

fn matches(ignore: &Ignore, finding: &Finding) -> bool {
    let Ignore {
        rule,
        relation,
        fingerprint,
        route,
        reason: _,
        expires: _,
    } = ignore;
    rule.as_ref()
        .is_none_or(|rule| rule.get_ref() == finding.rule)
        && relation
            .as_ref()
            .is_none_or(|pattern| is_about(finding, pattern))
        && fingerprint.as_ref().is_none_or(|print| {
            let wanted = print.get_ref().parse::<Fingerprint>().ok();
            wanted.is_some() && finding.subject.fingerprint == wanted
        })
        && route
            .as_ref()
            .is_none_or(|pattern| is_on_route(finding, pattern))
}

fn is_about(finding: &Finding, pattern: &str) -> bool {
    let relation = finding.subject.relation.as_ref();
    relation.is_some_and(|relation| {
        glob(pattern, &relation.name)
            || glob(pattern, &format!("{}.{}", relation.schema, relation.name))
    })
}

fn is_on_route(finding: &Finding, pattern: &str) -> bool {
    let Evidence::NPlusOne(evidence) = &finding.evidence else {
        return false;
    };
    evidence.tags.values().any(|value| glob(pattern, value))
}

/// Does most of the statement's traffic carry the tag?
fn is_ignored_inline(finding: &Finding, workload: &Workload) -> bool {
    let query = finding.subject.fingerprint.and_then(|f| workload.query(f));
    let Some(log) = query.and_then(|query| query.log.as_ref()) else {
        return false;
    };
    let asks = |tags: &str| {
        tags.split(' ').any(|tag| {
            let value = tag
                .strip_prefix(INLINE_TAG)
                .and_then(|v| v.strip_prefix('='));
            value.is_some_and(|value| {
                value
                    .split([',', ';'])
                    .any(|rule| rule == finding.rule || rule == "all")
            })
        })
    };
    let n: u64 = log
        .routes
        .iter()
        .filter(|s| asks(&s.name))
        .map(|s| s.n)
        .sum();
    n * 2 > log.n_calls
}
