//! TLS as libpq means it: who is trusted under each `sslmode`, with rustls.
//!
//! `prefer`, `require` and `allow` encrypt and trust anybody; `verify-ca` checks the chain; `verify-full` checks the host's name too. The
//! answer to SSLRequest is read as one unbuffered byte, so that bytes which an attacker stuffs behind it (CVE-2021-23222) end up in the
//! handshake and break it.

mod binding;
mod trust;

use std::{future::Future, io, pin::Pin, sync::Arc, task};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use self::trust::Trust;
use super::{
    conninfo::{ClientCert, Roots, SslMode, TlsSettings},
    error::{DbError, DbErrorKind},
    stream::Bounded,
};

/// ALPN protocol of `sslnegotiation=direct` (registered with IANA for PostgreSQL 17).
const ALPN: &[u8] = b"postgresql";

/// Makes TLS sessions for one connection string.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// # Errors
    /// When a certificate or key can't be used.
    pub(super) fn new(settings: &TlsSettings) -> Result<Self, DbError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = Trust::new(settings.mode, &settings.roots, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring offers TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trust));
        let mut config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = client_auth(client)?;
                builder.with_client_auth_cert(chain, key).map_err(|_| {
                    failed("the client certificate and its key do not belong together")
                })?
            }
        };
        config.enable_sni = settings.sni;
        if settings.direct {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// A connector to the host of that name.
    ///
    /// # Errors
    /// When the name can't stand in a certificate.
    pub(super) fn to_host(&self, host: &str) -> Result<Connector, DbError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed("the host's name can't be used for TLS"))?;
        Ok(Connector {
            config: Arc::clone(&self.config),
            name,
        })
    }
}

fn failed(message: impl Into<String>) -> DbError {
    DbError::new(DbErrorKind::Tls, message)
}

type ClientAuth = (
    Vec<rustls::pki_types::CertificateDer<'static>>,
    rustls::pki_types::PrivateKeyDer<'static>,
);

fn client_auth(client: &ClientCert) -> Result<ClientAuth, DbError> {
    let chain = rustls_pemfile::certs(&mut client.certificates.as_slice())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| failed("sslcert is not a PEM certificate"))?;
    let key = rustls_pemfile::private_key(&mut client.key.as_slice())
        .ok()
        .flatten()
        .ok_or_else(|| {
            failed("sslkey holds no private key that can be read")
                .hint("encrypted keys are not supported: give an unencrypted PEM key")
        })?;
    Ok((chain, key))
}

/// One handshake.
#[derive(Debug)]
pub(super) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnect<Bounded> for Connector {
    type Stream = Session;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Session>> + Send>>;

    fn connect(self, stream: Bounded) -> Self::Future {
        Box::pin(async move {
            let connector = tokio_rustls::TlsConnector::from(self.config);
            Ok(Session(Box::new(
                connector.connect(self.name, stream).await?,
            )))
        })
    }
}

/// An encrypted connection.
#[derive(Debug)]
pub(super) struct Session(Box<tokio_rustls::client::TlsStream<Bounded>>);

impl TlsStream for Session {
    fn channel_binding(&self) -> ChannelBinding {
        let (_, connection) = self.0.get_ref();
        connection
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| binding::server_end_point(certificate))
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &[u8],
    ) -> task::Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

/// Certificates to trust, as rustls wants them.
fn root_store(roots: &Roots) -> Result<RootCertStore, DbError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::None => {}
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                // a container without ca-certificates: Mozilla's list, as shipped with us
                store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
        }
        Roots::Pem(pem) => {
            let certificates = rustls_pemfile::certs(&mut pem.as_slice())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| failed("sslrootcert is not a PEM certificate"))?;
            store.add_parsable_certificates(certificates);
            if store.is_empty() {
                return Err(failed("sslrootcert holds no certificate that can be used"));
            }
        }
    }
    Ok(store)
}

/// Does this mode check the server's certificate?
fn verifies(mode: SslMode) -> bool {
    matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull)
}
