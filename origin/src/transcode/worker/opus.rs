//! Opus beside AAC, from the same samples.
//!
//! An AAC tick brings 1024 samples, an Opus packet takes 960, so one tick makes none,
//! one or two. The encoder looks ahead: what a decoder makes of a packet is the sound
//! of `lookahead` samples before those that went in. Packet `n` is therefore made of
//! the samples from `960·n + lookahead` on, and decodes to those from `960·n` on: its
//! number says when it sounds, as that of an AAC frame does, and there is nothing for
//! a player to leave out.

use bytes::Bytes;
use ffmpeg_next::{
    ChannelLayout, Dictionary, Packet, Rational, codec, encoder,
    format::{Sample, sample::Type},
    frame,
};

use super::{Error, drift::Stereo, send, sink::Sink};
use crate::{
    timeline::{AAC_FRAME_SAMPLES, AUDIO_TIMESCALE, OPUS_FRAME_SAMPLES},
    transcode::{OPUS, Output, ffi},
};

/// Makes the packets.
pub(super) struct Opus {
    encoder: encoder::audio::Encoder,
    cutter: Cutter,
    packet: Packet,
}

impl Opus {
    pub(super) fn open(bitrate: u32) -> Result<Self, Error> {
        let codec =
            encoder::find_by_name(OPUS).ok_or(failed(ffmpeg_next::Error::EncoderNotFound))?;
        let context = codec::Context::new_with_codec(codec);
        let mut audio = context.encoder().audio().map_err(failed)?;
        let rate = i32::try_from(AUDIO_TIMESCALE).unwrap_or(48_000);
        audio.set_rate(rate);
        audio.set_format(Sample::F32(Type::Packed));
        audio.set_channel_layout(ChannelLayout::STEREO);
        audio.set_channels(2);
        audio.set_bit_rate(bitrate as usize);
        audio.set_time_base(Rational(1, rate));
        let options = [
            ("application", "audio"),
            ("frame_duration", "20"),
            // Packets differ by as much as one of them, so that a playlist's
            // bandwidth means something.
            ("vbr", "constrained"),
        ];
        let options: Dictionary<'_> = options.iter().collect();
        let encoder = audio.open_as_with(codec, options).map_err(failed)?;
        let lookahead = pre_skip(&ffi::extradata(&encoder));
        let lookahead = lookahead.ok_or(failed(ffmpeg_next::Error::InvalidData))?;
        Ok(Self {
            encoder,
            cutter: Cutter::new(u64::from(lookahead)),
            packet: Packet::empty(),
        })
    }

    /// Takes the samples of AAC frame `number`, and sends the packets that they
    /// complete.
    pub(super) fn encode(
        &mut self,
        number: u64,
        samples: &[Stereo],
        sink: &Sink,
    ) -> Result<(), Error> {
        self.cutter.push(number, samples);
        while let Some((number, samples)) = self.cutter.next() {
            let format = Sample::F32(Type::Packed);
            let mut frame = frame::Audio::new(format, samples.len(), ChannelLayout::STEREO);
            frame.set_rate(AUDIO_TIMESCALE);
            frame.set_pts(i64::try_from(number.saturating_mul(OPUS_FRAME_SAMPLES)).ok());
            let to = frame.plane_mut::<f32>(0).iter_mut();
            to.zip(samples.as_flattened())
                .for_each(|(to, from)| *to = *from);
            self.encoder.send_frame(&frame).map_err(failed)?;
            // libopus gives a packet for each frame at once.
            self.encoder
                .receive_packet(&mut self.packet)
                .map_err(failed)?;
            let data = Bytes::copy_from_slice(self.packet.data().unwrap_or_default());
            send(sink, &Output::Opus { number, data })?;
        }
        Ok(())
    }
}

fn failed(source: ffmpeg_next::Error) -> Error {
    Error::Codec {
        what: "the Opus encoder",
        source,
    }
}

/// How far the encoder looks ahead, from its `OpusHead` (RFC 7845 §5.1).
fn pre_skip(head: &[u8]) -> Option<u16> {
    let body = head.strip_prefix(b"OpusHead")?;
    let field = body.get(2..4)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

/// Cuts the samples of AAC frames into those of Opus packets; pure.
struct Cutter {
    lookahead: u64,
    /// Samples that wait, and the number of the first.
    waiting: Vec<Stereo>,
    start: u64,
}

impl Cutter {
    fn new(lookahead: u64) -> Self {
        Self {
            lookahead,
            waiting: Vec::new(),
            start: 0,
        }
    }

    /// Takes the samples of AAC frame `number`. What came before waits no longer when
    /// it does not follow.
    fn push(&mut self, number: u64, samples: &[Stereo]) {
        let begin = number.saturating_mul(AAC_FRAME_SAMPLES);
        let end = self.start.saturating_add(self.waiting.len() as u64);
        if end != begin {
            self.waiting.clear();
            self.start = begin;
        }
        self.waiting.extend_from_slice(samples);
    }

    /// The next packet's number and samples; `None` while they have not all come.
    fn next(&mut self) -> Option<(u64, Vec<Stereo>)> {
        let number = self.start.saturating_sub(self.lookahead);
        let number = number.div_ceil(OPUS_FRAME_SAMPLES);
        let begin = number.checked_mul(OPUS_FRAME_SAMPLES)?;
        let skip = begin.checked_add(self.lookahead)?.checked_sub(self.start)?;
        let skip = usize::try_from(skip).ok()?;
        let end = skip.checked_add(FRAME)?;
        let samples = self.waiting.get(skip..end)?.to_vec();
        self.waiting.drain(..end);
        self.start += end as u64;
        Some((number, samples))
    }
}

const FRAME: usize = OPUS_FRAME_SAMPLES as usize;

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples whose value is their number.
    fn aac(number: u64) -> Vec<Stereo> {
        let first = number * AAC_FRAME_SAMPLES;
        (first..first + AAC_FRAME_SAMPLES)
            .map(|sample| [sample as f32; 2])
            .collect()
    }

    #[test]
    fn packets_follow_each_other_and_begin_a_look_ahead_late() {
        let mut cutter = Cutter::new(312);
        let mut expected = None;
        for number in 1000..1200 {
            cutter.push(number, &aac(number));
            while let Some((packet, samples)) = cutter.next() {
                assert_eq!(samples.len(), FRAME);
                assert_eq!(samples[0][0], (packet * 960 + 312) as f32);
                assert_eq!(packet, *expected.get_or_insert(packet));
                expected = Some(packet + 1);
            }
        }
        // The first one begins after sample 1,024,000, and all sound has come of the
        // last one but what it looks ahead.
        let first = (1000 * 1024 - 312_u64).div_ceil(960);
        assert_eq!(expected, Some((1200 * 1024 - 312) / 960));
        assert!(first * 960 + 312 >= 1000 * 1024);
    }

    #[test]
    fn a_jump_begins_anew_on_the_same_grid() {
        let mut cutter = Cutter::new(312);
        cutter.push(10, &aac(10));
        while cutter.next().is_some() {}
        cutter.push(500, &aac(500));
        cutter.push(501, &aac(501));
        let (packet, samples) = cutter.next().unwrap();
        assert_eq!(packet, (500 * 1024 - 312_u64).div_ceil(960));
        assert_eq!(samples[0][0], (packet * 960 + 312) as f32);
    }

    #[test]
    fn the_first_packet_of_all_has_its_place() {
        let mut cutter = Cutter::new(312);
        cutter.push(0, &aac(0));
        assert!(cutter.next().is_none());
        cutter.push(1, &aac(1));
        assert_eq!(cutter.next().unwrap().0, 0);
    }

    #[test]
    fn the_pre_skip_is_read_off_the_header() {
        let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
        assert_eq!(pre_skip(head), Some(312));
        assert_eq!(pre_skip(b"OpusHead\x01\x02\x38"), None);
        assert_eq!(pre_skip(b""), None);
    }
}
