//! The multivariant playlist.

use std::fmt::Write;

use super::VERSION;
use crate::package::{AudioCodec, Kind, Presentation, Rendition};

/// Writes the multivariant playlist.
pub fn master(presentation: &Presentation) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    write_all(&mut text, presentation);
    text
}

/// Each rung with each coding of the sound, all with AAC first: a player that does not
/// choose by codec takes what stands first.
fn write_all(text: &mut String, presentation: &Presentation) {
    for (index, sound, codec) in presentation.sounds() {
        let channels = presentation.init(index).map_or(2, |init| init.channels());
        // Writing to a string cannot fail; the result carries nothing.
        _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"Main\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{}/media.m3u8\"",
            group(codec),
            sound.name
        );
    }
    for sound in presentation.sounds() {
        write_variants(text, presentation, sound);
    }
}

fn write_variants(
    text: &mut String,
    presentation: &Presentation,
    (sound_index, sound, coding): (usize, &Rendition, AudioCodec),
) {
    let codec = |index: usize| presentation.init(index).map_or("", |init| &init.codec);
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let Kind::Video { resolution, rate } = rendition.kind else {
            continue;
        };
        // Who plays it already sees another's pictures; who comes takes those at once.
        if !presentation.is_made(index) {
            continue;
        }
        _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{},{}\",\
             RESOLUTION={}x{},FRAME-RATE={}.000,AUDIO=\"{}\"\n{}/media.m3u8",
            rendition.peak + sound.peak,
            rendition.average + sound.average,
            codec(index),
            codec(sound_index),
            resolution.width,
            resolution.height,
            rate.as_u32(),
            group(coding),
            rendition.name,
        );
    }
}

fn group(codec: AudioCodec) -> &'static str {
    match codec {
        AudioCodec::Aac => "audio",
        AudioCodec::Opus => "opus",
    }
}
