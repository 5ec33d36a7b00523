//! Opens one connection: hosts in order, addresses of each, TLS as `sslmode` wants it, the right kind of server.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_postgres::{Client, Config, NoTls, config};

use super::{
    MAX_ANSWER_BYTES,
    conninfo::{Address, Binding, Conninfo, HostSpec, SslMode, Target},
    error::{DbError, DbErrorKind, io_cause},
    stream::{Allowance, Bounded, Socket},
    tls::Tls,
};

/// Patience with one address when the connection string has no `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) allowance: Allowance,
}

/// Connects to the first server that answers and is of the kind that `target_session_attrs` asks for.
pub(super) async fn connect(info: &Conninfo) -> Result<Session, DbError> {
    let tls = match info.tls.mode {
        SslMode::Disable => None,
        _ => Some(Tls::new(&info.tls)?),
    };
    match info.target {
        Target::PreferStandby => match connect_any(info, tls.as_ref(), Target::Standby).await {
            Ok(session) => Ok(session),
            Err(_) => connect_any(info, tls.as_ref(), Target::Any).await,
        },
        target => connect_any(info, tls.as_ref(), target).await,
    }
}

async fn connect_any(
    info: &Conninfo,
    tls: Option<&Tls>,
    target: Target,
) -> Result<Session, DbError> {
    let mut last = None;
    for host in &info.hosts {
        let attempt = async {
            let session = connect_host(info, host, tls).await?;
            check_target(&session, target, host).await?;
            Ok(session)
        };
        match attempt.await {
            Ok(session) => return Ok(session),
            // the server is there and says no: another socket folder or host would only hide why
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| DbError::new(DbErrorKind::Unreachable, "no host to connect to")))
}

fn is_final(error: &DbError) -> bool {
    matches!(
        error.kind(),
        DbErrorKind::Authentication | DbErrorKind::UnknownDatabase
    )
}

async fn connect_host(
    info: &Conninfo,
    host: &HostSpec,
    tls: Option<&Tls>,
) -> Result<Session, DbError> {
    let with_tls = |mode| Attempt {
        info,
        host,
        tls,
        mode,
    };
    match (&host.address, info.tls.mode) {
        // libpq ignores sslmode on Unix sockets
        (Address::Unix(_), _) | (_, SslMode::Disable) => {
            with_tls(config::SslMode::Disable).run().await
        }
        (_, SslMode::Allow) => match with_tls(config::SslMode::Disable).run().await {
            Err(error) if error.kind() == DbErrorKind::Authentication => {
                with_tls(config::SslMode::Require)
                    .run()
                    .await
                    .map_err(|_| error)
            }
            result => result,
        },
        (_, SslMode::Prefer) => match with_tls(config::SslMode::Prefer).run().await {
            Err(error)
                if matches!(error.kind(), DbErrorKind::Authentication | DbErrorKind::Tls) =>
            {
                with_tls(config::SslMode::Disable)
                    .run()
                    .await
                    .map_err(|_| error)
            }
            result => result,
        },
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => {
            with_tls(config::SslMode::Require).run().await
        }
    }
}

/// One way to connect to one host.
struct Attempt<'a> {
    info: &'a Conninfo,
    host: &'a HostSpec,
    tls: Option<&'a Tls>,
    mode: config::SslMode,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Session, DbError> {
        match &self.host.address {
            Address::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{}", self.host.port));
                self.start(dial_unix(&path)).await
            }
            Address::Tcp { name, addr } => {
                let addresses = match addr {
                    Some(addr) => vec![SocketAddr::new(*addr, self.host.port)],
                    None => self.look_up(name).await?,
                };
                let mut result = Err(self.unreachable("its name has no address"));
                for address in addresses {
                    result = self.start(dial_tcp(address)).await;
                    if !matches!(&result, Err(e) if e.kind() == DbErrorKind::Unreachable) {
                        break;
                    }
                }
                result
            }
        }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<SocketAddr>, DbError> {
        match timeout(self.patience(), lookup_host((name, self.host.port))).await {
            Ok(Ok(found)) => Ok(found.collect()),
            Ok(Err(_)) => Err(self.unreachable("its name cannot be resolved")),
            Err(_) => Err(self.unreachable("resolving its name took too long")),
        }
    }

    fn patience(&self) -> Duration {
        self.info.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    async fn start(
        &self,
        dial: impl Future<Output = io::Result<Socket>>,
    ) -> Result<Session, DbError> {
        let login = async {
            let socket = dial
                .await
                .map_err(|error| self.unreachable(&io_words(&error)))?;
            self.login(socket).await
        };
        timeout(self.patience(), login)
            .await
            .unwrap_or_else(|_| Err(self.unreachable("no answer in time")))
    }

    async fn login(&self, socket: Socket) -> Result<Session, DbError> {
        let allowance = Allowance::new(MAX_ANSWER_BYTES);
        let stream = Bounded::new(socket, allowance.clone());
        let config = self.config();
        let failed = |error: tokio_postgres::Error| self.login_error(&error);
        let client = if let (Address::Tcp { name, .. }, Some(tls)) = (&self.host.address, self.tls)
        {
            let connector = tls.to_host(name)?;
            let (client, connection) = config
                .connect_raw(stream, connector)
                .await
                .map_err(failed)?;
            tokio::spawn(connection);
            client
        } else {
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(failed)?;
            tokio::spawn(connection);
            client
        };
        Ok(Session { client, allowance })
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .user(&self.info.user)
            .dbname(&self.info.dbname)
            .application_name(&self.info.application)
            .ssl_mode(self.mode)
            .channel_binding(match self.info.binding {
                Binding::Disable => config::ChannelBinding::Disable,
                Binding::Prefer => config::ChannelBinding::Prefer,
                Binding::Require => config::ChannelBinding::Require,
            });
        if self.info.tls.direct && self.mode == config::SslMode::Require {
            config.ssl_negotiation(config::SslNegotiation::Direct);
        }
        if let Some(options) = &self.info.options {
            config.options(options);
        }
        if let Some(password) = &self.host.password {
            config.password(password.expose());
        }
        config
    }

    fn unreachable(&self, why: &str) -> DbError {
        DbError::new(
            DbErrorKind::Unreachable,
            format!("cannot reach a server on {}: {why}", self.host),
        )
        .hint("check host and port, that the server runs, and that a firewall lets you through")
    }

    fn login_error(&self, error: &tokio_postgres::Error) -> DbError {
        if let Some(db) = error.as_db_error() {
            return self.refused(db);
        }
        let text = error.to_string();
        let cause = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        if cause == "password missing" {
            return self
                .authentication("the server asks for a password, and none was given")
                .hint("put it into the connection string, PGPASSWORD or the password file (~/.pgpass, mode 0600)");
        }
        if text.contains("TLS") {
            return self.tls_error(&cause);
        }
        match io_cause(error) {
            Some(io) => self.unreachable(&io_words(io)),
            None if text.contains("authentication") || text.contains("configuration") => {
                self.authentication("its way of authentication is not supported, or channel binding was asked for and is not offered")
            }
            None => self.unreachable("what answers there is not a PostgreSQL server"),
        }
    }

    fn tls_error(&self, cause: &str) -> DbError {
        let error = DbError::new(
            DbErrorKind::Tls,
            format!("no TLS connection to {}: {cause}", self.host),
        );
        if cause.contains("does not support TLS") {
            error.hint(
                "enable ssl on the server, or choose sslmode=prefer if the network can be trusted",
            )
        } else if cause.contains("not valid for name") {
            error.hint("the certificate names another host; connect by that name, or use sslmode=verify-ca")
        } else {
            error.hint(
                "sslrootcert must hold the certificate of the authority that signed the server's",
            )
        }
    }

    fn authentication(&self, why: &str) -> DbError {
        DbError::new(
            DbErrorKind::Authentication,
            format!(
                "cannot log in as \"{}\" on {}: {why}",
                self.info.user, self.host
            ),
        )
    }

    fn refused(&self, db: &tokio_postgres::error::DbError) -> DbError {
        let (user, dbname) = (&self.info.user, &self.info.dbname);
        match db.code().code() {
            "28P01" => self
                .authentication("wrong password, or no such role")
                .hint("check user and password in the connection string, PGPASSWORD or the password file"),
            "28000" => self
                .authentication("no such role, or pg_hba.conf does not allow it from here")
                .hint("check the role's name and LOGIN, and the server's pg_hba.conf (with or without TLS)"),
            "3D000" => DbError::new(
                DbErrorKind::UnknownDatabase,
                format!("database \"{dbname}\" does not exist on {}", self.host),
            )
            .hint("psql --list shows the databases of a server"),
            "42501" => DbError::new(
                DbErrorKind::NoPrivilege,
                format!("role \"{user}\" may not connect to database \"{dbname}\""),
            )
            .hint("GRANT CONNECT on the database to that role"),
            "53300" => self.busy("it has no connection left for us"),
            "57P03" => self.busy("it is starting up, shutting down or in recovery"),
            "08P01" => self
                .unreachable("the server or pooler refused the connection's parameters")
                .hint("pgbouncer refuses \"options\"; it may also not know that database or user"),
            code => self.unreachable(&format!("it refused the connection (SQLSTATE {code})")),
        }
    }

    fn busy(&self, why: &str) -> DbError {
        DbError::new(
            DbErrorKind::Busy,
            format!("cannot connect to {}: {why}", self.host),
        )
        .hint("try again later")
    }
}

async fn dial_unix(path: &Path) -> io::Result<Socket> {
    UnixStream::connect(path).await.map(Socket::Unix)
}

async fn dial_tcp(address: SocketAddr) -> io::Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Socket::Tcp(stream))
}

fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "it closed the connection".to_owned()
        }
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            "what answers there is not a PostgreSQL server".to_owned()
        }
        kind => kind.to_string(),
    }
}

/// Is the server what `target_session_attrs` wants?
async fn check_target(session: &Session, target: Target, host: &HostSpec) -> Result<(), DbError> {
    let (sql, wanted) = match target {
        Target::Any | Target::PreferStandby => return Ok(()),
        Target::ReadWrite => (IS_READ_ONLY, false),
        Target::ReadOnly => (IS_READ_ONLY, true),
        Target::Primary => (IS_STANDBY, false),
        Target::Standby => (IS_STANDBY, true),
    };
    let rows = session.client.query_typed(sql, &[]).await;
    let rows =
        rows.map_err(|error| DbError::of_statement("asking the server for its role", &error))?;
    match rows.first().and_then(|row| row.try_get::<_, bool>(0).ok()) {
        Some(found) if found == wanted => Ok(()),
        _ => Err(DbError::new(
            DbErrorKind::Unreachable,
            format!("the server on {host} is not of the kind that target_session_attrs asks for"),
        )),
    }
}

const IS_READ_ONLY: &str = "SELECT /* pgassay */ pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on'";
const IS_STANDBY: &str = "SELECT /* pgassay */ pg_catalog.pg_is_in_recovery()";
