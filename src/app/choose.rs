//! `pgassay choose`: the selector alone, on a published cost table.

use serde_json::json;

use super::{Context, Error, ErrorKind, Outcome, path_text, text};
use crate::{
    advise::choose::{self, Limits, PublishedTable},
    cli::{ChooseArgs, PlanFormat},
};

/// Largest table, bytes.
const MAX_TABLE_BYTES: u64 = 1024 * 1024 * 1024;

/// Bytes of a megabyte, as the studies that publish such tables count.
const MB: f64 = 1e6;

/// Runs the command.
///
/// # Errors
/// When the table cannot be read, or the budget is no size.
pub(super) fn run(args: &ChooseArgs, context: &Context) -> Result<Outcome, Error> {
    let budget_bytes = match args.budget_mb {
        Some(mb) if mb.is_finite() && mb >= 0.0 => Some((mb * MB) as u64),
        Some(mb) => {
            return Err(Error::new(ErrorKind::Usage, format!("{mb} is no budget"))
                .hint("--budget-mb takes megabytes, 0 or more"));
        }
        None => None,
    };
    let name = path_text(&args.cost_table);
    let published = PublishedTable::parse(&text::read(&args.cost_table, MAX_TABLE_BYTES)?).map_err(|error| {
        Error::new(ErrorKind::Input, format!("\"{name}\" is no cost table"))
            .because(error)
            .hint("wanted: \"param size\", \"set indexes_per_combination[n]\" and \"param costs\", as CoPhy's data files have them")
    })?;
    let limits = Limits {
        budget_bytes,
        ..Limits::default()
    };
    let chosen = choose::choose(&published.table, &limits);
    let cost = published.table.total(&chosen);
    let base = published.table.total(&[]);
    let ids: Vec<u64> = chosen.iter().map(|&at| published.ids[at]).collect();
    let size_bytes = published.table.size_bytes(&chosen);
    let share = if base > 0.0 { cost / base } else { 1.0 };
    let text = match args.format {
        PlanFormat::Json => format!(
            "{}\n",
            json!({ "indexes": ids, "size_bytes": size_bytes, "cost": cost, "share": share })
        ),
        PlanFormat::Terminal => format!(
            "{} indexes, {:.1} MB: {:.2} % of the cost without them\n{}\n",
            ids.len(),
            size_bytes as f64 / MB,
            share * 100.0,
            ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
        ),
    };
    context.print(text.as_bytes())?;
    Ok(Outcome::Clean)
}
