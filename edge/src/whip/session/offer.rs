//! Reads an offer as far as the engine needs it, and writes it anew so that
//! the engine can take it.
//!
//! Presenters' offers are sloppy in ways that str0m refuses or misreads: no
//! `a=group`, several directions, capitals, payload types that are described
//! twice. So this file reads leniently, chooses one codec per kind,
//! and writes a plain offer of just that: what the engine then answers is what
//! the presenter may send. Whether the offer is *acceptable* (tracks,
//! directions, reason codes) is judged before, in `whip/sdp.rs`.

use inlet_common::roq::control::{Codec, Kind};
use str0m::IceCreds;

pub(super) use self::{
    format::Format,
    simulcast::{Layer, Name as LayerName},
};
use self::{
    format::{is_codec, is_usable, parameter},
    simulcast::Simulcast,
};

mod format;
mod simulcast;

/// Most m-lines that are read; the rest of the offer is passed over.
const MAX_SECTIONS: usize = 8;

/// Most payload types that are kept of a section.
const MAX_FORMATS: usize = 32;

/// Most fingerprints that are kept.
const MAX_FINGERPRINTS: usize = 8;

/// Header extensions that the edge uses, in its own order.
const EXTENSIONS: [&str; 6] = [
    MID,
    ABS_SEND_TIME,
    TRANSPORT_CC,
    VIDEO_ORIENTATION,
    RID,
    REPAIRED_RID,
];

pub(super) const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

pub(super) const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Names the m-line that a packet belongs to (RFC 9143 §15).
pub(super) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Names the layer that a packet belongs to (RFC 8852 §3.1).
pub(super) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

/// Names the layer that a retransmission belongs to (RFC 8852 §3.2).
pub(super) const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

pub(super) const VIDEO_ORIENTATION: &str = inlet_common::roq::control::VIDEO_ORIENTATION;

/// Longest mid that the engine keeps whole; a longer one is replaced by a
/// short one inside, and its header extension is not negotiated.
const MAX_MID: usize = 16;

/// An offer, as far as the engine needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// `a=ice-ufrag`, `a=ice-pwd`, `a=fingerprint` and `a=setup` of the
    /// transport: from the session part, else from the first m-line with one.
    transport: Transport,
    /// The m-lines that are audio or video, in order.
    pub(super) sections: Vec<Section>,
    /// Whether there is an m-line of another kind.
    pub(super) has_other: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Transport {
    ufrag: Option<String>,
    pwd: Option<String>,
    fingerprints: Vec<String>,
    setup: Option<String>,
}

/// One audio or video m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    /// As the presenter wrote it; empty when it wrote none.
    pub(super) mid: String,
    /// The payload types of the m-line, in its order.
    payload_types: Vec<u8>,
    rtpmaps: Vec<(u8, String)>,
    fmtps: Vec<(u8, String)>,
    feedback: Vec<(Option<u8>, String)>,
    /// Id and URI.
    pub(super) extensions: Vec<(u8, String)>,
    /// In the order in which they appear.
    ssrcs: Vec<u32>,
    /// Pairs of a source and what repairs it (`a=ssrc-group:FID`).
    repairs: Vec<(u32, u32)>,
    simulcast: Simulcast,
    transport: Transport,
}

impl Offer {
    /// Reads an offer. Lines that make no sense are passed over.
    pub(super) fn parse(sdp: &str) -> Self {
        let mut offer = Self::default();
        let mut at_media = false;
        let mut current: Option<Section> = None;
        for line in sdp.lines().map(str::trim_end) {
            if let Some(media) = line.strip_prefix("m=") {
                offer.sections.extend(current.take());
                at_media = true;
                if offer.sections.len() == MAX_SECTIONS {
                    break;
                }
                current = Section::parse(media);
                offer.has_other |= current.is_none();
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                match &mut current {
                    Some(section) => section.read(name, value.trim()),
                    None if !at_media => offer.transport.read(name, value.trim()),
                    None => {}
                }
            }
        }
        offer.sections.extend(current);
        let Self {
            transport,
            sections,
            ..
        } = &mut offer;
        for section in sections {
            transport.fill_from(&section.transport);
        }
        offer
    }

    /// Values of the transport's `a=fingerprint`.
    pub(super) fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.transport.fingerprints.iter().cloned()
    }

    /// The presenter's ICE credentials; empty where it gave none, which no
    /// engine takes.
    pub(super) fn ice_credentials(&self) -> IceCreds {
        IceCreds {
            ufrag: self.transport.ufrag.clone().unwrap_or_default(),
            pass: self.transport.pwd.clone().unwrap_or_default(),
        }
    }

    /// What the engine is given: one codec per section, sent by the presenter.
    pub(super) fn to_plain_sdp(&self, chosen: &[Vec<Format>]) -> String {
        let mids: Vec<String> = (0..self.sections.len())
            .map(|at| self.inner_mid(at))
            .collect();
        let mut out = String::with_capacity(2048);
        out.push_str("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
        line(&mut out, format_args!("a=group:BUNDLE {}", mids.join(" ")));
        for (at, (formats, mid)) in chosen.iter().zip(&mids).enumerate() {
            self.write_section(&mut out, at, formats, mid);
        }
        out
    }

    /// The mid by which the engine knows a section.
    pub(super) fn inner_mid(&self, at: usize) -> String {
        let Some(section) = self.sections.get(at) else {
            return String::new();
        };
        let is_token = section
            .mid
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
        let is_unique = self
            .sections
            .iter()
            .filter(|s| s.mid == section.mid)
            .count()
            == 1;
        if !section.mid.is_empty() && section.mid.len() <= MAX_MID && is_token && is_unique {
            section.mid.clone()
        } else {
            format!("inner{at}")
        }
    }

    fn write_section(&self, out: &mut String, at: usize, formats: &[Format], mid: &str) {
        let Some(section) = self.sections.get(at) else {
            return;
        };
        let kind = match section.kind {
            Kind::Audio => "audio",
            Kind::Video => "video",
        };
        out.push_str(&format!("m={kind} 9 UDP/TLS/RTP/SAVPF"));
        for format in formats {
            out.push_str(&format!(" {}", format.payload_type));
            if let Some(rtx) = format.rtx {
                out.push_str(&format!(" {rtx}"));
            }
        }
        out.push_str("\r\nc=IN IP4 0.0.0.0\r\n");
        self.transport.write(out);
        line(out, format_args!("a=mid:{mid}"));
        let layers = self.layers(at, formats);
        for (id, uri) in section.used_extensions(mid, &layers) {
            line(out, format_args!("a=extmap:{id} {uri}"));
        }
        out.push_str("a=sendonly\r\na=rtcp-mux\r\n");
        for format in formats {
            format.write(out);
        }
        simulcast::write(out, &layers);
        section.write_ssrcs(out);
    }

    /// The layers that are taken of a section, in the order of the offer; none
    /// without simulcast.
    pub(super) fn layers(&self, at: usize, formats: &[Format]) -> Vec<Layer> {
        let Some(section) = self.sections.get(at) else {
            return Vec::new();
        };
        // Layers are told apart by two header extensions, of which one names the
        // m-line: not by a mid that the engine knows by another name.
        let has_names = section.extension(MID).is_some()
            && section.extension(RID).is_some()
            && section.mid == self.inner_mid(at);
        match section.kind {
            Kind::Video => section.simulcast.layers(has_names, &section.ssrcs, formats),
            Kind::Audio => Vec::new(),
        }
    }
}

impl Transport {
    fn read(&mut self, name: &str, value: &str) {
        let field = match name {
            "ice-ufrag" => &mut self.ufrag,
            "ice-pwd" => &mut self.pwd,
            "fingerprint" => {
                if self.fingerprints.len() < MAX_FINGERPRINTS {
                    self.fingerprints.push(value.to_owned());
                }
                return;
            }
            "setup" => &mut self.setup,
            _ => return,
        };
        if field.is_none() && !value.is_empty() {
            *field = Some(value.to_owned());
        }
    }

    fn fill_from(&mut self, other: &Self) {
        // ufrag and pwd belong together: never the one from here and the other
        // from there.
        if self.ufrag.is_none() || self.pwd.is_none() {
            self.ufrag.clone_from(&other.ufrag);
            self.pwd.clone_from(&other.pwd);
        }
        if self.fingerprints.is_empty() {
            self.fingerprints.clone_from(&other.fingerprints);
        }
        if self.setup.is_none() {
            self.setup.clone_from(&other.setup);
        }
    }

    fn write(&self, out: &mut String) {
        let fields = [
            ("ice-ufrag", self.ufrag.as_ref()),
            ("ice-pwd", self.pwd.as_ref()),
            // The engine wants one and reads one; all are checked in `dtls`.
            ("fingerprint", self.fingerprints.first()),
            ("setup", self.setup.as_ref()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                line(out, format_args!("a={name}:{value}"));
            }
        }
    }
}

impl Section {
    /// Reads what follows `m=`; `None` when it is neither audio nor video.
    fn parse(media: &str) -> Option<Self> {
        let mut words = media.split_ascii_whitespace();
        let kind = match words.next()? {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            _ => return None,
        };
        Some(Self {
            kind,
            mid: String::new(),
            payload_types: words
                .skip(2)
                .filter_map(|word| word.parse().ok())
                .filter(|payload_type| *payload_type < 128)
                .take(MAX_FORMATS)
                .collect(),
            rtpmaps: Vec::new(),
            fmtps: Vec::new(),
            feedback: Vec::new(),
            extensions: Vec::new(),
            ssrcs: Vec::new(),
            repairs: Vec::new(),
            simulcast: Simulcast::default(),
            transport: Transport::default(),
        })
    }

    fn read(&mut self, name: &str, value: &str) {
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "rtpmap" | "fmtp" => {
                let table = if name == "fmtp" {
                    &mut self.fmtps
                } else {
                    &mut self.rtpmaps
                };
                if let Some((payload_type, rest)) = value.split_once(' ')
                    && let Ok(payload_type) = payload_type.parse()
                    && table.len() < 2 * MAX_FORMATS
                {
                    table.push((payload_type, rest.trim().to_owned()));
                }
            }
            "rtcp-fb" if self.feedback.len() < 8 * MAX_FORMATS => {
                if let Some((payload_type, kind)) = value.split_once(' ') {
                    self.feedback
                        .push((payload_type.parse().ok(), kind.trim().to_owned()));
                }
            }
            "extmap" if self.extensions.len() < MAX_FORMATS => self.read_extension(value),
            "ssrc" if self.ssrcs.len() < MAX_FORMATS => {
                if let Some(ssrc) = value.split(' ').next().and_then(|word| word.parse().ok())
                    && !self.ssrcs.contains(&ssrc)
                {
                    self.ssrcs.push(ssrc);
                }
            }
            "ssrc-group" => {
                self.simulcast.read_group(value);
                let mut words = value.split_ascii_whitespace();
                if words.next() == Some("FID")
                    && let (Some(Ok(main)), Some(Ok(repair))) =
                        (words.next().map(str::parse), words.next().map(str::parse))
                    && self.repairs.len() < MAX_FORMATS
                {
                    self.repairs.push((main, repair));
                }
            }
            "rid" => self.simulcast.read_rid(value),
            "simulcast" => self.simulcast.read_list(value),
            _ => self.transport.read(name, value),
        }
    }

    fn read_extension(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        // An id may carry a direction: `3/sendonly`.
        let id = words
            .next()
            .and_then(|id| id.split('/').next()?.parse().ok());
        if let (Some(id @ 1..=14), Some(uri)) = (id, words.next()) {
            self.extensions.push((id, uri.to_owned()));
        }
    }

    /// The extensions that the edge uses, with the presenter's ids.
    fn used_extensions<'a>(
        &'a self,
        mid: &str,
        layers: &[Layer],
    ) -> impl Iterator<Item = (u8, &'a str)> {
        let keeps_mid = self.mid == mid;
        let has_rids = layers.iter().any(Layer::has_rid);
        let is_video = self.kind == Kind::Video;
        self.extensions
            .iter()
            .map(|(id, uri)| (*id, uri.as_str()))
            .filter(move |(_, uri)| {
                EXTENSIONS.contains(uri)
                    && (keeps_mid || *uri != MID)
                    && (is_video || *uri != VIDEO_ORIENTATION)
                    && (has_rids || ![RID, REPAIRED_RID].contains(uri))
            })
    }

    /// The id of an extension that is negotiated.
    pub(super) fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions
            .iter()
            .find(|(_, found)| found == uri)
            .map(|(id, _)| *id)
    }

    /// The source that is announced, the repairing ones left aside; `None` when
    /// there are several, since then only time tells which is used.
    pub(super) fn only_ssrc(&self) -> Option<u32> {
        let repairing = |ssrc: &u32| self.repairs.iter().any(|(_, repair)| repair == ssrc);
        let mut main = self.ssrcs.iter().copied().filter(|ssrc| !repairing(ssrc));
        main.next().filter(|_| main.next().is_none())
    }

    fn write_ssrcs(&self, out: &mut String) {
        // With `a=simulcast` sources are bound by rid.
        if self.simulcast.is_listed() {
            return;
        }
        for (main, repair) in &self.repairs {
            line(out, format_args!("a=ssrc-group:FID {main} {repair}"));
        }
        for ssrc in &self.ssrcs {
            line(out, format_args!("a=ssrc:{ssrc} cname:presenter"));
        }
    }

    /// The formats of one codec, the preferred first; empty when the section
    /// has none of it.
    pub(super) fn formats(&self, codec: Codec) -> Vec<Format> {
        let mut formats: Vec<Format> = Vec::new();
        for &payload_type in &self.payload_types {
            let is_codec = self
                .rtpmap(payload_type)
                .is_some_and(|map| is_codec(map, codec));
            let fmtp = self.fmtp(payload_type);
            if is_codec && is_usable(codec, fmtp) {
                let format = self.format(payload_type, codec, fmtp);
                // Two payload types that the engine cannot tell apart are one.
                if formats
                    .iter()
                    .all(|known| known.identity() != format.identity())
                {
                    formats.push(format);
                }
            }
        }
        // packetization-mode=1 first (RFC 6184 §6.3): mode 0 has no fragments.
        formats.sort_by_key(|format| codec == Codec::H264 && !format.is_mode_1());
        formats
    }

    fn format(&self, payload_type: u8, codec: Codec, fmtp: Option<&str>) -> Format {
        let offers = |kind: &str| {
            self.feedback.iter().any(|(found, words)| {
                found.is_none_or(|found| found == payload_type) && words == kind
            })
        };
        Format {
            payload_type,
            rtx: self.rtx_of(payload_type),
            codec,
            fmtp: fmtp.map(str::to_owned),
            nack: offers("nack"),
            pli: offers("nack pli"),
            fir: offers("ccm fir"),
            remb: offers("goog-remb"),
            transport_cc: offers("transport-cc"),
        }
    }

    fn rtpmap(&self, payload_type: u8) -> Option<&str> {
        let found = self
            .rtpmaps
            .iter()
            .find(|(found, _)| *found == payload_type);
        found.map(|(_, map)| map.as_str())
    }

    fn fmtp(&self, payload_type: u8) -> Option<&str> {
        let found = self.fmtps.iter().find(|(found, _)| *found == payload_type);
        found.map(|(_, fmtp)| fmtp.as_str())
    }

    fn rtx_of(&self, main: u8) -> Option<u8> {
        self.payload_types.iter().copied().find(|payload_type| {
            self.rtpmap(*payload_type)
                .is_some_and(|map| map.to_ascii_lowercase().starts_with("rtx/"))
                && self
                    .fmtp(*payload_type)
                    .and_then(|fmtp| parameter(fmtp, "apt"))
                    == Some(main.to_string().as_str())
        })
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&format!("{text}\r\n"));
}

#[cfg(test)]
mod tests;
