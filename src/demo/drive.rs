//! Sends a reference workload's requests as a web application would: a few workers, each takes a connection from the pool for each
//! request, with a pause before the next.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{Arg, Protocol, Reference, Request, Step, Variant, random::Random};
use crate::db::{DbError, Owned, OwnedSession, Row, ToSql};

/// Workers, and connections of their pool.
const N_WORKERS: usize = 4;

/// Longest pause between two requests of a worker.
const MAX_PAUSE: Duration = Duration::from_millis(8);

/// A drive that takes longer than this ends early: on a machine that is far too slow for the scale.
const LIMIT: Duration = Duration::from_secs(60);

/// What a drive came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Driven {
    /// Requests answered.
    pub n_requests: u64,
    /// Wall time.
    pub wall: Duration,
    /// Time limit hit: fewer requests than planned.
    pub cut_short: bool,
}

/// Sends all requests of a workload, in an order that the seed determines. `done` is called after each.
///
/// # Errors
/// When the server refuses a statement or is gone.
pub async fn drive(
    owned: &Owned,
    reference: &'static Reference,
    variant: Variant,
    done: Arc<dyn Fn() + Send + Sync>,
) -> Result<Driven, DbError> {
    name_sessions(owned, reference).await?;
    let started = Instant::now();
    let plan = Arc::new(plan(reference, variant));
    let mut workers = JoinSet::new();
    for first in 0..N_WORKERS {
        let (owned, plan, done) = (owned.clone(), Arc::clone(&plan), Arc::clone(&done));
        workers.spawn(async move {
            let mut random = Random::new(variant.seed ^ ((first as u64 + 1) << 32));
            let mut n = 0;
            for request in plan.iter().skip(first).step_by(N_WORKERS) {
                if started.elapsed() > LIMIT {
                    break;
                }
                answer(&owned, request, reference, variant, &mut random).await?;
                done();
                n += 1;
                tokio::time::sleep(MAX_PAUSE.mul_f64(random.unit())).await;
            }
            Ok::<u64, DbError>(n)
        });
    }
    let mut n_requests = 0;
    while let Some(joined) = workers.join_next().await {
        n_requests += joined.expect("no worker is cancelled, and none panics")?;
    }
    Ok(Driven {
        n_requests,
        wall: started.elapsed(),
        cut_short: n_requests < plan.len() as u64,
    })
}

/// An application names its connections; under our own name the audit would leave its statements out.
async fn name_sessions(owned: &Owned, reference: &Reference) -> Result<(), DbError> {
    let mut sessions = Vec::new();
    for _ in 0..N_WORKERS {
        let session = owned.session().await?;
        session
            .run(&format!("SET application_name = '{}'", reference.name))
            .await?;
        sessions.push(session);
    }
    Ok(())
}

fn plan(reference: &'static Reference, variant: Variant) -> Vec<&'static Request> {
    let mut plan: Vec<&Request> = reference
        .requests
        .iter()
        .flat_map(|request| std::iter::repeat_n(request, request.n as usize))
        .collect();
    Random::new(variant.seed).shuffle(&mut plan);
    plan
}

/// A value of a parameter.
#[derive(Debug, Clone)]
enum Value {
    Int(i64),
    Ints(Vec<i64>),
    Text(&'static str),
}

impl Value {
    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Int(value) => value,
            Self::Ints(values) => values,
            Self::Text(value) => value,
        }
    }

    /// As a literal. Texts are constants of this crate without quotes.
    fn as_literal(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Ints(values) => {
                let values: Vec<String> = values.iter().map(i64::to_string).collect();
                format!("'{{{}}}'", values.join(","))
            }
            Self::Text(value) => format!("'{value}'"),
        }
    }
}

/// One request on one connection.
async fn answer(
    owned: &Owned,
    request: &Request,
    reference: &Reference,
    variant: Variant,
    random: &mut Random,
) -> Result<(), DbError> {
    let session = owned.session().await?;
    let mut client = Client {
        session: &session,
        protocol: request.protocol,
        rows: Vec::new(),
    };
    let mut draw = |args: &[Arg]| -> Vec<Value> {
        args.iter()
            .map(|arg| value(*arg, reference, variant, random))
            .collect()
    };
    for step in request.steps {
        match step {
            Step::Begin => client.session.run("BEGIN").await?,
            Step::Commit => client.session.run("COMMIT").await?,
            Step::Query(sql, args) => client.rows = client.many(sql, &[draw(args)]).await?,
            Step::Repeat(n, sql, args) => {
                let values: Vec<_> = (0..*n).map(|_| draw(args)).collect();
                client.many(sql, &values).await?;
            }
            Step::ForEach(sql, column) => {
                let values: Vec<_> = client
                    .column(*column)
                    .map(|key| vec![Value::Int(key)])
                    .collect();
                client.many(sql, &values).await?;
            }
            Step::ForAll(sql, column) => {
                let keys = Value::Ints(client.column(*column).collect());
                client.many(sql, &[vec![keys]]).await?;
            }
        }
    }
    Ok(())
}

fn value(arg: Arg, reference: &Reference, variant: Variant, random: &mut Random) -> Value {
    let n_rows = |name: &str| {
        let size = reference.sizes.iter().find(|(size, _)| *size == name);
        variant.n_rows(size.map_or(1, |(_, n)| *n))
    };
    match arg {
        Arg::Id(name) => Value::Int(1 + random.below(n_rows(name)).cast_signed()),
        Arg::Popular(name) => {
            let skewed = random.unit().powi(3) * n_rows(name) as f64;
            Value::Int(1 + skewed as i64)
        }
        Arg::OneOf(texts) => Value::Text(texts[random.below(texts.len() as u64) as usize]),
        Arg::Below(n) => Value::Int(random.below(n).cast_signed()),
    }
}

/// The application's side of one request.
struct Client<'a> {
    session: &'a OwnedSession,
    protocol: Protocol,
    /// Of the last query, each row's bigint columns; others are 0.
    rows: Vec<Vec<i64>>,
}

impl Client<'_> {
    fn column(&self, at: usize) -> impl Iterator<Item = i64> {
        self.rows.iter().filter_map(move |row| row.get(at).copied())
    }

    /// Runs a statement once for each list of values; the rows of the last.
    async fn many(&self, sql: &str, values: &[Vec<Value>]) -> Result<Vec<Vec<i64>>, DbError> {
        match self.protocol {
            Protocol::Prepared => self.prepared(sql, values).await,
            Protocol::Simple => self.simple(sql, values).await,
        }
    }

    async fn prepared(&self, sql: &str, values: &[Vec<Value>]) -> Result<Vec<Vec<i64>>, DbError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        let statement = self.session.prepared(sql).await?;
        for values in values {
            let parameters: Vec<_> = values.iter().map(Value::as_parameter).collect();
            rows = self.session.fetch(&statement, &parameters).await?;
        }
        Ok(rows.iter().map(integers).collect())
    }

    async fn simple(&self, sql: &str, values: &[Vec<Value>]) -> Result<Vec<Vec<i64>>, DbError> {
        let mut rows = Vec::new();
        for values in values {
            rows = self.session.texts(&with_literals(sql, values)).await?;
        }
        let number = |cell: &Option<String>| {
            cell.as_ref()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        Ok(rows
            .iter()
            .map(|row| row.iter().map(number).collect())
            .collect())
    }
}

/// The text with its parameters as literals; from the last on, so that `$1` does not match in `$10`.
fn with_literals(sql: &str, values: &[Value]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(sql.to_owned(), |text, (at, value)| {
        text.replace(&format!("${}", at + 1), &value.as_literal())
    })
}

fn integers(row: &Row) -> Vec<i64> {
    (0..row.len())
        .map(|at| row.try_get(at).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::WORKLOADS, *};

    #[test]
    fn literals_take_their_parameters_place() {
        let values = [Value::Int(7), Value::Text("de"), Value::Ints(vec![1, 2])];
        assert_eq!(
            with_literals("a = $1 AND b = $2 AND c = ANY($3)", &values),
            "a = 7 AND b = 'de' AND c = ANY('{1,2}')"
        );
    }

    #[test]
    fn the_seed_determines_the_order_of_requests_and_nothing_else() {
        for reference in WORKLOADS {
            let names = |seed| -> Vec<&str> {
                let variant = Variant { scale: 1.0, seed };
                plan(reference, variant)
                    .iter()
                    .map(|request| request.name)
                    .collect()
            };
            assert_eq!(names(1), names(1));
            assert_ne!(names(1), names(2));
            assert_eq!(names(1).len() as u64, reference.n_requests());
        }
    }

    #[test]
    fn ids_stay_within_their_table() {
        let reference = WORKLOADS[0];
        let variant = Variant {
            scale: 0.01,
            seed: 1,
        };
        let mut random = Random::new(1);
        for arg in [Arg::Id("jobs"), Arg::Popular("jobs")] {
            for _ in 0..1_000 {
                let Value::Int(id) = value(arg, reference, variant, &mut random) else {
                    panic!("an id is a number")
                };
                assert!((1..=2_000).contains(&id), "{id}");
            }
        }
    }
}
