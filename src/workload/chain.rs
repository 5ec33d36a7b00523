//! Chains: how many executions of one fingerprint follow each other in a session, wherever no tag or transaction says what belongs together.
//!
//! On a connection that requests share, one-row look-ups of separate requests stand side by side by chance. How often, and for how long, is
//! measured on the chains that no possible driver precedes.

use serde::{Deserialize, Serialize};

use super::{
    burst::View,
    window::{LOOK_BACK_US, Step},
};

/// Lengths kept apart: 1, 2, 3, 4, and longer ones.
const N_LENGTHS: usize = 5;
/// Statements between a driver and the first repeat: the request's other work. Another request's work is most often longer.
const MAX_BETWEEN: usize = 4;

/// Chains of one fingerprint in windows that only idle time bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chains {
    /// By length (1, 2, 3, 4, longer): no query precedes whose rows could name the key.
    pub apart: [u64; N_LENGTHS],
    /// The same for those right behind such a query, the only ones of their window.
    pub behind: [u64; N_LENGTHS],
    /// The same where the window has several: requests follow each other without a pause.
    pub among: [u64; N_LENGTHS],
}

/// Where a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// See [`Chains::apart`].
    Apart,
    /// See [`Chains::behind`].
    Behind,
    /// See [`Chains::among`].
    Among,
}

impl Chains {
    /// Counts one of `n` executions.
    pub(super) fn record(&mut self, n: usize, place: Place) {
        let Some(at) = n.checked_sub(1) else { return };
        let lengths = match place {
            Place::Apart => &mut self.apart,
            Place::Behind => &mut self.behind,
            Place::Among => &mut self.among,
        };
        lengths[at.min(N_LENGTHS - 1)] += 1;
    }
}

/// Executions of one fingerprint in windows of one client on several sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideBySide {
    /// All.
    pub n: u64,
    /// Duration of those windows, microseconds.
    pub span_us: u64,
    /// In rounds that a driver may have spread over sessions.
    pub n_in_rounds: u64,
    /// Duration of those rounds, microseconds.
    pub rounds_us: u64,
}

impl SideBySide {
    pub(super) fn record(&mut self, n: usize, span_us: u64) {
        self.n += n as u64;
        self.span_us += span_us;
    }

    pub(super) fn record_round(&mut self, n: usize, span_us: u64) {
        self.n_in_rounds += n as u64;
        self.rounds_us += span_us;
    }
}

/// From the first start to the last end, microseconds.
pub(super) fn span_us(steps: &[Step]) -> u64 {
    let start = steps.iter().map(|step| step.start_us).min();
    let end = steps.iter().map(|step| step.end_us).max();
    start
        .zip(end)
        .map_or(0, |(start, end)| (end - start).max(0).cast_unsigned())
}

/// Does a query stand close before that step which `drives` it, in the window or shortly before that?
pub(super) fn is_behind(view: &View<'_>, at: usize, mut drives: impl FnMut(&Step) -> bool) -> bool {
    let steps = view.steps;
    steps[at.saturating_sub(MAX_BETWEEN)..at]
        .iter()
        .any(&mut drives)
        || (at < MAX_BETWEEN
            && view
                .recent
                .iter()
                .any(|step| steps[0].start_us - step.end_us <= LOOK_BACK_US && drives(step)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::WindowBound;

    #[test]
    fn long_chains_share_a_place() {
        let mut chains = Chains::default();
        for n in [0, 1, 1, 5, 90] {
            chains.record(n, Place::Apart);
        }
        chains.record(4, Place::Behind);
        chains.record(2, Place::Among);
        assert_eq!(chains.apart, [2, 0, 0, 0, 2]);
        assert_eq!(chains.behind, [0, 0, 0, 1, 0]);
        assert_eq!(chains.among, [0, 1, 0, 0, 0]);
    }

    #[test]
    fn drivers_far_off_do_not_count() {
        let steps: Vec<Step> = (0..8)
            .map(|query| Step {
                query,
                ..Step::default()
            })
            .collect();
        let view = View::new(&steps, WindowBound::Idle);
        assert!(is_behind(&view, 6, |step| step.query == 2));
        assert!(!is_behind(&view, 7, |step| step.query == 2));
        assert!(!is_behind(&view, 0, |_| true));
    }
}
