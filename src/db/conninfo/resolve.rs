//! Parameters, service file, `PG*` variables and defaults → [`Conninfo`], in libpq's order of precedence.

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Address, Binding, ClientCert, Conninfo, Environment, FileContent, HostSpec, Roots, Secret,
    SslMode, Target, TlsSettings,
    files::{self, PassfileKey},
    parse::{self, Parameters, SyntaxError},
};
use crate::db::{APPLICATION_NAME, DbError, DbErrorKind};

/// Environment variable of each parameter (libpq 18, "Environment Variables").
static VARIABLES: &[(&str, &str)] = &[
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGDATABASE", "dbname"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGOPTIONS", "options"),
    ("PGPASSFILE", "passfile"),
    ("PGPASSWORD", "password"),
    ("PGPORT", "port"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLSNI", "sslsni"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGUSER", "user"),
];

/// Where Postgres puts its socket when nobody says otherwise: Debian and RHEL, then the sources' own default.
static SOCKET_FOLDERS: &[&str] = &["/var/run/postgresql", "/tmp"];

/// More servers than this in one string is a mistake.
const MAX_HOSTS: usize = 64;

const DEFAULT_PORT: u16 = 5432;

pub(super) fn resolve(text: Option<&str>, env: &Environment<'_>) -> Result<Conninfo, DbError> {
    let mut ignored = Vec::new();
    let mut parameters = parse::parse(text.unwrap_or_default(), &mut ignored).map_err(syntax)?;
    add_service(&mut parameters, env)?;
    for (variable, name) in VARIABLES {
        if let Some(value) = (env.var)(variable).filter(|value| !value.is_empty()) {
            parameters.entry(name).or_insert(value);
        }
    }
    refuse_unsupported(&parameters)?;
    let mut warnings: Vec<String> = ignored
        .iter()
        .map(|name| {
            format!("connection parameter \"{name}\" means nothing to a server and was left out")
        })
        .collect();
    let user = get(&parameters, "user")
        .map(str::to_owned)
        .or_else(|| env.os_user.clone())
        .ok_or_else(|| bad("no user name in the connection string"))?;
    let dbname = get(&parameters, "dbname").unwrap_or(&user).to_owned();
    let mut hosts = hosts(&parameters)?;
    add_passwords(
        &mut hosts,
        &parameters,
        (&user, &dbname),
        env,
        &mut warnings,
    );
    Ok(Conninfo {
        hosts,
        application: APPLICATION_NAME.to_owned(),
        options: get(&parameters, "options").map(str::to_owned),
        connect_timeout: connect_timeout(&parameters)?,
        tls: tls(&parameters, env)?,
        target: target(&parameters)?,
        binding: binding(&parameters)?,
        user,
        dbname,
        warnings,
    })
}

fn bad(message: impl Into<String>) -> DbError {
    DbError::new(DbErrorKind::Conninfo, message)
}

fn syntax(error: SyntaxError) -> DbError {
    bad(format!("cannot use the connection string: {error}")).hint(
        "expected postgres://user:password@host:5432/database or \"host=… user=… dbname=…\"; percent-encode special characters in a URL's password",
    )
}

/// The value itself is not shown: a password may have slipped into it.
fn invalid(name: &str) -> DbError {
    let error = bad(format!("invalid value for connection parameter \"{name}\""));
    let allowed = match name {
        "host" => "at most 64 hosts, and as many of hostaddr where both are given",
        "hostaddr" => "an IP address; names go into host",
        "port" => {
            "a number from 1 to 65535, or one for each host; percent-encode \":\", \"/\" and \"@\" in a URL's password"
        }
        "connect_timeout" => "whole seconds; 0 waits forever",
        "target_session_attrs" => {
            "one of: any, read-write, read-only, primary, standby, prefer-standby"
        }
        "channel_binding" => "one of: disable, prefer, require",
        "sslnegotiation" => "one of: postgres, direct",
        "sslmode" => "one of: disable, allow, prefer, require, verify-ca, verify-full",
        _ => return error,
    };
    error.hint(format!("{name} takes {allowed}"))
}

/// A parameter that is present and not empty: libpq treats empty as absent.
fn get<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters
        .get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

/// What asks for a protection that we would not give must not be silently dropped.
fn refuse_unsupported(parameters: &Parameters) -> Result<(), DbError> {
    for name in [
        "require_auth",
        "requirepeer",
        "sslcrl",
        "sslcrldir",
        "sslpassword",
    ] {
        if get(parameters, name).is_some() {
            return Err(bad(format!(
                "connection parameter \"{name}\" is not supported"
            )));
        }
    }
    if get(parameters, "gssencmode") == Some("require") {
        return Err(bad("gssencmode=require is not supported")
            .hint("use TLS (sslmode=verify-full) or a tunnel"));
    }
    if get(parameters, "replication").is_some_and(|v| !matches!(v, "false" | "off" | "no" | "0")) {
        return Err(bad("a replication connection can't be audited"));
    }
    Ok(())
}

fn add_service(parameters: &mut Parameters, env: &Environment<'_>) -> Result<(), DbError> {
    let Some(service) = get(parameters, "service")
        .map(str::to_owned)
        .or_else(|| (env.var)("PGSERVICE").filter(|name| !name.is_empty()))
    else {
        return Ok(());
    };
    let named = get(parameters, "servicefile")
        .map(PathBuf::from)
        .or_else(|| (env.var)("PGSERVICEFILE").map(PathBuf::from));
    let own = named.or_else(|| env.home.as_ref().map(|home| home.join(".pg_service.conf")));
    let system = (env.var)("PGSYSCONFDIR")
        .map_or_else(|| PathBuf::from("/etc/postgresql-common"), PathBuf::from);
    let found = own
        .into_iter()
        .chain([system.join("pg_service.conf")])
        .filter_map(|path| (env.read)(&path).ok())
        .find_map(|file| files::find_service(&file.bytes, &service));
    let found = found.ok_or_else(|| {
        bad("the service that the connection names is not in any service file")
            .hint("services are looked up in PGSERVICEFILE, ~/.pg_service.conf and pg_service.conf")
    })?;
    for (name, value) in found {
        parameters.entry(name).or_insert(value);
    }
    Ok(())
}

fn hosts(parameters: &Parameters) -> Result<Vec<HostSpec>, DbError> {
    let names: Vec<&str> =
        get(parameters, "host").map_or_else(Vec::new, |list| list.split(',').collect());
    let addrs: Vec<&str> =
        get(parameters, "hostaddr").map_or_else(Vec::new, |list| list.split(',').collect());
    let ports: Vec<&str> =
        get(parameters, "port").map_or_else(Vec::new, |list| list.split(',').collect());
    let n_hosts = names.len().max(addrs.len()).max(1);
    if n_hosts > MAX_HOSTS || (!names.is_empty() && !addrs.is_empty() && names.len() != addrs.len())
    {
        return Err(invalid("host"));
    }
    if ports.len() > 1 && ports.len() != n_hosts {
        return Err(invalid("port"));
    }
    let mut specs = Vec::new();
    for at in 0..n_hosts {
        let port = parse_port(ports.get(at).or(ports.first()).copied().unwrap_or_default())?;
        let name = names.get(at).copied().unwrap_or_default().trim();
        let addr = match addrs.get(at).copied().unwrap_or_default().trim() {
            "" => None,
            addr => Some(addr.parse::<IpAddr>().map_err(|_| invalid("hostaddr"))?),
        };
        specs.extend(addresses(name, addr).into_iter().map(|address| HostSpec {
            address,
            port,
            password: None,
        }));
    }
    Ok(specs)
}

fn parse_port(text: &str) -> Result<u16, DbError> {
    match text.trim() {
        "" => Ok(DEFAULT_PORT),
        digits => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid("port")),
    }
}

fn addresses(name: &str, addr: Option<IpAddr>) -> Vec<Address> {
    match (name, addr) {
        ("", None) => SOCKET_FOLDERS
            .iter()
            .map(|folder| Address::Unix(PathBuf::from(folder)))
            .collect(),
        (folder, None) if folder.starts_with('/') => vec![Address::Unix(PathBuf::from(folder))],
        (name, addr) => vec![Address::Tcp {
            name: match (name, addr) {
                ("", Some(addr)) => addr.to_string(),
                (name, _) => name.to_owned(),
            },
            addr,
        }],
    }
}

fn add_passwords(
    hosts: &mut [HostSpec],
    parameters: &Parameters,
    (user, dbname): (&str, &str),
    env: &Environment<'_>,
    warnings: &mut Vec<String>,
) {
    if let Some(password) = get(parameters, "password") {
        for host in hosts {
            host.password = Some(Secret::new(password.to_owned()));
        }
        return;
    }
    let named = get(parameters, "passfile").map(PathBuf::from);
    let Some(path) = named.or_else(|| env.home.as_ref().map(|home| home.join(".pgpass"))) else {
        return;
    };
    let Ok(file) = (env.read)(&path) else {
        // libpq says nothing about a password file that isn't there
        return;
    };
    if file.mode.is_some_and(|mode| mode & 0o077 != 0) {
        warnings.push(format!(
            "password file {} is readable by others and was not used; chmod 0600 it",
            path.display()
        ));
        return;
    }
    for host in hosts {
        let name = passfile_host(&host.address);
        let key = PassfileKey {
            host: &name,
            port: host.port,
            dbname,
            user,
        };
        host.password = files::find_password(&file.bytes, key);
    }
}

/// A default socket folder is `localhost` in a password file, any other folder stands for itself.
fn passfile_host(address: &Address) -> String {
    match address {
        Address::Unix(folder) => match folder.to_str() {
            Some(text) if !SOCKET_FOLDERS.contains(&text) => text.to_owned(),
            _ => "localhost".to_owned(),
        },
        Address::Tcp { name, .. } => name.clone(),
    }
}

fn connect_timeout(parameters: &Parameters) -> Result<Option<Duration>, DbError> {
    let Some(text) = get(parameters, "connect_timeout") else {
        return Ok(None);
    };
    let seconds: i64 = text
        .trim()
        .parse()
        .map_err(|_| invalid("connect_timeout"))?;
    // zero and below wait forever in libpq; one second is rounded up to two there
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.max(2).unsigned_abs())))
}

fn target(parameters: &Parameters) -> Result<Target, DbError> {
    match get(parameters, "target_session_attrs").unwrap_or("any") {
        "any" => Ok(Target::Any),
        "read-write" => Ok(Target::ReadWrite),
        "read-only" => Ok(Target::ReadOnly),
        "primary" => Ok(Target::Primary),
        "standby" => Ok(Target::Standby),
        "prefer-standby" => Ok(Target::PreferStandby),
        _ => Err(invalid("target_session_attrs")),
    }
}

fn binding(parameters: &Parameters) -> Result<Binding, DbError> {
    match get(parameters, "channel_binding").unwrap_or("prefer") {
        "disable" => Ok(Binding::Disable),
        "prefer" => Ok(Binding::Prefer),
        "require" => Ok(Binding::Require),
        _ => Err(invalid("channel_binding")),
    }
}

fn tls(parameters: &Parameters, env: &Environment<'_>) -> Result<TlsSettings, DbError> {
    let roots = roots(parameters, env)?;
    let direct = match get(parameters, "sslnegotiation").unwrap_or("postgres") {
        "postgres" => false,
        "direct" => true,
        _ => return Err(invalid("sslnegotiation")),
    };
    let mode = ssl_mode(parameters, &roots)?;
    if direct && matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer) {
        return Err(bad(
            "sslnegotiation=direct needs sslmode=require or stronger",
        ));
    }
    Ok(TlsSettings {
        mode,
        client: if mode == SslMode::Disable {
            None
        } else {
            client_cert(parameters, env)?
        },
        roots,
        direct,
        sni: get(parameters, "sslsni") != Some("0"),
    })
}

fn ssl_mode(parameters: &Parameters, roots: &Roots) -> Result<SslMode, DbError> {
    let system = matches!(roots, Roots::System);
    let mode = match get(parameters, "sslmode") {
        None if system => SslMode::VerifyFull,
        None if get(parameters, "requiressl") == Some("1") => SslMode::Require,
        None | Some("prefer") => SslMode::Prefer,
        // "no-verify" is node-postgres's word for it
        Some("require" | "no-verify") => SslMode::Require,
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(_) => return Err(invalid("sslmode")),
    };
    if system && mode != SslMode::VerifyFull {
        return Err(bad("weak sslmode may not be used with sslrootcert=system")
            .hint("use sslmode=verify-full"));
    }
    match (mode, roots) {
        (SslMode::VerifyCa | SslMode::VerifyFull, Roots::None) => Err(bad(
            "sslmode asks to verify the server's certificate, and there is no root certificate to verify it with",
        )
        .hint("give sslrootcert=FILE, or sslrootcert=system for a certificate that a public authority signed")),
        // as in libpq: a root certificate turns "require" into "verify-ca"
        (SslMode::Require, Roots::Pem(_)) => Ok(SslMode::VerifyCa),
        (mode, _) => Ok(mode),
    }
}

fn roots(parameters: &Parameters, env: &Environment<'_>) -> Result<Roots, DbError> {
    match get(parameters, "sslrootcert") {
        Some("system") => Ok(Roots::System),
        Some(path) => Ok(Roots::Pem(read("sslrootcert", Path::new(path), env)?.bytes)),
        None => Ok(in_home(env, "root.crt").map_or(Roots::None, |file| Roots::Pem(file.bytes))),
    }
}

fn client_cert(
    parameters: &Parameters,
    env: &Environment<'_>,
) -> Result<Option<ClientCert>, DbError> {
    let certificates = match get(parameters, "sslcert") {
        Some(path) => read("sslcert", Path::new(path), env)?,
        None => match in_home(env, "postgresql.crt") {
            Some(file) => file,
            None => return Ok(None),
        },
    };
    let key = match get(parameters, "sslkey") {
        Some(path) => read("sslkey", Path::new(path), env)?,
        None => in_home(env, "postgresql.key").ok_or_else(|| {
            bad("there is a client certificate, and no private key for it (sslkey)")
        })?,
    };
    // libpq allows 0640 for a key that root owns; more is refused
    if key.mode.is_some_and(|mode| mode & 0o037 != 0) {
        return Err(
            bad("the private key file (sslkey) is readable by others").hint("chmod 0600 it")
        );
    }
    Ok(Some(ClientCert {
        certificates: certificates.bytes,
        key: key.bytes,
    }))
}

fn in_home(env: &Environment<'_>, name: &str) -> Option<FileContent> {
    let path = env.home.as_ref()?.join(".postgresql").join(name);
    (env.read)(&path).ok()
}

fn read(parameter: &str, path: &Path, env: &Environment<'_>) -> Result<FileContent, DbError> {
    (env.read)(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            kind => kind.to_string(),
        };
        bad(format!(
            "cannot read the file of connection parameter \"{parameter}\": {why}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Variables and files of one imagined machine. Files of mode 0600, `open:` before the name makes it 0644.
    fn resolve_with(
        text: Option<&str>,
        vars: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Result<Conninfo, DbError> {
        let vars: BTreeMap<&str, &str> = vars.iter().copied().collect();
        let var = |name: &str| vars.get(name).map(|v| (*v).to_owned());
        let read = |path: &Path| {
            let path = path.to_str().unwrap();
            let find = |prefix: &str| {
                let name = format!("{prefix}{path}");
                files.iter().find(|(file, _)| *file == name)
            };
            let (bytes, mode) = find("")
                .map(|(_, content)| (content, 0o100_600))
                .or_else(|| find("open:").map(|(_, content)| (content, 0o100_644)))
                .ok_or(io::ErrorKind::NotFound)?;
            Ok(FileContent {
                bytes: bytes.as_bytes().to_vec(),
                mode: Some(mode),
            })
        };
        let env = Environment {
            var: &var,
            read: &read,
            os_user: Some("me".into()),
            home: Some("/home/me".into()),
        };
        Conninfo::resolve(text, &env)
    }

    fn password(conninfo: &Conninfo) -> Option<&str> {
        conninfo.hosts[0].password.as_ref().map(Secret::expose)
    }

    #[test]
    fn defaults_are_libpqs() {
        let info = resolve_with(None, &[], &[]).unwrap();
        assert_eq!((info.user.as_str(), info.dbname.as_str()), ("me", "me"));
        assert_eq!(
            info.hosts[0].address,
            Address::Unix("/var/run/postgresql".into())
        );
        assert_eq!(info.hosts[0].port, 5432);
        assert_eq!(info.tls.mode, SslMode::Prefer);
    }

    #[test]
    fn precedence_is_string_service_environment() {
        let vars = [
            ("PGHOST", "env"),
            ("PGPORT", "1"),
            ("PGUSER", "env"),
            ("PGSERVICE", "s"),
        ];
        let files = [("/home/me/.pg_service.conf", "[s]\nport=2\nuser=service\n")];
        let info = resolve_with(Some("user=string"), &vars, &files).unwrap();
        assert_eq!(info.user, "string");
        assert_eq!(info.hosts[0].port, 2);
        assert_eq!(info.to_string(), "database \"string\" on env:2");
    }

    #[test]
    fn several_hosts() {
        let info = resolve_with(Some("postgres://a:1,b:2,[::1]:3/x"), &[], &[]).unwrap();
        assert_eq!(info.to_string(), "database \"x\" on a:1, b:2, [::1]:3");
        assert!(resolve_with(Some("host=a,b port=1,2,3"), &[], &[]).is_err());
        assert!(resolve_with(Some("host=a hostaddr=1.2.3.4,5.6.7.8"), &[], &[]).is_err());
        assert!(resolve_with(Some("port=0"), &[], &[]).is_err());
        assert!(resolve_with(Some("port=70000"), &[], &[]).is_err());
    }

    #[test]
    fn passfile_is_used_unless_others_can_read_it() {
        let line = "h:5432:x:u:pw";
        let url = Some("postgres://u@h/x");
        let info = resolve_with(url, &[], &[("/home/me/.pgpass", line)]).unwrap();
        assert_eq!(password(&info), Some("pw"));
        let info = resolve_with(url, &[], &[("open:/home/me/.pgpass", line)]).unwrap();
        assert_eq!(password(&info), None);
        assert!(info.warnings()[0].contains("readable by others"));
        let info = resolve_with(url, &[("PGPASSFILE", "/p")], &[("/p", line)]).unwrap();
        assert_eq!(password(&info), Some("pw"));
        let info = resolve_with(
            Some("user=u dbname=x"),
            &[],
            &[("/home/me/.pgpass", "localhost:*:*:*:local")],
        );
        assert_eq!(password(&info.unwrap()), Some("local"));
    }

    #[test]
    fn no_output_shows_a_password() {
        let info = resolve_with(Some("postgres://u:s3cr3t@h/x"), &[], &[]).unwrap();
        assert_eq!(password(&info), Some("s3cr3t"));
        assert!(!format!("{info:?} {info}").contains("s3cr3t"));
        for text in [
            "mysql://u:s3cr3t@h",
            "postgres:/u:s3cr3t@h/x?a=b",
            "s3cr3t=x",
            "host='s3cr3t",
            "port=s3cr3t",
            "sslmode=s3cr3t",
            "hostaddr=s3cr3t",
            "sslrootcert=/s3cr3t",
        ] {
            let error = resolve_with(Some(text), &[], &[]).unwrap_err();
            assert_eq!(error.kind(), DbErrorKind::Conninfo);
            assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{text}");
        }
    }

    #[test]
    fn ssl_modes() {
        let mode = |text: &str, files: &[(&str, &str)]| {
            resolve_with(Some(text), &[], files).map(|i| i.tls.mode)
        };
        assert_eq!(
            mode("host=h sslmode=disable", &[]).unwrap(),
            SslMode::Disable
        );
        assert_eq!(mode("host=h sslmode=allow", &[]).unwrap(), SslMode::Allow);
        assert_eq!(
            mode("host=h sslmode=require", &[]).unwrap(),
            SslMode::Require
        );
        assert_eq!(
            mode("host=h sslmode=require sslrootcert=/ca", &[("/ca", "pem")]).unwrap(),
            SslMode::VerifyCa
        );
        assert_eq!(
            mode("host=h sslrootcert=system", &[]).unwrap(),
            SslMode::VerifyFull
        );
        assert_eq!(
            mode(
                "host=h sslmode=verify-full",
                &[("/home/me/.postgresql/root.crt", "pem")]
            )
            .unwrap(),
            SslMode::VerifyFull
        );
        assert!(mode("host=h sslmode=verify-full", &[]).is_err());
        assert!(mode("host=h sslmode=require sslrootcert=system", &[]).is_err());
        assert!(mode("host=h sslmode=allow sslnegotiation=direct", &[]).is_err());
        assert!(mode("host=h sslmode=REQUIRE", &[]).is_err());
    }

    #[test]
    fn client_keys_must_be_private() {
        let text = Some("host=h sslcert=/c sslkey=/k");
        assert!(
            resolve_with(text, &[], &[("/c", "c"), ("/k", "k")])
                .unwrap()
                .tls
                .client
                .is_some()
        );
        assert!(resolve_with(text, &[], &[("/c", "c"), ("open:/k", "k")]).is_err());
        assert!(resolve_with(text, &[], &[("/c", "c")]).is_err());
    }

    #[test]
    fn a_value_that_cannot_be_says_what_can_and_is_not_repeated() {
        let error = resolve_with(Some("host=h port=geheim"), &[], &[]).unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
        assert!(
            error.hints()[0].contains("1 to 65535"),
            "{:?}",
            error.hints()
        );
    }

    #[test]
    fn what_we_cannot_protect_is_refused() {
        for text in [
            "require_auth=scram-sha-256",
            "sslcrl=/x",
            "gssencmode=require",
            "service=none",
        ] {
            assert!(resolve_with(Some(text), &[], &[]).is_err(), "{text}");
        }
        assert!(resolve_with(Some("gssencmode=prefer application_name=x"), &[], &[]).is_ok());
    }
}
