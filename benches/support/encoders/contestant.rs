//! Who takes part, and with which settings.

use anyhow::Result;
use inlet_origin::transcode::{Preset, ladder::Rung};
use openh264::encoder::Complexity;

use super::{Encode, openh264 as cisco, x264};

/// An encoder and how much work it does.
#[derive(Clone, Copy, Debug)]
pub enum Contestant {
    /// x264 as the worker opens it.
    X264(Preset),
    /// The same without CABAC, which OpenH264's crate cannot turn on: what of the
    /// distance is due to that.
    X264WithoutCabac(Preset),
    /// OpenH264 for a camera in real time, nothing left out.
    OpenH264(Complexity),
}

impl Contestant {
    /// All of them; the first one is the default of `media.preset`.
    pub const ALL: [Self; 6] = [
        Self::X264(Preset::Superfast),
        Self::X264(Preset::Ultrafast),
        Self::X264(Preset::Veryfast),
        Self::X264WithoutCabac(Preset::Superfast),
        Self::OpenH264(Complexity::Low),
        Self::OpenH264(Complexity::Medium),
    ];

    /// Its name in the table.
    pub fn name(self) -> String {
        match self {
            Self::X264(preset) => format!("x264 {}", preset.as_str()),
            Self::X264WithoutCabac(preset) => format!("x264 {} CAVLC", preset.as_str()),
            Self::OpenH264(Complexity::Low) => "OpenH264 low".to_owned(),
            Self::OpenH264(Complexity::Medium) => "OpenH264 medium".to_owned(),
            Self::OpenH264(Complexity::High) => "OpenH264 high".to_owned(),
        }
    }

    pub(super) fn open(self, rung: &Rung) -> Result<Box<dyn Encode>> {
        Ok(match self {
            Self::X264(preset) => Box::new(x264::Encoder::open(rung, preset, true)?),
            Self::X264WithoutCabac(preset) => Box::new(x264::Encoder::open(rung, preset, false)?),
            Self::OpenH264(complexity) => Box::new(cisco::Encoder::open(rung, complexity, false)?),
        })
    }
}
