//! `[acme]`, looked at without ordering or asking anything: what is kept, what would
//! keep an order from being placed, and where the CA would come to.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};

use inlet_common::{
    clock::UtcTime,
    config::acme::{Challenge, Settings},
    service::tls::acme::{Acme, Kept},
};

use super::{Findings, explain};
use crate::config::Config;

/// A certificate that ends sooner should have been renewed long ago, in days.
const OVERDUE_DAYS: i64 = 3;

impl Findings {
    pub(super) fn acme(&mut self, config: &Config, settings: &Settings, now: UtcTime) {
        let problems = Acme::problems(settings).into_iter();
        self.problems
            .extend(problems.map(|what| format!("acme: {what}")));
        match Acme::look(settings) {
            Ok(kept) => self.kept(kept, settings, now),
            Err(error) => self.problems.push(explain(&error)),
        }
        if settings.challenge == Challenge::Http01 {
            let address = settings.http_listen;
            self.bound("acme.http_listen", address, TcpListener::bind(address));
        }
        self.reach(config, settings);
        for domain in &settings.domains {
            if let Err(error) = (domain.as_str(), settings.challenge.port()).to_socket_addrs() {
                self.advice.push(format!(
                    "acme.domains: {domain} cannot be looked up here ({error}): the CA needs an \
                     A or AAAA record of this machine"
                ));
            }
        }
    }

    fn kept(&mut self, kept: Option<Kept>, settings: &Settings, now: UtcTime) {
        let Some(kept) = kept else {
            let directory = &settings.directory;
            return self.advice.push(format!(
                "acme: no certificate is kept: the start orders one from {directory}, and the \
                 edge is not ready before it has come"
            ));
        };
        let path = kept.path.display();
        let days = kept.not_after.micros_since(now).div_euclid(86_400_000_000);
        if days < 0 {
            self.advice.push(format!(
                "acme: {path} has expired: the start orders another, and the edge is not ready \
                 before it has come"
            ));
        } else if days < OVERDUE_DAYS {
            self.advice.push(format!(
                "acme: {path} ends in {days} days and was not renewed: see what the log says"
            ));
        }
        if !kept.missing.is_empty() {
            let missing = kept.missing.join(", ");
            self.advice.push(format!(
                "acme: {path} is not for {missing}: the start orders another"
            ));
        }
    }

    /// Whether the CA could come to us, as far as the configuration tells.
    fn reach(&mut self, config: &Config, settings: &Settings) {
        let port = settings.challenge.port();
        let listeners: Vec<SocketAddr> = match settings.challenge {
            Challenge::Http01 => vec![settings.http_listen],
            Challenge::TlsAlpn01 => tls_listeners(config),
        };
        let is_there = listeners.iter().any(|at| at.port() == port);
        if !is_there {
            self.advice.push(format!(
                "acme.challenge: the CA comes to port {port}, where this process does not listen: \
                 forward it to one of {listeners:?}"
            ));
        }
        if listeners.iter().all(|at| at.ip().is_loopback()) {
            self.advice.push(
                "acme.challenge: the CA comes from the internet, and this process listens on \
                 loopback alone: set http.listen to \"[::]:443\", or forward the port as it is, \
                 without a TLS proxy"
                    .to_owned(),
            );
        }
    }
}

fn tls_listeners(config: &Config) -> Vec<SocketAddr> {
    let http = config.is_whip.then_some(config.http.listen);
    let turn = config.turn.as_ref().map(|turn| &turn.listen);
    let turn = turn.filter(|listen| {
        listen
            .certificate
            .as_ref()
            .is_some_and(|at| at.files().is_none())
    });
    let turn = turn.into_iter().flat_map(|at| at.tls.iter().chain(&at.tcp));
    http.into_iter().chain(turn.copied()).collect()
}
