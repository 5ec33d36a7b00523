//! Values that stand for others: what redaction puts into statistics of texts, and what a twin puts into statements.
//!
//! A stand-in tells nothing of the value that it stands for: common values are numbered in the order of their frequency, which a snapshot
//! shows anyway, and the numbers are spread over the whole order, so that neither order nor length of the real values is kept. Values that
//! are equal have the same stand-in in every column, so that joins are estimated as before.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::planner::{SlotKind, StatisticRow};

/// Bounds of a histogram of stand-ins. They are even, so that the planner's interpolation between two is exact; fewer than ten, so that it
/// does not take them for a sample of values that patterns can be tried on (`histogram_selectivity`, `min_hist_size`, `like_support.c`).
const N_BOUNDS: u64 = 9;
/// Digits that tell stand-ins apart.
const N_DIGITS: usize = 8;
/// Longest stand-in, bytes: statistics hold no wider values than 1,024 (`WIDTH_THRESHOLD`, `analyze.c`).
const MAX_BYTES: usize = 1_024;
/// Shortest stand-in, bytes: a mark and numbers that tell a million apart. With its header it takes no more room in an index than a shorter
/// text, whose place is rounded up to eight bytes too.
const MIN_BYTES: usize = 7;
/// Numbers that are tried for one that is free.
const MAX_TRIES: u64 = 20_000;
/// The golden ratio's fraction: its multiples lie apart from each other.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// Middle of every uuid that stands for another.
const UUID_MIDDLE: &str = "-0000-4000-8000-";
/// Steps in which a place in the order is looked for.
const N_PLACES: u64 = 1_000;

/// What stand-ins of a type look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A text of so many bytes.
    Text(usize),
    /// A uuid.
    Uuid,
}

impl Form {
    /// Of a column's type and average width; `None` for types that have no stand-ins.
    pub(super) fn of(type_name: &str, width: i32) -> Option<Self> {
        let base = type_name.split(['(', ' ']).next().unwrap_or(type_name);
        match base.rsplit('.').next().unwrap_or(base) {
            _ if type_name.ends_with("[]") => None,
            // the width has a header of a byte
            "text" | "character" | "citext" => {
                let n_bytes = usize::try_from(width).unwrap_or(0).saturating_sub(1);
                Some(Self::Text(n_bytes.clamp(MIN_BYTES, MAX_BYTES)))
            }
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// The value at a share of the whole order.
    fn at(self, share: f64) -> String {
        let digits = |n: usize| {
            let all = power_of_ten(n);
            format!("{:0n$}", (share * all).floor().clamp(0.0, all - 1.0) as u64)
        };
        match self {
            Self::Text(n) => {
                let n_digits = (n - 1).min(N_DIGITS);
                format!("x{}{}", digits(n_digits), "0".repeat(n - 1 - n_digits))
            }
            Self::Uuid => format!("{}{UUID_MIDDLE}000000000000", digits(N_DIGITS)),
        }
    }

    /// One of values that nobody knows of.
    fn rare(self, n: usize) -> String {
        match self {
            Self::Text(_) => format!("~{n}"),
            Self::Uuid => format!("ffffffff{UUID_MIDDLE}{n:012}"),
        }
    }
}

fn power_of_ten(n: usize) -> f64 {
    (0..n).map(|_| 10.0).product()
}

/// Is it a value that [`Form`] makes?
fn is_stand_in(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix('~').is_some_and(is_number)
        || (text.len() >= MIN_BYTES && text.strip_prefix('x').is_some_and(is_number))
        || text.contains(UUID_MIDDLE)
}

/// Gives values stand-ins, the same to the same.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    known: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    n: u64,
}

impl StandIns {
    /// Replaces the values of a row but those that `stays`. Where there is no room for as many different ones, nothing is changed and `false`
    /// returned.
    pub(super) fn replace(
        &mut self,
        row: &mut StatisticRow,
        form: Form,
        stays: &dyn Fn(&str) -> bool,
    ) -> bool {
        let common = row.slot(SlotKind::MostCommonValues);
        let values = common.and_then(|slot| slot.values.as_ref());
        let mut replaced = Vec::new();
        for value in values.iter().flat_map(|values| &values.elements) {
            let Some(value) = value else { return false };
            let Some(stand_in) = self.of(value, form, stays) else {
                return false;
            };
            replaced.push(Some(stand_in));
        }
        for slot in &mut row.slots {
            let Some(values) = &mut slot.values else {
                continue;
            };
            if slot.kind == SlotKind::MostCommonValues.number() {
                values.elements = std::mem::take(&mut replaced);
            } else if slot.kind == SlotKind::Histogram.number() {
                let bounds = (0..N_BOUNDS).map(|at| form.at(at as f64 / (N_BOUNDS - 1) as f64));
                let distinct: BTreeSet<String> = bounds.collect();
                values.elements = distinct.into_iter().map(Some).collect();
            }
        }
        row.is_faked = true;
        true
    }

    /// Values and what stands for them.
    pub(super) fn known(&self) -> &BTreeMap<String, String> {
        &self.known
    }

    fn of(&mut self, value: &str, form: Form, stays: &dyn Fn(&str) -> bool) -> Option<String> {
        if stays(value) {
            return Some(value.to_owned());
        }
        if let Some(known) = self.known.get(value) {
            return Some(known.clone());
        }
        for _ in 0..MAX_TRIES {
            self.n += 1;
            let stand_in = form.at((self.n as f64 * GOLDEN).fract());
            if self.taken.insert(stand_in.clone()) {
                self.known.insert(value.to_owned(), stand_in.clone());
                return Some(stand_in);
            }
        }
        None
    }
}

/// Values with which a condition on a column is estimated as it should be. Each is handed out once, so that it can be told from others.
#[derive(Debug)]
pub(super) struct Chooser<'a> {
    common: Vec<(&'a str, f64)>,
    form: Option<Form>,
    row: &'a StatisticRow,
    taken: BTreeSet<String>,
}

impl<'a> Chooser<'a> {
    pub(super) fn of(row: &'a StatisticRow) -> Self {
        let slot = row.slot(SlotKind::MostCommonValues);
        let values = slot.and_then(|slot| slot.values.as_ref());
        let elements = values.iter().flat_map(|values| &values.elements);
        let numbers = slot.and_then(|slot| slot.numbers.as_ref());
        let frequencies = numbers.into_iter().flatten().copied().map(f64::from);
        let types = row.slots.iter().filter_map(|slot| slot.values.as_ref());
        let mut forms = types.filter_map(|values| Form::of(&values.type_name, row.width));
        Self {
            common: elements
                .filter_map(Option::as_deref)
                .zip(frequencies)
                .collect(),
            form: forms.next().filter(|_| row.is_faked),
            row,
            taken: BTreeSet::new(),
        }
    }

    /// Is the value one that the statistics list, or one that was put in before?
    pub(super) fn knows(&self, value: &str) -> bool {
        is_stand_in(value) || self.common.iter().any(|(known, _)| *known == value)
    }

    pub(super) fn common(&self, rank: usize) -> Option<String> {
        self.common.get(rank).map(|(value, _)| (*value).to_owned())
    }

    pub(super) fn rare(&mut self) -> Option<String> {
        let value = self.form?.rare(self.taken.len() + 1);
        self.taken.insert(value.clone());
        Some(value)
    }

    /// The common value nearest to the average frequency, or a rare one if those are nearer.
    pub(super) fn average(&mut self, table_rows: f64) -> Option<String> {
        let n_distinct = match f64::from(self.row.n_distinct) {
            n if n < 0.0 => -n * table_rows,
            n => n,
        };
        let all = 1.0 - f64::from(self.row.null_frac);
        let average = all / n_distinct.max(1.0);
        let n_others = n_distinct - self.common.len() as f64;
        let rare = self.rest() / n_others.max(1.0);
        let distance = |frequency: f64| (frequency.max(1e-9) / average.max(1e-9)).ln().abs();
        let free = self.common.iter();
        let nearest = free
            .filter(|(value, _)| !self.taken.contains(*value) && is_stand_in(value))
            .min_by(|(_, a), (_, b)| distance(*a).total_cmp(&distance(*b)));
        match nearest {
            Some((value, frequency)) if distance(*frequency) < distance(rare) => {
                let value = (*value).to_owned();
                self.taken.insert(value.clone());
                Some(value)
            }
            _ => self.rare(),
        }
    }

    /// The value below which that share of the values lies.
    pub(super) fn place(&self, share: f64) -> Option<String> {
        let form = self.form?;
        let (all, rest) = (self.total(), self.rest());
        let below = |place: u64| {
            let at = place as f64 / N_PLACES as f64;
            let value = form.at(at);
            let common = self
                .common
                .iter()
                .filter(|(known, _)| *known < value.as_str());
            let sum: f64 = common.map(|(_, frequency)| frequency).sum();
            (sum + rest * at) / all
        };
        let off = |place: &u64| (below(*place) - share).abs();
        let best = (0..=N_PLACES).min_by(|a, b| off(a).total_cmp(&off(b)))?;
        Some(form.at(best as f64 / N_PLACES as f64))
    }

    /// A beginning that about that share of the values has.
    pub(super) fn beginning(&self, share: f64) -> Option<String> {
        let form = self.form?;
        let (all, rest) = (self.total(), self.rest());
        let Form::Text(_) = form else {
            return None;
        };
        let off = |beginning: &str| {
            let common = (self.common.iter()).filter(|(known, _)| known.starts_with(beginning));
            let sum: f64 = common.map(|(_, frequency)| frequency).sum();
            let of_rest = rest / power_of_ten(beginning.len() - 1);
            ((sum + of_rest).max(1e-9) / all / share.max(1e-9))
                .ln()
                .abs()
        };
        (1..=3_usize)
            .flat_map(|n| (0..10_u32.pow(n as u32)).map(move |at| format!("x{at:0n$}")))
            .map(|beginning| (off(&beginning), beginning))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, beginning)| beginning)
    }

    fn total(&self) -> f64 {
        (1.0 - f64::from(self.row.null_frac)).max(1e-9)
    }

    fn rest(&self) -> f64 {
        let listed: f64 = self.common.iter().map(|(_, frequency)| frequency).sum();
        (self.total() - listed).max(0.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::planner::{Slot, SlotValues};

    /// Three common values and a histogram.
    pub(crate) fn row(type_name: &str, common: &[(&str, f32)], bounds: &[&str]) -> StatisticRow {
        let values = |texts: Vec<&str>| {
            Some(SlotValues {
                type_name: type_name.into(),
                elements: texts
                    .into_iter()
                    .map(|text| Some(text.to_owned()))
                    .collect(),
            })
        };
        StatisticRow {
            width: 9,
            n_distinct: 100.0,
            slots: vec![
                Slot {
                    kind: SlotKind::MostCommonValues.number(),
                    numbers: Some(common.iter().map(|(_, frequency)| *frequency).collect()),
                    values: values(common.iter().map(|(text, _)| *text).collect()),
                    ..Slot::default()
                },
                Slot {
                    kind: SlotKind::Histogram.number(),
                    values: values(bounds.to_vec()),
                    ..Slot::default()
                },
            ],
            ..StatisticRow::default()
        }
    }

    fn texts(row: &StatisticRow, kind: SlotKind) -> Vec<String> {
        let values = row.slot(kind).unwrap().values.as_ref().unwrap();
        values.elements.iter().flatten().cloned().collect()
    }

    fn secret(type_name: &str) -> StatisticRow {
        let common = [("ada", 0.3), ("bob", 0.2), ("paid", 0.1)];
        row(type_name, &common, &["a", "m", "z"])
    }

    #[test]
    fn equal_values_have_one_stand_in_and_none_tells_of_them() {
        let mut stand_ins = StandIns::default();
        let (mut first, mut second) = (secret("text"), secret("character varying"));
        second.slots[0].values.as_mut().unwrap().elements.reverse();
        for row in [&mut first, &mut second] {
            let form = Form::of("text", row.width).unwrap();
            assert!(stand_ins.replace(row, form, &|text| text == "paid"));
        }
        let [common, mut again] =
            [&first, &second].map(|row| texts(row, SlotKind::MostCommonValues));
        again.reverse();
        assert_eq!(common, again);
        assert_eq!(common[2], "paid", "what stays");
        assert!(
            common[..2]
                .iter()
                .all(|text| is_stand_in(text) && text.len() == 8)
        );
        let bounds = texts(&first, SlotKind::Histogram);
        assert_eq!(bounds.len(), N_BOUNDS as usize);
        assert!(bounds.is_sorted());
        assert_eq!(first.slots[0].numbers, secret("text").slots[0].numbers);
    }

    #[test]
    fn only_texts_and_uuids_have_stand_ins() {
        assert_eq!(Form::of("jsonb", 40), None);
        assert_eq!(Form::of("text[]", 40), None);
        assert_eq!(Form::of("public.citext", 9), Some(Form::Text(8)));
        assert_eq!(Form::of("character(2)", 3), Some(Form::Text(MIN_BYTES)));
    }

    #[test]
    fn a_chosen_value_is_as_selective_as_asked() {
        let mut row = secret("text");
        let form = Form::of("text", row.width).unwrap();
        assert!(StandIns::default().replace(&mut row, form, &|_| false));
        let mut chooser = Chooser::of(&row);
        let first = texts(&row, SlotKind::MostCommonValues)[0].clone();
        assert_eq!(chooser.common(0), Some(first.clone()));
        assert!(chooser.knows(&first) && !chooser.knows("ada"));
        let rare = chooser.rare().unwrap();
        assert!(chooser.knows(&rare));
        assert_ne!(chooser.rare().unwrap(), rare, "each once");
        let shares: Vec<String> = [0.1, 0.5, 0.9]
            .iter()
            .filter_map(|share| chooser.place(*share))
            .collect();
        assert!(shares.is_sorted() && shares.len() == 3, "{shares:?}");
        // of the 40 % that are not listed, a tenth
        let beginning = chooser.beginning(0.04).unwrap();
        assert_eq!(beginning.len(), 2, "{beginning}");
    }

    #[test]
    fn the_average_is_between_common_and_rare() {
        let common = [("a", 0.5), ("b", 0.25), ("c", 0.2), ("d", 0.05)];
        let mut row = row("text", &common, &[]);
        row.n_distinct = 4.0;
        let form = Form::of("text", row.width).unwrap();
        assert!(StandIns::default().replace(&mut row, form, &|_| false));
        let values = texts(&row, SlotKind::MostCommonValues);
        let mut chooser = Chooser::of(&row);
        assert_eq!(chooser.average(1000.0).as_ref(), Some(&values[1]));
        assert_eq!(chooser.average(1000.0).as_ref(), Some(&values[2]));
    }
}
