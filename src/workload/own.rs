//! pgassay's own statements: an audit that counted those of the audit before it would find itself.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Stands in every statement of ours: a pooler may show them under another application's name.
pub(super) const OWN_TAG: &str = "/* pgassay */";

/// Why they are left out of the statements of a log.
pub(super) const OWN_STATEMENTS: &str = "statements of pgassay itself";

/// The tag follows the first words, so that no more of a text has to be looked at.
const MAX_TAG_END: usize = 80;

/// Is it one of ours?
pub(super) fn is_own(text: &[u8]) -> bool {
    static TAG: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OWN_TAG));
    TAG.find(&text[..text.len().min(MAX_TAG_END)]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_statements_are_told_by_their_tag() {
        assert!(is_own(b"SELECT /* pgassay */ 1"));
        assert!(!is_own(b"SELECT 'pgassay'"));
        assert!(!is_own(b""));
    }
}
