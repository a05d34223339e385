//! What the sockets of a name server share, and what its TLS agrees on.

use std::sync::Arc;

use inlet_common::service::tls::{ACME_ALPN, provider};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConnection,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};

use super::*;

#[test]
fn a_network_is_told_no_more_by_many_sockets_than_by_one() {
    let all: Vec<SocketAddr> = ["192.0.2.1:53", "192.0.2.1:53", "192.0.2.2:53", "[::1]:53"]
        .map(|address| address.parse().unwrap())
        .to_vec();
    for (whole, by_ipv4, by_ipv6) in [(200, 66, 200), (2, 1, 2), (0, 0, 0)] {
        let rule = Rule {
            per_second: whole,
            slip: 2,
        };
        let shares = all.iter().map(|local| share(rule, *local, &all).per_second);
        let expected = [by_ipv4, by_ipv4, by_ipv4, by_ipv6];
        assert_eq!(shares.collect::<Vec<_>>(), expected);
    }
}

/// What a client that offers `alpn` agrees on with `server`; an error when it is refused.
fn agreed(
    server: &Arc<ServerConfig>,
    roots: &RootCertStore,
    alpn: &[&[u8]],
) -> Result<Option<Vec<u8>>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("ns.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(server.alpn_protocol().map(<[u8]>::to_vec))
}

/// With a certificate from a file, and with one of a CA that validates by TLS.
#[test]
fn clients_of_dns_by_tls_may_name_it_or_say_nothing() {
    let made = rcgen::generate_simple_self_signed(["ns.test".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    for before in [vec![], vec![ACME_ALPN.to_vec()]] {
        config.alpn_protocols = before.clone();
        let server = Arc::new(for_dns(&config));
        let agreed = |alpn: &[&[u8]]| agreed(&server, &roots, alpn);
        let dot = Some(b"dot".to_vec());
        assert_eq!(agreed(&[b"dot"]).unwrap(), dot, "{before:?}");
        assert_eq!(agreed(&[b"http/1.1", b"dot"]).unwrap(), dot);
        assert_eq!(agreed(&[]).unwrap(), None);
        let validation = agreed(&[ACME_ALPN]);
        assert_eq!(validation.ok().flatten(), before.first().cloned());
    }
}
