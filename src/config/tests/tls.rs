//! What of TLS is taken and what is refused.

use super::*;
use crate::tls::{ClientAuth, Secret, Store};

#[test]
fn without_a_port_for_it_nothing_of_tls_is_read() {
    let config = good(&format!(
        "{ALONE}ssl.keyStore.location=/k.pem\nssl.clientAuth=perhaps\n"
    ));
    assert_eq!(config.tls.client, None);
    assert_eq!(config.tls.secure_port, None);
}

#[test]
fn the_keys_are_those_of_later_javas() {
    let text = [
        "dataDir=/d",
        "secureClientPort=2281",
        "secureClientPortAddress=zoo",
        "client.certReload=true",
        "client.portUnification=true",
        "X509AuthenticationProvider.superUser=CN=admin",
        "ssl.keyStore.location=/k.pem",
        "ssl.keyStore.password=secret",
        "ssl.keyStore.passwordPath=/p",
        "ssl.keyStore.type=PEM",
        "ssl.trustStore.location=/t.pem",
        "ssl.trustStore.password=s",
        "ssl.trustStore.passwordPath=/q",
        "ssl.trustStore.type=PEM",
        "ssl.clientAuth=WANT",
        "ssl.hostnameVerification=false",
        "ssl.clientHostnameVerification=true",
        "ssl.protocol=TLSv1.3",
        "ssl.enabledProtocols=TLSv1.2",
        "ssl.ciphersuites=TLS_A,TLS_B",
        "ssl.handshakeDetectionTimeoutMillis=700",
        "ssl.crl=false",
        "ssl.ocsp=false",
    ]
    .join("\n");
    let config = good(&text);
    assert_eq!((config.client_port, config.tls.secure_port), (None, Some(2281)));
    assert_eq!(config.tls.secure_address.as_deref(), Some("zoo"));
    assert!(config.tls.client_reload && config.tls.client_unification);
    assert_eq!(config.tls.super_user.as_deref(), Some("CN=admin"));
    assert!(notes(&config).is_empty(), "{:?}", notes(&config));
    let options = config.tls.client.expect("options");
    let key_store = options.key_store.expect("a key store");
    assert_eq!(
        (&*key_store.path, &key_store.password),
        (Path::new("/k.pem"), &Secret("secret".to_owned()))
    );
    assert_eq!(key_store.password_path.as_deref(), Some(Path::new("/p")));
    assert_eq!(key_store.kind.as_deref(), Some("PEM"));
    assert_eq!(
        options.trust_store.expect("a trust store").path,
        Path::new("/t.pem")
    );
    assert_eq!(options.client_auth, ClientAuth::Want);
    assert_eq!(
        (options.verify_server_host, options.verify_client_host),
        (false, true)
    );
    assert_eq!((options.tls_1_2, options.tls_1_3), (true, false));
    assert_eq!((options.cipher_suites.len(), options.handshake_ms), (2, 700));
    assert!(!format!("{:?}", key_store.password).contains("secret"));
}

#[test]
fn servers_have_keys_of_their_own_for_each_other() {
    let text = [
        "sslQuorum=true",
        "portUnification=true",
        "sslQuorumReloadCertFiles=true",
        "ssl.keyStore.location=/clients.pem",
        "ssl.quorum.keyStore.location=/k.pem",
        "ssl.quorum.keyStore.password=secret",
        "ssl.quorum.keyStore.passwordPath=/p",
        "ssl.quorum.keyStore.type=PEM",
        "ssl.quorum.trustStore.location=/t.pem",
        "ssl.quorum.trustStore.password=s",
        "ssl.quorum.trustStore.passwordPath=/q",
        "ssl.quorum.trustStore.type=PEM",
        "ssl.quorum.clientAuth=want",
        "ssl.quorum.hostnameVerification=true",
        "ssl.quorum.clientHostnameVerification=false",
        "ssl.quorum.protocol=TLSv1.3",
        "ssl.quorum.enabledProtocols=TLSv1.2",
        "ssl.quorum.ciphersuites=TLS_A,TLS_B",
        "ssl.quorum.handshakeDetectionTimeoutMillis=700",
        "ssl.quorum.crl=false",
        "ssl.quorum.ocsp=false",
    ]
    .join("\n");
    let config = good(&format!("{ALONE}{text}\n"));
    assert!(notes(&config).is_empty(), "{:?}", notes(&config));
    assert_eq!(config.tls.client, None);
    let servers = config.tls.quorum.expect("the ports between servers");
    assert!(servers.calls && servers.takes_plain && servers.reload);
    let options = servers.options;
    let store = |path: &str, password: &str, password_path: &str| Store {
        path: path.into(),
        password: Secret(password.to_owned()),
        password_path: Some(password_path.into()),
        kind: Some("PEM".to_owned()),
    };
    assert_eq!(options.key_store, Some(store("/k.pem", "secret", "/p")));
    assert_eq!(options.trust_store, Some(store("/t.pem", "s", "/q")));
    assert_eq!(options.client_auth, ClientAuth::Want);
    assert_eq!(
        (options.verify_server_host, options.verify_client_host),
        (true, false)
    );
    assert_eq!((options.tls_1_2, options.tls_1_3), (true, false));
    assert_eq!((options.cipher_suites.len(), options.handshake_ms), (2, 700));
    let only_heard = good(&format!("{ALONE}portUnification=true\n"));
    let servers = only_heard.tls.quorum.expect("the ports between servers");
    assert!(!servers.calls && servers.takes_plain && !servers.reload);
    assert!(servers.options.verify_server_host && servers.options.verify_client_host);
    assert_eq!(good(ALONE).tls.quorum, None);
}

#[test]
fn what_would_leave_a_server_without_the_protection_asked_for_is_refused() {
    for (line, why) in [
        (
            "sslQuorum=true\nssl.quorum.clientAuth=perhaps",
            "ssl.quorum.clientAuth=perhaps: allowed is need, want or none",
        ),
        (
            "portUnification=true\nssl.quorum.crl=true",
            "ssl.quorum.crl=true: revocation lists are not offered",
        ),
        ("secureClientPort=0", "allowed is"),
        ("secureClientPortAddress=zoo", "secureClientPort is not set"),
        (
            "secureClientPort=1\nssl.clientAuth=perhaps",
            "ssl.clientAuth=perhaps: allowed is need, want or none",
        ),
        (
            "secureClientPort=1\nssl.enabledProtocols=TLSv1,SSLv3",
            "TLSv1.2 and TLSv1.3 are offered",
        ),
        (
            "secureClientPort=1\nssl.protocol=TLSv1.1",
            "TLSv1.2 and TLSv1.3 are offered",
        ),
        (
            "secureClientPort=1\nssl.crl=true",
            "ssl.crl=true: revocation lists are not offered",
        ),
        ("secureClientPort=1\nssl.ocsp=true", "ssl.ocsp=true: OCSP"),
    ] {
        let refused = refusal(&format!("{ALONE}{line}\n"));
        assert!(refused.contains(why), "{line}: {refused}");
    }
    assert!(refusal("dataDir=/d\n").contains("clientPort is not set"));
}
