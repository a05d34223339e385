//! A presenter for tests: another str0m, full ICE, on the other side.
//!
//! It speaks real ICE, DTLS and SRTP; only its pictures are made up.

use std::{net::SocketAddr, time::Instant};

use str0m::{
    Candidate, Event, IceCreds, Input, Output, Rtc, RtcConfig,
    bwe::BweKind,
    change::{SdpAnswer, SdpPendingOffer},
    media::{Direction, KeyframeRequestKind, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive},
    rtp::RtpWrite,
};

/// A presenter, driven by hand.
pub(crate) struct Presenter {
    pub(crate) rtc: Rtc,
    pub(crate) address: SocketAddr,
    pending: Option<SdpPendingOffer>,
    answered: String,
    video: Mid,
    audio: Mid,
    video_seq: u64,
    audio_seq: u64,
    pub(crate) is_connected: bool,
    pub(crate) is_closed: bool,
    pub(crate) has_failed: bool,
    pub(crate) keyframe_requests: usize,
    /// Of these by FIR.
    pub(crate) firs: usize,
    /// The layers that these were for.
    pub(crate) asked: Vec<Option<Rid>>,
    pub(crate) remb: Option<u64>,
    pub(crate) timeout: Instant,
    /// What is to be sent: destination and datagram.
    pub(crate) outbox: Vec<(SocketAddr, Vec<u8>)>,
}

impl Presenter {
    /// Makes a presenter with one video and one audio track, and its offer.
    pub(crate) fn new(address: SocketAddr, now: Instant) -> (Self, String) {
        Self::with_config(RtcConfig::new(), address, now)
    }

    pub(crate) fn with_config(
        config: RtcConfig,
        address: SocketAddr,
        now: Instant,
    ) -> (Self, String) {
        let crypto = std::sync::Arc::new(str0m::crypto::from_feature_flags());
        let config = config.set_crypto_provider(crypto).set_rtp_mode(true);
        Self::with_rtc(config.build(now), address, now)
    }

    /// With an engine in RTP mode, whose cryptography is the caller's.
    pub(crate) fn with_rtc(rtc: Rtc, address: SocketAddr, now: Instant) -> (Self, String) {
        Self::offer(rtc, None, address, now)
    }

    /// With VP8 in layers of these names.
    pub(crate) fn with_layers(rids: &[&str], address: SocketAddr, now: Instant) -> (Self, String) {
        let crypto = std::sync::Arc::new(str0m::crypto::from_feature_flags());
        let config = RtcConfig::new()
            .clear_codecs()
            .enable_vp8(true)
            .enable_opus(true, false);
        let config = config.set_crypto_provider(crypto).set_rtp_mode(true);
        let mut simulcast = Simulcast::new();
        for rid in rids {
            simulcast.add_send_layer(SimulcastLayer::new(rid));
        }
        Self::offer(config.build(now), Some(simulcast), address, now)
    }

    fn offer(
        mut rtc: Rtc,
        simulcast: Option<Simulcast>,
        address: SocketAddr,
        now: Instant,
    ) -> (Self, String) {
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        let mut api = rtc.sdp_api();
        let audio = api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None);
        let video = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, simulcast);
        let (offer, pending) = api.apply().unwrap();
        let presenter = Self {
            rtc,
            address,
            pending: Some(pending),
            answered: String::new(),
            video,
            audio,
            // Close to the wrap, which tests shall cross.
            video_seq: 65_500,
            audio_seq: 1_000,
            is_connected: false,
            is_closed: false,
            has_failed: false,
            keyframe_requests: 0,
            firs: 0,
            asked: Vec::new(),
            remb: None,
            timeout: now,
            outbox: Vec::new(),
        };
        (presenter, offer.to_sdp_string())
    }

    pub(crate) fn answer(&mut self, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).unwrap();
        let pending = self.pending.take().unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        sdp.clone_into(&mut self.answered);
        self.drain();
    }

    /// Begins an ICE restart: the new credentials, for a PATCH.
    pub(crate) fn restart(&mut self) -> IceCreds {
        let mut api = self.rtc.sdp_api();
        let credentials = api.ice_restart(true);
        let (_, pending) = api.apply().unwrap();
        self.pending = Some(pending);
        credentials
    }

    /// Carries the restart out, with the fragment that answered the PATCH: the
    /// rest of the former answer still holds (RFC 9725 §4.3.3).
    pub(crate) fn handle_fragment(&mut self, fragment: &str) {
        let of = |name: &str| {
            let mut lines = fragment.lines();
            lines.find(|line| line.starts_with(name)).unwrap()
        };
        let lines = self.answered.lines().map(|line| match line {
            _ if line.starts_with("a=ice-ufrag:") => of("a=ice-ufrag:"),
            _ if line.starts_with("a=ice-pwd:") => of("a=ice-pwd:"),
            _ => line.split_once(" ufrag ").map_or(line, |(front, _)| front),
        });
        let answer: String = lines.map(|line| format!("{line}\r\n")).collect();
        self.answer(&answer);
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let receive = Receive::new(Protocol::Udp, source, self.address, datagram).unwrap();
        // Only DTLS refuses, for good: an alert, mostly.
        self.has_failed |= self.rtc.handle_input(Input::Receive(now, receive)).is_err();
        self.drain();
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain();
    }

    fn payload_type(&self, mid: Mid) -> Pt {
        self.rtc.media(mid).unwrap().remote_pts()[0]
    }

    /// Sends one frame of `packets` packets, H.264: a key frame is an IDR in
    /// fragments.
    pub(crate) fn send_video(&mut self, now: Instant, rtp_time: u32, packets: u64, is_key: bool) {
        let pt = self.payload_type(self.video);
        for at in 0..packets {
            let is_first = at == 0;
            let is_last = at + 1 == packets;
            let mut payload = vec![at as u8; 1_000];
            payload[0] = 0x7C;
            payload[1] =
                (u8::from(is_first) << 7) | (u8::from(is_last) << 6) | if is_key { 5 } else { 1 };
            let seq = self.video_seq.into();
            self.video_seq += 1;
            let write = RtpWrite::new(pt, seq, rtp_time, now, payload)
                .marker(is_last)
                .nackable(true);
            self.rtc
                .direct_api()
                .stream_tx_by_mid(self.video, None)
                .unwrap()
                .write_rtp(write);
            self.handle_timeout(now);
        }
    }

    /// Sends one frame of a layer, VP8, as packets of `payloads`.
    pub(crate) fn send_layer(
        &mut self,
        now: Instant,
        rid: &str,
        seq: u64,
        rtp_time: u32,
        payloads: Vec<Vec<u8>>,
    ) {
        let pt = self.payload_type(self.video);
        let count = payloads.len();
        for (at, payload) in payloads.into_iter().enumerate() {
            let write = RtpWrite::new(pt, (seq + at as u64).into(), rtp_time, now, payload)
                .marker(at + 1 == count)
                .nackable(true);
            self.rtc
                .direct_api()
                .stream_tx_by_mid(self.video, Some(rid.into()))
                .unwrap()
                .write_rtp(write);
            self.handle_timeout(now);
        }
    }

    pub(crate) fn send_audio(&mut self, now: Instant, rtp_time: u32) {
        let pt = self.payload_type(self.audio);
        let write = RtpWrite::new(pt, self.audio_seq.into(), rtp_time, now, vec![0xFC; 160]);
        self.audio_seq += 1;
        self.rtc
            .direct_api()
            .stream_tx_by_mid(self.audio, None)
            .unwrap()
            .write_rtp(write);
        self.handle_timeout(now);
    }

    pub(crate) fn close(&mut self) {
        self.rtc.close().unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                Output::Transmit(transmit) => {
                    self.outbox
                        .push((transmit.destination, transmit.contents.into()));
                }
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::Closed) => self.is_closed = true,
                Output::Event(Event::KeyframeRequest(request)) => {
                    self.keyframe_requests += 1;
                    self.firs += usize::from(request.kind == KeyframeRequestKind::Fir);
                    self.asked.push(request.rid);
                }
                Output::Event(Event::EgressBitrateEstimate(BweKind::Remb { estimate, .. })) => {
                    self.remb = Some(estimate.as_u64());
                }
                Output::Event(_) => {}
            }
        }
    }
}
