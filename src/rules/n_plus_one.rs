//! The rule `n-plus-one`: one query per row of another query.

use super::{
    Audit, Example, Expect, Rule,
    loops::{self, Loops},
};
use crate::finding::{Finding, Severity};

pub(super) static RULE: Rule = Rule {
    id: "n-plus-one",
    summary: "one query for each row of another query's result",
    severity: Severity::Warning,
    docs: DOCS,
    examples: EXAMPLES,
    needs: loops::NEEDS,
    check,
};

fn check(audit: &Audit<'_>) -> Vec<Finding> {
    loops::find(audit, Loops::Reads)
        .iter()
        .map(|found| loops::finding(RULE.id, audit, found))
        .collect()
}

/// Read by people in `pgassay rules n-plus-one`.
const DOCS: &str = "\
What it finds: a query whose rows are walked through with one more query each: 1 + N round trips where 1 or 2 do. Reads of rows \
(belongs-to, has-many, many-to-many), counts and existence tests.

## Why it matters

Each of the N statements is quick, so no slow query log shows them; the time goes into round trips, parsing and planning, and grows with \
the data. One batch costs one round trip.

## How it decides

From the query log alone, in any language; a catalog makes it surer.

1. Housekeeping of drivers and pools is left out (SET, SHOW, DISCARD, `SELECT 1`, SELECTs without a table, catalog look-ups, pool resets).
2. Statements are put into windows, one a request: by the request id in their comments (`traceparent`, `request_id`), also across \
sessions; else by transaction (two statements or more); else by session, until an idle gap of max(50 ms, 5 x the window's median gap), \
at most 1 s. Tenant changes (`SET search_path`, `set_config`) end a window, and so do savepoints in tests.
3. In a window, one fingerprint with a single key (`= $1`, `= ANY` of one, also in a join) that runs 5 times or more \
(`--min-repeats`) with at least 3 different keys, and at least one in ten, is a burst. It is cut wherever the query that drives it runs again, and where two or more \
statements of other work stand between two repeats.
4. The driver is another query of the window (or of the 2 s before it, in the same session) that can return several rows. Of several, the best linked \
is taken (a foreign key, or names: `books.author_id`, `authors.id`, `categories.slug`, `category_slug`), then one that is directly followed by the burst, then \
one without a key, then the nearest. A burst exactly as long as the driver's LIMIT counts like a link; one that is longer, and no multiple, speaks against it.
5. Confidence is high with a request id, with a driver in the same transaction, or with a linked driver and gaps below 4 ms or a full LIMIT; medium for a linked driver \
with longer gaps, for a full LIMIT without a link, and for 10 repeats behind an unlinked driver when gaps are below 4 ms or steady (no gap below 0.6 of the median nor far above it, as a \
round trip gives them and people do not), and for a transaction without a driver. Nothing is said about the rest.
6. A loop in the body of a loop adds up over its rounds, and its link may be a common column name alone.
7. Loops that a pool spreads over several connections are put together when little else runs, a driver precedes them, and they are as long as its LIMIT (or it has none \
and is linked). Of what one session shows and what several show, the better view counts, never both.
8. A child that surely loops (high, ten repeats or a full LIMIT) counts its other bursts too, also those between other work on a shared connection.
9. In a test (database `test_…` or `…_test`, a test runner's application name, a tag, or a transaction that was undone although nothing failed) reads count from 2 repeats \
when a tag or a transaction bounds them and a linked driver stands directly before them.

Left out: paging (only LIMIT, OFFSET or ranges vary), data loaders (several keys at once), polling (the same key: `redundant-query`), a list query between \
the repeats (requests, not a loop), reads that a write to the same table follows (reported for the write), workers with row locks, \
other requests' statements between the repeats (more than a quarter), and pairs of look-ups that a busy session shows by chance.

The numbers were measured on real logs: think times of 4 to 25 ms have a tenth quantile of 0.15 to 0.42 of their median, loops over a wire 0.6 to 0.97; in-loop gaps on a \
loaded machine reach 20 ms at the median and 140 ms at most.

## When it is wrong

- A pooled session that serves many clients without a pause can look like one request. Request ids in comments remove that doubt.
- A loop that waits long for each row (more than 1 s without a transaction) is not put together.
- Without a driver in the log (keys from a file or a cache) and without a transaction or tag, a loop looks like look-ups of one a request, and is not reported.
- Behind a pool that lends connections for single statements, repeats of several requests mix on each session (told by the mutual information of neighbours, below 0.25 of what there is). There only loops are \
reported whose keys come in the same order again, that run as often as their drivers' LIMITs give rows, or in crowds of exactly that size; all else is a guess of low confidence. Tags remove that doubt.
- A page that loops while the same list is used by many pages that don't, outside of transactions and not to the list's LIMIT, is a guess of low confidence: load tests look the same.
- A log with a duration threshold or a sample rate hides the repeats; the report then says so.
- Looping over shards or external keys on purpose is reported too: use a baseline.

## References

- Confidence and limits were measured on logs of real clients: `fixtures/n-plus-one/`, `benches/README.md`.
- sqlcommenter: <https://google.github.io/sqlcommenter/>
";

const EXAMPLES: &[Example] = &[
    Example {
        title: "six authors, one at a time",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 3\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 14\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 15\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 92\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 65\n\
2026-11-22 20:00:00.114 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 35\n\
",
        expect: Expect::Finding("authors"),
    },
    Example {
        title: "four are still left alone",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 3\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 14\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 15\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 92\n\
",
        expect: Expect::Silence,
    },
    Example {
        title: "authors loaded in batches",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20 OFFSET 0\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.061 ms  statement: SELECT id, name FROM authors WHERE id IN (1, 2, 7)\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20 OFFSET 20\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.061 ms  statement: SELECT id, name FROM authors WHERE id IN (2, 3, 8)\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20 OFFSET 40\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.061 ms  statement: SELECT id, name FROM authors WHERE id IN (3, 4, 9)\n\
2026-11-22 20:00:00.114 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20 OFFSET 60\n\
2026-11-22 20:00:00.116 UTC [4711] LOG:  duration: 0.061 ms  statement: SELECT id, name FROM authors WHERE id IN (4, 5, 10)\n\
2026-11-22 20:00:00.118 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20 OFFSET 80\n\
2026-11-22 20:00:00.120 UTC [4711] LOG:  duration: 0.061 ms  statement: SELECT id, name FROM authors WHERE id IN (5, 6, 11)\n\
2026-11-22 20:00:00.122 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title, author_id FROM books ORDER BY id LIMIT 20 OFFSET 100\n\
2026-11-22 20:00:00.124 UTC [4711] LOG:  duration: 0.061 ms  statement: SELECT id, name FROM authors WHERE id IN (6, 7, 12)\n\
",
        expect: Expect::Silence,
    },
    Example {
        title: "one look-up a request, many requests",
        ddl: "",
        log: "2026-11-22 20:00:00.102 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 0\n\
2026-11-22 20:00:00.104 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 1\n\
2026-11-22 20:00:00.106 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 20\n\
2026-11-22 20:00:00.108 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 6\n\
2026-11-22 20:00:00.110 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 40\n\
2026-11-22 20:00:00.112 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 11\n\
2026-11-22 20:00:00.114 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 60\n\
2026-11-22 20:00:00.116 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 16\n\
2026-11-22 20:00:00.118 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 80\n\
2026-11-22 20:00:00.120 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 21\n\
2026-11-22 20:00:00.122 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 100\n\
2026-11-22 20:00:00.124 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 26\n\
2026-11-22 20:00:00.126 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 120\n\
2026-11-22 20:00:00.128 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 31\n\
2026-11-22 20:00:00.130 UTC [4711] LOG:  duration: 0.412 ms  statement: SELECT id, title FROM books ORDER BY id LIMIT 20 OFFSET 140\n\
2026-11-22 20:00:00.132 UTC [4711] LOG:  duration: 0.031 ms  statement: SELECT name FROM authors WHERE id = 36\n\
",
        expect: Expect::Silence,
    },
];
