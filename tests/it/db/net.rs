//! A server that listens on TCP with passwords and TLS: one for all tests of logging in.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use pgassay::{
    db::{Audited, AuditedOptions, Owned},
    server::Server,
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::sync::OnceCell;

use crate::support;

/// The name in the server's certificate.
pub(super) const NAME: &str = "db.test";

const HBA: &str = "
local all all trust
hostssl all tlsonly all scram-sha-256
host all tlsonly all reject
hostnossl all plainonly all scram-sha-256
host all plainonly all reject
hostssl all certonly all cert
host all refused all reject
host all all all scram-sha-256
";

const ROLES: &str = "
    CREATE ROLE alice LOGIN PASSWORD 'right';
    CREATE ROLE tlsonly LOGIN PASSWORD 'right';
    CREATE ROLE plainonly LOGIN PASSWORD 'right';
    CREATE ROLE certonly LOGIN;
    CREATE ROLE refused LOGIN PASSWORD 'right';
";

/// The server with its certificates.
pub(super) struct Net {
    server: Server,
    folder: tempfile::TempDir,
    address: String,
}

/// The one server; started by whoever comes first.
pub(super) async fn server() -> &'static Net {
    static NET: OnceCell<Net> = OnceCell::const_new();
    NET.get_or_init(Net::start).await
}

impl Net {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let hba = folder.path().join("hba.conf");
        fs::write(&hba, HBA).unwrap();
        fs::set_permissions(&hba, fs::Permissions::from_mode(0o644)).unwrap();
        // an address of this process's own: the port is the same for every throwaway server
        let pid = std::process::id();
        let address = format!(
            "127.{}.{}.{}",
            1 + pid / 62_500 % 250,
            1 + pid / 250 % 250,
            1 + pid % 250
        );
        let options = support::options()
            .with("listen_addresses", &address)
            .with("hba_file", &hba.display().to_string());
        let server = support::start(&options);
        let net = Self {
            server,
            folder,
            address,
        };
        net.set_up().await;
        net
    }

    async fn set_up(&self) {
        let owned = Owned::connect(&support::conninfo(&self.server, "postgres"), 1)
            .await
            .unwrap();
        owned.batch(ROLES).await.unwrap();
        owned.batch("CREATE DATABASE closed").await.unwrap();
        owned
            .batch("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
            .await
            .unwrap();
        certificates(self.folder.path(), self.server.socket_folder());
        for (name, file) in [
            ("ssl_cert_file", "server.crt"),
            ("ssl_key_file", "server.key"),
            ("ssl_ca_file", "ca.crt"),
        ] {
            let path = self.file(file);
            owned
                .batch(&format!("ALTER SYSTEM SET {name} = '{}'", path.display()))
                .await
                .unwrap();
        }
        owned.batch("ALTER SYSTEM SET ssl = on").await.unwrap();
        owned.batch("SELECT pg_reload_conf()").await.unwrap();
        let info = super::conninfo(&format!(
            "{} user=tlsonly password=right dbname=postgres sslmode=require",
            self.at()
        ))
        .unwrap();
        let mut last = None;
        for _ in 0..200 {
            match Audited::connect(&info, AuditedOptions::default()).await {
                Ok(_) => return,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("TLS did not come up: {last:?}");
    }

    /// `host=… port=…`, by address.
    pub(super) fn at(&self) -> String {
        format!("host={} port={}", self.address, self.server.port())
    }

    /// The same by the name that the certificate has.
    pub(super) fn by_name(&self) -> String {
        format!(
            "host={NAME} hostaddr={} port={}",
            self.address,
            self.server.port()
        )
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `ca.crt`, `other.crt` (an authority that signed nothing here), `server.crt`, `client.crt`, `client.key`.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    (params, KeyPair::generate().unwrap())
}

/// Writes an authority, another one, a server's and a client's certificate. The server's key belongs to whom its folder belongs.
fn certificates(folder: &Path, server_folder: &Path) {
    let (params, key) = authority("pgassay test authority");
    fs::write(
        folder.join("ca.crt"),
        params.self_signed(&key).unwrap().pem(),
    )
    .unwrap();
    let issuer = Issuer::new(params, key);
    let (params, key) = authority("another authority");
    fs::write(
        folder.join("other.crt"),
        params.self_signed(&key).unwrap().pem(),
    )
    .unwrap();
    let leaf = |file: &str, name: &str, usage| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{file}.crt")), certificate.pem()).unwrap();
        let key_file = folder.join(format!("{file}.key"));
        fs::write(&key_file, key.serialize_pem()).unwrap();
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    leaf("server", NAME, ExtendedKeyUsagePurpose::ServerAuth);
    leaf("client", "certonly", ExtendedKeyUsagePurpose::ClientAuth);
    let owner = fs::metadata(server_folder.join("data")).unwrap();
    chown(
        folder.join("server.key"),
        Some(owner.uid()),
        Some(owner.gid()),
    )
    .unwrap();
}
