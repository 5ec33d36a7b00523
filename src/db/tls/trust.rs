//! Who is trusted under each `sslmode`.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{root_store, verifies};
use crate::db::{
    conninfo::{Roots, SslMode},
    error::DbError,
};

/// The certificate checks of one connection string.
#[derive(Debug)]
pub(super) struct Trust {
    mode: SslMode,
    roots: RootCertStore,
    /// The same roots byte for byte: a self-signed server certificate given as `sslrootcert` is trusted as itself.
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    pub(super) fn new(
        mode: SslMode,
        roots: &Roots,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, DbError> {
        let checked = verifies(mode);
        let pinned = match roots {
            Roots::Pem(pem) if checked => rustls_pemfile::certs(&mut pem.as_slice())
                .filter_map(Result::ok)
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            mode,
            roots: if checked {
                root_store(roots)?
            } else {
                RootCertStore::empty()
            },
            pinned,
            provider: Arc::clone(provider),
        })
    }

    fn check_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            return Ok(());
        }
        verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if verifies(self.mode) {
            let parsed = ParsedCertificate::try_from(end_entity)
                .map_err(|_| rustls::Error::from(CertificateError::BadEncoding))?;
            self.check_chain(end_entity, &parsed, intermediates, now)?;
            if self.mode == SslMode::VerifyFull {
                verify_server_name(&parsed, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
