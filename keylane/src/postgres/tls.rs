//! What a URL asks for by `sslmode`, `sslrootcert`, `sslcert` and `sslkey`, as a TLS configuration: encryption alone, a chain that is checked, or chain and host
//! name; and who we are, where the server asks for a certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use url::Url;

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing: the wire is encrypted, the other end may be anyone.
    Anyone,
    /// It was issued by a known authority.
    Authority,
    /// It was issued by a known authority for this host name.
    AuthorityAndName,
}

/// Whether there is to be TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// No.
    Never,
    /// If the server offers it.
    IfOffered,
    /// Always.
    Always,
}

/// What a URL asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsAsked {
    pub used: Use,
    pub trust: Trust,
    /// The authorities to trust; without, Mozilla's list.
    pub roots: Option<PathBuf>,
    /// The client's own certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl TlsAsked {
    /// Takes the parameters about TLS out of a URL; the others stay.
    ///
    /// # Errors
    /// In words, when they make no sense.
    pub(super) fn take_from(url: &mut Url) -> Result<Self, String> {
        let (mut mode, mut roots, mut certificate, mut key) = ("prefer".into(), None, None, None);
        let mut others: Vec<(String, String)> = Vec::new();
        for (name, value) in url.query_pairs().into_owned() {
            match &*name {
                "sslmode" => mode = value,
                "sslrootcert" => roots = Some(PathBuf::from(value)),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                "sslkey" => key = Some(PathBuf::from(value)),
                _ => others.push((name, value)),
            }
        }
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(others);
        }
        let (used, trust) = match &*mode {
            "disable" => (Use::Never, Trust::Anyone),
            "prefer" => (Use::IfOffered, Trust::Anyone),
            // As libpq has it: with a root certificate named, `require` checks the chain.
            "require" if roots.is_some() => (Use::Always, Trust::Authority),
            "require" => (Use::Always, Trust::Anyone),
            "verify-ca" => (Use::Always, Trust::Authority),
            "verify-full" => (Use::Always, Trust::AuthorityAndName),
            _ => {
                return Err(
                    "sslmode is one of disable, prefer, require, verify-ca, verify-full".to_owned(),
                );
            }
        };
        let own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("sslcert and sslkey go together".to_owned()),
        };
        Ok(TlsAsked {
            used,
            trust,
            roots,
            own,
        })
    }

    /// The TLS configuration, `None` where there is to be no TLS.
    ///
    /// # Errors
    /// In words, when a file cannot be used.
    pub(super) fn client_config(&self) -> Result<Option<ClientConfig>, String> {
        if self.used == Use::Never {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let roots = self.roots.as_deref();
        let builder = if self.trust == Trust::AuthorityAndName {
            builder.with_root_certificates(root_store(roots)?)
        } else {
            let chain = match self.trust {
                Trust::Anyone => None,
                Trust::Authority | Trust::AuthorityAndName => Some(
                    WebPkiServerVerifier::builder_with_provider(
                        Arc::new(root_store(roots)?),
                        provider.clone(),
                    )
                    .build()
                    .map_err(|error| format!("the root certificates cannot be used: {error}"))?,
                ),
            };
            let verifier = Arc::new(NameBlind { chain, provider });
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        };
        let Some((certificate, key)) = &self.own else {
            return Ok(Some(builder.with_no_client_auth()));
        };
        let chain = certificates("sslcert", certificate)?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("sslkey", key, &error))?;
        builder
            .with_client_auth_cert(chain, private)
            .map(Some)
            .map_err(|error| format!("sslcert and sslkey cannot be used: {error}"))
    }
}

/// Why a handshake that failed will fail again, in words; `None` if it may pass.
pub(super) fn refusal(error: &Error) -> Option<&'static str> {
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(
            "the server's certificate is not for this host name (sslmode=verify-ca leaves the name unchecked)",
        ),
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Some("the server's certificate has expired"),
        Error::InvalidCertificate(_) => Some(
            "the server's certificate is not of an authority that is trusted (sslrootcert names one; without, Mozilla's list counts)",
        ),
        _ => None,
    }
}

fn root_store(roots: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = roots else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(store);
    };
    for certificate in certificates("sslrootcert", path)? {
        store
            .add(certificate)
            .map_err(|error| unreadable("sslrootcert", path, &error))?;
    }
    Ok(store)
}

/// The certificates of a PEM file; at least one.
fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| unreadable(what, path, &error))?;
    if all.is_empty() {
        return Err(unreadable(what, path, &"it holds none"));
    }
    Ok(all)
}

fn unreadable(what: &str, path: &Path, why: &dyn std::fmt::Display) -> String {
    format!("{what} {} cannot be read as PEM: {why}", path.display())
}

/// Checks the chain (or nothing), never the host name: what `verify-ca` (or `require`) means.
#[derive(Debug)]
struct NameBlind {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NameBlind {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        // The verifier checks the chain first, so a wrong name means that the chain was right.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
