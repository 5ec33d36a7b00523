//! Log times → microseconds since the epoch.

/// Offset of a named time zone east of UTC, minutes. Abbreviations are ambiguous; these are the commonest readings (the
/// `Default` set of Postgres's `timezonesets`).
const ZONES: &[(&[u8], i64)] = &[
    (b"UTC", 0),
    (b"GMT", 0),
    (b"Z", 0),
    (b"WET", 0),
    (b"CET", 60),
    (b"BST", 60),
    (b"WEST", 60),
    (b"IST", 330),
    (b"CEST", 120),
    (b"EET", 120),
    (b"SAST", 120),
    (b"EEST", 180),
    (b"MSK", 180),
    (b"PKT", 300),
    (b"HKT", 480),
    (b"SGT", 480),
    (b"AWST", 480),
    (b"JST", 540),
    (b"KST", 540),
    (b"ACST", 570),
    (b"AEST", 600),
    (b"ACDT", 630),
    (b"AEDT", 660),
    (b"NZST", 720),
    (b"NZDT", 780),
    (b"BRT", -180),
    (b"ART", -180),
    (b"EDT", -240),
    (b"EST", -300),
    (b"CDT", -300),
    (b"CST", -360),
    (b"MDT", -360),
    (b"MST", -420),
    (b"PDT", -420),
    (b"PST", -480),
    (b"AKDT", -480),
    (b"AKST", -540),
    (b"HST", -600),
];

const MINUTE_US: i64 = 60_000_000;

/// Turns times of one log into microseconds; remembers the last minute and zone, which most lines share.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock {
    /// Offset of zones that [`ZONES`] does not have, minutes east of UTC.
    unknown_zone_minutes: i64,
    /// The minute of the last time that could be read: what is read of a time must not depend on those before it.
    minute: [u8; 17],
    minute_us: i64,
    /// The last zone, with the space before it.
    zone: Vec<u8>,
    zone_us: i64,
}

impl Clock {
    pub(super) fn new(unknown_zone_minutes: i64) -> Self {
        Self {
            unknown_zone_minutes,
            ..Self::default()
        }
    }

    /// Reads `2026-11-22 20:36:03.041 UTC` at the start of `text`: microseconds, and bytes read. The fraction and the zone may be
    /// absent; `T` may stand for the space.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<(i64, usize)> {
        let minute = text.first_chunk::<17>()?;
        // without a zone, none was read to its end yet
        let is_known = *minute == self.minute && !self.zone.is_empty();
        if is_known && let Some(same) = self.same_layout(text) {
            return Some(same);
        }
        let minute_us = if is_known {
            self.minute_us
        } else {
            minute_us(minute)?
        };
        let seconds = two_digits(text.get(17..19)?)?;
        self.minute_us = minute_us;
        self.minute = *minute;
        let (fraction_us, mut at) = fraction(text, 19);
        let zone_at = at + usize::from(text.get(at) == Some(&b' '));
        let len = zone_len(&text[zone_at..]);
        let zone: &[u8] = if len == 0 {
            b"UTC"
        } else {
            &text[zone_at..zone_at + len]
        };
        if len > 0 {
            at = zone_at + len;
        }
        if self.zone.is_empty() || zone != &self.zone[1..] {
            self.zone_us = self.offset_minutes(zone) * MINUTE_US;
            self.zone = [b" ", zone].concat();
        }
        let local_us = self.minute_us + seconds * 1_000_000 + fraction_us;
        Some((local_us - self.zone_us, at))
    }

    /// A time with milliseconds in the minute and zone of the last one: nearly all are.
    fn same_layout(&self, text: &[u8]) -> Option<(i64, usize)> {
        let len = 23 + self.zone.len();
        let (time, behind) = text.split_at_checked(len)?;
        let [s1, s0, b'.', m2, m1, m0, zone @ ..] = &time[17..] else {
            return None;
        };
        let numeric = self.zone.last().is_some_and(u8::is_ascii_digit);
        let goes_on = match behind.first() {
            Some(b':') => numeric,
            Some(byte) => byte.is_ascii_alphanumeric(),
            None => false,
        };
        if goes_on || zone != self.zone {
            return None;
        }
        let digit = |byte: &u8| i64::from(byte.wrapping_sub(b'0'));
        let digits = [digit(s1), digit(s0), digit(m2), digit(m1), digit(m0)];
        if digits.iter().any(|digit| *digit > 9) {
            return None;
        }
        let [s1, s0, m2, m1, m0] = digits;
        let ms = (s1 * 10 + s0) * 1000 + m2 * 100 + m1 * 10 + m0;
        Some((self.minute_us + ms * 1000 - self.zone_us, len))
    }

    fn offset_minutes(&self, zone: &[u8]) -> i64 {
        let known = ZONES.iter().find(|(name, _)| *name == zone);
        match (known, zone) {
            (Some((_, minutes)), _) => *minutes,
            (None, [sign @ (b'+' | b'-'), digits @ ..]) => {
                let digits: Vec<u8> = digits.iter().copied().filter(|b| *b != b':').collect();
                let hours = digits.get(..2).and_then(two_digits).unwrap_or(0);
                let minutes = digits.get(2..4).and_then(two_digits).unwrap_or(0);
                (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => self.unknown_zone_minutes,
        }
    }
}

/// Whether `text` starts like `2026-11-22 20:36:03`.
pub(super) fn looks_like_time(text: &[u8]) -> bool {
    const SHAPE: &[u8; 19] = b"0000-00-00 00:00:00";
    text.len() >= SHAPE.len()
        && SHAPE.iter().zip(text).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'T'),
            other => other == byte,
        })
}

/// Microseconds and the end of `.041` at `at`; 0 when there is none.
fn fraction(text: &[u8], at: usize) -> (i64, usize) {
    if !matches!(text.get(at), Some(b'.' | b',')) {
        return (0, at);
    }
    let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit());
    let (us, n) = digits.fold((0i64, 0usize), |(us, n), digit| match n {
        0..6 => (us * 10 + i64::from(digit - b'0'), n + 1),
        _ => (us, n + 1),
    });
    if n == 0 {
        return (0, at);
    }
    let missing = 6usize.saturating_sub(n) as u32;
    (us * 10i64.pow(missing), at + 1 + n)
}

/// Length of a zone: letters, or a sign with digits.
fn zone_len(text: &[u8]) -> usize {
    let count = |is: fn(&u8) -> bool, from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| is(byte)).count()
    };
    match text.first() {
        Some(b'+' | b'-') => {
            let hours = count(u8::is_ascii_digit, 1);
            let minutes = match text.get(1 + hours) {
                Some(b':') if hours == 2 && count(u8::is_ascii_digit, 4) == 2 => 3,
                _ => 0,
            };
            if hours == 2 || hours == 4 {
                1 + hours + minutes
            } else {
                0
            }
        }
        Some(byte) if byte.is_ascii_alphabetic() => count(u8::is_ascii_alphabetic, 0),
        _ => 0,
    }
}

/// `2026-11-22 20:36:` → microseconds since the epoch.
fn minute_us(text: &[u8; 17]) -> Option<i64> {
    let year = two_digits(&text[..2])? * 100 + two_digits(&text[2..4])?;
    let (month, day) = (two_digits(&text[5..7])?, two_digits(&text[8..10])?);
    let (hour, minute) = (two_digits(&text[11..13])?, two_digits(&text[14..16])?);
    let separated = text[4] == b'-' && text[7] == b'-' && text[13] == b':' && text[16] == b':';
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    if !separated || !matches!(text[10], b' ' | b'T') || !in_range {
        return None;
    }
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * MINUTE_US)
}

/// Days since 1970-01-01 of a Gregorian date (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn two_digits(text: &[u8]) -> Option<i64> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(i64, &str)> {
        let (us, len) = Clock::new(0).read(text.as_bytes())?;
        Some((us, &text[len..]))
    }

    #[test]
    fn a_time_that_is_none_changes_nothing() {
        let good = b"2026-11-22 20:36:03.041 UTC [1]";
        for bad in [
            &b"2026-11-22 20:36:0=.041 UTC [1]"[..],
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0003.041 UTC",
        ] {
            let mut clock = Clock::new(0);
            assert_eq!(clock.read(bad), None);
            assert_eq!(clock.read(good), Clock::new(0).read(good));
            assert_eq!(clock.read(bad), None);
            assert_eq!(clock.read(good), Clock::new(0).read(good));
        }
    }

    #[test]
    fn times_of_every_shape() {
        let base = 1_795_379_763_000_000; // 2026-11-22 20:36:03 UTC
        for (text, us, rest) in [
            ("2026-11-22 20:36:03.041 UTC [1]", base + 41_000, " [1]"),
            ("2026-11-22 20:36:03 UTC:10.0.0.1", base, ":10.0.0.1"),
            ("2026-11-22 21:36:03 CET x", base, " x"),
            ("2026-11-22 17:06:03.5 -0330 x", base + 500_000, " x"),
            ("2026-11-22 23:36:03 +03 x", base, " x"),
            ("2026-11-22T20:36:03.041123Z", base + 41_123, ""),
            ("2026-11-22T22:36:03.041123+02:00,", base + 41_123, ","),
            ("2026-11-22 20:36:03 [1]", base, " [1]"),
        ] {
            assert_eq!(read(text), Some((us, rest)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2026-13-01 00:00:00",
            "2026-01-01 25:00:00",
            "x",
            "2026/01/01 00:00:00 UTC",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn days_match_known_dates() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
        assert_eq!(days(1969, 12, 31), -1);
    }
}
