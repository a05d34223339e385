//! What a presenter's DTLS handshake costs the edge, by either implementation.
//! Pure code on one thread, no socket; opposite is str0m with its own DTLS, whose
//! time is not counted.
//!
//! Counted is every call into the session from its first datagram until it is
//! connected: a few STUN messages, the handshake, and the first RTCP.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use benches::figure::{Figure, median, report, say};
use inlet_common::{clock, ids::SessionId};
use inlet_edge::whip::session::{
    Addresses, Config, Datagram, Output as SessionOutput, Path, Session, Way,
    dtls::{Backend, Outcome, Version},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    config::DtlsVersion,
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
};

const TURNS: usize = 9;
const HANDSHAKES: u32 = 50;
const STEP: Duration = Duration::from_millis(5);
const MAX_STEPS: usize = 1_000;

fn main() -> Result<()> {
    let mut figures = Vec::new();
    for (name, backend, theirs) in [
        ("OpenSSL, 1.2", Backend::OpenSsl, DtlsVersion::Dtls12),
        ("memory-safe, 1.2", Backend::MemorySafe, DtlsVersion::Dtls12),
        ("memory-safe, 1.3", Backend::MemorySafe, DtlsVersion::Dtls13),
    ] {
        let config = Config::with_dtls(backend)?;
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            let mut accepting = Duration::ZERO;
            let mut shaking = Duration::ZERO;
            for _ in 0..HANDSHAKES {
                let mut pair = Pair::new(&config, theirs)?;
                pair.connect()?;
                accepting += pair.accepting;
                shaking += pair.shaking;
            }
            turns.push((accepting, shaking));
        }
        let each = |span: Duration| span.as_secs_f64() * 1e6 / f64::from(HANDSHAKES);
        let accepted = median(turns.iter().map(|(accepting, _)| each(*accepting)));
        let shaken = median(turns.iter().map(|(_, shaking)| each(*shaking)));
        figures.push(Figure::new(
            format!("offer answered, {name}"),
            "µs",
            accepted,
        ));
        figures.push(Figure::new(format!("handshake, {name}"), "µs", shaken));
    }
    say("ECDSA P-256 on both sides; the edge is the DTLS server");
    report("dtls_handshake", &figures)
}

/// A presenter and its session, and what the session has cost.
struct Pair {
    presenter: Rtc,
    address: SocketAddr,
    session: Session,
    now: Instant,
    version: Version,
    accepting: Duration,
    shaking: Duration,
}

impl Pair {
    fn new(config: &Config, version: DtlsVersion) -> Result<Self> {
        let now = clock::now();
        let address = SocketAddr::from(([198, 51, 100, 7], 50_000));
        let edge = SocketAddr::from(([203, 0, 113, 1], 40_000));
        let mut presenter = RtcConfig::new()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .set_dtls_version(version)
            .build(now);
        presenter.add_local_candidate(Candidate::host(address, "udp")?);
        let mut api = presenter.sdp_api();
        api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let Some((offer, pending)) = api.apply() else {
            anyhow::bail!("no offer");
        };
        let offer = offer.to_sdp_string();
        let begun = clock::now();
        let (session, answer) = Session::accept(
            &offer,
            SessionId::random(),
            &Addresses {
                udp: vec![edge],
                ..Addresses::default()
            },
            config,
            now,
            &mut rand::rng(),
        )?;
        let accepting = begun.elapsed();
        let answer = SdpAnswer::from_sdp_string(&answer.sdp)?;
        presenter.sdp_api().accept_answer(pending, answer)?;
        let expected = match version {
            DtlsVersion::Dtls13 => Version::Dtls13,
            _ => Version::Dtls12,
        };
        Ok(Self {
            presenter,
            address,
            session,
            now,
            version: expected,
            accepting,
            shaking: Duration::ZERO,
        })
    }

    fn connect(&mut self) -> Result<()> {
        let mut is_up = false;
        for _ in 0..MAX_STEPS {
            self.presenter.handle_input(Input::Timeout(self.now))?;
            is_up |= self.exchange()?;
            if is_up && self.session.is_connected() {
                return Ok(());
            }
            self.now += STEP;
        }
        anyhow::bail!("no connection");
    }

    /// Lets both talk until neither has anything to say. Returns whether the
    /// presenter has connected.
    fn exchange(&mut self) -> Result<bool> {
        let mut is_up = false;
        loop {
            let mut sent = Vec::new();
            loop {
                match self.presenter.poll_output()? {
                    Output::Timeout(_) => break,
                    Output::Transmit(transmit) => sent.push(transmit),
                    Output::Event(event) => is_up |= matches!(event, Event::Connected),
                }
            }
            let begun = clock::now();
            let mut answers = Vec::new();
            for datagram in &sent {
                let way = Way {
                    path: Path::HostUdp,
                    remote: self.address,
                    local: datagram.destination,
                };
                let contents = &datagram.contents;
                self.session
                    .handle_datagram(self.now, &Datagram { way, contents });
                drain(&mut self.session, self.version, &mut answers)?;
            }
            self.session.handle_timeout(self.now);
            drain(&mut self.session, self.version, &mut answers)?;
            self.shaking += begun.elapsed();
            if answers.is_empty() {
                return Ok(is_up);
            }
            for (from, datagram) in answers {
                let receive = Receive::new(Protocol::Udp, from, self.address, &datagram)?;
                self.presenter
                    .handle_input(Input::Receive(self.now, receive))?;
            }
        }
    }
}

fn drain(
    session: &mut Session,
    version: Version,
    answers: &mut Vec<(SocketAddr, Vec<u8>)>,
) -> Result<()> {
    loop {
        match session.poll_output() {
            SessionOutput::Timeout(_) => return Ok(()),
            SessionOutput::Transmit(transmit) => answers.push((transmit.source, transmit.contents)),
            SessionOutput::Handshake(outcome) => {
                let is_expected =
                    matches!(outcome, Outcome::Established(agreed, _) if agreed == version);
                ensure!(is_expected, "{outcome:?}");
            }
            _ => {}
        }
    }
}
