//! The only code that talks to the audited Postgres: connection strings, TLS, pool, guard, catalog, statements, plans, HypoPG.
