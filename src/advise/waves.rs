//! In which order a planner is asked: heavy statements first, few candidates alive at once.

use std::collections::BTreeSet;

use super::{WhatIf, choose::TableIndex, price::Pricer, verify::best_for};

/// Statements priced in one go.
const WAVE: usize = 40;

/// A candidate this much smaller than one that a plan used may do as well.
const RIVAL_SIZE: f64 = 0.6;

/// Asks in waves, the heaviest statements first, so that a budget that runs out has been spent where it matters. A wave asks for: each
/// statement as it is; each table's candidates together, a handful at a time; each candidate that was used, and each much smaller rival
/// of one, by itself; and for statements over several tables all that were used together.
pub(super) async fn price_all<W: WhatIf>(
    pricer: &mut Pricer<'_, W>,
    n_queries: usize,
    sizes: &[TableIndex],
) {
    let mut used = BTreeSet::new();
    for start in (0..n_queries).step_by(WAVE) {
        let wave: Vec<usize> = (start..n_queries.min(start + WAVE))
            .filter(|query| pricer.applies.iter().any(|applies| applies.contains(query)))
            .collect();
        pricer.price_bases(&wave).await;
        let sets = pricer.candidate_sets(&wave).into_iter();
        let asks: Vec<_> = sets
            .map(|set| (with_base(pricer, &set, &wave), set))
            .collect();
        pricer.price_each(&asks).await;
        for (asked, set) in &asks {
            let winners = used_by(pricer, asked, set);
            used.extend(rivals(pricer, asked, set, &winners, sizes));
            used.extend(winners);
        }
        let so_far: Vec<usize> = (0..n_queries.min(start + WAVE)).collect();
        let alone = used.iter().map(|&at| vec![at]);
        let asks: Vec<_> = alone
            .map(|set| (with_base(pricer, &set, &so_far), set))
            .collect();
        pricer.price_each(&asks).await;
        let asks: Vec<_> = wave
            .iter()
            .filter(|query| pricer.base(**query).is_some())
            .map(|&query| (vec![query], best_for(pricer, query, &used)))
            .filter(|(_, set)| set.len() > 1)
            .collect();
        pricer.price_each(&asks).await;
    }
}

/// Candidates that a winner may have hidden: for the same statement, on the same table, and much smaller, or the winner without what it carries.
fn rivals<W: WhatIf>(
    pricer: &Pricer<'_, W>,
    queries: &[usize],
    set: &[usize],
    winners: &[usize],
    sizes: &[TableIndex],
) -> Vec<usize> {
    let mut rivals = Vec::new();
    for &at in set {
        let is_rival = winners.iter().any(|&winner| {
            let both = |query: &&usize| {
                pricer.applies[at].contains(query) && pricer.applies[winner].contains(query)
            };
            let is_smaller =
                sizes[at].rank_bytes as f64 <= RIVAL_SIZE * sizes[winner].rank_bytes as f64;
            (is_smaller || pricer.is_plainer(at, winner))
                && queries.iter().any(|query| both(&query))
        });
        if is_rival && !winners.contains(&at) {
            rivals.push(at);
        }
    }
    rivals
}

/// Statements that some of `set` applies to and that cost enough to bother.
fn with_base<W: WhatIf>(pricer: &Pricer<'_, W>, set: &[usize], among: &[usize]) -> Vec<usize> {
    let applies = |query: &usize| set.iter().any(|&at| pricer.applies[at].contains(query));
    among
        .iter()
        .copied()
        .filter(|query| applies(query) && pricer.base(*query).is_some())
        .collect()
}

fn used_by<W: WhatIf>(pricer: &Pricer<'_, W>, queries: &[usize], set: &[usize]) -> Vec<usize> {
    queries
        .iter()
        .filter_map(|&query| {
            let with = pricer.known(query, set)?;
            (with.cost < pricer.base(query)?.cost).then(|| with.used.clone())
        })
        .flatten()
        .collect()
}
