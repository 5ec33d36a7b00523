//! From a statement that a loop sends once per key to the one statement that does the same for all keys.
//!
//! Pure: works on the parsed statement. Whatever can't be shown to mean the same is refused, with the reason. The statement that comes out
//! holds no value: keys are arrays, everything else that the loop passes stays a parameter.

mod aggregate;
mod answer;
mod chance;
mod insert;
mod key;
mod limit;
mod mark;
mod names;
mod parse;
mod print;
mod projection;
mod read;
mod types;
mod write;

pub use answer::{Answer, Cells, Difference, KeyAt};
pub use types::{LiteralKind, NoSchema, Schema};

use sqlparser::ast::{SetExpr, Statement};

use super::shape::ShapeError;

/// Keys at which a batch should be cut: beyond, plans get worse, parameters long, and one failure costs more. The same figure as Oracle's
/// and Rails' `in_batches` default; our own measurements (`benches/README.md`, "loops against batches") see no gain above it.
pub const MAX_KEYS: usize = 1_000;

/// One placeholder of the looped statement, as the loop filled it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operand {
    /// Changes from call to call.
    pub varies: bool,
    /// Its value, while every call had the same.
    pub constant: Option<String>,
    /// What stood there where the application wrote a literal.
    pub literal: LiteralKind,
    /// A type that its values look like, for where nothing surer is known.
    pub guess: Option<&'static str>,
}

/// A statement as a loop sends it.
#[derive(Debug, Clone, Copy)]
pub struct Looped<'a> {
    /// Normalised text: placeholders `$1`, `$2` … in order of appearance.
    pub text: &'a str,
    /// What stood at each placeholder, `$1` first. Missing ones count as constant.
    pub operands: &'a [Operand],
    /// The same key may come twice in one loop, or nobody knows.
    pub keys_repeat: bool,
}

impl Looped<'_> {
    fn operand(&self, n: u16) -> Option<&Operand> {
        self.operands.get(usize::from(n).checked_sub(1)?)
    }

    /// Placeholders that change from call to call.
    fn varying(&self) -> Vec<u16> {
        (1_u16..)
            .zip(self.operands)
            .filter(|(_, operand)| operand.varies)
            .map(|(n, _)| n)
            .collect()
    }
}

/// How a batch is built: decides what must be said with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `key = ANY (array)`
    Any,
    /// The same, counted or summed per key.
    Grouped,
    /// The keys for which rows exist.
    Exists,
    /// The single query once per key inside one statement: LIMIT per parent, subqueries, set operations.
    Lateral,
    /// `INSERT … SELECT … FROM unnest(…)`
    InsertArrays,
    /// `INSERT … VALUES (…), (…)`
    InsertRows,
    /// UPDATE with one value for all keys.
    UpdateSame,
    /// UPDATE with a value for each key.
    UpdateEach,
    /// DELETE
    Delete,
}

/// One parameter of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The placeholder of the looped statement that it stands for.
    pub placeholder: u16,
    /// An array with one element a call; else the value that all calls share.
    pub is_array: bool,
    /// The column it is compared with or written to, or `LIMIT`.
    pub name: String,
    /// Its type, as SQL; `None` where the server works it out.
    pub type_name: Option<String>,
}

/// The one statement for all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The statement, a clause a line.
    pub sql: String,
    /// How it is built.
    pub form: Form,
    /// `$1`, `$2` … in order. Empty for [`Form::InsertRows`], whose parameters are those of the loop, row by row.
    pub parameters: Vec<Parameter>,
    /// How its rows divide into the answers of the single calls.
    pub answer: Answer,
    /// What must be known to use it, in words.
    pub notes: Vec<&'static str>,
}

/// Why no batch is offered. The `Display` goes into the finding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It could not be parsed.
    #[error("its text is not understood ({0})")]
    Unread(String),
    /// Nothing in it changes from call to call, as far as the input tells.
    #[error("the log does not show which of its values change from call to call")]
    NoKey,
    /// Already takes several.
    #[error("it already takes several keys or rows at once")]
    Batched,
    /// Takes row locks.
    #[error(
        "it locks rows (FOR UPDATE, FOR SHARE): which rows are locked together, and in which order, would change"
    )]
    Locks,
    /// Calls what may answer differently, or do something, each time.
    #[error("it calls {0}(), which may be volatile")]
    Function(String),
    /// Writes inside WITH.
    #[error("a WITH query of it writes")]
    WritingWith,
    /// LIMIT without order.
    #[error(
        "LIMIT or OFFSET without ORDER BY: which rows a call gets is left to chance, so no other statement is sure to give the same"
    )]
    UnorderedLimit,
    /// A key where it can't be replaced.
    #[error("a value that changes from call to call stands where one statement can't take many")]
    OutOfReach,
    /// Types are not known.
    #[error("the types of its keys are not known from the log alone: --database-url tells them")]
    Types,
    /// A key of array type.
    #[error("a value that changes from call to call is itself an array")]
    ArrayKey,
    /// ON CONFLICT DO UPDATE.
    #[error(
        "ON CONFLICT DO UPDATE fails when one statement brings the same key twice, and a loop may do that"
    )]
    DoubleHit,
    /// INSERT … SELECT, MERGE, joins in UPDATE, …
    #[error("a statement of this form is not rewritten ({0})")]
    Form(&'static str),
    /// A value written depends on the row as the call before left it.
    #[error(
        "the same key may come twice in a loop, and what is written depends on what the call before left"
    )]
    Accumulates,
}

impl From<ShapeError> for Refusal {
    fn from(error: ShapeError) -> Self {
        match error {
            ShapeError::Unparsable(_) => {
                Self::Unread("SQL that the parser does not know".to_owned())
            }
            other => Self::Unread(other.to_string()),
        }
    }
}

/// The batch for a looped statement.
///
/// # Errors
/// When it is not sure to mean the same: see [`Refusal`].
pub fn batch(looped: &Looped<'_>, schema: &(dyn Schema + Sync)) -> Result<Batch, Refusal> {
    let mut result = Err(Refusal::NoKey);
    parse::with_statement(looped.text, |statement| {
        result = of_statement(statement, looped, schema);
    })?;
    result
}

fn of_statement(
    mut statement: Statement,
    looped: &Looped<'_>,
    schema: &(dyn Schema + Sync),
) -> Result<Batch, Refusal> {
    let varying = looped.varying();
    chance::check(&statement)?;
    let used = mark::mark(&mut statement, &varying);
    let keys: Vec<u16> = varying
        .into_iter()
        .filter(|n| used.contains_key(n))
        .collect();
    if keys.is_empty() {
        return Err(Refusal::NoKey);
    }
    let task = Task {
        looped,
        schema,
        keys,
        used,
        guessed: std::cell::Cell::new(false),
    };
    let mut batch = in_form(statement, &task)?;
    if task.guessed.get() {
        batch.notes.push(GUESSED);
    }
    Ok(batch)
}

fn in_form(statement: Statement, task: &Task<'_>) -> Result<Batch, Refusal> {
    match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                Err(Refusal::Form("a write behind WITH"))
            }
            _ => read::read(&query, task),
        },
        Statement::Insert(insert) => insert::insert(&insert, task),
        Statement::Update(update) => write::update(update, task),
        Statement::Delete(delete) => write::delete(delete, task),
        _ => Err(Refusal::Form("neither a query nor a write")),
    }
}

/// What every form needs to know.
struct Task<'a> {
    looped: &'a Looped<'a>,
    schema: &'a (dyn Schema + Sync),
    /// Placeholders that change from call to call and stand in the statement, ascending.
    keys: Vec<u16>,
    /// How often each placeholder stands in the statement.
    used: std::collections::BTreeMap<u16, usize>,
    /// A type was taken from the look of values.
    guessed: std::cell::Cell<bool>,
}

impl Task<'_> {
    /// A type from how the values of a placeholder look, for where nothing surer is known.
    fn guess(&self, n: u16) -> Option<String> {
        let operand = self.looped.operand(n)?;
        let known = match operand.literal {
            LiteralKind::Integer => return Some("bigint".to_owned()),
            LiteralKind::Decimal => return Some("numeric".to_owned()),
            LiteralKind::Unknown => operand.guess?,
        };
        self.guessed.set(true);
        Some(known.to_owned())
    }
}

/// Said where types come from the look of values.
const GUESSED: &str = "types are taken from the values seen: --database-url gives the columns' own";

#[cfg(test)]
mod tests;
