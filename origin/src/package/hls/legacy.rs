//! Playlists of transport streams, for players that know nothing newer.
//!
//! Segments have the numbers and lengths of CMAF's, without parts and without
//! anything above version 3: such a player polls, and stays three segments
//! behind the edge.

use std::fmt::Write;

use crate::{
    package::{Beat, Kind, Layout, Presentation, Segment, Snapshot, State, iso8601, ts},
    timeline::Epoch,
};

/// `EXT-X-VERSION`: 3 brings fractions in `EXTINF`.
const VERSION: u32 = 3;

/// Writes the multivariant playlist: each rung with the audio in it.
pub fn master(presentation: &Presentation) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    let codec = |index: usize| presentation.init(index).map_or("", |init| &init.codec);
    // AAC's comes first, and is the one that a transport stream carries.
    let Some((audio_index, audio, _)) = presentation.sounds().next() else {
        return text;
    };
    let (average, peak) = (audio.average, audio.peak);
    for (index, rendition) in presentation.renditions.iter().enumerate() {
        let Kind::Video { resolution, rate } = rendition.kind else {
            continue;
        };
        // As in the other multivariant playlist.
        if !presentation.is_made(index) {
            continue;
        }
        let rate_of = |bits: u64| ts::bits_per_second(bits, rate);
        // Writing to a string cannot fail; the result carries nothing.
        _ = writeln!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{},{}\",\
             RESOLUTION={}x{},FRAME-RATE={}.000\n{}/media.m3u8",
            rate_of(rendition.peak + peak),
            rate_of(rendition.average + average),
            codec(index),
            codec(audio_index),
            resolution.width,
            resolution.height,
            rate.as_u32(),
            rendition.name,
        );
    }
    text
}

/// The newest segment that can be muxed; `None` before the first.
///
/// It is complete in the rung and in the audio, or the audio has passed it by.
pub fn newest(video: &Snapshot, audio: &Snapshot) -> Option<u64> {
    let complete = video.segments.last()?.number;
    if video.state != State::Live {
        return Some(complete);
    }
    let sounding = match &audio.open {
        Some(open) => open.number.checked_sub(1)?,
        None => audio.segments.last()?.number,
    };
    Some(complete.min(sounding))
}

/// Writes a rung's media playlist up to segment `last`.
pub fn media(video: &Snapshot, last: u64, beat: &Beat, layout: &Layout, epoch: Epoch) -> String {
    let listed = video.listed().iter().take_while(|s| s.number <= last);
    let mut text = String::with_capacity(8192);
    let first = video.listed().first().map_or(0, |s| s.number);
    // Writing to a string cannot fail; the results carry nothing.
    _ = writeln!(
        text,
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-INDEPENDENT-SEGMENTS",
        layout.segment_seconds, video.discontinuity_sequence,
    );
    for segment in listed {
        write_segment(&mut text, segment, beat, epoch);
    }
    if video.state == State::Ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    text
}

fn write_segment(text: &mut String, segment: &Segment, beat: &Beat, epoch: Epoch) {
    if segment.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let captured = iso8601(epoch.utc(beat.time(segment.start)));
    // Writing to a string cannot fail; the results carry nothing.
    _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{captured}");
    if segment.gap {
        text.push_str("#EXT-X-GAP\n");
    }
    let (seconds, number) = (beat.seconds(segment.duration), segment.number);
    _ = writeln!(text, "#EXTINF:{seconds},\n{number}.ts");
}
