//! Fills a database with a reference workload's rows.

use super::{Reference, Variant};
use crate::db::{DbError, Owned};

/// A number in [0, 1) that row, salt and seed determine. It lives in `pg_temp`, so that the audited database has no function of ours.
const NUMBERS: &str = "
CREATE FUNCTION pg_temp.u(i bigint, salt bigint) RETURNS float8 LANGUAGE sql IMMUTABLE
AS 'SELECT (pg_catalog.hashint8extended($1, $2 + :seed) & 1073741823) / 1073741824.0'";

/// Makes the tables, fills them, adds keys and indexes, gathers statistics. `say` is told what is being done.
///
/// # Errors
/// When the server refuses: no space, for example.
pub async fn load(
    owned: &Owned,
    reference: &Reference,
    variant: Variant,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), DbError> {
    let session = owned.session().await?;
    session
        .run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await?;
    session.run(reference.schema).await?;
    session.run(&settled(NUMBERS, reference, variant)).await?;
    for (label, sql) in reference.fill {
        say(label);
        session.run(&settled(sql, reference, variant)).await?;
    }
    say("keys and indexes");
    session.run(reference.keys).await?;
    session.run("DROP FUNCTION pg_temp.u").await?;
    say("statistics");
    session.run("VACUUM (ANALYZE)").await?;
    session.run("CHECKPOINT").await
}

/// Puts sizes and seed into SQL.
fn settled(sql: &str, reference: &Reference, variant: Variant) -> String {
    let seed = (variant.seed & 0xFFFF_FFFF).to_string();
    let sizes = reference.sizes.iter();
    sizes.fold(sql.replace(":seed", &seed), |sql, (name, n)| {
        sql.replace(&format!(":{name}"), &variant.n_rows(*n).to_string())
    })
}
