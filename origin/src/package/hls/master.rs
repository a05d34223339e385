//! The multivariant playlist.

use std::fmt::Write;

use super::VERSION;
use crate::package::{Kind, Presentation};

const AUDIO_GROUP: &str = "audio";

/// Writes the multivariant playlist.
pub fn master(presentation: &Presentation) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    write_all(&mut text, presentation);
    text
}

fn write_all(text: &mut String, presentation: &Presentation) {
    let audio_index = presentation.renditions.len().saturating_sub(1);
    let audio_init = presentation.init(audio_index);
    let (mut audio_average, mut audio_peak) = (0, 0);
    if let Some(audio) = presentation.audio() {
        let channels = audio_init.map_or(2, |init| init.channels());
        // Writing to a string cannot fail; the result carries nothing.
        _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",NAME=\"Main\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"{channels}\",URI=\"{}/media.m3u8\"",
            audio.name
        );
        (audio_average, audio_peak) = (audio.average, audio.peak);
    }
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let Kind::Video { resolution, rate } = rendition.kind else {
            continue;
        };
        // Who plays it already sees another's pictures; who comes takes those at once.
        if !presentation.is_made(index) {
            continue;
        }
        let codec = presentation
            .init(index)
            .map_or("", |init| init.codec.as_str());
        let audio_codec = audio_init.map_or("", |init| init.codec.as_str());
        _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{codec},{audio_codec}\",\
             RESOLUTION={}x{},FRAME-RATE={}.000,AUDIO=\"{AUDIO_GROUP}\"\n{}/media.m3u8",
            rendition.peak + audio_peak,
            rendition.average + audio_average,
            resolution.width,
            resolution.height,
            rate.as_u32(),
            rendition.name,
        );
    }
}
