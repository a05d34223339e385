//! ICE restarts (RFC 8445 §9, RFC 9725 §4.3.3).
//!
//! A restart begins over HTTP and is carried out by the worker:
//!
//! 1. [`Ice::restart`] draws our new credentials, makes the [`Restart`] for the
//!    worker and the fragment for the presenter. Whatever the presenter sent
//!    that cannot be is refused here, and the session has not heard of it.
//! 2. [`Session::restart`] keeps the restart. The
//!    former credentials go on, since the presenter uses them until it has the
//!    fragment, or for good when it never gets it.
//! 3. The first Binding request that is signed with the new credentials brings
//!    the engine onto them.
//!
//! The traps: str0m learns of a restart only from an offer, so the presenter's
//! own offer is given to it anew with the new credentials in it; it then
//! invents credentials of its own, which are replaced at once; and its word that
//! it accepts a datagram means nothing for an address that is in use already,
//! so the signature is checked here.

use std::fmt;

use rand::Rng;
use str0m::{IceCreds, change::SdpOffer};

use super::{Output, Phase, Session, ufrag::random_credentials};
use crate::{
    demux,
    turn::wire::{IntegrityKey, Message},
};

/// The ICE session of a presenter, as far as restarting it takes.
#[derive(Clone, PartialEq, Eq)]
pub struct Ice {
    /// Stands in our ufrags.
    worker: u16,
    /// The presenter's credentials.
    remote: IceCreds,
    /// What the engine was offered; the credentials in it are those of the
    /// beginning.
    offer: String,
    /// The fragment's lines in front of the credentials, and behind them.
    head: String,
    candidates: String,
}

/// The presenter's new credentials cannot be used; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error("ICE credentials that cannot be used")]
pub struct RestartError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// A restart on its way to the worker.
pub struct Restart {
    local: IceCreds,
    remote_ufrag: String,
    offer: SdpOffer,
}

impl Ice {
    /// Takes what a restart will need of an offer for the engine and the answer
    /// for the presenter.
    pub(super) fn new(worker: u16, remote: IceCreds, offer: String, answer: &str) -> Self {
        let mut session = String::new();
        let (mut media, mut options, mut candidates) = (String::new(), "", String::new());
        let mut sections = 0;
        for line in answer.lines() {
            let is_of = |name: &str| line.starts_with(name);
            sections += usize::from(is_of("m="));
            // Of a bundle only the first m-line gathers (RFC 9725 §4.3.2).
            if sections > 1 {
                break;
            }
            if is_of("a=ice-options:") {
                options = line;
            } else if is_of("m=") || is_of("a=mid:") {
                push_line(&mut media, line);
            } else if is_of("a=candidate:") {
                push_line(&mut candidates, without_ufrag(line));
            } else if sections == 0 && (is_of("a=ice-lite") || is_of("a=group:")) {
                push_line(&mut session, line);
            }
        }
        let mut head = String::new();
        for line in session
            .lines()
            .filter(|line| line.starts_with("a=ice-lite"))
        {
            push_line(&mut head, line);
        }
        if !options.is_empty() {
            push_line(&mut head, options);
        }
        for line in session.lines().filter(|line| line.starts_with("a=group:")) {
            push_line(&mut head, line);
        }
        head.push_str(&media);
        push_line(&mut candidates, "a=end-of-candidates");
        Self {
            worker,
            remote,
            offer,
            head,
            candidates,
        }
    }

    /// The presenter's credentials, those of the latest restart.
    pub const fn remote(&self) -> &IceCreds {
        &self.remote
    }

    /// Makes a restart with the presenter's new credentials: the worker's part,
    /// and the fragment that answers the presenter.
    ///
    /// # Errors
    ///
    /// [`RestartError`]; then this ICE session goes on.
    pub fn restart(
        &mut self,
        remote: IceCreds,
        rng: &mut impl Rng,
    ) -> Result<(Restart, String), RestartError> {
        let mut offer = String::with_capacity(self.offer.len());
        for line in self.offer.lines() {
            match line {
                _ if line.starts_with("a=ice-ufrag:") => {
                    push_line(&mut offer, &format!("a=ice-ufrag:{}", remote.ufrag));
                }
                _ if line.starts_with("a=ice-pwd:") => {
                    push_line(&mut offer, &format!("a=ice-pwd:{}", remote.pass));
                }
                _ => push_line(&mut offer, line),
            }
        }
        let offer =
            SdpOffer::from_sdp_string(&offer).map_err(|error| RestartError(Box::new(error)))?;
        let local = random_credentials(self.worker, rng);
        let fragment = format!(
            "{}a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n{}",
            self.head, local.ufrag, local.pass, self.candidates
        );
        let remote_ufrag = remote.ufrag.clone();
        self.remote = remote;
        let restart = Restart {
            local,
            remote_ufrag,
            offer,
        };
        Ok((restart, fragment))
    }
}

impl Restart {
    /// Our new ufrag.
    pub fn ufrag(&self) -> &str {
        &self.local.ufrag
    }

    /// Whether a datagram is a Binding request of this restart: by its ufrags,
    /// and by its MESSAGE-INTEGRITY (RFC 8445 §7.3).
    pub(super) fn accepts(&self, datagram: &[u8]) -> bool {
        if demux::stun_local_ufrag(datagram) != Some(self.ufrag()) {
            return false;
        }
        let Ok(message) = Message::decode(datagram) else {
            return false;
        };
        let username = message.attributes.username.unwrap_or_default();
        let theirs = username.get(self.local.ufrag.len() + 1..);
        theirs == Some(self.remote_ufrag.as_bytes())
            && message.is_signed_with(&IntegrityKey::password(&self.local.pass))
    }

    pub(super) fn into_parts(self) -> (IceCreds, SdpOffer) {
        (self.local, self.offer)
    }
}

impl Session {
    /// Gets ready for an ICE restart: from now on the restart's ufrag leads to
    /// this session too. Both go on until the new credentials are in use; a
    /// restart that nobody has used yet is replaced. `false` when the session
    /// has ended.
    pub fn restart(&mut self, restart: Box<Restart>) -> bool {
        let is_alive = self.phase != Phase::Ended;
        if is_alive {
            self.restart = Some(restart);
        }
        is_alive
    }

    /// Whether a restart waits for its credentials to be used.
    pub const fn awaits_restart(&self) -> bool {
        self.restart.is_some()
    }

    /// Whether a datagram is signed with the credentials of a restart that waits.
    pub(super) fn is_of_restart(&self, datagram: &[u8]) -> bool {
        let restart = self.restart.as_ref();
        restart.is_some_and(|restart| restart.accepts(datagram))
    }

    /// Brings the engine onto the credentials of the restart. Media do not
    /// notice: their keys stay, and they go where they went until the
    /// presenter has nominated another pair.
    pub(super) fn carry_out_restart(&mut self) {
        let Some(restart) = self.restart.take() else {
            return;
        };
        let (local, offer) = restart.into_parts();
        if let Err(error) = self.rtc.sdp_api().accept_offer(offer) {
            // It is the offer that this session was made of.
            tracing::error!(%error, "engine refused an ICE restart");
            return self.fail();
        }
        self.ufrag.clone_from(&local.ufrag);
        self.rtc.direct_api().set_local_ice_credentials(local);
        self.ways.restart();
        self.outputs.push_back(Output::Restarted);
    }
}

/// A candidate's ufrag is that of its answer, and every answer has another.
fn without_ufrag(candidate: &str) -> &str {
    candidate
        .split_once(" ufrag ")
        .map_or(candidate, |(front, _)| front)
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}

// Neither shows a password.
impl fmt::Debug for Ice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ice(…)")
    }
}

impl fmt::Debug for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restart(…)")
    }
}
