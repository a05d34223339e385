//! Init segments: `ftyp` and `moov` of one track.
//!
//! They are named after their content, so that a CDN may keep them for ever
//! and a restarted origin cannot give an old name to new bytes.

use bytes::Bytes;
use mp4_atom::{
    Audio, Avc1, Avcc, AvccExt, Codec, Dinf, Dops, Dref, Encode, Esds, FourCC, Ftyp, Hdlr, Mdhd,
    Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Opus, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url,
    Visual, Vmhd, esds,
};
use sha2::{Digest, Sha256};

use super::{Error, NON_SYNC_SAMPLE, SYNC_SAMPLE, TRACK_ID};
use crate::{
    package::ParameterSets,
    timeline::{AAC_FRAME_SAMPLES, AUDIO_TIMESCALE, OPUS_FRAME_SAMPLES, VIDEO_TIMESCALE},
    transcode::ladder::Resolution,
};

/// Longest parameter set taken from a worker; real ones have some 30 bytes.
const MAX_PARAMETER_SET: usize = 1024;

/// A rendition's init segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// The file's name, `init-<hash of the content>.mp4`.
    pub name: String,
    /// RFC 6381 codec string, `avc1.64001f`, `mp4a.40.2` or `opus`.
    pub codec: String,
    /// What `moov` tells a decoder, for containers that say it in other words.
    pub config: Config,
    /// `ftyp` and `moov`.
    pub data: Bytes,
}

/// What a decoder needs to know before the first sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// H.264, one of each parameter set, without start codes.
    Video {
        /// The sequence parameter set.
        sps: Bytes,
        /// The picture parameter set.
        pps: Bytes,
        /// The presenter's own, where its frames may be passed through.
        passed: Option<ParameterSets>,
    },
    /// Opus.
    Opus {
        /// Channels, from 1.
        channels: u8,
    },
    /// AAC.
    Audio {
        /// MPEG-4 audio object type, 2 for AAC-LC.
        object_type: u8,
        /// Channels, from 1.
        channels: u8,
    },
}

impl Init {
    /// Channels of an audio track, 0 for video.
    pub fn channels(&self) -> u8 {
        match self.config {
            Config::Video { .. } => 0,
            Config::Audio { channels, .. } | Config::Opus { channels } => channels,
        }
    }

    /// A video track's init segment from its encoder's parameter sets, which come
    /// without start codes, and those of a presenter whose frames it may have too.
    pub(crate) fn video(
        resolution: Resolution,
        frame_ticks: u32,
        (sps, pps): (&[u8], &[u8]),
        passed: Option<&ParameterSets>,
    ) -> Result<Self, Error> {
        let own = check(sps, pps)?;
        let side = |pixels: u32| u16::try_from(pixels).map_err(|_| Error::ParameterSet);
        let (width, height) = (side(resolution.width)?, side(resolution.height)?);
        let mut avcc = Avcc::new(sps, pps)?;
        let mut described = own;
        if let Some(passed) = passed {
            described = own.and(check(&passed.sps, &passed.pps)?);
            avcc.sequence_parameter_sets.push(passed.sps.to_vec());
            avcc.picture_parameter_sets.push(passed.pps.to_vec());
        }
        let Described {
            profile,
            compatibility,
            level,
        } = described;
        avcc.avc_profile_indication = profile;
        avcc.profile_compatibility = compatibility;
        avcc.avc_level_indication = level;
        // ISO/IEC 14496-15 §5.3.3.1.2: the High profiles carry these four fields.
        // Our encoders make 4:2:0 with 8 bits, which is what the default says.
        avcc.ext = matches!(profile, 100 | 110 | 122 | 144).then(AvccExt::default);
        let entry = Avc1 {
            visual: Visual {
                data_reference_index: 1,
                width,
                height,
                ..Visual::default()
            },
            avcc,
            pasp: Some(Pasp {
                h_spacing: 1,
                v_spacing: 1,
            }),
            ..Avc1::default()
        };
        let mut track = track(VIDEO_TIMESCALE, b"vide", "Inlet video", entry.into());
        track.tkhd.width = width.into();
        track.tkhd.height = height.into();
        track.mdia.minf.vmhd = Some(Vmhd::default());
        let extends = Trex {
            default_sample_duration: frame_ticks,
            default_sample_flags: NON_SYNC_SAMPLE,
            ..EXTENDS
        };
        let codec = format!("avc1.{profile:02x}{compatibility:02x}{level:02x}");
        let config = Config::Video {
            sps: Bytes::copy_from_slice(sps),
            pps: Bytes::copy_from_slice(pps),
            passed: passed.cloned(),
        };
        Self::write(
            video_brand(resolution, level),
            codec,
            config,
            track,
            extends,
        )
    }

    /// An audio track's init segment from its AudioSpecificConfig.
    pub(crate) fn audio(asc: &[u8], bitrate: u32) -> Result<Self, Error> {
        // ISO/IEC 14496-3 §1.6.2.1: 5 bits object type, 4 bits frequency index,
        // 4 bits channel configuration.
        let &[first, second, ..] = asc else {
            return Err(Error::ParameterSet);
        };
        let (object_type, channels) = (first >> 3, (second >> 3) & 0x0f);
        if asc.len() > MAX_PARAMETER_SET || object_type == 0 || object_type == 31 || channels == 0 {
            return Err(Error::ParameterSet);
        }
        let entry = Mp4a {
            audio: Audio {
                data_reference_index: 1,
                channel_count: u16::from(channels),
                sample_size: 16,
                sample_rate: 48_000.into(),
            },
            esds: elementary_stream(asc, bitrate),
            btrt: None,
            taic: None,
        };
        let (track, extends) = sound(entry.into(), AAC_FRAME_SAMPLES);
        let codec = format!("mp4a.40.{object_type}");
        let config = Config::Audio {
            object_type,
            channels,
        };
        Self::write(Some(FourCC::new(b"caac")), codec, config, track, extends)
    }

    /// An Opus track's init segment (*Encapsulation of Opus in ISO Base Media File
    /// Format*, §4.3).
    ///
    /// `PreSkip` is 0: our packets are numbered by the moment at which they sound when
    /// decoded, so no player has to leave anything out, and one that begins in the
    /// middle, as all do, has no priming before it. Deviates: §4.3.2 wants 80 ms there,
    /// which Chromium takes off the timeline.
    pub(crate) fn opus(channels: u8) -> Result<Self, Error> {
        let entry = Opus {
            audio: Audio {
                data_reference_index: 1,
                channel_count: u16::from(channels),
                sample_size: 16,
                sample_rate: 48_000.into(),
            },
            dops: Dops {
                output_channel_count: channels,
                pre_skip: 0,
                input_sample_rate: AUDIO_TIMESCALE,
                output_gain: 0,
                channel_mapping: None,
            },
            btrt: None,
        };
        let (track, extends) = sound(entry.into(), OPUS_FRAME_SAMPLES);
        // There is no media profile of CMAF for it.
        let config = Config::Opus { channels };
        Self::write(None, "opus".to_owned(), config, track, extends)
    }

    fn write(
        brand: Option<FourCC>,
        codec: String,
        config: Config,
        track: Trak,
        extends: Trex,
    ) -> Result<Self, Error> {
        let mut compatible_brands = vec![b"iso6".into(), b"cmfc".into()];
        compatible_brands.extend(brand);
        let ftyp = Ftyp {
            major_brand: b"cmfc".into(),
            minor_version: 0,
            compatible_brands,
        };
        let moov = Moov {
            mvhd: Mvhd {
                timescale: track.mdia.mdhd.timescale,
                next_track_id: TRACK_ID + 1,
                ..Mvhd::default()
            },
            mvex: Some(Mvex {
                mehd: None,
                trex: vec![extends],
            }),
            trak: vec![track],
            ..Moov::default()
        };
        let mut data = Vec::with_capacity(1024);
        ftyp.encode(&mut data)?;
        moov.encode(&mut data)?;
        let digest = Sha256::digest(&data);
        let name = format!(
            "init-{}.mp4",
            hex::encode(digest.get(..8).unwrap_or_default())
        );
        Ok(Self {
            name,
            codec,
            config,
            data: data.into(),
        })
    }
}

/// What a decoder is told it must be able to do.
#[derive(Clone, Copy)]
struct Described {
    profile: u8,
    compatibility: u8,
    level: u8,
}

impl Described {
    /// What decodes both (ISO/IEC 14496-15 §5.3.3.1.2). Only the constrained baseline,
    /// main and high profiles meet here, each of which holds the one before.
    fn and(self, other: Self) -> Self {
        let level = self.level.max(other.level);
        let larger = match self.profile >= other.profile {
            true => self,
            false => other,
        };
        Self { level, ..larger }
    }
}

fn check(sps: &[u8], pps: &[u8]) -> Result<Described, Error> {
    let &[_, profile, compatibility, level, ..] = sps else {
        return Err(Error::ParameterSet);
    };
    if sps.len() > MAX_PARAMETER_SET || pps.is_empty() || pps.len() > MAX_PARAMETER_SET {
        return Err(Error::ParameterSet);
    }
    Ok(Described {
        profile,
        compatibility,
        level,
    })
}

const EXTENDS: Trex = Trex {
    track_id: TRACK_ID,
    default_sample_description_index: 1,
    default_sample_duration: 0,
    default_sample_size: 0,
    default_sample_flags: 0,
};

/// A track of sound, and what its samples have in common.
fn sound(entry: Codec, frame_samples: u64) -> (Trak, Trex) {
    let mut track = track(AUDIO_TIMESCALE, b"soun", "Inlet audio", entry);
    track.tkhd.volume = 1.into();
    track.mdia.minf.smhd = Some(Smhd::default());
    let extends = Trex {
        default_sample_duration: u32::try_from(frame_samples).unwrap_or(u32::MAX),
        default_sample_flags: SYNC_SAMPLE,
        ..EXTENDS
    };
    (track, extends)
}

fn track(timescale: u32, handler: &[u8; 4], name: &str, entry: Codec) -> Trak {
    Trak {
        tkhd: Tkhd {
            track_id: TRACK_ID,
            enabled: true,
            in_movie: true,
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd {
                timescale,
                language: "und".into(),
                ..Mdhd::default()
            },
            hdlr: Hdlr {
                handler: handler.into(),
                name: name.into(),
            },
            minf: Minf {
                dinf: Dinf {
                    dref: Dref {
                        entries: vec![Url::default().into()],
                    },
                },
                stbl: Stbl {
                    stsd: Stsd {
                        codecs: vec![entry],
                    },
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}

fn elementary_stream(asc: &[u8], bitrate: u32) -> Esds {
    // ISO/IEC 14496-1 §7.2.6.6: object type 0x40 is MPEG-4 audio, stream type 5
    // is an audio stream.
    let dec_config = esds::DecoderConfig {
        object_type_indication: 0x40,
        stream_type: 5,
        up_stream: 0,
        buffer_size_db: esds_buffer(),
        max_bitrate: bitrate,
        avg_bitrate: bitrate,
        dec_specific: Some(esds::DecoderSpecific {
            raw: asc.to_vec(),
            ..Default::default()
        }),
    };
    Esds {
        es_desc: esds::EsDescriptor {
            es_id: 1,
            dec_config,
            sl_config: esds::SLConfig::default(),
            ..Default::default()
        },
    }
}

/// The decoder buffer AAC-LC needs for two channels: 6144 bits each.
fn esds_buffer() -> mp4_atom::u24 {
    [0x00, 0x06, 0x00].into()
}

/// The CMAF media profile that the track meets, by ISO/IEC 23000-19 table A.1:
/// SD up to level 3.1, HD up to 4.0, HD at high frame rates up to 4.2.
fn video_brand(resolution: Resolution, level: u8) -> Option<FourCC> {
    let long = resolution.width.max(resolution.height);
    let short = resolution.width.min(resolution.height);
    if long <= 864 && short <= 576 && level <= 31 {
        Some(FourCC::new(b"cfsd"))
    } else if long <= 1920 && short <= 1080 && level <= 40 {
        Some(FourCC::new(b"cfhd"))
    } else if long <= 1920 && short <= 1080 && level <= 42 {
        Some(FourCC::new(b"chdf"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use mp4_atom::Decode;

    use super::*;

    const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x1f, 0xac];
    const PPS: &[u8] = &[0x68, 0xee];

    #[test]
    fn video_init_says_what_the_parameter_sets_say() {
        let size = Resolution {
            width: 1280,
            height: 720,
        };
        let init = Init::video(size, 3000, (SPS, PPS), None).unwrap();
        assert_eq!(init.codec, "avc1.64001f");
        let mut rest = init.data.as_ref();
        let ftyp = Ftyp::decode(&mut rest).unwrap();
        assert_eq!(ftyp.major_brand, b"cmfc".into());
        assert!(ftyp.compatible_brands.contains(&FourCC::new(b"cfhd")));
        let moov = Moov::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        let Some(Codec::Avc1(avc1)) = moov.trak[0].mdia.minf.stbl.stsd.codecs.first() else {
            panic!("no avc1");
        };
        assert_eq!(avc1.avcc.sequence_parameter_sets, [SPS]);
        assert_eq!((avc1.visual.width, avc1.visual.height), (1280, 720));
        assert_eq!(moov.mvex.unwrap().trex[0].default_sample_duration, 3000);
    }

    #[test]
    fn a_presenters_parameter_sets_stand_beside_the_encoders() {
        let size = Resolution {
            width: 1280,
            height: 720,
        };
        let passed = ParameterSets {
            sps: Bytes::from_static(&[0x67, 0x42, 0xe0, 0x29, 0xab]),
            pps: Bytes::from_static(&[0x68, 0xce]),
        };
        let init = Init::video(size, 3000, (SPS, PPS), Some(&passed)).unwrap();
        assert_eq!(
            init.codec, "avc1.640029",
            "the larger profile, the higher level"
        );
        let mut rest = init.data.as_ref();
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        let Some(Codec::Avc1(avc1)) = moov.trak[0].mdia.minf.stbl.stsd.codecs.first() else {
            panic!("no avc1");
        };
        assert_eq!(avc1.avcc.sequence_parameter_sets, [SPS, &passed.sps[..]]);
        assert_eq!(avc1.avcc.picture_parameter_sets, [PPS, &passed.pps[..]]);
        assert_eq!(avc1.avcc.avc_level_indication, 0x29);
    }

    #[test]
    fn audio_init_keeps_the_audio_specific_config() {
        let init = Init::audio(&[0x11, 0x90], 128_000).unwrap();
        assert_eq!((init.codec.as_str(), init.channels()), ("mp4a.40.2", 2));
        let mut rest = init.data.as_ref();
        let ftyp = Ftyp::decode(&mut rest).unwrap();
        assert_eq!(ftyp.major_brand, b"cmfc".into());
        assert!(ftyp.compatible_brands.contains(&FourCC::new(b"caac")));
        let moov = Moov::decode(&mut rest).unwrap();
        let Some(Codec::Mp4a(mp4a)) = moov.trak[0].mdia.minf.stbl.stsd.codecs.first() else {
            panic!("no mp4a");
        };
        let specific = mp4a.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
        assert_eq!(specific.raw, [0x11, 0x90]);
    }

    #[test]
    fn opus_init_says_how_to_decode_without_a_pre_skip() {
        let init = Init::opus(2).unwrap();
        assert_eq!((init.codec.as_str(), init.channels()), ("opus", 2));
        let mut rest = init.data.as_ref();
        Ftyp::decode(&mut rest).unwrap();
        let moov = Moov::decode(&mut rest).unwrap();
        let media = &moov.trak[0].mdia;
        assert_eq!(media.mdhd.timescale, 48_000);
        let Some(Codec::Opus(opus)) = media.minf.stbl.stsd.codecs.first() else {
            panic!("no Opus");
        };
        let dops = &opus.dops;
        assert_eq!((dops.output_channel_count, dops.pre_skip), (2, 0));
        assert_eq!((dops.input_sample_rate, dops.output_gain), (48_000, 0));
        assert_eq!(moov.mvex.unwrap().trex[0].default_sample_duration, 960);
    }

    #[test]
    fn the_brand_is_the_smallest_media_profile_that_fits() {
        let brand = |width, height, level| video_brand(Resolution { width, height }, level);
        for ((width, height, level), expected) in [
            ((640, 360, 30), Some(b"cfsd")),
            ((864, 576, 31), Some(b"cfsd")),
            ((360, 640, 30), Some(b"cfsd")),
            ((640, 360, 32), Some(b"cfhd")),
            ((1280, 720, 31), Some(b"cfhd")),
            ((1080, 1920, 40), Some(b"cfhd")),
            ((1920, 1080, 42), Some(b"chdf")),
            ((1920, 1080, 50), None),
            ((2560, 1440, 42), None),
        ] {
            let expected = expected.map(FourCC::new);
            assert_eq!(
                brand(width, height, level),
                expected,
                "{width}x{height} at {level}"
            );
        }
    }

    #[test]
    fn names_follow_the_content() {
        let size = Resolution {
            width: 640,
            height: 360,
        };
        let one = Init::video(size, 3000, (SPS, PPS), None).unwrap();
        assert_eq!(one, Init::video(size, 3000, (SPS, PPS), None).unwrap());
        assert_ne!(
            one.name,
            Init::video(size, 3000, (SPS, &[0x68, 0xef]), None)
                .unwrap()
                .name
        );
    }

    #[test]
    fn junk_parameter_sets_are_refused() {
        let size = Resolution {
            width: 640,
            height: 360,
        };
        assert!(Init::video(size, 3000, (&[0x67], PPS), None).is_err());
        assert!(Init::video(size, 3000, (SPS, &[]), None).is_err());
        assert!(Init::video(size, 3000, (&[0x67; 2000], PPS), None).is_err());
        assert!(Init::audio(&[], 1).is_err());
        assert!(Init::audio(&[0, 0], 1).is_err());
    }
}
