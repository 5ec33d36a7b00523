//! The two files of libpq that hold connection parameters: the password file and the service file. Contents come in as bytes.

use super::{
    Secret,
    parse::{self, Parameters},
};

/// What a password is looked up for.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassfileKey<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) dbname: &'a str,
    pub(super) user: &'a str,
}

/// The first line `host:port:database:user:password` that matches; `*` matches anything, a backslash escapes `:` and itself.
pub(super) fn find_password(passfile: &[u8], key: PassfileKey<'_>) -> Option<Secret> {
    let port = key.port.to_string();
    let wanted = [key.host, &port, key.dbname, key.user];
    let text = String::from_utf8_lossy(passfile);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let fields = split_fields(line)?;
            let matches = wanted
                .iter()
                .zip(&fields)
                .all(|(wanted, field)| field.raw == "*" || field.value == **wanted);
            matches.then(|| Secret::new(fields[4].value.clone()))
        })
}

#[derive(Debug, Default)]
struct Field {
    /// As written: only a bare `*` is the wildcard, `\*` is a star.
    raw: String,
    value: String,
}

/// Five fields; the fifth takes the rest of the line.
fn split_fields(line: &str) -> Option<[Field; 5]> {
    let mut fields: [Field; 5] = Default::default();
    let mut at = 0;
    let mut chars = line.trim_end_matches(['\r', '\n']).chars();
    while let Some(c) = chars.next() {
        match c {
            ':' if at < 4 => at += 1,
            '\\' => {
                let escaped = chars.next().unwrap_or('\\');
                fields[at].raw.extend(['\\', escaped]);
                fields[at].value.push(escaped);
            }
            c => {
                fields[at].raw.push(c);
                fields[at].value.push(c);
            }
        }
    }
    (at == 4).then_some(fields)
}

/// The parameters of `[service]`; `None` when the file has no such section.
pub(super) fn find_service(file: &[u8], service: &str) -> Option<Parameters> {
    let text = String::from_utf8_lossy(file);
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| section(line) == Some(service))?;
    let mut parameters = Parameters::new();
    for line in lines.take_while(|line| section(line).is_none()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=')?;
        if let Some(name) = parse::known(key.trim()) {
            // the first one wins, as in libpq
            parameters
                .entry(name)
                .or_insert_with(|| value.trim().to_owned());
        }
    }
    Some(parameters)
}

fn section(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSFILE: &[u8] = b"# comment\n\
        other:5432:*:*:wrong\n\
        db\\:1:5432:shop:alice:p\\:a\\\\ss\n\
        localhost:*:shop:alice:local:with:colons\r\n\
        *:*:*:bob:star\n";

    fn find(host: &str, port: u16, user: &str) -> Option<String> {
        let key = PassfileKey {
            host,
            port,
            dbname: "shop",
            user,
        };
        find_password(PASSFILE, key).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn passfile_matches_fields_and_wildcards() {
        assert_eq!(find("db:1", 5432, "alice").as_deref(), Some("p:a\\ss"));
        assert_eq!(
            find("localhost", 6000, "alice").as_deref(),
            Some("local:with:colons")
        );
        assert_eq!(find("anything", 1, "bob").as_deref(), Some("star"));
        assert_eq!(find("anything", 1, "carol"), None);
    }

    #[test]
    fn service_sections() {
        let file =
            b"[a]\nhost=x\n\n# c\n[shop]\nhost = db.example\nport=6432\nnonsense=1\n[z]\nport=1\n";
        let parameters = find_service(file, "shop").unwrap();
        assert_eq!(parameters.get("host").unwrap(), "db.example");
        assert_eq!(parameters.get("port").unwrap(), "6432");
        assert_eq!(parameters.len(), 2);
        assert!(find_service(file, "none").is_none());
    }
}
