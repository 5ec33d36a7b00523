//! The stable 64-bit identity of a statement's normalised text.

use std::{fmt, str::FromStr};

use super::normalise::Normaliser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stable 64-bit id of a normalised statement. Shown as 16 hex digits. Not Postgres's `queryid`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A statement without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    /// Its identity: equal for texts that differ only in values, case, white space or comments.
    pub fingerprint: Fingerprint,
    /// Readable text; values as `$1`, `$2` … in order of appearance.
    pub text: String,
}

/// Normalises one text. For many, keep a [`Normaliser`]: it allocates nothing.
#[must_use]
pub fn normalise(sql: &[u8]) -> Normalised {
    let mut normaliser = Normaliser::default();
    let fingerprint = normaliser.run(sql);
    Normalised {
        fingerprint,
        text: normaliser.text(),
    }
}
