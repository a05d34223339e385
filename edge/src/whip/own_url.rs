//! What this point of presence is called, by the request where the configuration
//! does not say it.
//!
//! The trap: `Host` is whatever a stranger wrote. It goes back to that stranger
//! alone, and only when it can be a host.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Uri, header, uri::Authority};

/// Longest name of a host and its port.
const MAX_AUTHORITY: usize = 259;

/// Whom a request was made to: `:authority` of HTTP/2, `Host` of HTTP/1.1
/// (RFC 9110 §7.2). `None` when that can be no host.
pub(super) fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let from_uri = uri.authority().cloned();
    let authority = from_uri.or_else(|| {
        let text = headers.get(header::HOST)?.to_str().ok()?;
        text.parse().ok()
    })?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let text = authority.as_str();
    let is_sound = text.len() <= MAX_AUTHORITY
        && text.bytes().all(is_plain)
        && !authority.host().is_empty()
        && (text.len() == authority.host().len() || authority.port_u16().is_some());
    is_sound.then_some(authority)
}

/// The base URL by which a request came. A proxy on this machine says by
/// `X-Forwarded-Proto` that it took TLS off.
pub(super) fn base(
    uri: &Uri,
    headers: &HeaderMap,
    source: SocketAddr,
    is_https: bool,
) -> Option<String> {
    let authority = authority(uri, headers)?;
    let proxied = headers.get("x-forwarded-proto");
    let proxied = proxied.filter(|_| source.ip().to_canonical().is_loopback());
    let is_https = is_https || proxied.is_some_and(|scheme| scheme == "https");
    let scheme = if is_https { "https" } else { "http" };
    Some(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers
    }

    fn host(text: &str) -> Option<String> {
        authority(&Uri::from_static("/"), &headers(text)).map(|it| it.to_string())
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for sound in [
            "edge.example",
            "edge.example:8443",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "a_b.example",
        ] {
            assert_eq!(host(sound).as_deref(), Some(sound));
        }
        let long = "a".repeat(260);
        for odd in [
            "", "a b", "a;b", "a,b", "u@a", "a/b", "a:99999", "a>b", &long,
        ] {
            assert_eq!(host(odd), None, "{odd}");
        }
        let uri = Uri::from_static("https://by.http2/x");
        let authority = authority(&uri, &headers("by.http1")).unwrap();
        assert_eq!(authority.as_str(), "by.http2");
    }

    #[test]
    fn only_a_proxy_on_this_machine_may_speak_of_tls() {
        let uri = Uri::from_static("/");
        let mut proxied = headers("a.example");
        proxied.insert("x-forwarded-proto", "https".parse().unwrap());
        let from = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 9);
        let base = |source: &str, is_https| base(&uri, &proxied, from(source), is_https).unwrap();
        assert_eq!(base("127.0.0.1", false), "https://a.example");
        assert_eq!(base("192.0.2.1", false), "http://a.example");
        assert_eq!(base("192.0.2.1", true), "https://a.example");
    }
}
