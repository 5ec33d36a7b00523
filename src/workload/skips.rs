//! What a fold had to leave out, counted under its reason with the first example.

use std::collections::BTreeMap;

use super::{InputFacts, Origin, SkipCount};

/// Longest excerpt kept as an example, bytes.
const MAX_EXAMPLE_BYTES: usize = 200;

/// Everything left out, by reason.
#[derive(Debug, Default)]
pub(super) struct Skips {
    by_reason: BTreeMap<&'static str, Skip>,
}

#[derive(Debug, Clone, Default)]
struct Skip {
    n: u64,
    first: Option<(Origin, String)>,
}

impl Skips {
    /// Counts `n` under a reason; `example` stands for them where it is the first.
    pub(super) fn add(&mut self, reason: &'static str, n: u64, origin: Origin, example: &[u8]) {
        let skip = self.by_reason.entry(reason).or_default();
        skip.n += n;
        if skip.first.is_none() {
            skip.first = Some((origin, clipped(example, MAX_EXAMPLE_BYTES)));
        }
    }

    /// Counts `n` more of what has its example already.
    pub(super) fn add_more(&mut self, reason: &'static str, n: u64) {
        self.by_reason.entry(reason).or_default().n += n;
    }

    /// Takes over what a later part of the input left out.
    pub(super) fn append(&mut self, following: Self) {
        for (reason, skip) in following.by_reason {
            let mine = self.by_reason.entry(reason).or_default();
            mine.n += skip.n;
            mine.first = mine.first.take().or(skip.first);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.by_reason.clear();
    }

    /// As reports tell it.
    pub(super) fn told(&self, inputs: &[InputFacts]) -> Vec<SkipCount> {
        self.by_reason
            .iter()
            .map(|(reason, skip)| SkipCount {
                reason: (*reason).to_owned(),
                n: skip.n,
                example: skip.first.as_ref().map_or_else(String::new, |(at, text)| {
                    let file = inputs.get(at.file as usize).map_or("", |i| i.name.as_str());
                    format!("{file}:{}: {text}", at.line)
                }),
            })
            .collect()
    }
}

/// The first `max` bytes as text.
pub(super) fn clipped(text: &[u8], max: usize) -> String {
    String::from_utf8_lossy(&text[..text.len().min(max)]).into_owned()
}
