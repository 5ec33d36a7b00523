//! What to change, in words: the client's own where it was recognised.

use super::{Loop, client::Client, subject};
use crate::finding::ParentFacts;

/// The hint for one loop.
pub(super) fn hint(
    found: &Loop<'_>,
    client: Option<Client>,
    columns: &[String],
    parent: Option<&ParentFacts>,
) -> String {
    let _ = (client, columns, parent);
    match subject::statement_kind(found.child) {
        "insert" => "insert the rows of one burst with one statement (several VALUES, or COPY above 1,000 rows)".to_owned(),
        "update" | "delete" => "send the keys of one burst as one array; sort them, so that two such statements can't deadlock".to_owned(),
        _ => "load the rows of all keys of one burst with one query (= ANY of an array, at most 1,000 keys), or join them to the parent".to_owned(),
    }
}
