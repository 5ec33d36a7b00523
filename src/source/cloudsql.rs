//! Google Cloud SQL and AlloyDB: LogEntry objects of Cloud Logging, one a line (sinks to Cloud Storage) or a printed array (`gcloud logging read`,
//! which lists the newest first).

use serde_json::{Map, Value};

use super::unwrap::{Pieces, Unwrap, Wrapping, object, push_text};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "cloudsql",
    summary: "LogEntry objects of Google Cloud Logging (Cloud SQL, AlloyDB)",
    pieces: Pieces::Objects,
    is_one: |piece| object(piece).is_some_and(|entry| is_entry(&entry)),
    unwrap: |_| Box::new(CloudSql::default()),
};

/// Entries that are put in order as a whole; of more, the order is left as it is.
const MAX_REVERSED_BYTES: usize = 256 << 20;

#[derive(Default)]
struct CloudSql {
    order: Order,
    first_time: Option<String>,
    /// Entries that are held back: until the order is known, or all of them when it is the wrong one.
    held: Vec<Vec<u8>>,
    n_held_bytes: usize,
}

#[derive(Default, PartialEq, Eq)]
enum Order {
    #[default]
    Unknown,
    OldestFirst,
    NewestFirst,
}

fn is_entry(entry: &Map<String, Value>) -> bool {
    let is_cloud = entry.contains_key("logName") || entry.contains_key("insertId");
    is_cloud && text(entry).is_some()
}

fn text(entry: &Map<String, Value>) -> Option<&str> {
    let plain = entry.get("textPayload");
    plain
        .or_else(|| entry.get("jsonPayload")?.get("message"))?
        .as_str()
}

impl CloudSql {
    fn learn_order(&mut self, time: Option<&str>) {
        let (Order::Unknown, Some(time)) = (&self.order, time) else {
            return;
        };
        match &self.first_time {
            None => self.first_time = Some(time.to_owned()),
            Some(first) if time > first.as_str() => self.order = Order::OldestFirst,
            Some(first) if time < first.as_str() => self.order = Order::NewestFirst,
            Some(_) => {}
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        if self.order == Order::NewestFirst {
            self.held.reverse();
        }
        self.n_held_bytes = 0;
        for text in self.held.drain(..) {
            out.extend_from_slice(&text);
        }
    }
}

impl Unwrap for CloudSql {
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        let mut is_ours = true;
        let mut lines = Vec::new();
        if let Some(entry) = object(piece) {
            self.learn_order(entry.get("timestamp").and_then(Value::as_str));
            // entries without a text are of other services
            if let Some(text) = text(&entry) {
                push_text(text, &mut lines);
            } else {
                is_ours = false;
            }
        } else {
            lines.extend_from_slice(piece);
            lines.push(b'\n');
        }
        if self.order == Order::OldestFirst {
            self.release(out);
            out.extend_from_slice(&lines);
            return is_ours;
        }
        self.n_held_bytes += lines.len();
        self.held.push(lines);
        if self.n_held_bytes > MAX_REVERSED_BYTES {
            self.release(out);
        }
        is_ours
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(out);
    }
}
