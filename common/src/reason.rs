//! The reason codes that a presenter sees in `X-Reason-Code`.
//!
//! The origin decides most of them and sends them over the link in a REJECT;
//! the edge adds those that concern the request itself.

use serde::{Deserialize, Serialize};

/// Why a publisher was refused, or why its session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
#[repr(u16)]
pub enum ReasonCode {
    /// No such stream.
    StreamNotFound = 2001,
    /// The push token is not the stream's.
    WrongToken = 2002,
    /// Another publisher is live on the stream.
    AlreadyPublishing = 2003,
    /// The stream is switched off.
    NotActive = 2004,
    /// The client has as many live streams as it may have.
    TooManyLive = 2005,
    /// The stream's settings forbid WebRTC.
    WebRtcForbidden = 2006,
    /// The request or its SDP cannot be read.
    Malformed = 2100,
    /// No video codec that Inlet takes was offered.
    VideoCodec = 2101,
    /// No audio codec that Inlet takes was offered.
    AudioCodec = 2102,
    /// Too many tracks, or none.
    Tracks = 2103,
    /// A track is not sent by the presenter.
    Direction = 2104,
    /// Too many refused attempts.
    RateLimited = 2200,
    /// No origin can be reached.
    NoOrigin = 2300,
    /// The process is about to stop.
    Draining = 2301,
    /// The machine has no room for another session.
    Overload = 2302,
    /// The registry does not answer.
    RegistryDown = 2303,
}

impl ReasonCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::StreamNotFound,
        Self::WrongToken,
        Self::AlreadyPublishing,
        Self::NotActive,
        Self::TooManyLive,
        Self::WebRtcForbidden,
        Self::Malformed,
        Self::VideoCodec,
        Self::AudioCodec,
        Self::Tracks,
        Self::Direction,
        Self::RateLimited,
        Self::NoOrigin,
        Self::Draining,
        Self::Overload,
        Self::RegistryDown,
    ];

    /// The number that stands in `X-Reason-Code`.
    pub const fn as_u16(self) -> u16 {
        self as u16
    }

    /// The HTTP status that goes with the code.
    ///
    /// [`ReasonCode::Malformed`] has three: 400 here, and 415, 413 or 408
    /// where the edge knows better.
    pub const fn status(self) -> u16 {
        match self {
            Self::StreamNotFound
            | Self::WrongToken
            | Self::NotActive
            | Self::TooManyLive
            | Self::WebRtcForbidden => 403,
            Self::AlreadyPublishing | Self::Malformed => 400,
            Self::VideoCodec | Self::AudioCodec | Self::Tracks | Self::Direction => 422,
            Self::RateLimited => 429,
            Self::NoOrigin | Self::Draining | Self::Overload | Self::RegistryDown => 503,
        }
    }
}

impl From<ReasonCode> for u16 {
    fn from(code: ReasonCode) -> Self {
        code.as_u16()
    }
}

impl TryFrom<u16> for ReasonCode {
    type Error = UnknownReasonCode;

    fn try_from(number: u16) -> Result<Self, UnknownReasonCode> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_u16() == number)
            .ok_or(UnknownReasonCode(number))
    }
}

/// A number that is no reason code of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason code {0}")]
pub struct UnknownReasonCode(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::try_from(code.as_u16()), Ok(code));
        }
        assert_eq!(ReasonCode::try_from(1), Err(UnknownReasonCode(1)));
    }
}
