//! What a publisher shall send, and where.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use anyhow::{Context as _, Result};

use super::{Camera, Via, file};
use crate::rig::TurnCredential;

/// What to publish, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// WHIP URL of the stream.
    pub whip: String,
    /// What a name server has answered for the host of the URL; `None`, the default,
    /// leaves that to the system.
    pub resolved: Option<IpAddr>,
    /// Width and height, both even; `None` is 1280×720, or the file's own size.
    pub size: Option<(u32, u32)>,
    /// Frames per second of the constant schedule. Default: 30.
    pub fps: u32,
    /// Video bitrate in bits per second. Default: 2,500,000.
    pub bitrate: u32,
    /// Media file to play in a loop; `None` is the test picture.
    pub file: Option<PathBuf>,
    /// Video codec to offer. Default: H.264.
    pub codec: Codec,
    /// Which tracks it has. Default: both.
    pub tracks: Tracks,
    /// Whether it knows RTX; without it, a packet is sent again as it was, as OBS does.
    /// Default: true.
    pub has_rtx: bool,
    /// Whether the camera delivers nothing at first; see [`Camera::is_dark`].
    pub begins_dark: bool,
    /// Whether the POST announces the size, as the go-live page does. Default: true.
    pub announce: bool,
    /// The TURN server that relays it, which then is its only way. Default: none.
    pub relay: Option<TurnCredential>,
    /// What stands between it and the edge. Default: nothing.
    pub via: Option<Via>,
}

impl Options {
    /// The test picture, as it is by default, to this WHIP URL.
    pub fn new(whip: impl Into<String>) -> Self {
        Self {
            whip: whip.into(),
            resolved: None,
            size: None,
            fps: 30,
            bitrate: 2_500_000,
            file: None,
            codec: Codec::H264,
            tracks: Tracks::Both,
            has_rtx: true,
            begins_dark: false,
            announce: true,
            relay: None,
            via: None,
        }
    }

    /// The same in another size.
    #[must_use]
    pub fn with_size(mut self, width: u32, height: u32) -> Self {
        self.size = Some((width, height));
        self
    }

    /// The camera that it begins with.
    pub(super) fn camera(&self) -> Result<Camera> {
        let camera = Camera {
            is_dark: self.begins_dark,
            ..Camera::new(match (self.size, &self.file) {
                (Some(size), _) => size,
                (None, Some(path)) => file::size(path)?,
                (None, None) => (1280, 720),
            })
        };
        camera.check()?;
        Ok(camera)
    }

    /// Where the offer goes.
    pub(super) fn endpoint(&self, (width, height): (u32, u32)) -> Result<reqwest::Url> {
        let mut url: reqwest::Url = self.whip.parse().context("the WHIP URL")?;
        if self.announce && self.tracks != Tracks::Audio {
            url.query_pairs_mut()
                .append_pair("width", &width.to_string())
                .append_pair("height", &height.to_string());
        }
        Ok(url)
    }
}

/// A video codec that the publisher can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, constrained baseline, by libx264.
    H264,
    /// VP8, by libvpx.
    Vp8,
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "h264" => Ok(Self::H264),
            "vp8" => Ok(Self::Vp8),
            _ => Err(format!("{name}: must be h264 or vp8")),
        }
    }
}

/// The tracks of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracks {
    /// Picture and sound.
    Both,
    /// A picture without sound.
    Video,
    /// Sound without a picture.
    Audio,
}
