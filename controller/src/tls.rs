//! TLS as a client (NUT, notifiers): whom we believe, and why not.
//!
//! The site may name one PEM file. A server whose own certificate stands in it is believed as it
//! is, whatever its name and dates say: that is a pin. Otherwise the file's certificates are
//! authorities, and the server's must be signed by one of them, be in force, and name the address
//! that the site file names. What holds without a file the caller says by [`Believe`]: the
//! authorities of this machine, or nobody is authenticated (listeners are kept out, an impostor
//! is not).

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest certificate file, in bytes; an authority's bundle has some 10 KiB.
const FILE_MAX: u64 = 256 * 1024;

/// Whose certificates are good.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Believe<'a> {
    /// Those of this PEM file, as pins or as authorities.
    File(&'a Path),
    /// The authorities that this machine's administrator keeps (`/etc/ssl/certs`).
    Machine,
    /// Anybody: encrypted, not authenticated.
    Anyone,
}

/// Why a certificate file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadTrust {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    /// It has no certificate in it, or a broken one.
    #[error("{0}: no certificate in PEM form ({1})")]
    Pem(PathBuf, String),
    /// This machine keeps no authorities.
    #[error("this machine has no certificates of authorities (package ca-certificates), name one by ca_file")]
    Nobody,
    /// The TLS library refuses the settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] Error),
}

/// The settings of connections to a server that must be one of these.
///
/// # Errors
/// [`BadTrust`] naming the file.
pub(crate) async fn config(believe: Believe<'_>) -> Result<Arc<ClientConfig>, BadTrust> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let known = match believe {
        Believe::File(path) => certificates(path).await?,
        Believe::Machine => machine().await?,
        Believe::Anyone => Vec::new(),
    };
    let mut roots = RootCertStore::empty();
    // One that can be no authority may still be the server's own.
    let (added, _) = roots.add_parsable_certificates(known.iter().cloned());
    let authority = if added == 0 {
        None
    } else {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Some(
            builder
                .build()
                .map_err(|error| Error::General(error.to_string()))?,
        )
    };
    let trust = Trust {
        anyone: matches!(believe, Believe::Anyone),
        known,
        authority,
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadTrust> {
    let read = |error| BadTrust::Read(path.to_owned(), error);
    let size = tokio::fs::metadata(path).await.map_err(read)?.len();
    if size > FILE_MAX {
        return Err(BadTrust::Pem(
            path.to_owned(),
            format!("it is larger than {FILE_MAX} bytes"),
        ));
    }
    let text = tokio::fs::read(path).await.map_err(read)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(BadTrust::Pem(path.to_owned(), "none found".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(BadTrust::Pem(path.to_owned(), error.to_string())),
    }
}

/// What the administrator of this machine keeps. A certificate there that cannot be read is left
/// out: the others are good.
async fn machine() -> Result<Vec<CertificateDer<'static>>, BadTrust> {
    // A few hundred small files, or one of 200 KiB: not on the thread that serves others.
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    match found {
        Ok(found) if !found.certs.is_empty() => Ok(found.certs),
        _ => Err(BadTrust::Nobody),
    }
}

#[derive(Debug)]
struct Trust {
    anyone: bool,
    known: Vec<CertificateDer<'static>>,
    authority: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.anyone || self.known.iter().any(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authority {
            Some(authority) => {
                authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
