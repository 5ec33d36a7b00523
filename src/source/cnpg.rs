//! CloudNativePG: the instance manager's JSON lines; the server's csvlog is in `record`, with csvlog's names.

use serde_json::{Map, Value};

use super::unwrap::{Pieces, Unwrap, Wrapping, object, push_text};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "cloudnativepg",
    summary: "JSON lines of CloudNativePG",
    pieces: Pieces::Objects,
    is_one: |piece| object(piece).is_some_and(|line| is_ours(&line)),
    unwrap: |_| Box::new(Cnpg),
};

struct Cnpg;

/// Columns of csvlog by the names that CloudNativePG gives them, and jsonlog's names for them.
const NAMES: &[(&str, &str)] = &[
    ("log_time", "timestamp"),
    ("user_name", "user"),
    ("database_name", "dbname"),
    ("process_id", "pid"),
    ("connection_from", "remote_host"),
    ("session_id", "session_id"),
    ("session_line_num", "line_num"),
    ("command_tag", "ps"),
    ("session_start_time", "session_start"),
    ("virtual_transaction_id", "vxid"),
    ("transaction_id", "txid"),
    ("error_severity", "error_severity"),
    ("sql_state_code", "state_code"),
    ("message", "message"),
    ("detail", "detail"),
    ("hint", "hint"),
    ("internal_query", "internal_query"),
    ("context", "context"),
    ("query", "statement"),
    ("application_name", "application_name"),
    ("backend_type", "backend_type"),
    ("leader_pid", "leader_pid"),
    ("query_id", "query_id"),
];

fn is_ours(line: &Map<String, Value>) -> bool {
    line.get("record").is_some_and(Value::is_object)
        || line.contains_key("logging_pod") && line.contains_key("msg")
}

impl Unwrap for Cnpg {
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(mut line) = object(piece) else {
            out.extend_from_slice(piece);
            out.push(b'\n');
            return true;
        };
        let is_server = line.get("logger").and_then(Value::as_str) == Some("postgres");
        match (line.remove("record"), line.remove("msg")) {
            (Some(Value::Object(record)), _) if record.contains_key("error_severity") => {
                let renamed: Map<String, Value> = NAMES
                    .iter()
                    .filter_map(|(csv, json)| Some(((*json).to_owned(), record.get(*csv)?.clone())))
                    .collect();
                out.extend_from_slice(Value::Object(renamed).to_string().as_bytes());
                out.push(b'\n');
            }
            (_, Some(Value::String(text))) if is_server => push_text(&text, out),
            // the instance manager's own messages, and those of pgaudit
            _ => return false,
        }
        true
    }
}
