//! The planner twin: production's planner rebuilt in a throwaway server from a snapshot, with no rows.
//!
//! A planner decides by catalogs, statistics, settings, file sizes and a few numbers in index metapages. All of these can be copied without a
//! row: schema and statistics as catalog entries, sizes as sparse files, metapages as patches while the server is down. The result plans
//! as production does, to the last digit of the cost.
//!
//! A snapshot is untrusted. Its SQL runs only here, as a role without rights, in a server of a user without rights and without network.

mod build;
mod combinations;
mod create;
mod ddl;
mod draw;
mod error;
mod estimate;
mod explain;
mod facts;
mod files;
mod fleet;
mod inject;
mod key;
mod leaf;
mod page;
mod patch;
mod sample;
mod schema;
mod settings;
mod stub;
mod values;
mod what_if;

pub use build::{Twin, TwinOptions};
pub use create::AddedIndex;
pub use error::TwinError;
pub use fleet::Fleet;
pub use schema::{NOT_AVAILABLE, NOT_NEEDED};
