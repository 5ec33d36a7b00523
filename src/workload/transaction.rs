//! What a statement does to the transaction around it.

/// Begins one, ends it, or neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TransactionStep {
    /// Neither.
    #[default]
    Within,
    /// A transaction is open behind it.
    Begins,
    /// None is open behind it.
    Ends,
}

impl TransactionStep {
    /// Of a normalised text; of several statements in one text, what they come to.
    pub(super) fn of(text: &str) -> Self {
        let mut step = Self::Within;
        for statement in text.split(';') {
            let mut words = statement.split_whitespace();
            let word = words.next().unwrap_or_default();
            let next = words.next().unwrap_or_default();
            let is = |name: &str| word.eq_ignore_ascii_case(name);
            if is("begin") || (is("start") && next.eq_ignore_ascii_case("transaction")) {
                step = Self::Begins;
            } else if is("commit") || is("end") || is("abort") {
                step = Self::Ends;
            } else if is("rollback") {
                // ROLLBACK TO a savepoint stays within
                let to = |word: &str| word.eq_ignore_ascii_case("to");
                let savepoint = to(next) || words.next().is_some_and(to);
                if !savepoint {
                    step = Self::Ends;
                }
            } else if is("prepare") && next.eq_ignore_ascii_case("transaction") {
                step = Self::Ends;
            }
        }
        step
    }
}

/// Stands for a transaction by its `%v`; 0 outside of one: no `%v`, or one with the local id 0.
pub(super) fn transaction_hash(id: &[u8]) -> u64 {
    if id.is_empty() || id.ends_with(b"/0") {
        0
    } else {
        xxhash_rust::xxh3::xxh3_64(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_statements() {
        for (text, step) in [
            ("begin", TransactionStep::Begins),
            (
                "BEGIN ISOLATION LEVEL SERIALIZABLE",
                TransactionStep::Begins,
            ),
            ("start transaction", TransactionStep::Begins),
            ("commit", TransactionStep::Ends),
            ("END", TransactionStep::Ends),
            ("rollback", TransactionStep::Ends),
            ("rollback to savepoint a", TransactionStep::Within),
            ("rollback work to a", TransactionStep::Within),
            ("rollback transaction", TransactionStep::Ends),
            ("prepare transaction 'x'", TransactionStep::Ends),
            ("prepare a as select 1", TransactionStep::Within),
            ("begin; update t set a = 1", TransactionStep::Begins),
            ("begin; update t set a = 1; commit", TransactionStep::Ends),
            ("select 1", TransactionStep::Within),
            ("", TransactionStep::Within),
        ] {
            assert_eq!(TransactionStep::of(text), step, "{text}");
        }
    }
}
