//! From a planner state to a running twin.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use tokio::sync::Mutex;

use super::{
    TwinError, ddl,
    files::{DataDir, FileError},
    inject, patch, schema, settings,
    what_if::Active,
};
use crate::{
    catalog::{
        IndexDef,
        planner::{Locale, PlannerState},
    },
    db::{OwnConninfo, Owned},
    server::{Binaries, Options, RunAs, SUPERUSER, Server, ServerError},
    snapshot::Unknowns,
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
    ("min_wal_size", "2MB"),
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
    pub(super) state: Arc<PlannerState>,
    /// How constants are planned that are compared with columns of stand-ins.
    pub(super) unknowns: Option<Arc<Unknowns>>,
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
        let one = Self::build_several(state, binaries, options, 1).await?;
        one.into_iter()
            .next()
            .ok_or_else(|| TwinError::Statement("no server was started".to_owned()))
    }

    /// Builds up to `n` equal twins: one is filled, the others start from copies of its data folder, 50 MB each.
    ///
    /// # Errors
    /// As [`Twin::build`]. Where there is no room for a copy, there are fewer.
    pub async fn build_several(
        state: PlannerState,
        binaries: Binaries,
        options: TwinOptions,
        n: usize,
    ) -> Result<Vec<Self>, TwinError> {
        if state.version_num / 10_000 > u32::from(binaries.major()) {
            return Err(TwinError::Unsupported(format!(
                "it runs PostgreSQL {}, the binaries at hand are {}",
                state.version_num / 10_000,
                binaries.major()
            )));
        }
        let mut server_options = server_options(&options);
        server_options.locale = locale_of_all(&state.locale);
        let (starting, mut its_options) = (binaries.clone(), server_options.clone());
        let started = move || match Server::start(&starting, &its_options) {
            // that locale is not to be had here
            Err(ServerError::Initdb { .. }) if its_options.locale.is_some() => {
                its_options.locale = None;
                Ok((Server::start(&starting, &its_options)?, false))
            }
            other => other.map(|server| (server, its_options.locale.is_some())),
        };
        let (server, fits) = blocking(started).await??;
        let role = role(&state);
        let mut skipped = fill(&server, &state, &role, fits).await?;
        skipped.sort();
        let files = {
            let superuser = connect(&server, SUPERUSER, DATABASE).await?;
            let session = superuser.session().await?;
            patch::relations(&session).await?
        };
        let unknowns = Unknowns::of(&state).map(Arc::new);
        let state = Arc::new(state);
        let known = Arc::clone(&state);
        let servers = blocking(move || {
            server.restart_in_copies(&binaries, &server_options, n.saturating_sub(1), |data| {
                patched(data, &files, &known)
            })
        })
        .await??;
        let mut twins = Vec::with_capacity(servers.len());
        for (server, data) in servers {
            twins.push(Self {
                superuser: connect(&server, SUPERUSER, DATABASE).await?,
                planner: connect(&server, &role, DATABASE).await?,
                data: data?,
                state: Arc::clone(&state),
                unknowns: unknowns.clone(),
                active: Mutex::new(Active::default()),
                sizes: std::sync::Mutex::default(),
                skipped: skipped.clone(),
                role: role.clone(),
                server,
            });
        }
        Ok(twins)
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

/// Writes what the state knows into the files of a server that is down.
fn patched(
    data: PathBuf,
    files: &[patch::RelationFile],
    state: &PlannerState,
) -> Result<DataDir, FileError> {
    let data = DataDir::new(data)?;
    patch::apply(&data, files, &state.physical, &state.endpoints)?;
    Ok(data)
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
async fn fill(
    server: &Server,
    state: &PlannerState,
    role: &str,
    fits: bool,
) -> Result<Vec<String>, TwinError> {
    let mut skipped = {
        let admin = connect(server, SUPERUSER, "template1").await?;
        let create = format!("CREATE ROLE {} LOGIN", quote_identifier(role));
        admin.batch(&create).await?;
        if fits {
            take_over_database(&admin, role).await?
        } else {
            database(&admin, role, &state.locale, server.major()).await?
        }
    };
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
    let (left_out, stubs) = schema::create(&session, &own, &state.objects).await?;
    skipped.extend(left_out);
    skipped.extend(
        inject::statistics(
            &session,
            &stubs.statistics(&state.column_statistics),
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

/// The locale to initialise the whole cluster with, so that a database that is there already can be taken: where the captured one is of the C
/// library and the same for all purposes. Its name goes to a program's command line.
fn locale_of_all(locale: &Locale) -> Option<String> {
    let is_plain = locale.collate == locale.ctype
        && !locale.collate.is_empty()
        && (locale.collate.bytes())
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'-'));
    (locale.provider == "c" && is_plain).then(|| locale.collate.clone())
}

/// Uses the database that every cluster has: making one copies 7 MB in 300 files.
async fn take_over_database(admin: &Owned, role: &str) -> Result<Vec<String>, TwinError> {
    admin
        .batch(&format!("ALTER DATABASE postgres RENAME TO {DATABASE}"))
        .await?;
    let owner = quote_identifier(role);
    admin
        .batch(&format!("ALTER DATABASE {DATABASE} OWNER TO {owner}"))
        .await?;
    Ok(Vec::new())
}

/// CREATE DATABASE in the best way that works here: the order of texts decides estimates of ranges and prefixes.
async fn database(
    admin: &Owned,
    role: &str,
    locale: &Locale,
    major: u16,
) -> Result<Vec<String>, TwinError> {
    // files are copied faster than pages are logged
    let strategy = if major >= 15 {
        " STRATEGY file_copy"
    } else {
        ""
    };
    let mut last = Ok(());
    for (at, options) in locale_options(locale).iter().enumerate() {
        let sql = format!(
            "CREATE DATABASE {DATABASE} OWNER {} TEMPLATE template0 ENCODING 'UTF8'{options}{strategy}",
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
    server.wal_segment_mb = Some(1);
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
