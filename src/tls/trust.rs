//! Whose certificates are believed, and for which host they are good. (ZKTrustManager, ZKHostnameVerifier)

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::ClientAuth;

/// Those who are believed.
#[derive(Debug)]
pub(super) struct Trust {
    /// What the trust file holds. Who shows one of them is believed without further ado, as by Java.
    known: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// Believes those that these certificates vouch for. `None` if none of them can be read.
    pub fn new(known: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Option<Trust> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.iter().cloned());
        let roots = Arc::new(roots);
        (!roots.is_empty()).then_some(Trust {
            known,
            roots,
            provider,
        })
    }

    /// What judges those who call.
    pub fn of_callers(self: &Arc<Trust>, client_auth: ClientAuth) -> Option<Arc<dyn ClientCertVerifier>> {
        let inner =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(&self.provider));
        let inner = if client_auth == ClientAuth::Need {
            inner.build()
        } else {
            inner.allow_unauthenticated().build()
        };
        let trust = Arc::clone(self);
        Some(Arc::new(Callers {
            trust,
            inner: inner.ok()?,
        }))
    }

    /// What judges a server that is called by one of these names. Any name is good if there are none.
    pub fn of_called(self: &Arc<Trust>, names: Vec<String>) -> Arc<dyn ServerCertVerifier> {
        let trust = Arc::clone(self);
        Arc::new(Called { trust, names })
    }

    /// Whether the certificate itself stands in the trust file; only its dates are looked at then. One that may
    /// sign others, as `openssl req -x509` makes it, would not pass for a server's otherwise.
    fn is_known(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<bool, Error> {
        if !self.known.iter().any(|known| **known == **certificate) {
            return Ok(false);
        }
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let now = ASN1Time::from_timestamp(now_s).map_err(|_| Error::FailedToGetCurrentTime)?;
        if parsed.validity().not_before > now {
            return Err(CertificateError::NotValidYet.into());
        }
        if parsed.validity().not_after < now {
            return Err(CertificateError::Expired.into());
        }
        Ok(true)
    }
}

/// Whether a certificate is good for one of these hosts: names or addresses. Where it names no host otherwise, its
/// common name counts, as in Java.
pub(super) fn names_one_of(certificate: &CertificateDer<'_>, hosts: &[String]) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else {
        return false;
    };
    let common_name = common_name(certificate);
    hosts.iter().any(|host| {
        let host = host.trim_end_matches('.');
        let name = ServerName::try_from(host);
        name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
            || common_name.as_deref().is_some_and(|common| fits(common, host))
    })
}

/// The common name of a certificate that has no other names.
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    if parsed.subject_alternative_name().ok()?.is_some() {
        return None;
    }
    let last = parsed.subject().iter_common_name().last()?;
    last.as_str().ok().map(str::to_owned)
}

/// A name, or one whose first word is a star.
fn fits(common_name: &str, host: &str) -> bool {
    if common_name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(domain), Some((_, rest))) = (common_name.strip_prefix("*."), host.split_once('.')) else {
        return false;
    };
    host.parse::<IpAddr>().is_err() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
}

/// Judges those who call.
#[derive(Debug)]
struct Callers {
    trust: Arc<Trust>,
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Callers {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.trust.is_known(certificate, now)? {
            return Ok(ClientCertVerified::assertion());
        }
        self.inner.verify_client_cert(certificate, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Judges a server that was called.
#[derive(Debug)]
struct Called {
    trust: Arc<Trust>,
    names: Vec<String>,
}

impl ServerCertVerifier for Called {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.trust.is_known(certificate, now)? {
            let parsed = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.trust.provider.signature_verification_algorithms.all;
            let roots = &self.trust.roots;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        }
        if self.names.is_empty() || names_one_of(certificate, &self.names) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
