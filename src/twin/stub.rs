//! Types of extensions that are not installed here, for which a built-in type can stand in: comparisons and widths are about the same.

use std::{borrow::Cow, collections::BTreeMap};

use super::{TwinError, inject::reason};
use crate::{
    catalog::planner::{ColumnStatistics, ExtensionDef, StatisticRow},
    db::OwnedSession,
    sql::quote_identifier,
};

/// Extension, its type, what stands in for it, and what is different then.
const STUBS: &[(&str, &str, &str, &str)] = &[(
    "citext",
    "citext",
    "text",
    "capital and small letters differ there",
)];

/// Types that have a stand-in, as SQL, with its name.
#[derive(Debug, Default)]
pub(super) struct Stubs(BTreeMap<String, &'static str>);

impl Stubs {
    /// Makes domains in place of an extension's types. Returns what is to be said of it.
    pub(super) async fn add(
        &mut self,
        planner: &OwnedSession,
        extension: &ExtensionDef,
    ) -> Result<Vec<String>, TwinError> {
        let mut said = Vec::new();
        for (_, name, base, difference) in STUBS.iter().filter(|stub| stub.0 == extension.name) {
            let schema = quote_identifier(&extension.schema);
            let made = format!("{schema}.{}", quote_identifier(name));
            let domain = format!("CREATE DOMAIN {made} AS {base}");
            match planner.execute_typed(&domain, &[]).await {
                Ok(_) => {
                    said.push(format!(
                        "type {made}: {base} stands in for it, {difference}"
                    ));
                    self.0.insert(made, base);
                }
                Err(error) if error.is_closed() => return Err(TwinError::own(error)),
                Err(error) => said.push(format!("type {made}: {}", reason(&error))),
            }
        }
        Ok(said)
    }

    /// Statistics of the stand-ins.
    pub(super) fn statistics<'a>(
        &self,
        columns: &'a [ColumnStatistics],
    ) -> Cow<'a, [ColumnStatistics]> {
        if self.0.is_empty() {
            return Cow::Borrowed(columns);
        }
        let mut columns = columns.to_vec();
        for statistics in &mut columns {
            self.replace(&mut statistics.row);
        }
        Cow::Owned(columns)
    }

    fn replace(&self, row: &mut StatisticRow) {
        for slot in &mut row.slots {
            if let Some(values) = &mut slot.values
                && let Some(base) = self.0.get(&values.type_name)
            {
                (*base).clone_into(&mut values.type_name);
            }
            // `public.=(public.citext,public.citext)`
            let of_type = |operator: &String| {
                let (name, operands) = operator.split_once('(')?;
                let (left, right) = operands.strip_suffix(')')?.split_once(',')?;
                let base = self.0.get(left).filter(|_| left == right)?;
                let symbol = name.rsplit('.').next()?;
                Some(format!("{symbol}({base},{base})"))
            };
            if let Some(operator) = slot.operator.as_ref().and_then(of_type) {
                slot.operator = Some(operator);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::planner::{Slot, SlotValues};

    #[test]
    fn statistics_are_of_the_type_that_stands_in() {
        let stubs = Stubs(BTreeMap::from([("public.citext".to_owned(), "text")]));
        let slot = |operator: &str, type_name: &str| Slot {
            operator: Some(operator.into()),
            values: Some(SlotValues {
                type_name: type_name.into(),
                elements: Vec::new(),
            }),
            ..Slot::default()
        };
        let mut row = StatisticRow {
            slots: vec![
                slot("public.<(public.citext,public.citext)", "public.citext"),
                slot("=(integer,integer)", "integer"),
            ],
            ..StatisticRow::default()
        };
        stubs.replace(&mut row);
        assert_eq!(row.slots[0], slot("<(text,text)", "text"));
        assert_eq!(row.slots[1], slot("=(integer,integer)", "integer"));
    }
}
