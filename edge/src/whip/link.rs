//! ICE servers for presenters, as `Link` headers (RFC 9725 §4.6).
//!
//! The trap: one header per URL and no comma or semicolon inside a value, since
//! clients split by both; and what cannot be written so is left out.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use inlet_common::ids::StreamId;

/// Most URLs that a presenter is given; browsers slow down beyond.
const MAX_SERVERS: usize = 4;

/// A STUN or TURN server.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// Such as `turn:host:443?transport=udp`.
    pub url: String,
    /// Username and credential; `None` for STUN.
    pub credential: Option<(String, String)>,
}

/// Knows this point of presence's own servers.
pub trait IceServers: Send + Sync + fmt::Debug {
    /// The servers, best first; those that take a credential only where there is a
    /// stream to bind it to. `host` is what the presenter called this machine, for
    /// where the configuration has no name for it.
    fn servers(&self, stream: Option<StreamId>, host: Option<&str>) -> Vec<IceServer>;
}

/// Adds a `Link` for each server.
pub(super) fn add(headers: &mut HeaderMap, servers: &[IceServer]) {
    let values = servers.iter().filter_map(value);
    for value in values.take(MAX_SERVERS) {
        headers.append(header::LINK, value);
    }
}

fn value(server: &IceServer) -> Option<HeaderValue> {
    let is_plain = |text: &str| {
        let bad = |byte: u8| !byte.is_ascii_graphic() || b",;<>\"\\".contains(&byte);
        !text.is_empty() && !text.bytes().any(bad)
    };
    let IceServer { url, credential } = server;
    if !is_plain(url) {
        return None;
    }
    let text = match credential {
        None => format!("<{url}>; rel=\"ice-server\""),
        Some((username, password)) if is_plain(username) && is_plain(password) => format!(
            "<{url}>; rel=\"ice-server\"; username=\"{username}\"; credential=\"{password}\"; \
             credential-type=\"password\""
        ),
        Some(_) => return None,
    };
    HeaderValue::from_str(&text).ok()
}

// Without the credential.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceServer({})", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, credential: Option<(&str, &str)>) -> IceServer {
        let credential = credential.map(|(name, word)| (name.to_owned(), word.to_owned()));
        IceServer {
            url: url.to_owned(),
            credential,
        }
    }

    fn written(servers: &[IceServer]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        add(&mut headers, servers);
        let values = headers.get_all(header::LINK).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn each_server_has_a_header_of_its_own() {
        let servers = [
            server("stun:h:3478", None),
            server(
                "turn:h:443?transport=udp",
                Some(("1700000000:17", "c2VjcmV0+/=")),
            ),
        ];
        assert_eq!(
            written(&servers),
            [
                "<stun:h:3478>; rel=\"ice-server\"",
                "<turn:h:443?transport=udp>; rel=\"ice-server\"; username=\"1700000000:17\"; \
                 credential=\"c2VjcmV0+/=\"; credential-type=\"password\"",
            ]
        );
        assert!(!format!("{servers:?}").contains("c2Vj"));
    }

    #[test]
    fn what_clients_would_split_is_left_out_and_four_are_enough() {
        assert_eq!(written(&[server("stun:a,b", None)]).len(), 0);
        assert_eq!(written(&[server("turn:a", Some(("x;y", "z")))]).len(), 0);
        assert_eq!(written(&[server("turn:a", Some(("x", "a\"b")))]).len(), 0);
        assert_eq!(written(&vec![server("stun:a", None); 9]).len(), 4);
    }
}
