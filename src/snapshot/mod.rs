//! Everything known, frozen, before anything is judged: catalog and workload of one database.

use serde::{Deserialize, Serialize};

use crate::{catalog::Catalog, workload::Workload};

/// All inputs of an audit. Savable and replayable: the same snapshot gives the same report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// What exists; `None` when only logs were given.
    pub catalog: Option<Catalog>,
    /// What ran.
    pub workload: Workload,
}
