//! libx264 by FFmpeg, with the worker's options.

use anyhow::Result;
use ffmpeg_next::{
    Dictionary, Error, Packet, Rational, codec, encoder, format::Pixel, frame, picture,
};
use inlet_origin::transcode::{Preset, ladder::Rung};

use super::{Encode, FPS, Planes};

pub(super) struct Encoder {
    encoder: encoder::video::Encoder,
    picture: frame::Video,
    packet: Packet,
}

impl Encoder {
    pub(super) fn open(rung: &Rung, preset: Preset, has_cabac: bool) -> Result<Self> {
        let codec = encoder::find_by_name("libx264").ok_or(Error::EncoderNotFound)?;
        let mut video = codec::Context::new_with_codec(codec).encoder().video()?;
        let (width, height) = (rung.resolution.width, rung.resolution.height);
        video.set_width(width);
        video.set_height(height);
        video.set_format(Pixel::YUV420P);
        video.set_time_base(Rational(1, i32::try_from(FPS)?));
        video.set_frame_rate(Some(Rational(i32::try_from(FPS)?, 1)));
        video.set_bit_rate(rung.bitrate as usize);
        video.set_max_bit_rate(rung.bitrate as usize);
        video.set_max_b_frames(0);
        let bitrate = rung.bitrate.to_string();
        let mut options = vec![
            ("preset", preset.as_str()),
            ("tune", "zerolatency"),
            ("profile", "high"),
            ("threads", "1"),
            ("forced-idr", "1"),
            ("bufsize", bitrate.as_str()),
            ("x264-params", "keyint=infinite:scenecut=0:sliced-threads=0"),
        ];
        if !has_cabac {
            options.push(("coder", "vlc"));
        }
        let options: Dictionary<'_> = options.iter().collect();
        Ok(Self {
            encoder: video.open_as_with(codec, options)?,
            picture: frame::Video::new(Pixel::YUV420P, width, height),
            packet: Packet::empty(),
        })
    }
}

impl Encode for Encoder {
    fn encode(&mut self, planes: Planes<'_>, number: u32, idr: bool) -> Result<Vec<u8>> {
        let width = self.picture.width() as usize;
        for (plane, pixels) in planes.into_iter().enumerate() {
            let width = if plane == 0 { width } else { width / 2 };
            let stride = self.picture.stride(plane);
            let rows = self.picture.data_mut(plane).chunks_mut(stride);
            for (to, from) in rows.zip(pixels.chunks_exact(width)) {
                to[..width].copy_from_slice(from);
            }
        }
        self.picture.set_pts(Some(i64::from(number)));
        self.picture.set_kind(if idr {
            picture::Type::I
        } else {
            picture::Type::None
        });
        self.encoder.send_frame(&self.picture)?;
        self.encoder.receive_packet(&mut self.packet)?;
        Ok(self.packet.data().unwrap_or_default().to_vec())
    }
}
