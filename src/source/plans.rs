//! Which execution a plan of `auto_explain` belongs to.
//!
//! A plan is logged when the executor ends. In a simple query, and for statements that change data, that is just before the execution's own
//! line; a portal of the extended protocol ends later: with its transaction, or when the next statement is bound; a cursor's when it is closed.
//! So a plan belongs to one of the session's last executions of the same text, else to the record that follows, else it stands for an
//! execution that is not logged otherwise.

use xxhash_rust::xxh3::xxh3_64;

use super::held::Held;
use crate::{
    sql::{Lexer, TokenKind},
    workload::Text,
};

/// Executions of a session after which a plan can still belong to one. Between a portal's execution and its end stand as many
/// executions as the client makes while it reads the portal; FETCH, MOVE and CLOSE do not count.
const N_RECENT: usize = 8;

/// Plans and executions have the same hash when their texts are equal but for white space around them (the text format trims it).
pub(super) fn hash(text: Text<'_>) -> u64 {
    hash_with(text, &mut Vec::new())
}

/// The same; `scratch` takes a text that has to be unescaped.
pub(super) fn hash_with(text: Text<'_>, scratch: &mut Vec<u8>) -> u64 {
    xxh3_64(text.decode(scratch).trim_ascii())
}

/// A session's last executions and plans, as hashes; 0 where a plan is or the execution has its plan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    hashes: [u64; N_RECENT],
    /// All that were seen.
    n: usize,
}

impl Recent {
    /// Another execution.
    pub(super) fn push(&mut self, text: &[u8], hash: u64) {
        if !only_moves_a_cursor(text) {
            self.push_hash(hash);
        }
    }

    fn push_hash(&mut self, hash: u64) {
        self.hashes[self.n % N_RECENT] = hash;
        self.n += 1;
    }

    /// Another plan: takes the latest execution of that text that has none. When there is none here but may be in an earlier chunk, says
    /// how many stand between.
    pub(super) fn plan(&mut self, hash: u64) -> Found {
        let found = if self.take(hash, 0) {
            Found::Here
        } else if self.n < N_RECENT {
            Found::MayBeBehind(self.n)
        } else {
            Found::Nowhere
        };
        self.push_hash(0);
        found
    }

    /// Takes the latest execution of that text, `n_between` executions and plans later.
    pub(super) fn take(&mut self, hash: u64, n_between: usize) -> bool {
        let reach = N_RECENT.saturating_sub(n_between).min(self.n);
        let slots = (1..=reach).map(|back| (self.n - back) % N_RECENT);
        let found = slots.into_iter().find(|slot| self.hashes[*slot] == hash);
        if let Some(slot) = found {
            self.hashes[slot] = 0;
        }
        found.is_some()
    }

    /// Goes on with what a later chunk had.
    pub(super) fn append(&mut self, later: &Self) {
        let first = later.n.saturating_sub(N_RECENT);
        for at in first..later.n {
            self.push_hash(later.hashes[at % N_RECENT]);
        }
    }

    /// No plan can find anything here.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes == [0; N_RECENT]
    }
}

/// Where the execution of a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Here,
    /// If it is in an earlier chunk, so many executions and plans stand between.
    MayBeBehind(usize),
    Nowhere,
}

/// A plan whose execution may be in an earlier chunk.
#[derive(Debug)]
pub(super) struct EarlyPlan {
    pub(super) hash: u64,
    /// Executions and plans of the session ahead of it in the chunk.
    pub(super) n_before: usize,
    /// Nothing but plans and bare durations stands ahead of it: a statement that started in an earlier chunk still runs.
    pub(super) leads: bool,
    pub(super) duration_us: u64,
    /// The execution that it stands for if it belongs to none: absent when one follows.
    pub(super) held: Option<Held>,
}

fn only_moves_a_cursor(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    [&b"fetch "[..], b"move ", b"close "].iter().any(|verb| {
        text.get(..verb.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(verb))
    })
}

/// Whether a query string holds more than one statement: each has a plan with the whole string as its text.
pub(super) fn is_several_statements(text: &[u8]) -> bool {
    let mut ended = false;
    Lexer::new(text).any(|token| match token.kind {
        TokenKind::Semicolon => {
            ended = true;
            false
        }
        _ => ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(texts: &[&str]) -> Recent {
        let mut recent = Recent::default();
        for text in texts {
            recent.push(text.as_bytes(), hash(text.as_bytes().into()));
        }
        recent
    }

    #[test]
    fn an_execution_takes_one_plan() {
        let mut executions = recent(&["a", "b", "a"]);
        assert_eq!(executions.plan(hash(b"a\n"[..].into())), Found::Here);
        assert_eq!(executions.plan(hash(b"a"[..].into())), Found::Here);
        assert_eq!(
            executions.plan(hash(b"a"[..].into())),
            Found::MayBeBehind(5)
        );
    }

    #[test]
    fn cursors_are_read_for_long() {
        let mut texts = vec!["declare c cursor for select 1"];
        texts.extend(["FETCH 10 FROM c"; 20]);
        let mut executions = recent(&texts);
        assert_eq!(
            executions.plan(hash(texts[0].as_bytes().into())),
            Found::Here
        );
    }

    #[test]
    fn chunks_in_a_row_are_as_one() {
        let all = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        for cut in 0..all.len() {
            for text in all {
                let mut whole = recent(&all);
                let mut first = recent(&all[..cut]);
                let mut later = recent(&all[cut..]);
                let found = match later.plan(hash(text.as_bytes().into())) {
                    Found::Here => true,
                    Found::MayBeBehind(n) => first.take(hash(text.as_bytes().into()), n),
                    Found::Nowhere => false,
                };
                assert_eq!(
                    whole.plan(hash(text.as_bytes().into())) == Found::Here,
                    found,
                    "{text} {cut}"
                );
                first.append(&later);
                for other in all {
                    let other = hash(other.as_bytes().into());
                    assert_eq!(whole.take(other, 0), first.take(other, 0));
                }
            }
        }
    }

    #[test]
    fn several_statements_in_a_string() {
        assert!(is_several_statements(b"select 1; select 2"));
        assert!(!is_several_statements(b"select ';'; -- x"));
    }
}
