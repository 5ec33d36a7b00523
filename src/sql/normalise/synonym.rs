//! Words of transaction control and of SET that say the same: `END` and `COMMIT WORK` are `COMMIT`, `RELEASE SAVEPOINT a` is `RELEASE a`,
//! `SET a TO b` is `SET a = b`.

use super::{BeforeWord, Normaliser, Previous, Verb};

impl Normaliser {
    /// The verb that the statement's first word, at `at` in the working text, stands for; it is written in its place.
    pub(super) fn first_synonym(&mut self, at: usize) {
        // END within the body of a function is another one
        if self.text.starts_with(b"create") {
            return;
        }
        let verb: &[u8] = match &self.text[at..] {
            b"end" => b"commit",
            b"abort" => b"rollback",
            _ => return,
        };
        self.text.truncate(at);
        self.text.extend_from_slice(verb);
    }

    /// Leaves out, or writes otherwise, a word that stands at `at` in the working text. `before` is the text's length ahead of it and of its
    /// space. False when it stays.
    pub(super) fn is_synonym(&mut self, at: usize, before: usize) -> bool {
        let ahead = &self.text[..before];
        match (self.verb, &self.text[at..]) {
            (Verb::Transaction, b"work" | b"transaction") if ends_with_verb(ahead) => {
                self.text.truncate(before);
            }
            (Verb::Transaction | Verb::Release, b"savepoint")
                if ahead.ends_with(b" to") || ahead.ends_with(b"release") =>
            {
                self.text.truncate(before);
            }
            (Verb::Set, b"to") => {
                self.text.truncate(at);
                self.text.push(b'=');
                self.before_word = BeforeWord::Equal;
                self.before_word_at = before;
                self.previous = Previous::Operator;
            }
            _ => return false,
        }
        true
    }
}

fn ends_with_verb(text: &[u8]) -> bool {
    let verbs: [&[u8]; 3] = [b"begin", b"commit", b"rollback"];
    verbs.iter().any(|verb| text.ends_with(verb))
}
