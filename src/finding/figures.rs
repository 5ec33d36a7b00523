//! Figures as people read them: counts with separators, times and sizes in the unit that fits, shares in per cent.

/// `1,204,331`
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 statement`, `2 statements`
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
}

/// `0.042 ms`, `12.3 ms`, `1.24 s`, `3 min 12 s`, `2 h 5 min`, `1.2 d`
#[must_use]
pub fn milliseconds(ms: f64) -> String {
    let seconds = ms / 1e3;
    match seconds {
        _ if ms <= 0.0 => "0 ms".to_owned(),
        _ if ms < 0.9995 => format!("{} ms", significant(ms)),
        s if s < 0.9995 => format!("{} ms", significant(ms)),
        s if s < 59.95 => format!("{} s", significant(s)),
        s if s < 3_599.5 => two_units(s, 60.0, "min", "s"),
        s if s < 86_370.0 => two_units(s / 60.0, 60.0, "h", "min"),
        s => format!("{} d", significant(s / 86_400.0)),
    }
}

/// A time that is an estimate: two significant digits and one unit. `37 min`, `1.2 s`
#[must_use]
pub fn roughly_milliseconds(ms: f64) -> String {
    let (value, unit) = match ms {
        ms if ms < 999.5 => (ms, "ms"),
        ms if ms < 59_500.0 => (ms / 1e3, "s"),
        ms if ms < 3_570_000.0 => (ms / 60e3, "min"),
        ms if ms < 84_600_000.0 => (ms / 3_600e3, "h"),
        ms => (ms / 86_400e3, "d"),
    };
    let decimals = match value {
        v if v >= 9.95 => 0,
        v if v >= 0.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// A length of time in seconds, as [`milliseconds`] shows it.
#[must_use]
pub fn seconds(s: f64) -> String {
    milliseconds(s * 1e3)
}

/// `3 min 12 s`; the smaller unit is left out when it is zero.
fn two_units(small: f64, per_large: f64, large: &str, small_name: &str) -> String {
    let small = small.round();
    let (whole, rest) = ((small / per_large).floor(), small % per_large);
    if rest == 0.0 {
        format!("{whole} {large}")
    } else {
        format!("{whole} {large} {rest} {small_name}")
    }
}

/// Three significant digits, trailing zeros kept: `0.0420`, `1.24`, `12.3`, `123`.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Sizes as `pg_size_pretty` has them: `8192 bytes`, `12 kB`, `1.5 GB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 10_240 {
        return format!("{n} bytes");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 10.0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `41.2 %`, `< 0.1 %`
#[must_use]
pub fn share(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if p <= 0.0 => "0 %".to_owned(),
        p if p < 0.1 => "< 0.1 %".to_owned(),
        p if p > 99.9 && p < 99.9995 => "> 99.9 %".to_owned(),
        p => format!("{p:.1} %"),
    }
}

/// A number without a unit: planner costs, rows per call. `1,234`, `12.3`, `0.05`
#[must_use]
pub fn number(value: f64) -> String {
    if value >= 1_000.0 {
        count(value.round() as u64)
    } else if value.fract().abs() < f64::EPSILON {
        format!("{value:.0}")
    } else {
        significant(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        assert_eq!(
            [0, 999, 1_000, 1_204_331].map(count),
            ["0", "999", "1,000", "1,204,331"]
        );
        assert_eq!(counted(1, "call"), "1 call");
        assert_eq!(counted(2_000, "call"), "2,000 calls");
    }

    #[test]
    fn times_take_the_unit_that_fits() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (0.042, "0.042 ms"),
            (1.5, "1.50 ms"),
            (12.34, "12.3 ms"),
            (999.0, "999 ms"),
            (1_240.0, "1.24 s"),
            (192_000.0, "3 min 12 s"),
            (3_600_000.0, "1 h"),
            (7_500_000.0, "2 h 5 min"),
            (181_440_000.0, "2.10 d"),
        ] {
            assert_eq!(milliseconds(ms), text);
        }
    }

    #[test]
    fn estimates_claim_no_precision() {
        for (ms, text) in [
            (0.31, "0.31 ms"),
            (840.4, "840 ms"),
            (1_234.0, "1.2 s"),
            (2_214_000.0, "37 min"),
            (7_500_000.0, "2.1 h"),
            (181_440_000.0, "2.1 d"),
        ] {
            assert_eq!(roughly_milliseconds(ms), text);
        }
    }

    #[test]
    fn sizes_are_those_of_postgres() {
        for (n, text) in [
            (8_192, "8192 bytes"),
            (16_384, "16 kB"),
            (5 << 20, "5.0 MB"),
            (3 << 30, "3.0 GB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn shares_and_numbers() {
        assert_eq!(share(0.4123), "41.2 %");
        assert_eq!(share(0.0001), "< 0.1 %");
        assert_eq!(share(1.0), "100.0 %");
        assert_eq!(number(8.44), "8.44");
        assert_eq!(number(50.0), "50");
        assert_eq!(number(5_432.1), "5,432");
    }
}
