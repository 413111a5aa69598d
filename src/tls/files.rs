//! Keys and certificates in PEM files. (PEMFileLoader, PemReader)
//!
//! Files of Java's own kinds are refused with the command that makes PEM of them.

use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::SecretDocument;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::{ReadFile, Secret, Store, TlsError};

/// What a file holds, with what protects it: two of them are equal if nothing has changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    bytes: Vec<u8>,
    password: Secret,
}

/// Reads a file, and the file of its password. `key` is the key that names it, for messages.
pub(super) fn read(read_file: &ReadFile, key: &str, store: &Store) -> Result<Content, TlsError> {
    let password = match &store.password_path {
        None => store.password.clone(),
        Some(path) => {
            let bytes = read_bytes(read_file, &key.replace("location", "passwordPath"), path)?;
            let text = String::from_utf8_lossy(&bytes);
            // What an editor adds at the end is none of it. (SecretUtils.readSecret)
            Secret(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    };
    let bytes = read_bytes(read_file, key, &store.path)?;
    match java_kind(store, &bytes) {
        None => Ok(Content { bytes, password }),
        Some(kind) => Err(unusable(key, store, refusal(kind, key, &store.path))),
    }
}

fn read_bytes(read_file: &ReadFile, key: &str, path: &Path) -> Result<Vec<u8>, TlsError> {
    read_file(path).map_err(|source| TlsError::Unreadable {
        key: key.to_owned(),
        path: path.to_owned(),
        source,
    })
}

/// The certificates in a file, at least one.
pub(super) fn certificates(
    key: &str,
    store: &Store,
    content: &Content,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(key, store, "no certificate is in it (PEM is read)")),
        Err(error) => Err(unusable(
            key,
            store,
            format!("a certificate in it is broken: {error}"),
        )),
    }
}

/// The certificates in a file that this server shows. The library speaks for those of version 3 alone.
pub(super) fn own_certificates(
    key: &str,
    store: &Store,
    content: &Content,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(key, store, content)?;
    let first = found.first().map(|first| X509Certificate::from_der(first));
    match first {
        Some(Ok((_, first))) if first.version() != X509Version::V3 => {
            let reason = "its certificate is an X.509 certificate of version 1; have one of version 3 issued, which names \
                          this server's host (openssl x509 -req ... -extfile, with a line subjectAltName=DNS:host)";
            Err(unusable(key, store, reason))
        }
        _ => Ok(found),
    }
}

/// The private key in a file.
pub(super) fn private_key(
    key: &str,
    store: &Store,
    content: &Content,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = String::from_utf8_lossy(&content.bytes);
    if let Some(section) = section(&text, ENCRYPTED) {
        return decrypt(section, &content.password).map_err(|reason| unusable(key, store, reason));
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let path = store.path.display();
        let reason = format!(
            "its private key is encrypted in OpenSSL's old form; make PKCS#8 of it: openssl pkcs8 -topk8 -in {path} \
             -out key.pem, and put the certificates behind it"
        );
        return Err(unusable(key, store, reason));
    }
    PrivateKeyDer::from_pem_slice(&content.bytes)
        .map_err(|error| unusable(key, store, format!("no private key can be read from it: {error}")))
}

/// A section of a PEM file with its first and last line.
fn section<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let from = text.find(&begin)?;
    let length = text.get(from..)?.find(&end)? + end.len();
    text.get(from..from + length)
}

fn decrypt(section: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let broken = |error: &dyn std::fmt::Display| {
        format!(
            "its encrypted private key cannot be read: {error}; keys by openssl pkcs8 -topk8 -v2 aes-256-cbc are"
        )
    };
    let (_, document) = SecretDocument::from_pem(section).map_err(|error| broken(&error))?;
    let encrypted: EncryptedPrivateKeyInfoRef<'_> = document.decode_msg().map_err(|error| broken(&error))?;
    if password.0.is_empty() {
        return Err("its private key is encrypted, and no password is set".to_owned());
    }
    let decrypted = encrypted.decrypt(password.0.as_bytes());
    let decrypted = decrypted.map_err(|_| {
        "its private key cannot be decrypted: the password is wrong, or the scheme is none of PBES2"
            .to_owned()
    })?;
    Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
}

/// The kind of a file that is none of PEM: by what the operator says, by its ending, by its first bytes.
fn java_kind(store: &Store, bytes: &[u8]) -> Option<&'static str> {
    let ending = store.path.extension().and_then(|ending| ending.to_str());
    let said = store.kind.as_deref().filter(|kind| !kind.is_empty()).or(ending);
    match said.unwrap_or_default().to_ascii_lowercase().as_str() {
        "jks" => Some("JKS"),
        "p12" | "pfx" | "pkcs12" => Some("PKCS12"),
        "bcfks" => Some("BCFKS"),
        _ if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) => Some("JKS"),
        _ if bytes.starts_with(&[0x30, 0x82]) => Some("PKCS12"),
        _ => None,
    }
}

fn refusal(kind: &str, key: &str, path: &Path) -> String {
    let path = path.display();
    let command = match kind {
        _ if key.contains("trustStore") => {
            format!("keytool -exportcert -rfc -keystore {path} -alias ALIAS > trust.pem")
        }
        "PKCS12" => format!("openssl pkcs12 -in {path} -nodes -out key.pem"),
        _ => format!(
            "keytool -importkeystore -srckeystore {path} -destkeystore key.p12 -deststoretype PKCS12, then openssl \
             pkcs12 -in key.p12 -nodes -out key.pem"
        ),
    };
    format!("is a {kind} file, which this server does not read; make PEM of it: {command}")
}

fn unusable(key: &str, store: &Store, reason: impl Into<String>) -> TlsError {
    TlsError::Unusable {
        key: key.to_owned(),
        path: store.path.clone(),
        reason: reason.into(),
    }
}

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl x509 -req` without `-extfile` makes it.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBVjCB/QIUEnftF0IqWDwPB79ycEyZma+udO8wCgYIKoZIzj0EAwIwTjELMAkG
A1UEBhMCREUxGDAWBgNVBAoMD1Rlc3RzLCBhbmQgbW9yZTERMA8GA1UEAwwIc2Vy
dmVyIDExEjAQBgkqhkiG9w0BCQEWA2FAYjAeFw0yNjExMjMyMzA1NDVaFw0zNjEx
MjAyMzA1NDVaMA4xDDAKBgNVBAMMA29sZDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABJeyyLgG60P82wpxo2pdQYCe9lFF1gSoBGQUwXW03+KmNzDxFBNuQi5Zgk7i
251tbEI7gBSN63K1IyT7UIwsI6cwCgYIKoZIzj0EAwIDSAAwRQIhAJsxBd/B7FmH
G2JYaetVJMhll5289GyowxV7cTKZaFp/AiA/pf9LXkNoULyWhMFlg9t6tjrVi1za
f44z5l3buBo4Sw==
-----END CERTIFICATE-----\n";

    #[test]
    fn an_own_certificate_of_version_1_is_refused_with_the_cure_and_others_are_not() {
        let store = Store {
            path: "/k.pem".into(),
            password: Secret::default(),
            password_path: None,
            kind: None,
        };
        let content = |bytes: &str| Content {
            bytes: bytes.as_bytes().to_vec(),
            password: Secret::default(),
        };
        let old = content(VERSION_1);
        let refused = own_certificates("ssl.keyStore.location", &store, &old).expect_err("refused");
        let text = refused.to_string();
        assert!(
            text.starts_with("ssl.keyStore.location=/k.pem: its certificate is"),
            "{text}"
        );
        assert!(text.contains("version 1") && text.contains("-extfile"), "{text}");
        // As one who is trusted it is as good as any.
        assert!(certificates("ssl.trustStore.location", &store, &old).is_ok());
        let params = rcgen::CertificateParams::new(vec!["a".to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        let new = content(&params.self_signed(&key).expect("a certificate").pem());
        assert!(own_certificates("ssl.keyStore.location", &store, &new).is_ok());
    }
}
