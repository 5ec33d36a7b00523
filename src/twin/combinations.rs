//! Most common combinations of values from their texts, in the binary form in which Postgres keeps them (`statext_mcv_serialize`).

use std::collections::{BTreeMap, BTreeSet};

use super::key::KeyImage;
use crate::catalog::planner::{CommonCombinations, McvBlob};

/// `STATS_MCV_MAGIC` and `STATS_MCV_TYPE_BASIC`
const MAGIC: u32 = 0xe1a6_51c2;
const TYPE_BASIC: u32 = 1;
/// Largest datum that is passed by value.
const BY_VALUE: i32 = 8;

/// One column's values.
struct Dimension<'a> {
    places: BTreeMap<&'a str, u16>,
    /// `typlen`
    length: i32,
    values: Vec<Vec<u8>>,
}

/// The blob, its type OIDs still zero. `is_enum` of each column: labels get numbers of their own. `None` where the bytes of a value are not known.
pub(super) fn encode(found: &CommonCombinations, is_enum: &[bool]) -> Option<McvBlob> {
    let n = found.types.len();
    // the server refuses an empty list each time it plans
    if found.items.is_empty()
        || found.items.iter().any(|item| item.values.len() != n)
        || is_enum.len() != n
    {
        return None;
    }
    let mut labels = Vec::new();
    let mut dimensions = Vec::new();
    for (at, type_name) in found.types.iter().enumerate() {
        let texts: BTreeSet<&str> = found
            .items
            .iter()
            .filter_map(|item| item.values[at].as_deref())
            .collect();
        let dimension = if is_enum[at] {
            labels.extend(
                (1..)
                    .zip(&texts)
                    .map(|(oid, text)| (oid, type_name.clone(), (*text).to_owned())),
            );
            Dimension::of_labels(&texts)
        } else {
            Dimension::of(type_name, &texts)?
        };
        dimensions.push(dimension);
    }
    Some(McvBlob {
        hex: hex(&bytes(found, &dimensions)?),
        types: found.types.clone(),
        labels,
    })
}

impl<'a> Dimension<'a> {
    fn of_labels(texts: &BTreeSet<&'a str>) -> Self {
        Self {
            places: places(texts),
            length: 4,
            values: (1..=texts.len() as u32)
                .map(|oid| oid.to_le_bytes().to_vec())
                .collect(),
        }
    }

    fn of(type_name: &str, texts: &BTreeSet<&'a str>) -> Option<Self> {
        let images: Vec<KeyImage> = texts
            .iter()
            .map(|text| image(type_name, text))
            .collect::<Option<_>>()?;
        let length = match images.first() {
            // nothing but NULL
            None => -1,
            Some(image) if image.varlena => -1,
            Some(image) => i32::try_from(image.bytes.len()).ok()?,
        };
        Some(Self {
            places: places(texts),
            length,
            values: images.into_iter().map(|image| image.bytes).collect(),
        })
    }

    fn is_by_value(&self) -> bool {
        (1..=BY_VALUE).contains(&self.length)
    }

    fn head(&self, bytes: &mut Vec<u8>) -> Option<()> {
        let sizes = self.values.iter().map(Vec::len);
        let n_bytes: usize = match self.length {
            -1 => sizes.clone().map(|size| 4 + size).sum(),
            _ => sizes.clone().sum(),
        };
        let n_aligned: usize = match self.length {
            -1 => sizes.map(|size| (4 + size).next_multiple_of(8)).sum(),
            _ if self.is_by_value() => 0,
            _ => sizes.map(|size| size.next_multiple_of(8)).sum(),
        };
        for word in [self.values.len(), n_bytes, n_aligned] {
            bytes.extend(i32::try_from(word).ok()?.to_le_bytes());
        }
        bytes.extend(self.length.to_le_bytes());
        bytes.extend([u8::from(self.is_by_value()), 0, 0, 0]);
        Some(())
    }
}

fn places<'a>(texts: &BTreeSet<&'a str>) -> BTreeMap<&'a str, u16> {
    texts.iter().copied().zip(0..).collect()
}

/// The value without a header.
fn image(type_name: &str, text: &str) -> Option<KeyImage> {
    if ["text", "character varying", "character"].contains(&type_name) {
        return Some(KeyImage {
            bytes: text.as_bytes().to_vec(),
            varlena: true,
        });
    }
    let mut image = KeyImage::parse(type_name, text)?;
    if image.varlena {
        image.bytes.remove(0);
    }
    Some(image)
}

fn bytes(found: &CommonCombinations, dimensions: &[Dimension<'_>]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in [MAGIC, TYPE_BASIC, u32::try_from(found.items.len()).ok()?] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(i16::try_from(dimensions.len()).ok()?.to_le_bytes());
    bytes.extend(std::iter::repeat_n(0_u8, 4 * dimensions.len()));
    for dimension in dimensions {
        dimension.head(&mut bytes)?;
    }
    for dimension in dimensions {
        for value in &dimension.values {
            if dimension.length == -1 {
                bytes.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
            }
            bytes.extend(value);
        }
    }
    for item in &found.items {
        let nulls = item.values.iter().map(|value| u8::from(value.is_none()));
        bytes.extend(nulls);
        bytes.extend(item.frequency.to_le_bytes());
        bytes.extend(item.base_frequency.to_le_bytes());
        for (dimension, value) in dimensions.iter().zip(&item.values) {
            let place = value.as_deref().and_then(|text| dimension.places.get(text));
            bytes.extend(place.copied().unwrap_or(0).to_le_bytes());
        }
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::planner::{Combination, extended::McvLayout};

    fn combinations(types: &[&str], items: &[&[Option<&str>]]) -> CommonCombinations {
        CommonCombinations {
            types: types.iter().map(|t| (*t).to_owned()).collect(),
            items: items
                .iter()
                .map(|values| Combination {
                    values: values.iter().map(|v| v.map(str::to_owned)).collect(),
                    frequency: 0.5,
                    base_frequency: 0.1,
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_written_is_what_the_layout_reads() {
        let found = combinations(
            &["integer", "text", "mood", "uuid"],
            &[
                &[Some("7"), Some("a"), Some("sad"), None],
                &[
                    Some("-1"),
                    None,
                    Some("ok"),
                    Some("00000000-0000-0000-0000-00000000000f"),
                ],
            ],
        );
        let blob = encode(&found, &[false, false, true, false]).unwrap();
        let bytes = super::super::key::hex(blob.hex.as_bytes()).unwrap();
        let layout = McvLayout::parse(&bytes).unwrap();
        assert_eq!(layout.words(&bytes, 0), [u32::MAX, 7]);
        assert_eq!(layout.words(&bytes, 2), [1, 2]);
        assert_eq!(blob.labels[0], (1, "mood".to_owned(), "ok".to_owned()));
    }

    #[test]
    fn unknown_types_and_wrong_numbers_of_values_are_refused() {
        let found = combinations(&["box"], &[&[Some("(1,1),(0,0)")]]);
        assert_eq!(encode(&found, &[false]), None);
        assert_eq!(encode(&combinations(&["integer"], &[]), &[false]), None);
        let found = combinations(&["integer"], &[&[Some("1"), Some("2")]]);
        assert_eq!(encode(&found, &[false]), None);
    }
}
