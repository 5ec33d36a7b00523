//! Every output: what it looks like, that hostile text stays text, that JSON keeps its contract.

mod sample;

use pgassay::{
    finding::{Report, is_unsafe},
    report::{OUTPUTS, View, json},
};

fn rendered(format: &str, report: &Report, view: View) -> String {
    let output = OUTPUTS.iter().find(|output| output.name == format).unwrap();
    (output.render)(report, &view)
}

#[test]
fn terminal() {
    insta::assert_snapshot!(rendered("terminal", &sample::report(), View::default()));
}

#[test]
fn terminal_is_narrow_where_the_window_is() {
    let view = View {
        width: 72,
        top: 1,
        ..View::default()
    };
    let text = rendered("terminal", &sample::report(), view);
    let prose = text.lines().filter(|line| !line.contains("CREATE INDEX"));
    for line in prose {
        assert!(line.chars().count() <= 72, "too wide: {line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn terminal_without_findings() {
    insta::assert_snapshot!(rendered("terminal", &Report::default(), View::default()));
}

#[test]
fn colour_is_the_only_difference_that_colour_makes() {
    let report = sample::report();
    let plain = rendered("terminal", &report, View::default());
    let colored = rendered(
        "terminal",
        &report,
        View {
            color: true,
            ..View::default()
        },
    );
    assert!(!plain.contains('\u{1b}') && colored.contains('\u{1b}'));
    assert_eq!(without_colour(&colored), plain);
}

fn without_colour(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or("", |(_, after)| after));
    rest.fold(first, |text, part| text + part)
}

#[test]
fn sarif() {
    insta::assert_snapshot!(rendered("sarif", &sample::report(), View::default()));
}

#[test]
fn sarif_results_have_what_github_asks_for() {
    for report in [sample::report(), sample::hostile()] {
        let text = rendered("sarif", &report, View::default());
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let run = &document["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), report.findings.len());
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(
                result["ruleId"],
                run["tool"]["driver"]["rules"][index]["id"]
            );
            let places = result["locations"].as_array().unwrap();
            assert!(!places.is_empty());
            for place in places {
                let place = &place["physicalLocation"];
                let uri = place["artifactLocation"]["uri"].as_str().unwrap();
                assert!(
                    !uri.is_empty() && uri.is_ascii() && !uri.contains([' ', ':', '<']),
                    "{uri}"
                );
                assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
            }
            assert!(result["partialFingerprints"]["pgassayFinding/v1"].is_string());
        }
    }
}

#[test]
fn github() {
    insta::assert_snapshot!(rendered("github", &sample::report(), View::default()));
}

/// Nothing that a finding says starts a command of its own, and GitHub shows ten annotations of a level.
#[test]
fn github_prints_one_command_a_finding() {
    let mut report = sample::hostile();
    let many = std::iter::repeat_n(report.findings[0].clone(), 12);
    report.findings.extend(many);
    let text = rendered("github", &report, View::default());
    let (commands, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| {
        line.starts_with("::warning title=") || line.starts_with("::notice title=")
    });
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(!rest[0].contains("::"), "{rest:?}");
    let n_warnings = commands
        .iter()
        .filter(|line| line.starts_with("::warning"))
        .count();
    assert_eq!(n_warnings, 10);
    for command in commands {
        let properties = command.split("::").nth(1).unwrap();
        assert!(
            properties.split(',').all(|property| property.contains('=')),
            "{command}"
        );
    }
}

#[test]
fn gitlab() {
    insta::assert_snapshot!(rendered("gitlab", &sample::report(), View::default()));
}

#[test]
fn gitlab_entries_have_fingerprints_of_their_own() {
    let mut report = sample::hostile();
    report.findings.push(report.findings[0].clone());
    let text = rendered("gitlab", &report, View::default());
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut prints: Vec<&str> = entries
        .iter()
        .map(|e| e["fingerprint"].as_str().unwrap())
        .collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), report.findings.len());
    for entry in &entries {
        let severity = entry["severity"].as_str().unwrap();
        assert!(["info", "minor", "major", "critical", "blocker"].contains(&severity));
        assert!(!entry["location"]["path"].as_str().unwrap().is_empty());
        assert!(entry["location"]["lines"]["begin"].as_u64().unwrap() >= 1);
    }
}

#[test]
fn junit() {
    insta::assert_snapshot!(rendered("junit", &sample::report(), View::default()));
}

/// Well-formed whatever the texts are, and its counts are those of its cases.
#[test]
fn junit_is_xml_that_counts_right() {
    for report in [sample::report(), sample::hostile(), Report::default()] {
        let text = rendered("junit", &report, View::default());
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        let count = |name: &str| root.descendants().filter(|n| n.has_tag_name(name)).count();
        for (attribute, tag) in [
            ("tests", "testcase"),
            ("failures", "failure"),
            ("skipped", "skipped"),
        ] {
            let said: usize = root.attribute(attribute).unwrap().parse().unwrap();
            assert_eq!(said, count(tag), "{attribute}");
        }
        let suites: Vec<_> = root
            .children()
            .filter(roxmltree::Node::is_element)
            .collect();
        assert_eq!(suites.len(), report.rules.len());
        for suite in suites {
            let cases = suite
                .children()
                .filter(|n| n.has_tag_name("testcase"))
                .count();
            assert!(cases > 0);
            assert_eq!(suite.attribute("tests").unwrap(), cases.to_string());
        }
    }
}

#[test]
fn known_worse_and_ignored_findings_are_marked() {
    let report = sample::judged_against_a_baseline();
    for (format, known, ignored) in [
        ("terminal", "confidence, known)", "unused-index public.x"),
        ("markdown", "#### warning (known):", "unused-index public.x"),
        ("sarif", "\"baselineState\": \"unchanged\"", ""),
        ("json", "\"known\"", "\"subject\": \"public.x\""),
    ] {
        let text = rendered(format, &report, View::default());
        assert!(
            text.contains(known) && text.contains(ignored),
            "{format}: {text}"
        );
    }
    assert!(
        rendered("terminal", &report, View::default())
            .contains("worse: longest burst 10 became 50")
    );
}

#[test]
fn markdown() {
    insta::assert_snapshot!(rendered("markdown", &sample::report(), View::default()));
}

#[test]
fn json_as_documented() {
    insta::assert_snapshot!(rendered("json", &sample::report(), View::default()));
}

#[test]
fn json_fits_its_schema() {
    let mut schema: serde_json::Value =
        serde_json::from_str(include_str!("../../docs/report.schema.json")).unwrap();
    forbid_undocumented_keys(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    for report in [
        sample::report(),
        sample::hostile(),
        sample::judged_against_a_baseline(),
        Report::default(),
    ] {
        let json = rendered("json", &report, View::default());
        let document = serde_json::from_str(&json).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

/// The published schema lets unknown keys pass, so that new ones break nobody; here each must be documented.
fn forbid_undocumented_keys(schema: &mut serde_json::Value) {
    if let Some(object) = schema.as_object_mut() {
        if object.contains_key("properties") {
            object.insert("additionalProperties".into(), false.into());
        }
        object.values_mut().for_each(forbid_undocumented_keys);
    } else if let Some(array) = schema.as_array_mut() {
        array.iter_mut().for_each(forbid_undocumented_keys);
    }
}

#[test]
fn json_is_read_back_as_it_was() {
    let report = sample::report();
    let read = json::read(rendered("json", &report, View::default()).as_bytes()).unwrap();
    assert_eq!(read.len(), report.findings.len());
    for (read, finding) in read.iter().zip(&report.findings) {
        assert_eq!(read.id, finding.id());
        if !finding.remedy.withheld {
            assert_eq!(read.changes, finding.remedy.changes);
        }
    }
}

#[test]
fn json_of_another_version_is_refused() {
    let error = json::read(br#"{ "schema_version": 2, "findings": {} }"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the report has schema version 2, this pgassay reads version 1"
    );
    assert!(json::read(b"[1]").is_err());
    assert!(json::read(b"").is_err());
}

#[test]
fn withheld_changes_reach_no_output() {
    let report = sample::withheld();
    for output in OUTPUTS {
        let text = (output.render)(&report, &View::default());
        assert!(!text.contains("secret"), "{}: {text}", output.name);
    }
}

/// Control characters, colours, direction overrides, workflow commands and markup in every text that comes from outside.
#[test]
fn hostile_text_stays_text() {
    let report = sample::hostile();
    for output in OUTPUTS {
        let text = (output.render)(&report, &View::default());
        let acting: Vec<char> = text
            .chars()
            .filter(|&c| c != '\n' && is_unsafe(c))
            .collect();
        assert!(acting.is_empty(), "{}: {acting:?} in {text}", output.name);
    }
}

#[test]
fn hostile_text_gives_no_workflow_commands() {
    for format in ["terminal", "markdown"] {
        let text = rendered(format, &sample::hostile(), View::default());
        for line in text.lines() {
            assert!(!line.trim_start().starts_with("::"), "{format}: {line}");
            assert!(!line.contains("##["), "{format}: {line}");
        }
    }
}

#[test]
fn hostile_text_is_no_markup() {
    let text = rendered("markdown", &sample::hostile(), View::default());
    let mut fence: Option<usize> = None;
    for line in text.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(open) if ticks >= open && line.len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => assert_plain(&outside_code(line)),
        }
    }
    assert_eq!(fence, None, "a code block was left open");
}

/// The line with its inline code removed.
fn outside_code(line: &str) -> String {
    let mut result = String::new();
    let mut rest = line.to_owned();
    while let Some(start) = rest.find('`') {
        if rest[..start].ends_with('\\') {
            result.push_str(&rest[..=start]);
            rest.drain(..=start);
            continue;
        }
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let quote = "`".repeat(ticks);
        let after = rest[start + ticks..].to_owned();
        let end = after.find(&quote).expect("inline code is closed");
        result.push_str(&rest[..start]);
        after[end + ticks..].clone_into(&mut rest);
    }
    result + &rest
}

fn assert_plain(line: &str) {
    let line = line
        .replace("\\]", "")
        .replace("<details>", "")
        .replace("</details>", "")
        .replace("<summary>", "")
        .replace("</summary>", "")
        .replace("<!-- pgassay-report -->", "");
    for forbidden in ["<", "@bob", "](", "http://", "www.evil"] {
        assert!(!line.contains(forbidden), "{forbidden:?} in {line}");
    }
}
