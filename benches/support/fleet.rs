//! Many presenters on one thread: real ICE, DTLS and SRTP, made-up media.
//!
//! str0m serves as a light engine: a fleet on it leaves the other core to the
//! edge. Each presenter has a socket of its own, as presenters do, and sends
//! H.264 of about 1 Mbps at 30 frames per second (four packets a frame, a frame
//! in one burst) and Opus in packets of 20 ms.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use inlet_common::clock;
use reqwest::{Client, StatusCode, header};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    media::{Direction, MediaKind, Mid, Pt},
    net::{Protocol, Receive},
    rtp::RtpWrite,
};

/// Bytes of payload in a video packet, as browsers fill them.
const VIDEO_PAYLOAD: usize = 1_040;
/// Packets in a frame: 4 × 1,040 bytes × 30 is 1 Mbps.
const FRAME_PACKETS: u32 = 4;
/// Packets in a key frame.
const KEY_FRAME_PACKETS: u32 = 16;
const FRAME: Duration = Duration::from_nanos(33_333_333);
/// 64 kbps in packets of 20 ms.
const AUDIO_PAYLOAD: usize = 160;
const AUDIO: Duration = Duration::from_millis(20);
/// How often sockets are looked at; feedback comes every 100 ms or so.
const TURN: Duration = Duration::from_millis(1);

/// What a fleet has sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// RTP packets, retransmissions not counted.
    pub rtp: AtomicU64,
    /// Presenters whose ICE and DTLS are up.
    pub connected: AtomicU64,
    /// Presenters whose connection has ended.
    pub closed: AtomicU64,
    /// Key frames that were asked for.
    pub key_requests: AtomicU64,
    /// Whether media shall flow; transport goes on without.
    pub is_live: AtomicBool,
    stop: AtomicBool,
}

/// A running fleet; dropping it stops it.
#[derive(Debug)]
pub struct Fleet {
    /// What it has sent so far.
    pub sent: Arc<Sent>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Fleet {
    /// Brings `count` presenters on air at an edge that takes any token.
    ///
    /// # Errors
    ///
    /// When one of them is refused.
    pub async fn start(edge_http: u16, count: usize) -> Result<Self> {
        let client = Client::new();
        let mut presenters = Vec::new();
        for number in 0..count {
            let url = format!("http://127.0.0.1:{edge_http}/{}_bench/whip", number + 1);
            presenters.push(Presenter::connect(&client, &url, number).await?);
        }
        let sent = Arc::new(Sent::default());
        let shared = Arc::clone(&sent);
        let thread = std::thread::Builder::new()
            .name("fleet".to_owned())
            .spawn(move || run(presenters, &shared))?;
        Ok(Self {
            sent,
            thread: Some(thread),
        })
    }

    /// Ends all connections by DTLS.
    ///
    /// # Errors
    ///
    /// What a presenter's engine complained of.
    pub fn stop(mut self) -> Result<()> {
        self.sent.stop.store(true, Relaxed);
        let thread = self.thread.take().context("stopped twice")?;
        thread.join().map_err(|_| anyhow!("the fleet panicked"))?
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.sent.stop.store(true, Relaxed);
    }
}

fn run(mut presenters: Vec<Presenter>, sent: &Sent) -> Result<()> {
    let mut buffer = vec![0; 2_048];
    while !sent.stop.load(Relaxed) {
        for presenter in &mut presenters {
            presenter.turn(clock::now(), sent, &mut buffer)?;
        }
        std::thread::sleep(TURN);
    }
    for presenter in &mut presenters {
        presenter.rtc.close()?;
        presenter.drain(sent)?;
    }
    Ok(())
}

struct Presenter {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    timeout: Instant,
    video: Track,
    audio: Track,
    needs_key: bool,
    is_connected: bool,
}

/// One track's clock and counters.
struct Track {
    mid: Mid,
    pt: Pt,
    sequence: u64,
    time: u32,
    due: Option<Instant>,
    /// Where in its period this presenter sends: they do not march in step.
    phase: Duration,
}

impl Presenter {
    async fn connect(client: &Client, url: &str, number: usize) -> Result<Self> {
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
        let track = |mid, phase| -> Result<Track> {
            let media = rtc.media(mid).context("no such media")?;
            Ok(Track {
                mid,
                pt: *media.remote_pts().first().context("no payload type")?,
                sequence: 1,
                time: 0,
                due: None,
                phase,
            })
        };
        let phase = Duration::from_micros(661 * number as u64);
        Ok(Self {
            video: track(video, phase)?,
            audio: track(audio, phase)?,
            rtc,
            socket,
            address,
            timeout: now,
            needs_key: true,
            is_connected: false,
        })
    }

    fn turn(&mut self, now: Instant, sent: &Sent, buffer: &mut [u8]) -> Result<()> {
        loop {
            match self.socket.recv_from(buffer) {
                Ok((len, source)) => {
                    let contents = &buffer[..len];
                    let receive = Receive::new(Protocol::Udp, source, self.address, contents)?;
                    self.rtc.handle_input(Input::Receive(now, receive))?;
                    self.drain(sent)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.timeout <= now {
            self.advance(now, sent)?;
        }
        if self.is_connected && sent.is_live.load(Relaxed) {
            while self.video.is_due(now, FRAME) {
                self.send_frame(now, sent)?;
            }
            while self.audio.is_due(now, AUDIO) {
                let payload = vec![0xFC; AUDIO_PAYLOAD];
                self.audio.time = self.audio.time.wrapping_add(960);
                write(&mut self.rtc, &mut self.audio, now, payload, false)?;
                sent.rtp.fetch_add(1, Relaxed);
                self.advance(now, sent)?;
            }
        }
        Ok(())
    }

    /// One frame in fragments (RFC 6184 §5.8).
    fn send_frame(&mut self, now: Instant, sent: &Sent) -> Result<()> {
        let is_key = std::mem::take(&mut self.needs_key);
        let (kind, packets) = if is_key {
            (5, KEY_FRAME_PACKETS)
        } else {
            (1, FRAME_PACKETS)
        };
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
                    self.needs_key = true;
                    sent.key_requests.fetch_add(1, Relaxed);
                }
                Output::Event(_) => {}
            }
        }
    }
}

impl Track {
    /// Whether the next unit is due; then the one after it is set.
    fn is_due(&mut self, now: Instant, period: Duration) -> bool {
        let phase = self.phase;
        let due = *self.due.get_or_insert_with(|| now + phase);
        if due <= now {
            self.due = Some(due + period);
        }
        due <= now
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
