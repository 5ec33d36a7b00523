//! The text of a connection string → parameters: libpq's URI form and its `key=value` form.
//!
//! Errors never quote the text: a password may stand anywhere in a string that we failed to understand.

use std::collections::BTreeMap;

/// Parameters by libpq's names. Later ones of the same name win, as in libpq.
pub(super) type Parameters = BTreeMap<&'static str, String>;

/// Every parameter that libpq 18 knows; those that need support which pgassay lacks are refused when they are resolved.
pub(super) static KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters that ORMs and drivers add to their URLs and that mean nothing to a server: accepted and left out.
static FOREIGN: &[&str] = &[
    "connection_limit",
    "connectionlimit",
    "pgbouncer",
    "pool",
    "pool_size",
    "pool_timeout",
    "preparethreshold",
    "schema",
    "sslaccept",
    "statement_cache_size",
    "timeout",
    "uselibpqcompat",
];

/// Why a connection string can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyntaxError {
    #[error("unknown URL scheme")]
    Scheme,
    #[error("neither a postgres:// URL nor key=value pairs")]
    Neither,
    #[error("invalid percent-encoding in the URL")]
    Percent,
    #[error("missing ']' after an IPv6 address in the URL")]
    Bracket,
    #[error("missing '=' after a connection parameter")]
    Equals,
    #[error("unterminated quote in a connection parameter's value")]
    Quote,
    #[error("unknown connection parameter")]
    Unknown,
    #[error("a NUL byte in the connection string")]
    Nul,
}

/// Reads either form. `ignored` takes the names of parameters that were left out.
pub(super) fn parse(
    text: &str,
    ignored: &mut Vec<&'static str>,
) -> Result<Parameters, SyntaxError> {
    let text = text.trim();
    if text.contains('\0') {
        return Err(SyntaxError::Nul);
    }
    if let Some((scheme, rest)) = text.split_once("://")
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-._:".contains(&b))
    {
        return if is_postgres(scheme) {
            parse_uri(rest, ignored)
        } else {
            Err(SyntaxError::Scheme)
        };
    }
    if text.contains('=') {
        return parse_pairs(text, ignored);
    }
    // a bare word is a database, as in `psql shop`; anything that looks like a broken URL is not
    if text.contains([':', '/', '@', '?']) {
        return Err(SyntaxError::Neither);
    }
    let mut parameters = Parameters::new();
    if !text.is_empty() {
        parameters.insert("dbname", text.to_owned());
    }
    Ok(parameters)
}

/// `postgres`, `postgresql`, and what drivers make of it: `postgresql+asyncpg`, `jdbc:postgresql`.
fn is_postgres(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    let scheme = scheme.strip_prefix("jdbc:").unwrap_or(&scheme);
    let base = scheme.split_once('+').map_or(scheme, |(base, _)| base);
    matches!(base, "postgres" | "postgresql")
}

fn parse_uri(rest: &str, ignored: &mut Vec<&'static str>) -> Result<Parameters, SyntaxError> {
    let mut parameters = Parameters::new();
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    // the last '@' before the path: passwords with a raw '@' are common, host names have none
    let (authority, database) = split_authority(location);
    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => (user_info, hosts),
        None => ("", authority),
    };
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    put(&mut parameters, "user", decode(user)?);
    put(&mut parameters, "password", decode(password)?);
    put(&mut parameters, "dbname", decode(database)?);
    parse_hosts(hosts, &mut parameters)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(SyntaxError::Equals)?;
        set(&mut parameters, &decode(key)?, decode(value)?, ignored)?;
    }
    Ok(parameters)
}

/// Splits `authority/dbname`. A slash inside the user's part (a raw one in a password) belongs to the authority.
fn split_authority(location: &str) -> (&str, &str) {
    let hosts_at = location.rfind('@').map_or(0, |at| at + 1);
    match location[hosts_at..].find('/') {
        Some(slash) => (
            &location[..hosts_at + slash],
            &location[hosts_at + slash + 1..],
        ),
        None => (location, ""),
    }
}

fn parse_hosts(text: &str, parameters: &mut Parameters) -> Result<(), SyntaxError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for part in text.split(',') {
        let (host, port) = if let Some(bracketed) = part.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']').ok_or(SyntaxError::Bracket)?;
            (host, rest.strip_prefix(':').unwrap_or(""))
        } else {
            part.split_once(':').unwrap_or((part, ""))
        };
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        parameters.insert("host", hosts.join(","));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        parameters.insert("port", ports.join(","));
    }
    Ok(())
}

/// `key = value` pairs; values may be quoted, a backslash escapes the next character.
pub(super) fn parse_pairs(
    text: &str,
    ignored: &mut Vec<&'static str>,
) -> Result<Parameters, SyntaxError> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(SyntaxError::Equals)?;
        let (value, after) = parse_value(after.trim_start())?;
        set(&mut parameters, key.trim(), value, ignored)?;
        rest = after.trim_start();
    }
    Ok(parameters)
}

fn parse_value(text: &str) -> Result<(String, &str), SyntaxError> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((value, &text[at..])),
            c => value.push(c),
        }
    }
    if quoted {
        Err(SyntaxError::Quote)
    } else {
        Ok((value, ""))
    }
}

/// The parameter of that name, as a static string.
pub(super) fn known(name: &str) -> Option<&'static str> {
    KNOWN.binary_search(&name).ok().map(|at| KNOWN[at])
}

fn set(
    parameters: &mut Parameters,
    key: &str,
    value: String,
    ignored: &mut Vec<&'static str>,
) -> Result<(), SyntaxError> {
    if let Some(name) = known(key) {
        parameters.insert(name, value);
        return Ok(());
    }
    match key.to_ascii_lowercase().as_str() {
        // JDBC's and Heroku's spelling
        "ssl" if value == "true" => put(parameters, "sslmode", "require".to_owned()),
        "ssl" => {}
        "database" => put(parameters, "dbname", value),
        "username" => put(parameters, "user", value),
        "currentschema" | "search_path" => ignored.push("search_path"),
        other => match FOREIGN.binary_search(&other) {
            Ok(at) => ignored.push(FOREIGN[at]),
            // the key may be anything, a piece of a password too: only a known misspelling would be safe to show
            Err(_) => return Err(SyntaxError::Unknown),
        },
    }
    Ok(())
}

fn put(parameters: &mut Parameters, name: &'static str, value: String) {
    if !value.is_empty() {
        parameters.insert(name, value);
    }
}

fn decode(text: &str) -> Result<String, SyntaxError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = rest
            .next()
            .and_then(hex_digit)
            .ok_or(SyntaxError::Percent)?;
        let low = rest
            .next()
            .and_then(hex_digit)
            .ok_or(SyntaxError::Percent)?;
        match high << 4 | low {
            0 => return Err(SyntaxError::Nul),
            decoded => bytes.push(decoded),
        }
    }
    String::from_utf8(bytes).map_err(|_| SyntaxError::Percent)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let parameters = parse(text, &mut Vec::new()).unwrap_or_else(|e| panic!("{text}: {e}"));
        let got: Vec<(&str, &str)> = parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn names_are_sorted() {
        assert!(KNOWN.is_sorted());
        assert!(FOREIGN.is_sorted());
    }

    #[test]
    fn uris() {
        check("postgres://", &[]);
        check("postgresql:///shop", &[("dbname", "shop")]);
        check("postgres://h/db", &[("dbname", "db"), ("host", "h")]);
        check(
            "postgresql://u:p%40ss@h:6432/db?sslmode=require&connect_timeout=3",
            &[
                ("connect_timeout", "3"),
                ("dbname", "db"),
                ("host", "h"),
                ("password", "p@ss"),
                ("port", "6432"),
                ("sslmode", "require"),
                ("user", "u"),
            ],
        );
        check(
            "postgres://a:1,b,[::1]:3/x",
            &[("dbname", "x"), ("host", "a,b,::1"), ("port", "1,,3")],
        );
        check(
            "postgres://%2Fvar%2Frun/x",
            &[("dbname", "x"), ("host", "/var/run")],
        );
        check(
            "postgres:///x?host=/tmp&user=me",
            &[("dbname", "x"), ("host", "/tmp"), ("user", "me")],
        );
        check(
            "postgresql+asyncpg://u@h/x",
            &[("dbname", "x"), ("host", "h"), ("user", "u")],
        );
        check(
            "jdbc:postgresql://h/x?ssl=true",
            &[("dbname", "x"), ("host", "h"), ("sslmode", "require")],
        );
    }

    #[test]
    fn raw_specials_in_a_password_stay_in_the_password() {
        let expected = [
            ("dbname", "db"),
            ("host", "h"),
            ("password", "a@b/c:d"),
            ("user", "u"),
        ];
        check("postgres://u:a@b/c:d@h/db", &expected);
    }

    #[test]
    fn pairs() {
        check(
            "host=h dbname = 'a b' user='o\\'x'",
            &[("dbname", "a b"), ("host", "h"), ("user", "o'x")],
        );
        check("password=a\\ b", &[("password", "a b")]);
        check("host='' port=1", &[("host", ""), ("port", "1")]);
        check("shop", &[("dbname", "shop")]);
    }

    #[test]
    fn what_drivers_add_is_ignored_and_named() {
        let mut ignored = Vec::new();
        parse("postgres://h/x?schema=public&pgbouncer=true", &mut ignored).unwrap();
        assert_eq!(ignored, ["schema", "pgbouncer"]);
    }

    #[test]
    fn errors() {
        let error = |text: &str| parse(text, &mut Vec::new()).unwrap_err();
        assert_eq!(error("mysql://u:p@h/x"), SyntaxError::Scheme);
        assert_eq!(error("postgres:/u:p@h/x"), SyntaxError::Neither);
        assert_eq!(error("postgres://h/%zz"), SyntaxError::Percent);
        assert_eq!(error("postgres://[::1/x"), SyntaxError::Bracket);
        assert_eq!(error("postgres://h/x?nonsense=1"), SyntaxError::Unknown);
        assert_eq!(error("host=h user"), SyntaxError::Equals);
        assert_eq!(error("user='x"), SyntaxError::Quote);
        assert_eq!(error("postgres://h/a%00b"), SyntaxError::Nul);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_is_quoted_in_the_error(text in ".{0,60}") {
            let secret = format!("s3cr3t{text}");
            if let Err(error) = parse(&secret, &mut Vec::new()) {
                prop_assert!(!error.to_string().contains("s3cr3t"));
            }
        }
    }
}
