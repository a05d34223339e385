//! Which encoder makes the rungs, and how much work it does.

/// An H.264 encoder of FFmpeg's.
///
/// libx264 is the default: it runs anywhere and is what Inlet's figures were
/// measured with. Those in hardware leave the cores to decoding and scaling; they
/// need a device and its driver, which [`super::trial`] looks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoder {
    /// x264, on the cores.
    #[default]
    Libx264,
    /// NVIDIA's NVENC.
    H264Nvenc,
    /// What a driver offers by VA-API: Intel and AMD.
    H264Vaapi,
    /// Intel's Quick Sync Video.
    H264Qsv,
}

impl Encoder {
    /// Every encoder.
    pub const ALL: [Self; 4] = [
        Self::Libx264,
        Self::H264Nvenc,
        Self::H264Vaapi,
        Self::H264Qsv,
    ];

    /// Its name in FFmpeg.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Libx264 => "libx264",
            Self::H264Nvenc => "h264_nvenc",
            Self::H264Vaapi => "h264_vaapi",
            Self::H264Qsv => "h264_qsv",
        }
    }

    /// Whose device it works on; `None` when it needs none.
    pub const fn device(self) -> Option<Device> {
        match self {
            Self::Libx264 => None,
            Self::H264Nvenc => Some(Device::Nvidia),
            Self::H264Vaapi | Self::H264Qsv => Some(Device::Render),
        }
    }
}

/// A kind of device that encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// `/dev/nvidia*`, spoken to through NVIDIA's own driver.
    Nvidia,
    /// `/dev/dri/renderD*`, spoken to through the kernel's DRM.
    Render,
}

/// libx264's presets that run in real time: later ones cost more CPU and give
/// a better picture at the same rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// No CABAC, no deblocking.
    Ultrafast,
    /// The default: 40 % more CPU than `Ultrafast`, a third less rate.
    #[default]
    Superfast,
    /// A quarter more CPU than `Superfast`.
    Veryfast,
    /// For machines with cores to spare.
    Faster,
    /// For machines with cores to spare.
    Fast,
    /// libx264's own default.
    Medium,
}

impl Preset {
    /// Every preset, cheapest first.
    pub const ALL: [Self; 6] = [
        Self::Ultrafast,
        Self::Superfast,
        Self::Veryfast,
        Self::Faster,
        Self::Fast,
        Self::Medium,
    ];

    /// Its name in libx264.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
        }
    }
}
