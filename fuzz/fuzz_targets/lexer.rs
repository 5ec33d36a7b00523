#![no_main]
//! The lexer, the normaliser and the parser's guard: any bytes are a statement.

use pgassay::{
    sql::{Lexer, normalise, plannable, shape, statement_kind, tags, trim_comments, without_limit},
    workload::{Event, Fold, InputFacts, Sink, Statement},
};

libfuzzer_sys::fuzz_target!(|sql: &[u8]| {
    let mut end = 0;
    for token in Lexer::new(sql) {
        assert!(token.start >= end && token.end > token.start && token.end <= sql.len());
        end = token.end;
    }
    let normalised = normalise(sql);
    // the text of what is no UTF-8 has replacement characters in it, and spaces for control characters; the fingerprint is that of the bytes
    let is_text = |text: &str| text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    if std::str::from_utf8(sql).is_ok_and(is_text) {
        let again = normalise(normalised.text.as_bytes());
        assert_eq!(again.fingerprint, normalised.fingerprint);
    }
    tags(sql);
    trim_comments(sql);
    statement_kind(sql);
    without_limit(&normalised.text);
    plannable(&normalised.text, &Default::default(), Some(1));
    let _ = shape::parse(&normalised.text);
    one_query(sql);
});

/// However a text is recognised when it comes again, it is the same query.
fn one_query(sql: &[u8]) {
    let mut fold = Fold::leading().without_windows();
    for _ in 0..3 {
        let statement = Statement {
            text: sql.into(),
            ..Statement::default()
        };
        fold.event(&Event::Statement(statement));
    }
    let workload = fold.finish(vec![InputFacts::default()]);
    assert_eq!(workload.queries.len(), 1);
    assert_eq!(workload.queries[0].fingerprint, normalise(sql).fingerprint);
}
