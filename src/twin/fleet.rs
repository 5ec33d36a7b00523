//! Several equal twins that share the questions: one evaluation at a time each, and the answers of one twin alone.
//!
//! The planner tries indexes in the order of their creation and keeps the first of two that cost the same. So that answers do not depend on
//! which twin gave them, every twin creates those of a question in the order in which the fleet was first asked for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Twin, TwinError, TwinOptions, create, what_if::anonymous};
use crate::{
    advise::{PlannedQuery, Question, WhatIf, WhatIfError},
    catalog::{IndexDef, planner::PlannerState},
    plan::{Plan, WhatIfKind},
    server::Binaries,
};

/// What making an index costs, in plans: 40 to 150 ms with its size, against 1 to 8 ms (`benches/README.md`, "Several twins"). Decides which twin
/// is asked, never the answer.
const MAKING: usize = 20;

/// Twins that answer together.
#[derive(Debug)]
pub struct Fleet {
    twins: Vec<Arc<Twin>>,
    /// When the fleet was first asked for each index.
    ranks: std::sync::Mutex<BTreeMap<IndexDef, usize>>,
}

/// A part of one question for one twin.
#[derive(Debug)]
struct Job {
    /// Which question.
    question: usize,
    /// Position of its first statement there.
    first: usize,
    queries: Vec<PlannedQuery>,
    add: Vec<IndexDef>,
    hide: Vec<String>,
}

type Answer = Result<Plan, WhatIfError>;

impl Fleet {
    /// Builds up to `n` twins of `state`.
    ///
    /// # Errors
    /// As [`Twin::build_several`].
    pub async fn build(
        state: PlannerState,
        binaries: Binaries,
        options: TwinOptions,
        n: usize,
    ) -> Result<Self, TwinError> {
        let twins = Twin::build_several(state, binaries, options, n.max(1)).await?;
        Ok(Self {
            twins: twins.into_iter().map(Arc::new).collect(),
            ranks: std::sync::Mutex::default(),
        })
    }

    /// The one that was filled; the others are its copies.
    #[must_use]
    pub fn first(&self) -> &Twin {
        &self.twins[0]
    }

    /// How many there are, one at least.
    #[must_use]
    pub fn n_twins(&self) -> usize {
        self.twins.len()
    }

    /// Takes note of indexes that are asked for, in the order in which that happens.
    fn note(&self, questions: &[Question<'_>]) {
        let mut ranks = self
            .ranks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for def in questions.iter().flat_map(|question| question.add) {
            let n = ranks.len();
            ranks.entry(anonymous(def)).or_insert(n);
        }
    }

    /// The ranks of a job's indexes, as [`Twin::answer`] wants them.
    fn ranks(&self, add: &[IndexDef]) -> Vec<usize> {
        let ranks = self
            .ranks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        add.iter()
            .map(|def| ranks.get(&anonymous(def)).copied().unwrap_or(usize::MAX))
            .collect()
    }

    /// Statements planned under the same indexes can be shared out only where there are none: each further twin would have to make them.
    fn jobs(&self, questions: &[Question<'_>]) -> Vec<Job> {
        let mut jobs = Vec::new();
        for (at, question) in questions.iter().enumerate() {
            let n_parts = if question.add.is_empty() {
                self.twins.len()
            } else {
                1
            };
            let n = question.queries.len().div_ceil(n_parts).max(1);
            for (part, queries) in question.queries.chunks(n).enumerate() {
                jobs.push(Job {
                    question: at,
                    first: part * n,
                    queries: queries.to_vec(),
                    add: question.add.to_vec(),
                    hide: question.hide.to_vec(),
                });
            }
        }
        jobs
    }

    /// Each job to the twin that would be done with it first.
    async fn shared_out(&self, jobs: Vec<Job>) -> Vec<Vec<Job>> {
        let mut made = Vec::with_capacity(self.twins.len());
        for twin in &self.twins {
            made.push(twin.made().await);
        }
        share_out(jobs, made)
    }

    /// Extensions that some index needs: they change what statements can be planned, so every twin gets them.
    async fn provide(&self, questions: &[Question<'_>]) {
        if self.twins.len() == 1 {
            return;
        }
        let all: BTreeSet<&IndexDef> = questions.iter().flat_map(|q| q.add).collect();
        for twin in &self.twins {
            // where it fails, so does making the index, which is told then
            let _ = create::provide_for(twin, &all).await;
        }
    }
}

/// Greedy, in order, by the work that each twin has got so far; `made` is what each has.
fn share_out(jobs: Vec<Job>, mut made: Vec<BTreeSet<IndexDef>>) -> Vec<Vec<Job>> {
    let mut shares: Vec<Vec<Job>> = made.iter().map(|_| Vec::new()).collect();
    let mut work = vec![0; made.len()];
    for job in jobs {
        let defs: Vec<IndexDef> = job.add.iter().map(anonymous).collect();
        let cost = |at: usize| {
            let n_missing = defs.iter().filter(|def| !made[at].contains(def)).count();
            job.queries.len() + n_missing * MAKING
        };
        let Some((done, at)) = (0..made.len()).map(|at| (work[at] + cost(at), at)).min() else {
            return shares;
        };
        work[at] = done;
        made[at].extend(defs);
        shares[at].push(job);
    }
    shares
}

impl WhatIf for Fleet {
    fn kind(&self) -> WhatIfKind {
        WhatIfKind::Twin
    }

    async fn plan(
        &self,
        query: &PlannedQuery,
        add: &[IndexDef],
        hide: &[String],
    ) -> Result<Plan, WhatIfError> {
        let mut plans = self.plan_all(std::slice::from_ref(query), add, hide).await;
        plans.pop().unwrap_or(Err(WhatIfError::Budget))
    }

    async fn plan_all(
        &self,
        queries: &[PlannedQuery],
        add: &[IndexDef],
        hide: &[String],
    ) -> Vec<Answer> {
        let question = Question { queries, add, hide };
        let mut answers = self.plan_each(&[question]).await;
        answers.pop().unwrap_or_default()
    }

    async fn plan_each(&self, questions: &[Question<'_>]) -> Vec<Vec<Answer>> {
        self.note(questions);
        self.provide(questions).await;
        let mut answers: Vec<Vec<Answer>> = questions
            .iter()
            .map(|question| vec![Err(interrupted()); question.queries.len()])
            .collect();
        let shares = self.shared_out(self.jobs(questions)).await;
        let running: Vec<_> = self
            .twins
            .iter()
            .zip(shares)
            .map(|(twin, jobs)| {
                let ranked = jobs.into_iter().map(|job| (self.ranks(&job.add), job));
                tokio::spawn(worked_off(Arc::clone(twin), ranked.collect()))
            })
            .collect();
        for worker in running {
            for (job, plans) in worker.await.unwrap_or_default() {
                let places = answers[job.question].iter_mut().skip(job.first);
                for (place, plan) in places.zip(plans) {
                    *place = plan;
                }
            }
        }
        answers
    }

    fn size_bytes(&self, def: &IndexDef) -> Option<u64> {
        self.twins.iter().find_map(|twin| twin.size_bytes(def))
    }
}

/// One twin's share.
async fn worked_off(twin: Arc<Twin>, jobs: Vec<(Vec<usize>, Job)>) -> Vec<(Job, Vec<Answer>)> {
    let mut done = Vec::with_capacity(jobs.len());
    for (ranks, job) in jobs {
        let question = Question {
            queries: &job.queries,
            add: &job.add,
            hide: &job.hide,
        };
        let plans = twin.answer(question, &ranks).await;
        done.push((job, plans));
    }
    done
}

fn interrupted() -> WhatIfError {
    WhatIfError::Server("planning it was interrupted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(question: usize, n_queries: usize, names: &[&str]) -> Job {
        let query = PlannedQuery {
            sql: "SELECT 1".to_owned(),
            search_path: Vec::new(),
        };
        let index = |name: &&str| IndexDef {
            table: crate::catalog::RelationName::new("public", *name),
            ..IndexDef::default()
        };
        Job {
            question,
            first: 0,
            queries: vec![query; n_queries],
            add: names.iter().map(index).collect(),
            hide: Vec::new(),
        }
    }

    #[test]
    fn work_is_shared_out_and_indexes_are_made_once() {
        let jobs = vec![
            job(0, 5, &["a"]),
            job(1, 5, &["b"]),
            job(2, 1, &["b"]),
            job(3, 1, &["a"]),
            job(4, 40, &[]),
            job(5, 3, &["c"]),
        ];
        let shares = share_out(jobs, vec![BTreeSet::new(); 2]);
        let questions =
            |at: usize| -> Vec<usize> { shares[at].iter().map(|job: &Job| job.question).collect() };
        assert_eq!(questions(0), [0, 3, 4]);
        assert_eq!(questions(1), [1, 2, 5]);
    }

    #[test]
    fn a_twin_alone_gets_everything_in_order() {
        let jobs = vec![job(0, 1, &["a"]), job(1, 1, &[]), job(2, 1, &["b"])];
        let shares = share_out(jobs, vec![BTreeSet::new()]);
        let order: Vec<usize> = shares[0].iter().map(|job| job.question).collect();
        assert_eq!(order, [0, 1, 2]);
    }
}
