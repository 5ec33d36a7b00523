//! Which files, in which order: extensions first, then one step an index, drops apart. The same for every framework.

use std::collections::BTreeSet;

use super::{FragmentError, Statistics, fragment, name};
use crate::{
    catalog::KeyTarget,
    finding::{ChangeAction, IndexChange},
};

/// A change that a finding proposes.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The change.
    pub change: Change,
    /// The finding's id.
    pub finding: String,
    /// The finding's message, for the file's comment.
    pub why: String,
}

/// What a finding proposes to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An index to create or drop; for a drop, names of the indexes in its schema that take its place.
    Index(Box<IndexChange>, Vec<String>),
    /// A CREATE STATISTICS statement.
    Statistics(String),
}

/// One migration.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// What it does, as part of a file's name.
    pub slug: String,
    /// For a drop: names of the indexes in its schema that take its place.
    pub instead: Vec<String>,
    /// The finding's id.
    pub finding: String,
    /// The finding's message.
    pub why: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Installs an extension that a later step needs.
    Extension(String),
    /// Creates extended statistics.
    Statistics(Statistics),
    /// Creates an index, under its final name.
    Create(IndexChange),
    /// Drops an index.
    Drop(IndexChange),
}

/// What `plan` made of the proposals.
#[derive(Debug, Clone, Default)]
pub struct Planned {
    /// In the order in which to run them.
    pub steps: Vec<Step>,
    /// Drops that were left out, since they were not asked for.
    pub n_drops_left_out: usize,
    /// Changes that can't be written safely: the finding's id and why.
    pub refused: Vec<(String, FragmentError)>,
}

/// Orders the proposals into steps. Equal changes become one; a name that two different indexes of a schema would share is made unique; no index name is longer
/// than `max_name_bytes`.
#[must_use]
pub fn plan(proposals: Vec<Proposal>, drops: Drops, max_name_bytes: usize) -> Planned {
    let mut planner = Planner {
        max_name_bytes,
        ..Planner::default()
    };
    for Proposal {
        change,
        finding,
        why,
    } in proposals
    {
        let source = Source { finding, why };
        match change {
            Change::Index(change, instead) => planner.index(*change, instead, drops, source),
            Change::Statistics(sql) => planner.statistics(&sql, source),
        }
    }
    let Planner {
        mut planned,
        first,
        creates,
        last,
        ..
    } = planner;
    planned.steps = first.into_iter().chain(creates).chain(last).collect();
    planned
}

/// Who proposed a change.
#[derive(Debug, Clone)]
struct Source {
    finding: String,
    why: String,
}

#[derive(Debug, Default)]
struct Planner {
    max_name_bytes: usize,
    planned: Planned,
    /// Changes that have their step.
    seen: BTreeSet<String>,
    /// Schema and name of the indexes to create.
    names: BTreeSet<(String, String)>,
    extensions: BTreeSet<String>,
    first: Vec<Step>,
    creates: Vec<Step>,
    last: Vec<Step>,
}

impl Planner {
    fn index(
        &mut self,
        mut change: IndexChange,
        instead: Vec<String>,
        drops: Drops,
        source: Source,
    ) {
        if let Err(error) = check(&change) {
            self.planned.refused.push((source.finding, error));
            return;
        }
        if !self.seen.insert(identity(&change)) {
            return;
        }
        match change.action {
            ChangeAction::Drop if drops == Drops::LeaveOut => self.planned.n_drops_left_out += 1,
            ChangeAction::Drop => {
                let slug = format!("drop_{}", name::slug(&change.def.name));
                self.last
                    .push(step(StepKind::Drop(change), slug, instead, source));
            }
            ChangeAction::Create => {
                let extension = change.extension.clone();
                if let Some(extension) = extension.filter(|ext| self.extensions.insert(ext.clone()))
                {
                    let slug = format!("extension_{}", name::slug(&extension));
                    let kind = StepKind::Extension(extension);
                    self.first
                        .push(step(kind, slug, Vec::new(), source.clone()));
                }
                settle_name(&mut change, &mut self.names, self.max_name_bytes);
                let slug = name::slug(&change.def.name);
                self.creates
                    .push(step(StepKind::Create(change), slug, Vec::new(), source));
            }
        }
    }

    fn statistics(&mut self, sql: &str, source: Source) {
        match Statistics::parse(sql) {
            Err(error) => self.planned.refused.push((source.finding, error)),
            Ok(statistics) => {
                if self.seen.insert(statistics.create_sql()) {
                    let slug = name::slug(&statistics.plain_name());
                    let kind = StepKind::Statistics(statistics);
                    self.creates.push(step(kind, slug, Vec::new(), source));
                }
            }
        }
    }
}

fn step(kind: StepKind, slug: String, instead: Vec<String>, source: Source) -> Step {
    Step {
        kind,
        slug,
        instead,
        finding: source.finding,
        why: source.why,
    }
}

/// Are drops written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drops {
    /// No.
    LeaveOut,
    /// Yes, into their own folder.
    Include,
}

/// Two drops of equal but differently named indexes are two changes.
fn identity(change: &IndexChange) -> String {
    match change.action {
        ChangeAction::Create => change.identity(),
        ChangeAction::Drop => format!("{} {}", change.identity(), change.def.name),
    }
}

fn check(change: &IndexChange) -> Result<(), FragmentError> {
    for key in &change.def.keys {
        if let KeyTarget::Expression(text) = &key.target {
            fragment::check(text)?;
        }
    }
    if let Some(predicate) = &change.def.predicate {
        fragment::check(predicate)?;
    }
    if let Some(before) = &change.before {
        fragment::split_definition(before)?;
    }
    Ok(())
}

/// Gives the index its final name, unique among those that this run creates in the schema.
fn settle_name(change: &mut IndexChange, names: &mut BTreeSet<(String, String)>, max_bytes: usize) {
    let schema = change.def.table.schema.clone();
    // ADD CONSTRAINT … USING INDEX renames the index to the constraint: under one name a second run finds it
    if let Some(constraint) = &change.constraint {
        change.def.name.clone_from(constraint);
    }
    let mut settled = name::index_name(&change.def, max_bytes);
    if names.contains(&(schema.clone(), settled.clone())) {
        let apart = format!("{settled}_{:08x}", name::hash(&change.identity()));
        settled = name::within(&apart, max_bytes);
    }
    names.insert((schema, settled.clone()));
    if let Some(constraint) = &mut change.constraint {
        constraint.clone_from(&settled);
    }
    change.def.name = settled;
}
