//! What a statement's comment says about the request that it belongs to.

use crate::sql::tags;

/// The request's id (hashed; 0 for none) and the other tags (`key=value`) of the statement's comments.
pub(super) fn request_and_tags(text: &[u8]) -> (u64, Vec<String>) {
    if memchr::memmem::find(text, b"/*").is_none() && memchr::memmem::find(text, b"--").is_none() {
        return (0, Vec::new());
    }
    let mut request = 0;
    let mut labels: Vec<String> = Vec::new();
    for (key, value) in tags(text) {
        match request_id(&key, &value) {
            Some(id) => request = xxhash_rust::xxh3::xxh3_64(id.as_bytes()) | 1,
            None => labels.push(format!("{key}={value}")),
        }
    }
    labels.sort();
    (request, labels)
}

/// The part of a tag that names one request: the trace id of `traceparent`, a request's or a job's id.
fn request_id<'a>(key: &str, value: &'a str) -> Option<&'a str> {
    match key.to_ascii_lowercase().as_str() {
        "traceparent" => value.split('-').nth(1).filter(|id| id.len() >= 16),
        "trace_id" | "traceid" | "request_id" | "requestid" | "x_request_id" | "req_id"
        | "job_id" | "jobid" | "jid" => Some(value).filter(|id| !id.is_empty()),
        _ => None,
    }
}
