//! Rows as the statistics of their columns describe them: NULLs, common values, and values between the bounds of a histogram.
//!
//! Every column is drawn by itself, so columns do not correlate. The same statistics give the same rows.

use crate::catalog::planner::{SlotKind, StatisticRow};

/// Fewest and most rows of a small sample. More would not hold more than the statistics do: a hundred bounds of a histogram, each once.
const MIN_ROWS: usize = 60;
const MAX_ROWS: usize = 1_500;
/// Rows where no column has a histogram.
const ROWS: usize = 1_000;
/// Most rows where distinct values are counted.
const MAX_COUNTED: usize = 20_000;
/// Rows between two bounds of a histogram of numbers or times, in a small sample.
const PER_BUCKET: f64 = 12.0;
/// Steps through the rows of a sample, one a column, so that columns meet in different orders and none lies in its own.
const STRIDES: [usize; 6] = [617, 239, 431, 127, 881, 349];
/// Correlation from which on a column lies in order in the sample too, so that a monotonic expression of it does.
const IN_ORDER: f32 = 0.9;
/// The golden ratio's fraction.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// What rows are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Pages of an index on them are read: every value is one that the statistics hold, or a number between two.
    Pages,
    /// Distinct values of expressions are counted: as many different values as the column has, texts put together from those that are known.
    Counts,
}

/// A column that an index reads.
pub(super) struct Column<'a> {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) row: &'a StatisticRow,
}

/// The values of one column by rows: the two ends between which each lies, and how far.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) low: Vec<Option<String>>,
    pub(super) high: Vec<Option<String>>,
    pub(super) share: Vec<f64>,
}

/// Drawn rows.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) columns: Vec<Drawn>,
}

impl Rows {
    /// `None` where the statistics of a column hold no values.
    pub(super) fn draw(columns: &[Column<'_>], purpose: Purpose, table_rows: f64) -> Option<Self> {
        let values: Vec<Values> = columns
            .iter()
            .map(|column| Values::of(column, table_rows))
            .collect::<Option<_>>()?;
        let n = match purpose {
            Purpose::Pages => n_rows(&values),
            Purpose::Counts => coprime((table_rows as usize).clamp(MIN_ROWS, MAX_COUNTED)),
        };
        let columns = values
            .iter()
            .zip(STRIDES.iter().cycle())
            .map(|(values, stride)| {
                values.draw(n, if values.in_order { 1 } else { *stride }, purpose)
            })
            .collect();
        Some(Self { columns })
    }

    /// SELECT of the rows, whose three parameters a column are its ends and shares.
    pub(super) fn select(columns: &[Column<'_>]) -> String {
        let casts: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(i, column)| between(&column.type_name, i))
            .collect();
        let arrays: Vec<String> = (0..columns.len())
            .map(|i| {
                format!(
                    "${}::text[], ${}::text[], ${}::float8[]",
                    3 * i + 1,
                    3 * i + 2,
                    3 * i + 3
                )
            })
            .collect();
        let aliases: Vec<String> = (0..columns.len())
            .map(|i| format!("lo{i}, hi{i}, u{i}"))
            .collect();
        format!(
            "SELECT {} FROM unnest({}) AS x({})",
            casts.join(", "),
            arrays.join(", "),
            aliases.join(", ")
        )
    }
}

/// The values of one column, as its statistics have them.
#[derive(Debug)]
struct Values {
    null_frac: f64,
    common: Vec<(String, f64)>,
    bounds: Vec<String>,
    in_order: bool,
    /// Values between two bounds can be told.
    is_scale: bool,
    /// Values between two bounds can be made up.
    is_text: bool,
    /// Distinct values beside the common ones.
    n_rest: f64,
}

impl Values {
    fn of(column: &Column<'_>, table_rows: f64) -> Option<Self> {
        let row = column.row;
        if column.type_name == "tsvector" {
            return Self::of_words(row);
        }
        let common: Vec<(String, f64)> = texts(row, SlotKind::MostCommonValues)
            .into_iter()
            .zip(frequencies(row))
            .collect();
        let bounds = texts(row, SlotKind::Histogram);
        let null_frac = f64::from(row.null_frac);
        (null_frac >= 1.0 || !common.is_empty() || !bounds.is_empty()).then_some(Self {
            null_frac,
            bounds,
            in_order: correlation(row).is_some_and(|correlation| correlation > IN_ORDER),
            is_scale: scale(&column.type_name).is_some(),
            is_text: is_text(&column.type_name),
            n_rest: (n_distinct(row, table_rows) - common.len() as f64).max(1.0),
            common,
        })
    }

    /// Documents of words as frequent as the statistics of elements say.
    fn of_words(row: &StatisticRow) -> Option<Self> {
        let slot = row.slot(SlotKind::MostCommonElements)?;
        let words = &slot.values.as_ref()?.elements;
        let frequencies = slot.numbers.as_ref()?;
        let bounds = (0..ROWS)
            .map(|at| {
                let words = words.iter().flatten().zip(frequencies).enumerate();
                let chosen = words.filter(|(word, (_, frequency))| {
                    // low-discrepancy: each word stands in its share of the documents, apart from others
                    let u = (at as f64 * GOLDEN + *word as f64 * GOLDEN * GOLDEN).fract();
                    u < f64::from(**frequency)
                });
                let quoted: Vec<String> = chosen
                    .map(|(_, (word, _))| {
                        format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
                    })
                    .collect();
                quoted.join(" ")
            })
            .collect();
        Some(Self {
            null_frac: f64::from(row.null_frac),
            common: Vec::new(),
            bounds,
            in_order: false,
            is_scale: false,
            is_text: false,
            n_rest: ROWS as f64,
        })
    }

    /// Share of rows that have none of the common values.
    fn rest(&self) -> f64 {
        1.0 - self.null_frac - self.common.iter().map(|(_, share)| share).sum::<f64>()
    }

    /// Rows of a sample that holds each bound once.
    fn n_rows(&self) -> Option<f64> {
        let rest = self.rest();
        let each = if self.is_scale { PER_BUCKET } else { 1.0 };
        (!self.bounds.is_empty() && rest > 0.005).then(|| each * self.bounds.len() as f64 / rest)
    }

    fn draw(&self, n: usize, stride: usize, purpose: Purpose) -> Drawn {
        let mut drawn = Drawn::default();
        let pool = (self.rest().max(0.0) * n as f64).min(self.n_rest).max(1.0);
        for at in 0..n {
            let u = ((at * stride % n) as f64 + 0.5) / n as f64;
            let between = ((at + 1) as f64 * GOLDEN).fract();
            let value = match (self.listed(u), purpose) {
                (Ok(value), _) => value.map(|value| (value.clone(), value, 0.0)),
                (Err(left), Purpose::Pages) => self.bound(left, between),
                (Err(left), Purpose::Counts) => self.of_pool((left * pool).floor() / pool),
            };
            let (low, high, share) = match value {
                Some((low, high, share)) => (Some(low), Some(high), share),
                None => (None, None, 0.0),
            };
            drawn.low.push(low);
            drawn.high.push(high);
            drawn.share.push(share);
        }
        drawn
    }

    /// The value at a share of all rows, NULLs first, then common values; of the others, the share of them.
    fn listed(&self, u: f64) -> Result<Option<String>, f64> {
        let mut left = u - self.null_frac;
        if left < 0.0 {
            return Ok(None);
        }
        for (value, share) in &self.common {
            left -= share;
            if left < 0.0 {
                return Ok(Some(value.clone()));
            }
        }
        match (self.bounds.is_empty(), self.common.last()) {
            (true, Some((value, _))) => Ok(Some(value.clone())),
            (true, None) => Ok(None),
            _ => Err((left / self.rest().max(1e-9)).clamp(0.0, 1.0 - 1e-9)),
        }
    }

    /// A bound of the histogram, or the two around a number.
    fn bound(&self, left: f64, between: f64) -> Option<(String, String, f64)> {
        let last = self.bounds.len().checked_sub(1)?;
        let at = ((left * self.bounds.len() as f64) as usize).min(last);
        let next = if self.is_scale {
            (at + 1).min(last)
        } else {
            at
        };
        Some((self.bounds[at].clone(), self.bounds[next].clone(), between))
    }

    /// The value at that share of all different ones.
    fn of_pool(&self, left: f64) -> Option<(String, String, f64)> {
        let n_buckets = self.bounds.len().checked_sub(1)?;
        let at = left * n_buckets as f64;
        let (bucket, share) = ((at as usize).min(n_buckets.saturating_sub(1)), at.fract());
        let next = (bucket + 1).min(n_buckets);
        if self.is_scale {
            return Some((
                self.bounds[bucket].clone(),
                self.bounds[next].clone(),
                share,
            ));
        }
        if self.is_text {
            let text = spliced(
                &self.bounds,
                bucket,
                next,
                (left * (1_u64 << 52) as f64) as u64,
            );
            return Some((text.clone(), text, 0.0));
        }
        self.bound(left, share)
    }
}

/// A text between two bounds: what both begin with, a character between theirs, and the rest in pieces from other bounds as long.
fn spliced(bounds: &[String], low: usize, high: usize, seed: u64) -> String {
    let mut random = Random(seed);
    let [first, last] = [low, high].map(|at| bounds[at].chars().collect::<Vec<char>>());
    let same = first.iter().zip(&last).take_while(|(a, b)| a == b).count();
    let mut text: Vec<char> = first[..same].to_vec();
    let pick = |random: &mut Random| -> Vec<char> {
        let at = random.next() as usize % bounds.len();
        bounds[at].chars().collect()
    };
    if let (Some(from), Some(to)) = (first.get(same), last.get(same)) {
        let found = (0..TRIES)
            .filter_map(|_| pick(&mut random).get(same).copied())
            .find(|c| from <= c && c <= to);
        text.push(found.unwrap_or(*from));
    }
    let like = (0..TRIES)
        .map(|_| pick(&mut random))
        .find(|other| other.len() >= text.len())
        .unwrap_or(first);
    while text.len() < like.len() {
        let other = pick(&mut random);
        let piece = if other.len() == like.len() {
            other[text.len()]
        } else {
            like[text.len()]
        };
        text.push(piece);
    }
    text.into_iter().collect()
}

/// Bounds that are looked at for one that fits.
const TRIES: usize = 20;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Values of a slot as text.
pub(super) fn texts(row: &StatisticRow, kind: SlotKind) -> Vec<String> {
    let values = row.slot(kind).and_then(|slot| slot.values.as_ref());
    values
        .map(|values| values.elements.iter().flatten().cloned().collect())
        .unwrap_or_default()
}

/// Shares of rows of the common values.
pub(super) fn frequencies(row: &StatisticRow) -> Vec<f64> {
    let numbers = row
        .slot(SlotKind::MostCommonValues)
        .and_then(|slot| slot.numbers.as_ref());
    numbers
        .into_iter()
        .flatten()
        .copied()
        .map(f64::from)
        .collect()
}

/// Do a column's values lie in the table's order, upwards or downwards?
pub(super) fn is_in_order(row: &StatisticRow) -> bool {
    correlation(row).is_some_and(|correlation| correlation.abs() > STRICTLY_IN_ORDER)
}

/// Correlation from which on a column lies in the table's order: 1 but for rounding.
pub(super) const STRICTLY_IN_ORDER: f32 = 0.999;

fn correlation(row: &StatisticRow) -> Option<f32> {
    let slot = row.slot(SlotKind::Correlation)?;
    slot.numbers.as_ref()?.first().copied()
}

/// Distinct values that a column's statistics tell.
pub(super) fn n_distinct(row: &StatisticRow, table_rows: f64) -> f64 {
    match f64::from(row.n_distinct) {
        n if n > 0.0 => n,
        n if n < 0.0 => -n * table_rows,
        _ => table_rows,
    }
    .max(1.0)
}

/// How a value between two others is worked out.
#[derive(Debug, Clone, Copy)]
enum Scale {
    /// Rounded to whole numbers.
    Whole,
    Real,
    Days,
    Time,
}

fn scale(type_name: &str) -> Option<Scale> {
    match type_name {
        "smallint" | "integer" | "bigint" => Some(Scale::Whole),
        "real" | "double precision" => Some(Scale::Real),
        "date" => Some(Scale::Days),
        "timestamp without time zone" | "timestamp with time zone" => Some(Scale::Time),
        name if name.starts_with("numeric(") => Some(Scale::Real),
        _ => None,
    }
}

fn is_text(type_name: &str) -> bool {
    ["text", "uuid", "citext"].contains(&type_name) || type_name.starts_with("character")
}

/// SQL of a value between the two ends of column `i`.
fn between(type_name: &str, i: usize) -> String {
    let (low, high, u) = (format!("lo{i}"), format!("hi{i}"), format!("u{i}"));
    let sql = match scale(type_name) {
        None => return format!("{low}::{type_name}"),
        Some(Scale::Whole) => {
            format!("floor({low}::float8 + ({high}::float8 - {low}::float8) * {u})")
        }
        Some(Scale::Real) => format!("({low}::float8 + ({high}::float8 - {low}::float8) * {u})"),
        Some(Scale::Days) => {
            format!("({low}::date + floor(({high}::date - {low}::date) * {u})::int)")
        }
        Some(Scale::Time) => {
            format!("({low}::{type_name} + ({high}::{type_name} - {low}::{type_name}) * {u})")
        }
    };
    // infinities have no distance
    format!("CASE WHEN {low} = {high} THEN {low}::{type_name} ELSE {sql}::{type_name} END")
}

/// As many as the column with the fewest bounds can fill without repeating one.
fn n_rows(values: &[Values]) -> usize {
    let fewest = values
        .iter()
        .filter_map(Values::n_rows)
        .fold(f64::INFINITY, f64::min);
    let n = if fewest.is_finite() {
        fewest.round() as usize
    } else {
        ROWS
    };
    coprime(n.clamp(MIN_ROWS, MAX_ROWS))
}

/// The next number that every stride goes all through.
fn coprime(n: usize) -> usize {
    (n..2 * n)
        .find(|n| STRIDES.iter().all(|stride| n % stride != 0))
        .unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(null_frac: f64, common: &[(&str, f64)], n_bounds: usize) -> Values {
        Values {
            null_frac,
            common: common
                .iter()
                .map(|(v, share)| ((*v).to_owned(), *share))
                .collect(),
            bounds: (0..n_bounds).map(|at| format!("b{at}")).collect(),
            in_order: false,
            is_scale: false,
            is_text: true,
            n_rest: 300.0,
        }
    }

    #[test]
    fn a_sample_has_the_shares_of_the_statistics_and_each_bound_once() {
        let values = values(0.1, &[("often", 0.4)], 100);
        let n = n_rows(std::slice::from_ref(&values));
        assert!((190..=210).contains(&n), "{n}");
        for stride in STRIDES {
            let drawn = values.draw(n, stride, Purpose::Pages).low;
            let count =
                |value: Option<&str>| drawn.iter().filter(|v| v.as_deref() == value).count();
            assert!((18..=22).contains(&count(None)));
            assert!((78..=82).contains(&count(Some("often"))));
            assert!(count(Some("b7")) <= 2 && count(Some("b50")) >= 1);
        }
    }

    #[test]
    fn made_up_texts_look_like_the_known_ones_and_are_as_many_as_there_are() {
        let mut values = values(0.0, &[], 0);
        values.bounds = (0..101)
            .map(|at| format!("{:03x}-{:04x}", at * 37, at * 7919 % 65536))
            .collect();
        let drawn = values.draw(5000, 617, Purpose::Counts).low;
        let mut texts: Vec<String> = drawn.into_iter().flatten().collect();
        assert!(
            texts
                .iter()
                .all(|text| text.len() == 8 && text.as_bytes()[3] == b'-')
        );
        texts.sort();
        texts.dedup();
        assert!((285..=300).contains(&texts.len()), "{}", texts.len());
        values.n_rest = 1e6;
        let drawn = values.draw(5000, 617, Purpose::Counts).low;
        let mut prefixes: Vec<String> = drawn
            .into_iter()
            .flatten()
            .map(|text| text[..3].to_owned())
            .collect();
        prefixes.sort();
        prefixes.dedup();
        // of 3,700 that the bounds span
        assert!(prefixes.len() > 1500, "{}", prefixes.len());
    }

    #[test]
    fn columns_without_values_have_no_sample() {
        let row = StatisticRow {
            n_distinct: -1.0,
            ..StatisticRow::default()
        };
        let column = Column {
            name: "a".into(),
            type_name: "text".into(),
            row: &row,
        };
        assert!(Values::of(&column, 100.0).is_none());
    }
}
