//! The TCP listeners: what each is bound to, and what it may hold.

use std::net::SocketAddr;

use inlet_common::service::listener::{BindError, Listener, ListenerMetrics, Options, Tls};

use super::{Error, certificates::Held};
use crate::config::Config;

/// TLS handshakes at once on a listener that strangers reach.
const MAX_HANDSHAKES: usize = 512;

/// Connections of one source that have not shown what they are for: a sixteenth of
/// the handshakes, so that a few sources cannot hold them all.
const MAX_HALF_OPEN: usize = 32;

pub(super) fn listen(
    address: SocketAddr,
    options: Options,
    tls: impl Into<Tls>,
    kind: &'static str,
) -> Result<Listener, BindError> {
    let metrics = ListenerMetrics::new("inlet_edge", kind);
    Listener::bind(address, options, tls, metrics)
}

pub(super) fn bind_http(config: &Config, certificates: &mut Held) -> Result<Listener, Error> {
    let https = match certificates.server(config.http.tls.as_ref(), "http")? {
        // TURN and ICE-TCP may come in the clear.
        Some(tls) => match config.turn.is_some() || config.media.tcp {
            true => Tls::OrPlain(tls),
            false => Tls::Only(tls),
        },
        None => Tls::Off,
    };
    let proxies = config.turn.as_ref().map(|turn| &turn.listen.proxy_protocol);
    let options = Options {
        max_connections: config.limits.http_connections,
        trusted_proxies: proxies.cloned().unwrap_or_default(),
        max_handshakes: MAX_HANDSHAKES,
        max_half_open: MAX_HALF_OPEN,
        ..Options::default()
    };
    Ok(listen(config.http.listen, options, https, "whip")?)
}

/// Binds the listeners for TURN alone.
pub(super) fn bind_turn(config: &Config, certificates: &mut Held) -> Result<Vec<Listener>, Error> {
    let Some(turn) = config.turn.as_ref().map(|turn| &turn.listen) else {
        return Ok(Vec::new());
    };
    let tls = certificates.server(turn.certificate.as_ref(), "turn")?;
    let options = Options {
        max_connections: turn.connections,
        trusted_proxies: turn.proxy_protocol.clone(),
        max_handshakes: MAX_HANDSHAKES,
        max_half_open: MAX_HALF_OPEN,
        // "0.0.0.0" and "::" stand side by side.
        ipv6_only: true,
        ..Options::default()
    };
    let mut listeners = Vec::new();
    for address in &turn.tcp {
        let tls = tls.clone().map_or(Tls::Off, Tls::OrPlain);
        listeners.push(listen(*address, options.clone(), tls, "turn")?);
    }
    for address in &turn.tls {
        listeners.push(listen(*address, options.clone(), tls.clone(), "turns")?);
    }
    Ok(listeners)
}
