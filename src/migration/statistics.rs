//! CREATE STATISTICS as a finding proposes it, taken apart so that it can be run twice and undone.

use super::{FragmentError, fragment, name};
use crate::sql::quote_identifier;

/// Extended statistics to create. All parts are SQL, quoted where needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statistics {
    /// Name, with the schema if it was given.
    pub name: String,
    /// `(ndistinct, dependencies)`, or empty for all kinds.
    pub kinds: String,
    /// Columns and expressions, comma-separated.
    pub on: String,
    /// The table.
    pub table: String,
}

impl Statistics {
    /// Reads one `CREATE STATISTICS` statement; a semicolon may end it. Where it has no name, one is made from table and columns.
    ///
    /// # Errors
    /// When it is not such a statement, or holds more than one.
    pub fn parse(sql: &str) -> Result<Self, FragmentError> {
        let sql = sql.trim().trim_end_matches(';').trim_end();
        fragment::check(sql)?;
        let mut words = fragment::words(sql).into_iter().peekable();
        let keyword = |word: Option<&str>, expected: &str| {
            word.is_some_and(|word| word.eq_ignore_ascii_case(expected))
        };
        if !keyword(words.next(), "CREATE") || !keyword(words.next(), "STATISTICS") {
            return Err(FragmentError::NotStatistics);
        }
        let mut head: Vec<&str> = Vec::new();
        for word in words.by_ref() {
            if word.eq_ignore_ascii_case("ON") {
                break;
            }
            head.push(word);
        }
        let rest: Vec<&str> = words.collect();
        let from = rest
            .iter()
            .rposition(|word| word.eq_ignore_ascii_case("FROM"))
            .ok_or(FragmentError::NotStatistics)?;
        let (on, table) = (rest[..from].join(" "), rest[from + 1..].concat());
        if head
            .iter()
            .take(3)
            .map(|w| w.to_ascii_uppercase())
            .eq(["IF", "NOT", "EXISTS"])
        {
            head.drain(..3);
        }
        let kinds = head
            .pop_if(|word| word.starts_with('('))
            .unwrap_or_default()
            .to_owned();
        if on.is_empty() || table.is_empty() || head.len() > 1 {
            return Err(FragmentError::NotStatistics);
        }
        let name = match head.pop() {
            Some(name) => with_schema(name, &table),
            None => with_schema(&made_up(&on, &table), &table),
        };
        Ok(Self {
            name,
            kinds,
            on,
            table,
        })
    }

    pub(super) fn create_sql(&self) -> String {
        let kinds = match self.kinds.as_str() {
            "" => String::new(),
            kinds => format!(" {kinds}"),
        };
        format!(
            "CREATE STATISTICS IF NOT EXISTS {}{kinds} ON {} FROM {}",
            self.name, self.on, self.table
        )
    }

    /// Without schema and quotes, for file names.
    pub(super) fn plain_name(&self) -> String {
        let last = fragment::dotted(&self.name).last().copied().unwrap_or("");
        last.trim_matches('"').replace("\"\"", "\"")
    }
}

/// Statistics go beside their table unless the statement says otherwise: a search path may differ from run to run.
fn with_schema(name: &str, table: &str) -> String {
    let parts = fragment::dotted(table);
    match (fragment::dotted(name).len(), parts.len()) {
        (1, 2) => format!("{}.{name}", parts[0]),
        _ => name.to_owned(),
    }
}

fn made_up(on: &str, table: &str) -> String {
    let table = fragment::dotted(table)
        .last()
        .copied()
        .unwrap_or("")
        .trim_matches('"')
        .to_owned();
    let hash = name::hash(&format!("{table} {on}"));
    quote_identifier(&name::within(&format!("{table}_{hash:08x}_stat"), 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_findings_say() {
        for (sql, created) in [
            (
                "CREATE STATISTICS public.s (ndistinct, dependencies) ON a, b FROM public.t;",
                "CREATE STATISTICS IF NOT EXISTS public.s (ndistinct, dependencies) ON a, b FROM public.t",
            ),
            (
                "create statistics if not exists s on a, (lower(\"From\" || ' on from ')) from \"My s\".\"T on\"",
                "CREATE STATISTICS IF NOT EXISTS \"My s\".s ON a, (lower(\"From\" || ' on from ')) FROM \"My s\".\"T on\"",
            ),
        ] {
            assert_eq!(Statistics::parse(sql).unwrap().create_sql(), created);
        }
        let unnamed = Statistics::parse("CREATE STATISTICS ON a, b FROM public.t").unwrap();
        assert!(unnamed.name.starts_with("public.t_"), "{unnamed:?}");
    }

    #[test]
    fn anything_else_is_refused() {
        for sql in [
            "",
            "DROP TABLE t",
            "CREATE STATISTICS s ON a, b FROM t; DROP TABLE t",
            "CREATE STATISTICS s ON a, b",
            "CREATE STATISTICS s x ON a FROM t",
            "CREATE TABLE s AS SELECT 1",
        ] {
            assert!(Statistics::parse(sql).is_err(), "{sql}");
        }
    }
}
