//! Reference workloads with seeded faults, and the findings that each must produce.
//!
//! A [`Reference`] is data: schema, rows, the requests of an application, what is wrong with it and what must not be held against it.
//! [`load`] fills a database of a throwaway server with it, [`drive`] sends its requests as a web application would.

mod apply;
mod drive;
mod fault;
mod jobs_board;
mod load;
mod measure;
mod orders_ledger;
mod random;
mod request;
mod rewrite;
mod script;

pub use apply::apply;
pub use drive::{Driven, drive};
pub use fault::{Fault, Healthy, matching};
pub use load::load;
pub use measure::{Effect, Figures, effects};
pub use request::{Arg, Protocol, Request, Step};
pub use rewrite::{Calls, RewriteEffect, compare};
pub use script::{Piece, ScriptError, split};

/// All reference workloads, the default first. `--list`, help and completions derive from this list.
pub static WORKLOADS: &[&Reference] = &[&jobs_board::WORKLOAD, &orders_ledger::WORKLOAD];

/// An application with faults.
#[derive(Debug)]
pub struct Reference {
    /// Kebab-case.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Rows of each table at scale 1, by the name under which SQL refers to them: `:jobs`.
    pub sizes: &'static [(&'static str, u64)],
    /// Tables without indexes.
    pub schema: &'static str,
    /// What fills them: a label and SQL with `:seed`, `:<size>` and `pg_temp.u(i, salt)`, a number in [0, 1) that seed, row and salt determine.
    pub fill: &'static [(&'static str, &'static str)],
    /// Primary keys, foreign keys and indexes.
    pub keys: &'static str,
    /// What the application does.
    pub requests: &'static [Request],
    /// What is wrong.
    pub faults: &'static [Fault],
    /// What is right, however it may look.
    pub healthy: &'static [Healthy],
}

impl Reference {
    /// The workload of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        WORKLOADS
            .iter()
            .find(|workload| workload.name == name)
            .copied()
    }

    /// How many requests one drive has.
    #[must_use]
    pub fn n_requests(&self) -> u64 {
        self.requests
            .iter()
            .map(|request| u64::from(request.n))
            .sum()
    }

    /// Name of its database.
    #[must_use]
    pub fn database(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// How large, and which of all possible rows and requests.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// Multiplies the number of rows.
    pub scale: f64,
    /// Same seed, same rows, same requests.
    pub seed: u64,
}

impl Variant {
    /// A table's rows at this scale; at least 10.
    fn n_rows(&self, at_scale_1: u64) -> u64 {
        ((at_scale_1 as f64 * self.scale) as u64).max(10)
    }
}
