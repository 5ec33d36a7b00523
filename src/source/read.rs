//! Reads inputs on several threads: chunks of whole records, each into a sink of its own, put together in the inputs' order.
//!
//! Chunks do not depend on the number of threads, and neither does anything that comes out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{
    Format, Input, Options, SourceError,
    assemble::{Assembler, Tally},
    chunk::{Buffer, Chunk, Reader},
    pgbouncer,
    sessions::Sessions,
    sql_file,
    stitch::Stitcher,
    unwrap::Foreign,
};
use crate::{
    sql::spawn_parser,
    workload::{InputFacts, InputKind, Origin, Sink},
};

/// Reason for the rest of an input that could not be read to its end.
const BROKEN_OFF: &str = "inputs that broke off (damaged archive or read error)";
/// Reason for what stands beside the server's messages in logs of syslog, containers and clouds.
const FOREIGN: &str = "lines or entries of other programs in the same log";

/// What came out of [`read`].
#[derive(Debug)]
pub struct Reading<S> {
    /// Has all events.
    pub sink: S,
    /// One for each input, in the order given. Times and numbers of statements are the fold's to add.
    pub inputs: Vec<InputFacts>,
    /// Inputs that gave nothing, by their position, and why.
    pub failures: Vec<(usize, SourceError)>,
}

/// Reads all inputs into `sink`. Chunks go to sinks of `new_sink`, a few of which serve again and again; each is appended to `sink` when its
/// chunk's turn comes.
///
/// One input that can't be read does not keep the others from being read.
pub fn read<S: Sink>(
    inputs: Vec<Input>,
    options: &Options,
    n_threads: usize,
    sink: S,
    new_sink: impl Fn() -> S + Sync,
) -> Reading<S> {
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let run = Run {
        source: Mutex::new(Source::new(inputs)),
        order: Mutex::new(Order {
            next: 0,
            done: BTreeMap::new(),
            taken: false,
            spare: Vec::new(),
            abandoned: false,
        }),
        whole: Mutex::new(Whole {
            sink,
            stitcher: Stitcher::default(),
            tallies: vec![Tally::default(); names.len()],
        }),
        turn: Condvar::new(),
        options,
        n_threads: n_threads.max(1),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..run.n_threads)
            .map(|_| spawn_parser(scope, || run.work(&new_sink)))
            .collect();
        if workers.iter().all(Result::is_err) {
            run.work(&new_sink);
        }
    });
    run.finish(names)
}

/// The inputs, of which one is open.
struct Source {
    waiting: std::vec::IntoIter<(usize, Input)>,
    open: Option<Reader>,
    n_chunks: u64,
    facts: BTreeMap<usize, InputFacts>,
    broken_off: Vec<(Origin, String)>,
    foreign: Vec<(u32, Arc<Mutex<Foreign>>)>,
    failures: Vec<(usize, SourceError)>,
    spare: Vec<Buffer>,
}

impl Source {
    fn new(inputs: Vec<Input>) -> Self {
        let numbered: Vec<(usize, Input)> = inputs.into_iter().enumerate().collect();
        Self {
            waiting: numbered.into_iter(),
            open: None,
            n_chunks: 0,
            facts: BTreeMap::new(),
            broken_off: Vec::new(),
            foreign: Vec::new(),
            failures: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The next chunk of all inputs, with its number.
    fn next_chunk(&mut self, options: &Options) -> Option<(u64, Chunk)> {
        loop {
            let Some(reader) = &mut self.open else {
                self.open_next(options)?;
                continue;
            };
            let buffer = self.spare.pop().unwrap_or_default();
            match reader.next_chunk(buffer) {
                Ok(Some(chunk)) => {
                    let number = self.n_chunks;
                    self.n_chunks += 1;
                    return Some((number, chunk));
                }
                Ok(None) => self.close(),
                Err(error) => {
                    self.failures.push((reader.file as usize, error));
                    self.close();
                }
            }
        }
    }

    /// Opens the next input that can be; `None` when there are no more.
    fn open_next(&mut self, options: &Options) -> Option<()> {
        let (number, input) = self.waiting.next()?;
        let file = u32::try_from(number).unwrap_or(u32::MAX);
        match Reader::open(file, input, options) {
            Ok(reader) => self.open = Some(reader),
            Err(error) => self.failures.push((number, error)),
        }
        Some(())
    }

    fn close(&mut self) {
        let Some(reader) = self.open.take() else {
            return;
        };
        let is = |format: *const Format| std::ptr::eq(reader.format, format);
        let facts = InputFacts {
            kind: if is(&raw const sql_file::FORMAT) {
                InputKind::SqlFile
            } else if is(&raw const pgbouncer::FORMAT) {
                InputKind::PoolerLog
            } else {
                InputKind::Log
            },
            name: reader.name,
            format: match reader.wrapping {
                Some(wrapping) => format!("{wrapping}/{}", reader.format.name),
                None => reader.format.name.to_owned(),
            },
            log_line_prefix: reader.framing.prefix(),
            n_bytes: reader.n_bytes,
            ..InputFacts::default()
        };
        if let Some(error) = reader.broken_off {
            let origin = Origin {
                file: reader.file,
                line: 0,
            };
            self.broken_off.push((origin, error.to_string()));
        }
        let foreign = reader.foreign.into_iter();
        self.foreign
            .extend(foreign.map(|foreign| (reader.file, foreign)));
        self.facts.insert(reader.file as usize, facts);
    }
}

/// What a worker made of a chunk.
struct Done<S> {
    file: u32,
    sink: S,
    sessions: Sessions,
    tally: Tally,
}

/// Chunks that were read, until their turn comes.
struct Order<S> {
    /// The chunk that comes next.
    next: u64,
    /// Chunks that wait for their turn.
    done: BTreeMap<u64, Done<S>>,
    /// A worker is putting chunks together, and will take whatever comes next.
    taken: bool,
    /// Emptied sinks; what they know of earlier chunks saves work on later ones.
    spare: Vec<S>,
    /// A worker panicked: nobody waits any longer.
    abandoned: bool,
}

/// All chunks so far, put together in their order.
struct Whole<S> {
    sink: S,
    stitcher: Stitcher,
    tallies: Vec<Tally>,
}

impl<S: Sink> Whole<S> {
    /// Takes over the chunk whose turn it is; gives back its sink, emptied.
    fn take_over(&mut self, mut done: Done<S>) -> S {
        let (sink, following) = (&mut self.sink, &mut done.sink);
        self.stitcher.next_chunk(sink, following, done.sessions);
        self.sink.append(&mut done.sink);
        let tally = &mut self.tallies[done.file as usize];
        tally.n_records += done.tally.n_records;
        done.sink
    }
}

struct Run<'o, S> {
    source: Mutex<Source>,
    order: Mutex<Order<S>>,
    /// Locked by the one worker that puts chunks together.
    whole: Mutex<Whole<S>>,
    /// Told when chunks were taken over.
    turn: Condvar,
    options: &'o Options,
    n_threads: usize,
}

/// A poisoned lock means that another worker panicked; the scope hands that panic on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Frees waiting workers when this one panics.
struct Alarm<'r, 'o, S>(&'r Run<'o, S>);

impl<S> Drop for Alarm<'_, '_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            locked(&self.0.order).abandoned = true;
            self.0.turn.notify_all();
        }
    }
}

impl<S: Sink> Run<'_, S> {
    fn work(&self, new_sink: &(impl Fn() -> S + Sync)) {
        let _alarm = Alarm(self);
        loop {
            let Some((number, chunk)) = locked(&self.source).next_chunk(self.options) else {
                return;
            };
            let spare = locked(&self.order).spare.pop();
            let sink = spare.unwrap_or_else(new_sink);
            let mut assembler = Assembler::new(sink, self.options, chunk.file, chunk.first_line);
            chunk.framing.read(chunk.bytes(), &mut assembler);
            let done = Done {
                file: chunk.file,
                sink: assembler.sink,
                sessions: assembler.sessions,
                tally: assembler.tally,
            };
            locked(&self.source).spare.push(chunk.buffer);
            self.hand_over(number, done);
        }
    }

    /// Gives a finished chunk to its place, and puts together what can be, unless another worker is at it. Waits while too many chunks
    /// wait for an earlier one: that bounds memory.
    fn hand_over(&self, number: u64, done: Done<S>) {
        let mut order = locked(&self.order);
        order.done.insert(number, done);
        if !order.taken {
            order = self.put_together(order);
        }
        while order.done.len() > self.n_threads && order.next < number && !order.abandoned {
            order = self
                .turn
                .wait(order)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes over all chunks whose turn it is, without keeping others from handing in theirs.
    fn put_together<'g>(&'g self, mut order: MutexGuard<'g, Order<S>>) -> MutexGuard<'g, Order<S>> {
        order.taken = true;
        loop {
            let next = order.next;
            let Some(done) = order.done.remove(&next) else {
                break;
            };
            drop(order);
            let spare = locked(&self.whole).take_over(done);
            order = locked(&self.order);
            order.next += 1;
            order.spare.push(spare);
            self.turn.notify_all();
        }
        order.taken = false;
        order
    }

    fn finish(self, names: Vec<String>) -> Reading<S> {
        let mut source = into_inner(self.source);
        let mut whole = into_inner(self.whole);
        whole.stitcher.finish(&mut whole.sink);
        for (origin, error) in source.broken_off {
            whole.sink.skipped(BROKEN_OFF, origin, error.as_bytes());
        }
        for (file, foreign) in source.foreign {
            let foreign = locked(&foreign);
            let (line, example) = foreign.first.clone().unwrap_or_default();
            for _ in 0..foreign.n {
                whole.sink.skipped(FOREIGN, Origin { file, line }, &example);
            }
        }
        let mut failures = source.failures;
        let inputs = names
            .into_iter()
            .enumerate()
            .map(|(number, name)| {
                let facts = source.facts.remove(&number);
                let nothing = whole.tallies[number].n_records == 0;
                if nothing && !failures.iter().any(|(failed, _)| *failed == number) {
                    let line = String::new();
                    let name = name.clone();
                    failures.push((number, SourceError::Unrecognised { name, line }));
                }
                facts.unwrap_or_else(|| InputFacts {
                    name,
                    ..InputFacts::default()
                })
            })
            .collect();
        failures.sort_by_key(|(number, _)| *number);
        Reading {
            sink: whole.sink,
            inputs,
            failures,
        }
    }
}
