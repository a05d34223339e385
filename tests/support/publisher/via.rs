//! A detour on the way to the edge: the answer's candidates are replaced by whatever
//! stands in between.

use std::{fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use anyhow::{Context as _, Result};

type Opened = Pin<Box<dyn Future<Output = Result<SocketAddr>> + Send>>;

/// Opens something in front of the edge's media address, and says where it is.
#[derive(Clone)]
pub struct Via(Arc<dyn Fn(SocketAddr) -> Opened + Send + Sync>);

impl Via {
    /// A detour that `open` opens.
    pub fn new(open: impl Fn(SocketAddr) -> Opened + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// The answer with the detour as its only candidate.
    pub(super) async fn replace(&self, answer: &str) -> Result<String> {
        let first = answer.lines().find_map(udp_candidate);
        let edge = first.context("no candidate for UDP")?;
        let detour = (self.0)(edge).await?;
        let mut is_done = false;
        let mut out = String::with_capacity(answer.len());
        for line in answer.lines() {
            if line.starts_with("a=candidate:") {
                if std::mem::replace(&mut is_done, true) {
                    continue;
                }
                let (ip, port) = (detour.ip(), detour.port());
                out += &format!("a=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\n");
            } else {
                out += line;
                out += "\r\n";
            }
        }
        Ok(out)
    }
}

/// `a=candidate:<foundation> <component> udp <priority> <address> <port> typ host`
fn udp_candidate(line: &str) -> Option<SocketAddr> {
    let mut words = line
        .strip_prefix("a=candidate:")?
        .split_whitespace()
        .skip(2);
    let is_udp = words.next()?.eq_ignore_ascii_case("udp");
    let (ip, port) = (words.nth(1)?.parse().ok()?, words.next()?.parse().ok()?);
    is_udp.then(|| SocketAddr::new(ip, port))
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Via(…)")
    }
}
