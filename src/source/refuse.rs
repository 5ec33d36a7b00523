//! Files that are no PostgreSQL logs, recognised so that the refusal can name them.

/// What a file is, and what to do instead.
type Foreign = (&'static str, &'static str);

const PASS_THE_LOG: &str = "pass the server's log (stderr, csvlog or jsonlog)";

/// Byte sequences at a file's start.
const MAGIC: &[(&[u8], Foreign)] = &[
    (b"\x7fELF", ("a program", PASS_THE_LOG)),
    (b"MZ\x90", ("a program", PASS_THE_LOG)),
    (b"%PDF", ("a PDF document", PASS_THE_LOG)),
    (
        b"PK\x03\x04",
        ("a zip archive", "unpack it, then pass the log in it"),
    ),
    (
        b"7z\xbc\xaf",
        ("a 7z archive", "unpack it, then pass the log in it"),
    ),
    (
        b"\x04\x22\x4d\x18",
        (
            "an lz4 archive",
            "decompress it with lz4 -d, then pass the result or a pipe",
        ),
    ),
    (b"PGDMP", ("a pg_dump archive", PASS_THE_LOG)),
    (b"SQLite format 3", ("an SQLite database", PASS_THE_LOG)),
    (
        b"\xff\xfe",
        ("text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    ),
    (
        b"\xfe\xff",
        ("text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    ),
    (
        b"-- PostgreSQL database dump",
        ("a pg_dump script", PASS_THE_LOG),
    ),
    (
        b"--\n-- PostgreSQL database dump",
        ("a pg_dump script", PASS_THE_LOG),
    ),
    (
        b"--\n-- PostgreSQL database cluster dump",
        ("a pg_dumpall script", PASS_THE_LOG),
    ),
];

/// Texts that only other files have in their first lines; but statements in a log may hold anything.
const MARKS: &[(&[u8], Foreign)] = &[
    (b"# User@Host: ", MYSQL_SLOW),
    (b"# Query_time: ", MYSQL_SLOW),
    (b"mysqld, Version: ", MYSQL_SLOW),
    (b"Tcp port: 3306", MYSQL_SLOW),
    (
        b"pgBadger",
        ("a report of pgBadger", "pass the log that pgBadger read"),
    ),
    (
        b"pgbadger",
        ("a report of pgBadger", "pass the log that pgBadger read"),
    ),
    (b"<!DOCTYPE html", ("a web page", PASS_THE_LOG)),
    (b"<!doctype html", ("a web page", PASS_THE_LOG)),
    (b"<html", ("a web page", PASS_THE_LOG)),
    (b"[InnoDB]", ("an error log of MySQL", MYSQL_HINT)),
];

const MYSQL_HINT: &str = "pgassay audits PostgreSQL only";
const MYSQL_SLOW: Foreign = ("a slow query log of MySQL", MYSQL_HINT);
const MYSQL_GENERAL: Foreign = ("a general query log of MySQL", MYSQL_HINT);

/// Bytes in which marks are looked for.
const MARKED_BYTES: usize = 4_096;

/// What the file is, if its first bytes show that it is something else, whatever else is in it.
pub(super) fn foreign(sample: &[u8]) -> Option<Foreign> {
    let magic = MAGIC.iter().find(|(magic, _)| sample.starts_with(magic));
    if let Some((_, what)) = magic {
        return Some(*what);
    }
    let first = &sample[..sample.len().min(MARKED_BYTES)];
    let starts_with = |mark: &[u8]| first.trim_ascii_start().starts_with(mark);
    if MARKS.iter().any(|(mark, _)| starts_with(mark)) {
        return marked(sample);
    }
    if first
        .split(|byte| *byte == b'\n')
        .take(20)
        .any(is_mysql_general)
    {
        return Some(MYSQL_GENERAL);
    }
    is_binary(first).then_some(("binary data", PASS_THE_LOG))
}

/// What a file is that no log format reads, by words in its first lines.
pub(super) fn marked(sample: &[u8]) -> Option<Foreign> {
    let first = &sample[..sample.len().min(MARKED_BYTES)];
    let mark = MARKS
        .iter()
        .find(|(mark, _)| memchr::memmem::find(first, mark).is_some());
    mark.map(|(_, what)| *what)
}

/// `2026-11-22T20:36:03.041123Z\t    8 Query\tselect 1`
fn is_mysql_general(line: &[u8]) -> bool {
    let mut parts = line.split(|byte| *byte == b'\t').skip(1);
    let is_command = |part: &[u8]| {
        let mut words = part.trim_ascii().splitn(2, |byte| *byte == b' ');
        let number = words.next().unwrap_or_default();
        !number.is_empty()
            && number.iter().all(u8::is_ascii_digit)
            && matches!(
                words.next(),
                Some(b"Query" | b"Connect" | b"Init DB" | b"Quit" | b"Execute" | b"Prepare")
            )
    };
    parts.next().is_some_and(is_command)
}

/// More control characters than any text has.
fn is_binary(sample: &[u8]) -> bool {
    let is_control = |byte: &&u8| **byte < 0x20 && !matches!(**byte, b'\n' | b'\r' | b'\t' | 0x1b);
    sample.iter().filter(is_control).count() * 20 > sample.len()
}

/// The language of a log whose messages are in one that is not read ([`super::localised`]); by the words for `duration`, ERROR and STATEMENT.
pub(super) fn language(sample: &[u8]) -> Option<&'static str> {
    const WORDS: &[(&str, &str)] = &[
        ("duração: ", "Portuguese"),
        ("COMANDO:  ", "Portuguese"),
        ("czas trwania: ", "Polish"),
        ("WYRAŻENIE:  ", "Polish"),
        ("BŁĄD:  ", "Polish"),
        ("süre: ", "Turkish"),
        ("HATA:  ", "Turkish"),
        ("CHYBA:  ", "Czech"),
        ("PŘÍKAZ:  ", "Czech"),
        ("PERNYATAAN:  ", "Indonesian"),
        ("錯誤:  ", "traditional Chinese"),
    ];
    let found = |word: &str| memchr::memmem::find(sample, word.as_bytes()).is_some();
    if found("LOG:  duration: ") || found("LOG:  statement: ") {
        return None;
    }
    let mut words = WORDS.iter();
    words
        .find(|(word, _)| found(word))
        .map(|(_, language)| *language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_have_names() {
        for (sample, what) in [
            (&b"\x7fELF\x02\x01\x01"[..], "a program"),
            (b"\xff\xfeL\0O\0G\0", "text in UTF-16"),
            (
                b"/usr/sbin/mysqld, Version: 8.0\nTcp port: 3306",
                "a slow query log of MySQL",
            ),
            (
                b"# Time: 2026\n# User@Host: root[root]\n",
                "a slow query log of MySQL",
            ),
            (
                b"2026-11-22T20:36:03.041123Z\t    8 Query\tselect 1",
                "a general query log of MySQL",
            ),
            (
                b"<!DOCTYPE html><title>pgBadger</title>",
                "a report of pgBadger",
            ),
            (b"\x00\x01\x02\x03", "binary data"),
            (b"PGDMP\x01", "a pg_dump archive"),
        ] {
            let found = foreign(sample).or_else(|| marked(sample));
            assert_eq!(found.map(|(what, _)| what), Some(what));
        }
        let log =
            b"2026-11-22 20:36:03.041 UTC [8197] LOG:  statement: select '<html>pgbadger [InnoDB]'";
        assert_eq!(foreign(log), None);
    }
}
