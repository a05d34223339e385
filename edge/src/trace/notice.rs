//! What can happen to a session.

use std::{net::SocketAddr, time::Duration};

use inlet_common::roq::control::{CloseReason, Kind, Totals};

use crate::{
    turn::allocation::Allotted,
    whip::session::{Path, dtls::Outcome},
};

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The offer came.
    Posted {
        /// From where, masked.
        source: String,
        /// The presenter's software, as it says.
        user_agent: Option<String>,
        /// The offer, masked.
        offer: String,
    },
    /// It was answered.
    Answered {
        /// The answer, masked.
        answer: String,
    },
    /// ICE servers were handed out with the answer.
    LinksIssued {
        /// How many URLs.
        urls: usize,
    },
    /// The presenter has trickled candidates.
    Trickled {
        /// How many.
        candidates: usize,
    },
    /// An allocation was made at the TURN server beside, with a credential of the
    /// session's stream: by the presenter as a rule, before or after its offer.
    Allocated {
        /// How its client comes: udp, tcp or tls.
        transport: &'static str,
    },
    /// Such an allocation has ended.
    Released {
        /// How its client came.
        transport: &'static str,
        /// How long it was there.
        age: Duration,
        /// Payload bytes from the client on.
        to_peer: u64,
        /// Payload bytes to the client.
        to_client: u64,
    },
    /// A pair of ICE is in use.
    IceUp,
    /// Media come by this path from now on.
    Moved {
        /// Which.
        path: Path,
        /// The presenter's address.
        remote: SocketAddr,
    },
    /// What became of the DTLS handshake.
    Handshake(Outcome),
    /// ICE and DTLS are up.
    Connected,
    /// ICE began anew.
    Restarted,
    /// A track's first packet.
    FirstRtp {
        /// Which track.
        kind: Kind,
        /// Its source.
        ssrc: u32,
    },
    /// The presenter was told to send no more than so many bits per second.
    Limited(Option<u64>),
    /// How the last seconds went.
    Interval(Interval),
    /// The presenter should know.
    Warned {
        /// What.
        warning: Warning,
        /// It has passed.
        is_over: bool,
    },
    /// The session is over.
    Ended {
        /// Why.
        reason: CloseReason,
        /// What it carried.
        totals: Totals,
    },
}

impl Notice {
    /// What became of an allocation.
    pub fn of_allocation(allotted: &Allotted) -> Self {
        let transport = allotted.transport;
        match allotted.ended {
            None => Self::Allocated { transport },
            Some((age, traffic)) => Self::Released {
                transport,
                age,
                to_peer: traffic.to_peer_bytes,
                to_client: traffic.to_client_bytes,
            },
        }
    }
}

/// How some seconds of a session went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// How long.
    pub span: Duration,
    /// RTP packets that came.
    pub packets: u64,
    /// Packets that are missing.
    pub lost: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// NACKs sent.
    pub nacks: u64,
    /// Key frames asked for.
    pub keyframe_requests: u64,
    /// Round trip to the presenter, when it is known.
    pub rtt: Option<Duration>,
}

impl Interval {
    /// Share of the packets that is missing, from 0 to 1.
    pub fn loss(&self) -> f64 {
        let sent = self.packets + self.lost;
        match sent {
            0 => 0.0,
            sent => self.lost as f64 / sent as f64,
        }
    }

    /// Bits per second.
    pub fn bitrate(&self) -> f64 {
        let seconds = self.span.as_secs_f64();
        if seconds > 0.0 {
            self.bytes as f64 * 8.0 / seconds
        } else {
            0.0
        }
    }
}

/// What a presenter should know while it is on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warning {
    /// Packets get lost on the way here.
    Loss,
    /// No picture comes.
    NoVideo,
    /// No sound comes.
    NoAudio,
}

impl Warning {
    /// Its name in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::NoVideo => "no_video",
            Self::NoAudio => "no_audio",
        }
    }

    /// In words for the presenter.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Loss => "Packets get lost between you and this server: the picture suffers.",
            Self::NoVideo => "No picture comes from you.",
            Self::NoAudio => "No sound comes from you: viewers hear silence.",
        }
    }
}
