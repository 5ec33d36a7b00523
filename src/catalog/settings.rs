//! The server as a whole: version, role, settings, extensions, standbys.

use serde::{Deserialize, Serialize};

use super::StatsWindow;

/// Facts about the server and the audited database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `server_version_num`, e.g. 150018.
    pub version_num: u32,
    /// `current_database()`
    pub database: String,
    /// `pg_is_in_recovery()`
    pub is_standby: bool,
    /// The role that the audit runs as is a superuser.
    pub is_superuser: bool,
    /// Member of `pg_read_all_stats` (or `pg_monitor`, or superuser).
    pub can_read_all_stats: bool,
    /// Schemas of the role's `search_path` in order, `$user` and missing ones resolved away.
    pub search_path: Vec<String>,
    /// Planner, logging and statistics settings, sorted by name.
    pub settings: Vec<Setting>,
    /// Installed extensions, sorted by name.
    pub extensions: Vec<ExtensionInfo>,
    /// Extensions that `CREATE EXTENSION` could install here, sorted.
    pub available_extensions: Vec<String>,
    /// Rows of `pg_stat_replication`, as far as visible.
    pub standbys: Vec<Standby>,
    /// Other servers of the same data whose counters were added (`--replica`).
    #[serde(default)]
    pub n_replicas: usize,
    /// Window of the usage counters.
    pub stats_window: StatsWindow,
    /// Database collation (`datcollate`): `C` allows LIKE prefixes on a plain b-tree.
    pub collation: String,
    /// A pooler stands between us and the server (backend pid changed between transactions, or the pooler said so).
    pub pooled: bool,
}

impl ServerFacts {
    /// The value of a setting in its base unit, as `pg_settings.setting` gives it.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|setting| setting.name == name)
            .map(|setting| setting.value.as_str())
    }

    /// Servers with the same data that count their own scans and were not looked at: standbys, and a standby's primary.
    #[must_use]
    pub fn n_unseen(&self) -> usize {
        let known = self.standbys.len() + usize::from(self.is_standby);
        known.saturating_sub(self.n_replicas)
    }

    /// The installed extension of that name.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&ExtensionInfo> {
        self.extensions.iter().find(|ext| ext.name == name)
    }
}

/// One row of `pg_settings`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setting {
    /// `name`
    pub name: String,
    /// `setting`, in the base unit
    pub value: String,
    /// `unit`
    pub unit: Option<String>,
    /// `source`: default, configuration file, database, user, …
    pub source: String,
}

/// One row of `pg_extension`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExtensionInfo {
    /// `extname`
    pub name: String,
    /// `extversion`
    pub version: String,
    /// Schema it lives in.
    pub schema: String,
}

/// One row of `pg_stat_replication`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Standby {
    /// `application_name`
    pub application: String,
    /// `state`
    pub state: String,
}
