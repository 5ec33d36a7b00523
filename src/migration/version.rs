//! The next versions of a migrations folder: after those that are there, in the style that they have.

use jiff::{ToSpan, civil::DateTime};

use super::ProjectView;

/// How a framework numbers when nothing is there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// 1, 2, 3 in at least so many digits.
    Sequence(usize),
    /// Seconds since 1970.
    Unix,
    /// `YYYYMMDDhhmmss`
    Stamp,
    /// Milliseconds since 1970.
    Millis,
    /// `YYYYMMDDhhmmss` and milliseconds.
    StampMillis,
}

/// Longest number that counts as one of a sequence: eight digits may be a date.
const MAX_SEQUENCE_DIGITS: usize = 7;

/// Gives versions, each greater than the one before and than all that are there.
#[derive(Debug, Clone)]
pub(super) struct Versions {
    style: Style,
    /// Of the next file.
    time: DateTime,
    /// The next of a sequence.
    next: u64,
}

/// When the first file is to be dated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The time.
    pub time: DateTime,
    /// The user named it: it is taken as it is, whatever is there.
    pub is_given: bool,
}

impl Versions {
    /// Goes on behind the numbers that stand at the start of the names in a folder, behind `prefix`.
    pub(super) fn behind(
        view: &ProjectView<'_>,
        prefix: &str,
        default: Style,
        start: Start,
    ) -> Self {
        let digits: Vec<&str> = view
            .top()
            .into_iter()
            .filter_map(|name| name.strip_prefix(prefix))
            .map(leading_digits)
            .filter(|digits| !digits.is_empty())
            .collect();
        Self::after(&digits, default, start)
    }

    /// Goes on behind these numbers.
    pub(super) fn after(existing: &[&str], default: Style, start: Start) -> Self {
        let last = existing
            .iter()
            .filter_map(|digits| Some((digits.parse::<u64>().ok()?, *digits)))
            .max();
        let Some((last, digits)) = last else {
            return Self {
                style: default,
                time: start.time,
                next: 1,
            };
        };
        let style = style_of(digits, existing);
        Self {
            style,
            time: later(start, latest(style, digits)),
            next: last.saturating_add(1),
        }
    }

    /// Timestamps of 14 digits, whatever is there.
    pub(super) fn stamps(view: &ProjectView<'_>, start: Start) -> Self {
        let stamps: Vec<&str> = view
            .top()
            .into_iter()
            .map(leading_digits)
            .filter(|digits| digits.len() == 14)
            .collect();
        Self::after(&stamps, Style::Stamp, start)
    }

    /// The next version.
    pub(super) fn next(&mut self) -> String {
        let (time, number) = (self.time, self.next);
        self.time = time.saturating_add(1.second());
        self.next = number.saturating_add(1);
        match self.style {
            Style::Sequence(width) => format!("{number:0width$}"),
            Style::Unix => seconds(time).to_string(),
            Style::Stamp => stamp(time),
            Style::Millis => (seconds(time) * 1000).to_string(),
            Style::StampMillis => format!("{}000", stamp(time)),
        }
    }
}

pub(super) fn leading_digits(name: &str) -> &str {
    let end = name.bytes().take_while(u8::is_ascii_digit).count();
    &name[..end]
}

pub(super) fn stamp(time: DateTime) -> String {
    time.strftime("%Y%m%d%H%M%S").to_string()
}

fn seconds(time: DateTime) -> i64 {
    time.to_zoned(jiff::tz::TimeZone::UTC)
        .map_or(0, |zoned| zoned.timestamp().as_second())
}

fn style_of(digits: &str, existing: &[&str]) -> Style {
    match digits.len() {
        14 => Style::Stamp,
        17 => Style::StampMillis,
        13 => Style::Millis,
        10 => Style::Unix,
        n if n <= MAX_SEQUENCE_DIGITS => {
            // 0001 and 0012 are padded to four, 1 and 12 are not
            let padded = existing.iter().any(|other| other.starts_with('0'));
            Style::Sequence(if padded { n } else { 1 })
        }
        _ => Style::Stamp,
    }
}

/// The time that a version stands for.
fn latest(style: Style, digits: &str) -> Option<DateTime> {
    match style {
        Style::Sequence(_) => None,
        Style::Stamp | Style::StampMillis => {
            DateTime::strptime("%Y%m%d%H%M%S", digits.get(..14)?).ok()
        }
        Style::Unix => of_seconds(digits.parse().ok()?),
        Style::Millis => of_seconds(digits.parse::<i64>().ok()? / 1000),
    }
}

fn of_seconds(seconds: i64) -> Option<DateTime> {
    let timestamp = jiff::Timestamp::from_second(seconds).ok()?;
    Some(timestamp.to_zoned(jiff::tz::TimeZone::UTC).datetime())
}

fn later(start: Start, latest: Option<DateTime>) -> DateTime {
    match latest {
        Some(latest) if !start.is_given && latest >= start.time => {
            latest.saturating_add(1.second())
        }
        _ => start.time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(existing: &[&str], default: Style) -> String {
        let start = Start {
            time: jiff::civil::date(2026, 1, 2).at(3, 4, 5, 0),
            is_given: false,
        };
        let mut versions = Versions::after(existing, default, start);
        versions.next();
        versions.next()
    }

    #[test]
    fn numbers_go_on_in_the_style_that_is_there() {
        assert_eq!(next(&[], Style::Sequence(4)), "0002");
        assert_eq!(next(&["0001", "0009"], Style::Stamp), "0011");
        assert_eq!(next(&["1", "9"], Style::Stamp), "11");
        assert_eq!(next(&[], Style::Stamp), "20260102030406");
        assert_eq!(next(&["20270101000000"], Style::Stamp), "20270101000002");
        assert_eq!(next(&["1700000000000"], Style::Stamp), "1767323046000");
        assert_eq!(next(&["99999999999999"], Style::Stamp), "20260102030406");
    }
}
