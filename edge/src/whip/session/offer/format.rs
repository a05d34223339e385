//! One payload type of an offer: what it means, and which are one and the same
//! to the engine.
//!
//! The trap: str0m matches payload types by parameters and takes two that it
//! cannot tell apart for one, which leaves the other without a meaning.

use inlet_common::roq::control::Codec;

use super::line;

/// One payload type of the codec that was chosen for a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::whip::session) struct Format {
    pub(in crate::whip::session) payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588).
    pub(in crate::whip::session) rtx: Option<u8>,
    pub(in crate::whip::session) codec: Codec,
    pub(in crate::whip::session) fmtp: Option<String>,
    pub(in crate::whip::session) nack: bool,
    pub(in crate::whip::session) pli: bool,
    pub(in crate::whip::session) fir: bool,
    pub(in crate::whip::session) remb: bool,
    pub(in crate::whip::session) transport_cc: bool,
}

/// What a missing profile-level-id means to the engine.
const DEFAULT_PROFILE_LEVEL_ID: u32 = 0x42_00_1F;

impl Format {
    /// The parameters as the engine is given them: what it does not know is
    /// left out, so that its answer repeats exactly these.
    pub(in crate::whip::session) fn plain_fmtp(&self) -> Option<String> {
        match self.codec {
            Codec::H264 => Some(format!(
                "level-asymmetry-allowed=1;packetization-mode={};profile-level-id={:06x}",
                u8::from(self.is_mode_1()),
                self.profile_level_id(),
            )),
            Codec::Vp8 => None,
            Codec::Vp9 => Some("profile-id=0".to_owned()),
            Codec::Opus => self.fmtp.clone(),
        }
    }

    /// What the engine tells formats of one codec apart by: H.264's mode,
    /// profile (RFC 6184 §8.1, table 5, near enough) and level.
    pub(super) fn identity(&self) -> (bool, [u8; 3]) {
        if self.codec != Codec::H264 {
            return (false, [0; 3]);
        }
        let [_, idc, iop, level] = self.profile_level_id().to_be_bytes();
        let is_constrained = (idc == 0x42 && iop & 0x40 != 0) || (idc == 0x4D && iop & 0x80 != 0);
        let profile = if is_constrained {
            [0x42, 0x40]
        } else {
            [idc, 0]
        };
        (self.is_mode_1(), [profile[0], profile[1], level])
    }

    fn profile_level_id(&self) -> u32 {
        let text = self
            .fmtp
            .as_deref()
            .and_then(|fmtp| parameter(fmtp, "profile-level-id"));
        text.and_then(|text| u32::from_str_radix(text, 16).ok())
            .filter(|id| *id <= 0xFF_FF_FF)
            .unwrap_or(DEFAULT_PROFILE_LEVEL_ID)
    }

    pub(super) fn is_mode_1(&self) -> bool {
        self.fmtp
            .as_deref()
            .and_then(|fmtp| parameter(fmtp, "packetization-mode"))
            == Some("1")
    }

    pub(super) fn write(&self, out: &mut String) {
        let payload_type = self.payload_type;
        let map = match self.codec {
            Codec::H264 => "H264/90000",
            Codec::Vp8 => "VP8/90000",
            Codec::Vp9 => "VP9/90000",
            Codec::Opus => "opus/48000/2",
        };
        line(out, format_args!("a=rtpmap:{payload_type} {map}"));
        let feedback = [
            (self.transport_cc, "transport-cc"),
            (self.remb, "goog-remb"),
            (self.fir, "ccm fir"),
            (self.nack, "nack"),
            (self.pli, "nack pli"),
        ];
        for (is_offered, kind) in feedback {
            if is_offered {
                line(out, format_args!("a=rtcp-fb:{payload_type} {kind}"));
            }
        }
        if let Some(fmtp) = self.plain_fmtp() {
            line(out, format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
        if let Some(rtx) = self.rtx {
            line(out, format_args!("a=rtpmap:{rtx} rtx/90000"));
            line(out, format_args!("a=fmtp:{rtx} apt={payload_type}"));
        }
    }
}

pub(super) fn is_codec(rtpmap: &str, codec: Codec) -> bool {
    let mut parts = rtpmap.split('/');
    let name = parts.next().unwrap_or_default();
    let rate = parts.next().unwrap_or_default();
    let expected = match codec {
        Codec::H264 => ("H264", "90000"),
        Codec::Vp8 => ("VP8", "90000"),
        Codec::Vp9 => ("VP9", "90000"),
        Codec::Opus => ("opus", "48000"),
    };
    name.eq_ignore_ascii_case(expected.0) && rate == expected.1
}

/// VP9's profiles 1 to 3 are not 8 bit 4:2:0, and H.264's packetization-mode 2
/// interleaves.
pub(super) fn is_usable(codec: Codec, fmtp: Option<&str>) -> bool {
    let value = |name| fmtp.and_then(|fmtp| parameter(fmtp, name));
    match codec {
        Codec::Vp9 => matches!(value("profile-id"), None | Some("0")),
        Codec::H264 => value("packetization-mode") != Some("2"),
        Codec::Vp8 | Codec::Opus => true,
    }
}

pub(super) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
