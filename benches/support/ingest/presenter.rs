//! One presenter: real ICE, DTLS and SRTP, made-up media.
//!
//! str0m serves as a light engine. Each presenter has a socket of its own, as
//! presenters do.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use reqwest::{Client, StatusCode, header};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    media::{Direction, MediaKind, Mid, Pt},
    net::{Protocol, Receive},
    rtp::RtpWrite,
};

use super::{
    fleet::{Sent, TURN},
    tempo::{AUDIO_PAYLOAD, Tempo, Unit, VIDEO_PAYLOAD},
};
use crate::process::scheduled;

/// How often a connected presenter looks at its socket: feedback comes every
/// 100 ms or so, and looking costs the machine that the edge runs on too.
const LOOK: Duration = Duration::from_millis(10);

/// Longer than what an edge sends.
const DATAGRAM: usize = 2_048;

/// One presenter.
pub(super) struct Presenter {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    timeout: Instant,
    look: Option<Instant>,
    tempo: Tempo,
    video: Track,
    audio: Track,
    is_connected: bool,
}

/// One track's clock and counters.
struct Track {
    mid: Mid,
    pt: Pt,
    sequence: u64,
    time: u32,
}

impl Presenter {
    /// Makes an offer and posts it.
    pub(super) async fn connect(client: &Client, url: &str, number: usize) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let now = clock::now();
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .set_rtp_mode(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp")?);
        let mut api = rtc.sdp_api();
        let audio = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let video = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let (offer, pending) = api.apply().context("an offer without media")?;
        let response = client
            .post(url)
            .header(header::CONTENT_TYPE, "application/sdp")
            .body(offer.to_sdp_string())
            .send()
            .await?;
        let status = response.status();
        let answer = response.text().await?;
        ensure!(status == StatusCode::CREATED, "{url}: {status} {answer}");
        rtc.sdp_api()
            .accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        let track = |mid| -> Result<Track> {
            let media = rtc.media(mid).context("no such media")?;
            Ok(Track {
                mid,
                pt: *media.remote_pts().first().context("no payload type")?,
                sequence: 1,
                time: 0,
            })
        };
        Ok(Self {
            video: track(video)?,
            audio: track(audio)?,
            rtc,
            socket,
            address,
            timeout: now,
            look: None,
            tempo: Tempo::new(number),
            is_connected: false,
        })
    }

    /// Takes what has come and sends what is due.
    pub(super) fn turn(&mut self, now: Instant, sent: &Sent) -> Result<()> {
        if self.look.is_none_or(|at| at <= now) {
            self.look = self.is_connected.then(|| now + LOOK);
            self.receive(now, sent)?;
        }
        if self.timeout <= now {
            self.advance(now, sent)?;
        }
        if !self.is_connected || !sent.is_live.load(Relaxed) {
            return Ok(());
        }
        while let Some((unit, late)) = self.tempo.due(now) {
            sent.note_late(late);
            match unit {
                Unit::Frame { packets, is_key } => self.send_frame(now, sent, packets, is_key)?,
                Unit::Audio => {
                    let payload = vec![0xFC; AUDIO_PAYLOAD];
                    self.audio.time = self.audio.time.wrapping_add(960);
                    write(&mut self.rtc, &mut self.audio, now, payload, false)?;
                    sent.rtp.fetch_add(1, Relaxed);
                    self.advance(now, sent)?;
                }
            }
        }
        Ok(())
    }

    /// Closes DTLS.
    pub(super) fn close(&mut self, sent: &Sent) -> Result<()> {
        self.rtc.close()?;
        self.drain(sent)
    }

    fn receive(&mut self, now: Instant, sent: &Sent) -> Result<()> {
        let mut buffer = [0; DATAGRAM];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((len, source)) => {
                    let contents = &buffer[..len];
                    let receive = Receive::new(Protocol::Udp, source, self.address, contents)?;
                    self.rtc.handle_input(Input::Receive(now, receive))?;
                    self.drain(sent)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One frame in fragments (RFC 6184 §5.8).
    fn send_frame(&mut self, now: Instant, sent: &Sent, packets: u32, is_key: bool) -> Result<()> {
        let kind = if is_key { 5 } else { 1 };
        self.video.time = self.video.time.wrapping_add(3_000);
        for at in 0..packets {
            let is_last = at + 1 == packets;
            let mut payload = vec![at as u8; VIDEO_PAYLOAD];
            payload[0] = 0x7C;
            payload[1] = (u8::from(at == 0) << 7) | (u8::from(is_last) << 6) | kind;
            write(&mut self.rtc, &mut self.video, now, payload, is_last)?;
            sent.rtp.fetch_add(1, Relaxed);
            self.advance(now, sent)?;
        }
        Ok(())
    }

    fn advance(&mut self, now: Instant, sent: &Sent) -> Result<()> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain(sent)
    }

    fn drain(&mut self, sent: &Sent) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return Ok(());
                }
                // A full socket is a loss, as anywhere.
                Output::Transmit(transmit) => {
                    self.socket
                        .send_to(&transmit.contents, transmit.destination)
                        .ok();
                }
                Output::Event(Event::Connected) => {
                    self.is_connected = true;
                    sent.connected.fetch_add(1, Relaxed);
                }
                Output::Event(Event::Closed) => {
                    self.is_connected = false;
                    sent.closed.fetch_add(1, Relaxed);
                }
                Output::Event(Event::KeyframeRequest(_)) => {
                    self.tempo.needs_key = true;
                    sent.key_requests.fetch_add(1, Relaxed);
                }
                Output::Event(_) => {}
            }
        }
    }
}

fn write(
    rtc: &mut Rtc,
    track: &mut Track,
    now: Instant,
    payload: Vec<u8>,
    marker: bool,
) -> Result<()> {
    let write = RtpWrite::new(track.pt, track.sequence.into(), track.time, now, payload)
        .marker(marker)
        .nackable(true);
    track.sequence += 1;
    rtc.direct_api()
        .stream_tx_by_mid(track.mid, None)
        .context("no stream to send on")?
        .write_rtp(write);
    Ok(())
}

/// What bringing presenters on air costs an edge.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Milliseconds from POST to 201, of each.
    pub answers: Vec<f64>,
    /// Milliseconds of CPU for each answered offer.
    pub accept: f64,
    /// Milliseconds of CPU for each ICE and DTLS handshake.
    pub handshake: f64,
}

/// Brings `count` presenters up without media at the edge `pid`.
///
/// # Errors
///
/// When one is refused or does not get connected.
pub async fn accept_cost(pid: i32, edge_http: u16, count: usize) -> Result<Cost> {
    let client = Client::new();
    let (mut presenters, mut answers) = (Vec::new(), Vec::new());
    let idle = scheduled(pid)?;
    for number in 0..count {
        let url = format!("http://127.0.0.1:{edge_http}/{}_bench/whip", number + 1);
        let start = clock::now();
        presenters.push(Presenter::connect(&client, &url, number).await?);
        answers.push(clock::now().duration_since(start).as_secs_f64() * 1e3);
    }
    let accepted = scheduled(pid)?;
    let sent = Sent::default();
    let deadline = clock::now() + CONNECT_PATIENCE;
    while sent.connected.load(Relaxed) < count as u64 {
        ensure!(clock::now() < deadline, "presenters do not get connected");
        for presenter in &mut presenters {
            presenter.turn(clock::now(), &sent)?;
        }
        tokio::time::sleep(TURN).await;
    }
    let connected = scheduled(pid)?;
    presenters.iter_mut().try_for_each(|it| it.close(&sent))?;
    let each = |span: Duration| span.as_secs_f64() * 1e3 / count as f64;
    Ok(Cost {
        answers,
        accept: each(accepted.saturating_sub(idle)),
        handshake: each(connected.saturating_sub(accepted)),
    })
}

const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
