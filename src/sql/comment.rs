//! Tags that an application puts into comments before or behind a statement: sqlcommenter and marginalia.
//!
//! The text is hostile: a comment counts as tags only when every part of it is a key and a value, and sizes are bounded.

/// Tags kept of one statement; sqlcommenter's own set has 8.
const MAX_TAGS: usize = 32;
/// Bytes of a key or a value that are kept.
const MAX_TAG_BYTES: usize = 256;
/// Longest comment that is looked at.
const MAX_COMMENT_BYTES: usize = 8 * 1024;
/// Trailing comments that are looked at, so that a text of nothing but comments takes linear time.
const MAX_TRAILING: usize = 4;

/// The tags in the comments before and behind the statement, in order of appearance, URL-decoded.
///
/// Understands `/*key='value',key2='value2'*/` (sqlcommenter) and `/*key:value,key2:value2*/` (marginalia), also behind `--`.
#[must_use]
pub fn tags(sql: &[u8]) -> Vec<(String, String)> {
    let (leading, body) = split_leading(sql);
    let (_, trailing) = split_trailing(body);
    let mut tags = Vec::new();
    for comments in [leading, trailing] {
        for comment in Comments(comments) {
            tags.extend(parse(comment));
        }
    }
    tags.truncate(MAX_TAGS);
    tags
}

/// The statement without the comments, semicolons and white space around it: what stays the same when only tags change.
#[must_use]
pub fn trim_comments(sql: &[u8]) -> &[u8] {
    let (_, body) = split_leading(sql);
    split_trailing(body).0
}

fn split_leading(sql: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    loop {
        let rest = &sql[at..];
        let blank = rest.len() - rest.trim_ascii_start().len();
        match comment_end(&rest[blank..]) {
            Some(end) => at += blank + end,
            None => return sql.split_at(at + blank),
        }
    }
}

/// Where the comment that `text` starts with ends; block comments that nest are left alone.
fn comment_end(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"--") {
        return Some(memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1));
    }
    let body = text.strip_prefix(b"/*")?;
    let close = memchr::memmem::find(body, b"*/")?;
    let nests = memchr::memmem::find(&body[..close], b"/*").is_some();
    (!nests).then_some(close + 4)
}

/// Splits off trailing comments. A `*/` at the end always closes a comment: no operator and no string of valid SQL ends so.
fn split_trailing(sql: &[u8]) -> (&[u8], &[u8]) {
    let mut text = trim_end(sql);
    for _ in 0..MAX_TRAILING {
        let start = if text.ends_with(b"*/") {
            memchr::memmem::rfind(&text[..text.len() - 2], b"/*")
        } else {
            line_comment_start(text)
        };
        let Some(start) = start else { break };
        text = trim_end(&text[..start]);
    }
    (text, &sql[text.len()..])
}

fn trim_end(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let n_blank = text.iter().rev().take_while(|byte| is_blank(byte)).count();
    &text[..text.len() - n_blank]
}

/// Start of a `-- …` that ends the text. Only on a last line without quotes ahead of it, where `--` can't stand inside a string.
fn line_comment_start(text: &[u8]) -> Option<usize> {
    let line = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
    let start = line + memchr::memmem::find(&text[line..], b"--")?;
    let ahead = &text[..start];
    memchr::memchr3(b'\'', b'"', b'$', ahead)
        .is_none()
        .then_some(start)
}

/// The bodies of the comments in a text that holds only comments, white space and semicolons.
struct Comments<'a>(&'a [u8]);

impl<'a> Iterator for Comments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = memchr::memchr2(b'/', b'-', self.0)?;
        let text = &self.0[start..];
        let end = comment_end(text)?;
        self.0 = &text[end..];
        let comment = &text[2..end];
        Some(comment.strip_suffix(b"*/").unwrap_or(comment))
    }
}

/// The tags of one comment; none when any part is not a tag, as in a comment for people.
fn parse(comment: &[u8]) -> Vec<(String, String)> {
    if comment.len() > MAX_COMMENT_BYTES {
        return Vec::new();
    }
    let parts = Parts(comment.trim_ascii());
    let tags: Option<Vec<_>> = parts.take(MAX_TAGS).map(tag).collect();
    tags.unwrap_or_default()
}

/// Cuts at commas outside quotes.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut quoted = false;
        let mut escaped = false;
        let end = self.0.iter().position(|byte| {
            quoted ^= *byte == b'\'' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            *byte == b',' && !quoted
        });
        let (part, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest.get(1..).unwrap_or_default();
        Some(part)
    }
}

fn tag(part: &[u8]) -> Option<(String, String)> {
    let part = part.trim_ascii();
    let at = memchr::memchr2(b'=', b':', part)?;
    let (key, value) = (part[..at].trim_ascii(), part[at + 1..].trim_ascii());
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.%".contains(byte);
    if key.is_empty() || !key.iter().all(is_key) || key.len() > MAX_TAG_BYTES {
        return None;
    }
    let quoted = value
        .strip_prefix(b"'")
        .and_then(|value| value.strip_suffix(b"'"));
    Some((decode(key), decode(quoted.unwrap_or(value))))
}

/// URL-decodes and takes `\` before a quote away; control characters are dropped, size is bounded.
fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len().min(MAX_TAG_BYTES));
    let mut at = 0;
    while at < text.len() && bytes.len() < MAX_TAG_BYTES {
        let (byte, len) = match &text[at..] {
            [b'%', high, low, ..] => hex(*high, *low).map_or((b'%', 1), |byte| (byte, 3)),
            [b'\\', b'\'', ..] => (b'\'', 2),
            _ => (text[at], 1),
        };
        bytes.push(byte);
        at += len;
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|char| !char.is_control()).collect()
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(sql: &str, expected: &[(&str, &str)]) {
        let tags = tags(sql.as_bytes());
        let tags: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(tags, expected, "{sql}");
    }

    #[test]
    fn sqlcommenter() {
        check(
            "SELECT 1 /*controller='index',route='%2Fpolls%201000',framework='django%3A2.2'*/;",
            &[
                ("controller", "index"),
                ("route", "/polls 1000"),
                ("framework", "django:2.2"),
            ],
        );
        check(r"select 1 /*name='it\'s, me'*/", &[("name", "it's, me")]);
    }

    #[test]
    fn marginalia() {
        check(
            "/*application:Shop,controller:users,action:index,line:/app/x.rb:12:in `y'*/ SELECT 1",
            &[
                ("application", "Shop"),
                ("controller", "users"),
                ("action", "index"),
                ("line", "/app/x.rb:12:in `y'"),
            ],
        );
        check("select 1 -- job=Mailer\n", &[("job", "Mailer")]);
    }

    #[test]
    fn comments_for_people_are_no_tags() {
        check("select 1 /* the users of: page one, and more */", &[]);
        check("/* hello */ select 1", &[]);
        check("select '/*a=1*/'", &[]);
        check("select 'x -- a=1'", &[]);
    }

    #[test]
    fn trimming_leaves_the_statement() {
        for sql in [
            "select 1",
            "select 1 ; ",
            "/*a=1*/ /*b=2*/ select 1",
            "-- x\nselect 1 /*traceparent='00-1'*/;",
            "select 1 -- x",
        ] {
            assert_eq!(trim_comments(sql.as_bytes()), b"select 1", "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(sql: Vec<u8>) {
            let _ = tags(&sql);
            prop_assert!(trim_comments(&sql).len() <= sql.len());
        }

        #[test]
        fn any_comment(text in r"(/\*[a-z='%,:/\*-]{0,12}\*/| |;|--[a-z=]{0,3}\n|select 'a'){0,8}") {
            let tags = tags(text.as_bytes());
            prop_assert!(tags.len() <= MAX_TAGS);
        }
    }
}
