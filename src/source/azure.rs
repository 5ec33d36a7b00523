//! Azure Database for PostgreSQL: records of Azure Monitor (storage account or event hub), the message with its prefix in `properties`.

use serde_json::{Map, Value};

use super::{
    prefix::find_severity,
    unwrap::{Pieces, Unwrap, Wrapping, object, push_text},
};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "azure",
    summary: "records of Azure Monitor (category PostgreSQLLogs)",
    pieces: Pieces::Objects,
    is_one: |piece| object(piece).is_some_and(|record| !entries(&record).is_empty()),
    unwrap: |_| Box::new(Azure),
};

struct Azure;

/// The `properties` of one record, or of all in `{"records": […]}`.
fn entries(record: &Map<String, Value>) -> Vec<&Map<String, Value>> {
    let properties = |record: &Value| -> Option<bool> {
        Some(record.get("properties")?.get("message")?.is_string())
    };
    match record.get("records") {
        Some(Value::Array(records)) => records
            .iter()
            .filter(|record| properties(record) == Some(true))
            .filter_map(|record| record.get("properties")?.as_object())
            .collect(),
        _ => record
            .get("properties")
            .and_then(Value::as_object)
            .filter(|entry| entry.get("message").is_some_and(Value::is_string))
            .into_iter()
            .collect(),
    }
}

impl Unwrap for Azure {
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(record) = object(piece) else {
            out.extend_from_slice(piece);
            out.push(b'\n');
            return true;
        };
        let entries = entries(&record);
        for entry in &entries {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let message = text("message");
            push_text(message, out);
            // what belongs to the message comes with its prefix, as in a file
            let prefix =
                find_severity(message.as_bytes()).map_or("", |(_, end, _)| &message[..end]);
            for (key, level) in [
                ("detail", "DETAIL"),
                ("context", "CONTEXT"),
                ("statement", "STATEMENT"),
            ] {
                let more = text(key);
                if !more.is_empty() {
                    push_text(&format!("{prefix}{level}:  {more}"), out);
                }
            }
        }
        !entries.is_empty()
    }
}
