//! Keys of an index by how often each occurs and how wide it is: the product of what is known of its columns, taken as independent.

use super::{TUPLE_HEADER, TUPLE_HEADER_NULLS, aligned};

/// Values of a column that occur about equally often.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::twin) struct Class {
    /// How many values.
    pub(in crate::twin) n: f64,
    /// Share of the rows that have one of them.
    pub(in crate::twin) share: f64,
    /// Widths of some of them, headers included; no value at all stands for NULL.
    pub(in crate::twin) widths: Vec<f64>,
}

impl Class {
    /// NULL, in that share of the rows.
    pub(in crate::twin) fn null(share: f64) -> Self {
        Self {
            n: 1.0,
            share,
            widths: Vec::new(),
        }
    }

    /// Is this NULL?
    pub(in crate::twin) fn is_null(&self) -> bool {
        self.widths.is_empty()
    }

    fn width(&self) -> f64 {
        self.widths.iter().sum::<f64>() / self.widths.len().max(1) as f64
    }
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::twin) struct KeyColumn {
    /// `typlen`, -1 for variable length.
    pub(in crate::twin) length: i16,
    /// Alignment in bytes.
    pub(in crate::twin) align: f64,
    /// All its values.
    pub(in crate::twin) classes: Vec<Class>,
    /// The rows whose shares these are. Where the index has fewer, its condition leaves some by chance.
    pub(in crate::twin) n_rows: f64,
}

impl KeyColumn {
    /// Distinct values beside NULL.
    pub(in crate::twin) fn n_distinct(&self) -> f64 {
        let values = self.classes.iter().filter(|class| !class.is_null());
        values.map(|class| class.n).sum::<f64>().max(1.0)
    }

    /// Average width of values that are not NULL.
    pub(in crate::twin) fn width(&self) -> f64 {
        let values = || self.classes.iter().filter(|class| !class.is_null());
        let share: f64 = values().map(|class| class.share).sum();
        values()
            .map(|class| class.share * class.width())
            .sum::<f64>()
            / share.max(1e-9)
    }

    /// One class of all values beside NULL: for columns whose values are functions of another's.
    fn merged(&self) -> Vec<Class> {
        let (nulls, values): (Vec<&Class>, Vec<&Class>) =
            self.classes.iter().partition(|class| class.is_null());
        let mut classes: Vec<Class> = nulls.into_iter().cloned().collect();
        if !values.is_empty() {
            classes.push(Class {
                n: 1.0,
                share: values.iter().map(|class| class.share).sum(),
                widths: vec![self.width()],
            });
        }
        classes
    }
}

/// Combinations of values that occur about equally often, by chance (Poisson) so many times each; those that never do count too.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) n: f64,
    pub(super) load: f64,
    /// Bytes of an index tuple, without its line pointer.
    pub(super) item: f64,
    /// Data bytes of some tuples.
    offsets: Vec<f64>,
    has_null: bool,
}

/// Tuples whose bytes are reckoned one by one.
const N_OFFSETS: usize = 48;
/// Steps through the widths of a column, so that columns meet in different orders.
const STRIDES: [usize; 5] = [1, 7, 11, 17, 29];
/// Groups that are kept apart; beyond, those of about the same load are taken together.
const MAX_GROUPS: usize = 600;
/// Loads beyond which a count that is at least one is hardly ever zero by chance.
const MANY: f64 = 40.0;
/// Load of a value that occurs once, for reckoning.
const ONCE: f64 = 1e-6;

/// The `n_rows` rows of an index by key. Columns that lie `in_order` are functions of each other.
pub(super) fn groups(columns: &[KeyColumn], n_rows: f64, in_order: &[bool]) -> Vec<Group> {
    let anchor = (0..columns.len())
        .max_by(|a, b| {
            columns[*a]
                .n_distinct()
                .total_cmp(&columns[*b].n_distinct())
                .then(b.cmp(a))
        })
        .unwrap_or(0);
    let mut groups = vec![Group {
        n: 1.0,
        load: 1.0,
        item: 0.0,
        offsets: vec![0.0; N_OFFSETS],
        has_null: false,
    }];
    for (at, column) in columns.iter().enumerate() {
        let all = column.n_rows.max(n_rows);
        let follows = |at| in_order.get(at).is_some_and(|in_order| *in_order);
        let classes = if at != anchor && follows(at) && follows(anchor) {
            column.merged()
        } else {
            column.classes.clone()
        };
        let mut next = Vec::with_capacity(groups.len() * classes.len());
        for class in classes
            .iter()
            .filter(|class| class.share > 0.0 && class.n > 0.0)
        {
            let (n, load) = if at == anchor {
                latent(class.n, all * class.share / class.n, n_rows / all)
            } else {
                (class.n, class.share / class.n)
            };
            next.extend(groups.iter().map(|group| Group {
                n: group.n * n,
                load: group.load * load,
                item: 0.0,
                offsets: placed(&group.offsets, column, class, STRIDES[at % STRIDES.len()]),
                has_null: group.has_null || class.is_null(),
            }));
        }
        groups = if next.len() > MAX_GROUPS {
            coarse(next)
        } else {
            next
        };
    }
    for group in &mut groups {
        let header = if group.has_null {
            TUPLE_HEADER_NULLS
        } else {
            TUPLE_HEADER
        };
        let bytes: f64 = group
            .offsets
            .iter()
            .map(|offset| aligned(header + offset, 8.0))
            .sum();
        group.item = bytes / N_OFFSETS as f64;
    }
    groups
}

/// Values of which each occurs `rows` times on average and at least once, as so many more of which each occurs by chance, some never: `kept` thins
/// them out.
fn latent(n: f64, rows: f64, kept: f64) -> (f64, f64) {
    if rows > MANY {
        return (n, rows * kept);
    }
    let (mut low, mut high) = (ONCE, MANY);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        // mean of a Poisson variable that is not zero
        if middle / -f64::exp_m1(-middle) < rows {
            low = middle;
        } else {
            high = middle;
        }
    }
    (n * rows / low, low * kept)
}

fn placed(offsets: &[f64], column: &KeyColumn, class: &Class, stride: usize) -> Vec<f64> {
    if class.is_null() {
        return offsets.to_vec();
    }
    let n = class.widths.len();
    let place = |(at, offset): (usize, &f64)| {
        // evenly over all widths, whatever their number
        let width = class.widths[(at * stride % N_OFFSETS) * n / N_OFFSETS];
        // a varlena of up to 126 bytes has a header of one byte and no alignment
        let align = if column.length < 0 && width <= 127.0 {
            1.0
        } else {
            column.align
        };
        aligned(*offset, align) + width
    };
    offsets.iter().enumerate().map(place).collect()
}

/// Those of about the same load and kind as one.
fn coarse(groups: Vec<Group>) -> Vec<Group> {
    let mut merged: std::collections::BTreeMap<(i64, bool), (Group, f64)> =
        std::collections::BTreeMap::new();
    for group in groups {
        let key = ((2.0 * group.load.log2()).round() as i64, group.has_null);
        let rows = group.n * group.load;
        match merged.get_mut(&key) {
            None => {
                merged.insert(key, (group, rows));
            }
            Some((known, most)) => {
                let all = known.n * known.load + rows;
                known.n += group.n;
                known.load = all / known.n;
                if rows > *most {
                    known.offsets = group.offsets;
                    *most = rows;
                }
            }
        }
    }
    merged.into_values().map(|(group, _)| group).collect()
}

impl Group {
    /// `n_keys` keys as wide as those of `groups` that share `n_rows` about equally.
    pub(super) fn of_equal(groups: &[Self], n_keys: f64, n_rows: f64) -> Vec<Self> {
        let (n, load) = latent(n_keys, n_rows / n_keys.max(1.0), 1.0);
        let rows: f64 = groups.iter().map(|group| group.n * group.load).sum();
        groups
            .iter()
            .map(|group| Self {
                n: n * group.n * group.load / rows.max(1e-9),
                load,
                ..group.clone()
            })
            .collect()
    }

    /// The expected sum of `of(rows)` over all keys.
    pub(super) fn sum(&self, of: impl Fn(f64) -> f64) -> f64 {
        if self.load > MANY {
            return self.n * of(self.load);
        }
        let mut p = (-self.load).exp();
        let mut sum = 0.0;
        let last = (self.load + 8.0 * self.load.sqrt() + 6.0).ceil() as u32;
        for k in 1..=last {
            p *= self.load / f64::from(k);
            sum += p * of(f64::from(k));
        }
        self.n * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(classes: &[(f64, f64, &[f64])]) -> KeyColumn {
        KeyColumn {
            length: -1,
            align: 4.0,
            classes: classes
                .iter()
                .map(|(n, share, widths)| Class {
                    n: *n,
                    share: *share,
                    widths: widths.to_vec(),
                })
                .collect(),
            n_rows: 1000.0,
        }
    }

    #[track_caller]
    fn check(columns: &[KeyColumn], n_rows: f64, n_keys: f64) {
        let groups = groups(columns, n_rows, &[]);
        let found: f64 = groups.iter().map(|group| group.sum(|_| 1.0)).sum();
        assert!(
            (found / n_keys - 1.0).abs() < 0.03,
            "{found}, not {n_keys}: {groups:?}"
        );
        let rows: f64 = groups.iter().map(|g| g.n * g.load).sum();
        assert!((rows / n_rows - 1.0).abs() < 0.01, "{rows} rows");
    }

    #[test]
    fn keys_are_counted() {
        let unique = column(&[(1000.0, 1.0, &[5.0])]);
        let three = column(&[(3.0, 1.0, &[2.0])]);
        check(std::slice::from_ref(&unique), 1000.0, 1000.0);
        // a unique column decides alone
        check(&[unique.clone(), three.clone()], 1000.0, 1000.0);
        check(std::slice::from_ref(&three), 1000.0, 3.0);
        // nine tenths are NULL: these rows have but the other column's five values, the others a value each
        let mostly_null = column(&[(1.0, 0.9, &[]), (100.0, 0.1, &[5.0])]);
        check(&[mostly_null, column(&[(5.0, 1.0, &[2.0])])], 1000.0, 105.0);
        // of 500 values that occur twice on average, a condition that leaves half of the rows leaves about two thirds
        check(&[column(&[(500.0, 1.0, &[5.0])])], 500.0, 345.0);
    }

    #[test]
    fn tuples_are_as_wide_as_their_values() {
        let null_or_long = column(&[(1.0, 0.8, &[]), (200.0, 0.2, &[100.0])]);
        let groups = groups(&[null_or_long], 1000.0, &[]);
        let items: Vec<f64> = groups.iter().map(|g| g.item).collect();
        assert_eq!(items, [16.0, 112.0]);
    }

    #[test]
    fn many_columns_stay_few_groups() {
        let skewed: Vec<(f64, f64, &[f64])> = (0..14)
            .map(|at| (f64::from(1 << at), 1.0 / 14.0, &[4.0][..]))
            .collect();
        let columns = vec![column(&skewed); 8];
        assert!(groups(&columns, 1e6, &[]).len() <= MAX_GROUPS);
    }
}
