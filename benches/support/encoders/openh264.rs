//! OpenH264, built from the crate's source: with its assembler where `nasm` is.

use anyhow::Result;
use inlet_origin::transcode::ladder::Rung;
use openh264::{
    OpenH264API, Timestamp,
    encoder::{
        self, BitRate, Complexity, EncoderConfig, FrameRate, Profile, RateControlMode, UsageType,
    },
    formats::YUVSlices,
};

use super::{Encode, FPS, Planes};

pub(super) struct Encoder {
    encoder: encoder::Encoder,
    size: (usize, usize),
}

impl Encoder {
    /// With `may_skip` it leaves frames out to keep to its rate.
    pub(super) fn open(rung: &Rung, complexity: Complexity, may_skip: bool) -> Result<Self> {
        let config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::High)
            .complexity(complexity)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(rung.bitrate))
            .max_frame_rate(FrameRate::from_hz(FPS as f32))
            .skip_frames(may_skip)
            // One thread, and key frames on demand.
            .num_threads(1)
            .scene_change_detect(false);
        Ok(Self {
            encoder: encoder::Encoder::with_api_config(OpenH264API::from_source(), config)?,
            size: (
                rung.resolution.width as usize,
                rung.resolution.height as usize,
            ),
        })
    }
}

impl Encode for Encoder {
    fn encode(&mut self, [y, u, v]: Planes<'_>, number: u32, idr: bool) -> Result<Vec<u8>> {
        let width = self.size.0;
        let picture = YUVSlices::new((y, u, v), self.size, (width, width / 2, width / 2));
        // The first frame is an IDR in any case, and opens the encoder.
        if idr && number > 0 {
            self.encoder.force_intra_frame();
        }
        let time = Timestamp::from_millis(u64::from(number) * 1_000 / u64::from(FPS));
        Ok(self.encoder.encode_at(&picture, time)?.to_vec())
    }
}
