//! Index selection: propose candidates (pure), price them with a planner (`WhatIf`), choose the best set (pure).

mod model;
mod what_if;

pub use model::{Advice, Candidate, PricedQuery, Reason, Recommendation, WhyNot};
pub use what_if::{NoPlanner, PlannedQuery, WhatIf, WhatIfError};
