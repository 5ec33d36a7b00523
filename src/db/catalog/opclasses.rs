//! Operator classes: which one an index key uses, where that isn't its type's default.

use hashbrown::HashMap;

use crate::db::{audited::Audited, error::DbError, rows::Columns};

const READING: &str = "reading operator classes";

/// All operator classes of the database: a few hundred.
#[derive(Debug)]
pub(super) struct Opclasses {
    by_oid: HashMap<u32, (String, bool)>,
    /// By access method and type.
    defaults: HashMap<(u32, u32), u32>,
}

impl Opclasses {
    pub(super) async fn read(audited: &Audited) -> Result<Self, DbError> {
        let sql = "SELECT /* pgassay */ o.oid, o.opcname::text, o.opcdefault, o.opcmethod, o.opcintype FROM pg_opclass o";
        let guarded = audited.begin().await?;
        let rows = guarded.query(READING, sql, &[]).await?;
        guarded.end().await?;
        let mut opclasses = Self {
            by_oid: HashMap::new(),
            defaults: HashMap::new(),
        };
        for row in &rows {
            let mut columns = Columns::of(row, READING);
            let oid = columns.next()?;
            let name = columns.next()?;
            let is_default = columns.next()?;
            if is_default {
                opclasses
                    .defaults
                    .insert((columns.next()?, columns.next()?), oid);
            }
            opclasses.by_oid.insert(oid, (name, is_default));
        }
        Ok(opclasses)
    }

    /// The class's name, unless it is what Postgres takes for a column of that type. A class may be the default of a type that the
    /// column's only passes for: `text_ops` is the default for `varchar`, and not for `citext`, which has its own.
    pub(super) fn unless_default(
        &self,
        oid: u32,
        method: u32,
        column_type: Option<u32>,
    ) -> Option<String> {
        let (name, is_default) = self.by_oid.get(&oid)?;
        let own = column_type.and_then(|column_type| self.defaults.get(&(method, column_type)));
        let is_taken = *is_default && own.is_none_or(|own| *own == oid);
        (!is_taken).then(|| name.clone())
    }
}
