//! Which files, in which order: extensions first, then one step an index, drops apart. The same for every framework.

use std::collections::BTreeSet;

use jiff::{ToSpan, civil::DateTime};

use super::{FragmentError, fragment, name};
use crate::{
    catalog::KeyTarget,
    finding::{ChangeAction, IndexChange},
};

/// A change that a finding proposes.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The change.
    pub change: IndexChange,
    /// The finding's id.
    pub finding: String,
    /// The finding's message, for the file's comment.
    pub why: String,
}

/// One migration.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// `YYYYMMDDhhmmss`, ascending from step to step.
    pub timestamp: String,
    /// What it does, as part of a file's name.
    pub slug: String,
    /// Folder below `--out`; empty for the folder itself. Drops have one of their own, so that no runner picks them up.
    pub folder: &'static str,
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

/// Folder of drops.
const DROPS: &str = "drops";

/// Orders the proposals into steps. Equal changes become one; a name that two different indexes of a schema would share is made unique.
#[must_use]
pub fn plan(proposals: Vec<Proposal>, start: DateTime, drops: Drops) -> Planned {
    let mut planned = Planned::default();
    let mut seen = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut extensions = BTreeSet::new();
    let (mut first, mut creates, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for mut proposal in proposals {
        if let Err(error) = check(&proposal.change) {
            planned.refused.push((proposal.finding, error));
            continue;
        }
        if !seen.insert(identity(&proposal.change)) {
            continue;
        }
        match proposal.change.action {
            ChangeAction::Drop if drops == Drops::LeaveOut => planned.n_drops_left_out += 1,
            ChangeAction::Drop => last.push(step(proposal)),
            ChangeAction::Create => {
                let extension = proposal.change.extension.clone();
                if let Some(extension) = extension.filter(|ext| extensions.insert(ext.clone())) {
                    first.push(extension_step(extension, &proposal));
                }
                settle_name(&mut proposal.change, &mut names);
                creates.push(step(proposal));
            }
        }
    }
    planned.steps = first.into_iter().chain(creates).chain(last).collect();
    for (step, second) in planned.steps.iter_mut().zip(0_i64..) {
        let time = start.saturating_add(second.seconds());
        step.timestamp = time.strftime("%Y%m%d%H%M%S").to_string();
    }
    planned
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
fn settle_name(change: &mut IndexChange, names: &mut BTreeSet<(String, String)>) {
    let schema = change.def.table.schema.clone();
    // ADD CONSTRAINT … USING INDEX renames the index to the constraint: under one name a second run finds it
    if let Some(constraint) = &change.constraint {
        change.def.name.clone_from(constraint);
    }
    let mut settled = name::index_name(&change.def);
    if names.contains(&(schema.clone(), settled.clone())) {
        let apart = format!("{settled}_{:08x}", name::hash(&change.identity()));
        settled = name::within(&apart, 63);
    }
    names.insert((schema, settled.clone()));
    if let Some(constraint) = &mut change.constraint {
        constraint.clone_from(&settled);
    }
    change.def.name = settled;
}

fn step(proposal: Proposal) -> Step {
    let change = proposal.change;
    let index = name::slug(&change.def.name);
    let (kind, slug, folder) = match change.action {
        ChangeAction::Create => (StepKind::Create(change), index, ""),
        ChangeAction::Drop => (StepKind::Drop(change), format!("drop_{index}"), DROPS),
    };
    Step {
        kind,
        timestamp: String::new(),
        slug,
        folder,
        finding: proposal.finding,
        why: proposal.why,
    }
}

fn extension_step(extension: String, proposal: &Proposal) -> Step {
    Step {
        slug: format!("extension_{}", name::slug(&extension)),
        kind: StepKind::Extension(extension),
        timestamp: String::new(),
        folder: "",
        finding: proposal.finding.clone(),
        why: proposal.why.clone(),
    }
}
