//! Inlet's edge: terminates WHIP near the presenter and forwards RTP over QUIC
//! to the origin; and is the STUN and TURN server that gets presenters through
//! networks that pass no UDP.
//!
//! # How a packet travels
//!
//! One thread per core, one function call per stage; no lock, channel, task or
//! future between the socket and the QUIC send.
//!
//! ```text
//!  UDP socket (one per worker)             worker/           reads the clock once per batch
//!    │  recv batch (GRO)                   udp/
//!    ▼
//!  classify(first byte)                    demux.rs          pure; RFC 7983 §7 as updated by RFC 9443
//!    ├─ 0–3    STUN
//!    ├─ 20–63  DTLS
//!    └─ 128–191 (S)RTP, RTCP
//!    ▼  lookup by source address, then by ICE ufrag (only a STUN request that
//!    │  passes its integrity check may introduce an address)
//!  Session::handle_datagram(now, …)        whip/session/     wraps str0m in RTP mode
//!    │  ICE · DTLS · SRTP; drained until its next timeout
//!    ▼  an RTP packet
//!  Sender::packet(flow, rtp)               roq/sender.rs     datagram or stream; counts drops
//!    │
//!    ▼
//!  quinn_proto::Connection                 roq/link.rs       never blocks; GSO send
//! ```
//!
//! # How a relayed packet travels
//!
//! ```text
//!  UDP socket (one per worker, by          turn/plane/       a round of batches (GRO)
//!    │  SO_REUSEPORT), TCP or TLS                            TLS handshakes on tokio
//!    ▼
//!  Relay::handle_client(now, …)            turn/relay/       pure; borrows the payload
//!    │  who, which channel, which peer, may it
//!    ▼  Forward
//!  ├─ a peer outside                       turn/plane/run.rs a run of packets, one GSO send
//!  ├─ a relayed address of this process    turn/relay/       the other client, no socket
//!  ├─ media of this process                worker/media.rs   the session, no socket
//!  └─ either, at another worker            turn/plane/ring.rs
//! ```
//!
//! # How a presenter comes in
//!
//! ```text
//!  POST /{id}_{token}/whip                 whip/routes.rs    tokio; bounded bodies, CORS
//!    ▼
//!  read and judge the offer                whip/sdp.rs       pure; reason codes 2100–2104
//!    ▼
//!  Session::accept                         whip/session/     ICE-lite answer, all our candidates
//!    ▼  Command::Open, with the finished session
//!  the worker asks the origin              roq/control.rs    OPEN → ACCEPT or REJECT
//!    ▼
//!  201 with the answer, or the refusal     whip/routes.rs
//! ```
//!
//! What happens to a session from then on is told to its presenter and kept for a
//! while: `trace/`. Where presenters are, and where another point of presence would help
//! them, is counted: `placement/`.
//!
//! # What points of presence know of each other
//!
//! ```text
//!  Reporter::report, every 2 s             service/reporter.rs  loads, draining
//!    ▼  Command::Report, to one worker
//!  REPORT to the origin                    roq/link.rs
//!
//!  FLEET from the origin                   roq/link.rs
//!    ▼  Event::Fleet
//!  Reports::handle_fleet                   fleet.rs
//!    ▲  handle_answer                      fleet/ask.rs         by the fleet's secret
//!    ├── probes, every 2 s                 probe/               WHIP, STUN, TURN
//!    ▼    ▼
//!  Health, every second                    dns/health.rs        rise and fall
//!    ▼  Board
//!  DNS answers, and 307 of WHIP            dns/steer.rs         who is well and has room
//! ```

pub mod cli;
pub mod config;
pub mod demux;
pub mod dns;
pub mod fleet;
pub mod framing;
pub mod metrics;
pub mod placement;
pub mod probe;
pub mod roq;
pub mod schedule;
pub mod service;
mod stream;
pub mod trace;
pub mod turn;
pub mod udp;
pub mod whip;
pub mod worker;
