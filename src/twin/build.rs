//! From a planner state to a running twin.

use std::{collections::BTreeMap, path::PathBuf};

use tokio::sync::Mutex;

use super::{TwinError, ddl, files::DataDir, inject, patch, schema, settings, what_if::Active};
use crate::{
    catalog::{
        IndexDef,
        planner::{Locale, PlannerState},
    },
    db::{OwnConninfo, Owned},
    server::{Binaries, Options, RunAs, SUPERUSER, Server},
    sql::{quote_identifier, quote_literal},
};

/// The role without rights that owns everything and plans, where the captured one's name can't be had.
const PLANNER: &str = "planner";
/// The twin's database.
const DATABASE: &str = "twin";

/// What a twin's server needs beyond the throwaway server's usual settings: nothing may touch the sparse files, and CREATE INDEX must
/// not go through shared buffers (`wal_skip_threshold`: small new relations would be logged at commit from there).
const SETTINGS: &[(&str, &str)] = &[
    ("autovacuum", "off"),
    ("track_counts", "off"),
    ("track_io_timing", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("wal_skip_threshold", "0"),
    ("shared_buffers", "16MB"),
    ("max_connections", "20"),
    ("max_locks_per_transaction", "1024"),
    ("max_worker_processes", "0"),
    ("log_min_duration_statement", "-1"),
    ("log_min_messages", "fatal"),
    ("log_min_error_statement", "panic"),
];

/// Where a twin may put its things.
#[derive(Debug, Clone)]
pub struct TwinOptions {
    /// pgassay's cache folder.
    pub cache: PathBuf,
    /// Where the server's folder is made.
    pub temp: PathBuf,
}

/// Production's planner in a throwaway server. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Twin {
    pub(super) superuser: Owned,
    pub(super) planner: Owned,
    pub(super) data: DataDir,
    pub(super) state: PlannerState,
    pub(super) active: Mutex<Active>,
    /// Bytes of what-if indexes by definition, for callers that can't wait.
    pub(super) sizes: std::sync::Mutex<BTreeMap<IndexDef, u64>>,
    skipped: Vec<String>,
    role: String,
    // last: the server goes after the connections
    server: Server,
}

impl Twin {
    /// Builds a twin of `state` with `binaries`, ideally of the same major version.
    ///
    /// # Errors
    /// When the server can't be started or its files can't be written. Objects that can't be made are no error, see [`Twin::skipped`].
    pub async fn build(
        state: PlannerState,
        binaries: Binaries,
        options: TwinOptions,
    ) -> Result<Self, TwinError> {
        if state.version_num / 10_000 > u32::from(binaries.major()) {
            return Err(TwinError::Unsupported(format!(
                "it runs PostgreSQL {}, the binaries at hand are {}",
                state.version_num / 10_000,
                binaries.major()
            )));
        }
        let server_options = server_options(&options);
        let starting = binaries.clone();
        let mut server = blocking(move || Server::start(&starting, &server_options)).await??;
        let role = role(&state);
        let mut skipped = fill(&server, &state, &role).await?;
        let files = {
            let superuser = connect(&server, SUPERUSER, DATABASE).await?;
            let session = superuser.session().await?;
            patch::relations(&session).await?
        };
        let (physical, endpoints) = (state.physical.clone(), state.endpoints.clone());
        let (server, patched) = blocking(move || {
            let data = DataDir::new(server.data_folder());
            let patched = server.restart_after(&binaries, || {
                data.and_then(|data| {
                    patch::apply(&data, &files, &physical, &endpoints)?;
                    Ok(data)
                })
            });
            (server, patched)
        })
        .await?;
        let data = patched??;
        let superuser = connect(&server, SUPERUSER, DATABASE).await?;
        let planner = connect(&server, &role, DATABASE).await?;
        skipped.sort();
        Ok(Self {
            superuser,
            planner,
            data,
            state,
            active: Mutex::new(Active::default()),
            sizes: std::sync::Mutex::default(),
            skipped,
            role,
            server,
        })
    }

    /// Objects that the twin lacks, in words, sorted.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Another connection of the role without rights.
    pub(super) async fn connect_planner(&self) -> Result<Owned, TwinError> {
        connect(&self.server, &self.role, DATABASE).await
    }

    /// Major version of the twin's server.
    #[must_use]
    pub fn major(&self) -> u16 {
        self.server.major()
    }

    /// Is the twin of the same major version as what it stands for? Else its plans are a preview.
    #[must_use]
    pub fn is_same_major(&self) -> bool {
        u32::from(self.major()) == self.state.version_num / 10_000
    }
}

/// The captured role's name, so that policies that ask for it are estimated alike. Never one that has rights.
fn role(state: &PlannerState) -> String {
    let name = state.role.as_str();
    let reserved = name.starts_with("pg_") || [SUPERUSER, "public", "none", ""].contains(&name);
    if reserved || name.len() > MAX_ROLE_BYTES || name.contains('\0') {
        PLANNER.to_owned()
    } else {
        name.to_owned()
    }
}

/// `NAMEDATALEN` - 1
const MAX_ROLE_BYTES: usize = 63;

/// Roles, database, objects, statistics, settings.
async fn fill(server: &Server, state: &PlannerState, role: &str) -> Result<Vec<String>, TwinError> {
    let admin = connect(server, SUPERUSER, "postgres").await?;
    let create = format!("CREATE ROLE {} LOGIN", quote_identifier(role));
    admin.batch(&create).await?;
    let mut skipped = database(&admin, role, &state.locale).await?;
    let superuser = connect(server, SUPERUSER, DATABASE).await?;
    let planner = connect(server, role, DATABASE).await?;
    let session = superuser.session().await?;
    let own = planner.session().await?;
    session
        .batch_execute(FORMATS)
        .await
        .map_err(TwinError::own)?;
    own.batch_execute(FORMATS).await.map_err(TwinError::own)?;
    own.batch_execute("SET check_function_bodies = off; SET client_min_messages = error")
        .await
        .map_err(TwinError::own)?;
    skipped.extend(schema::create(&session, &own, &state.objects).await?);
    skipped.extend(
        inject::statistics(
            &session,
            &state.column_statistics,
            &state.extended_statistics,
            &state.endpoints,
        )
        .await?,
    );
    inject::counts(&session, &state.physical, server.major()).await?;
    inject::invalidate(&session, &state.objects.indexes).await?;
    skipped.extend(schema::finish(&own, &state.objects).await?);
    settings::set(&session, &state.settings).await?;
    settings::set_tablespace(&session, &state.tablespace).await?;
    Ok(skipped)
}

/// Values in a snapshot print by these; names resolve to `pg_catalog` alone unless qualified.
const FORMATS: &str = "SET search_path = pg_catalog; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
    SET lc_monetary = 'C'; SET bytea_output = 'hex'";

/// CREATE DATABASE in the best way that works here: the order of texts decides estimates of ranges and prefixes.
async fn database(admin: &Owned, role: &str, locale: &Locale) -> Result<Vec<String>, TwinError> {
    let mut last = Ok(());
    for (at, options) in locale_options(locale).iter().enumerate() {
        let sql = format!(
            "CREATE DATABASE {DATABASE} OWNER {} TEMPLATE template0 ENCODING 'UTF8'{options}",
            quote_identifier(role)
        );
        last = admin.batch(&sql).await;
        if last.is_ok() {
            let name = locale.locale.as_ref().unwrap_or(&locale.collate);
            let why = format!(
                "locale {name}: not available here, another stands in; ranges of texts may be estimated differently"
            );
            return Ok(Vec::from_iter((at > 0).then_some(why)));
        }
    }
    last?;
    Ok(Vec::new())
}

/// Best first; the last always works.
fn locale_options(locale: &Locale) -> Vec<String> {
    let libc = format!(
        " LC_COLLATE {} LC_CTYPE {}",
        quote_literal(&locale.collate),
        quote_literal(&locale.ctype)
    );
    let icu = |name: &str| format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", quote_literal(name));
    let named = locale.locale.as_deref().unwrap_or("und");
    let bytes = " LC_COLLATE 'C' LC_CTYPE 'C'".to_owned();
    match locale.provider.as_str() {
        "i" => vec![icu(named), icu("und"), String::new()],
        "b" => vec![
            format!(
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE {}",
                quote_literal(named)
            ),
            bytes,
        ],
        _ if locale.is_c() => vec![libc, bytes],
        _ => vec![
            libc,
            icu(&ddl::language_tag(&locale.collate)),
            String::new(),
        ],
    }
}

async fn connect(server: &Server, user: &str, database: &str) -> Result<Owned, TwinError> {
    let info = OwnConninfo::of_throwaway(server.socket_folder(), server.port(), user, database);
    Ok(Owned::connect(&info, MAX_CONNECTIONS).await?)
}

/// Connections a role: one evaluation at a time needs no more.
const MAX_CONNECTIONS: usize = 2;

fn server_options(options: &TwinOptions) -> Options {
    let mut server = Options::new(options.cache.clone());
    server.temp.clone_from(&options.temp);
    server.run_as = RunAs::Stranger;
    server.preload = Vec::new();
    for (name, value) in SETTINGS {
        server = server.with(name, value);
    }
    server
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TwinError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| TwinError::Statement("starting it was interrupted".to_owned()))
}
