//! The MPD for LL-DASH (ISO/IEC 23009-1, DASH-IF low-latency).
//!
//! `availabilityStartTime` is the stream's epoch, so media time is presentation
//! time. A period begins with the nominal start of its first segment and counts
//! `$Number$` from there: a player computes no segment from before the
//! publication. While a presenter is away the last period stays open and
//! players' requests for its next segment are held: told of its end, dash.js
//! ends playback and never looks again, while so it goes on within two seconds
//! of the return, when the new period bounds the old one. A period in which
//! another set of rungs is made stands here before it begins.

use std::{fmt::Write, time::Duration};

use super::{
    AudioCodec, Beat, Init, Kind, Layout, Period, Presentation, Rendition, State, iso8601,
};
use crate::{timeline::MediaTime, transcode::ladder::Resolution};

/// How often players look for a new period. An unneeded look costs one small
/// request; a presenter's return is seen this late.
const MINIMUM_UPDATE_PERIOD: Duration = Duration::from_secs(2);

/// How far a player may speed up or slow down to hold the latency target.
const PLAYBACK_RATE: (&str, &str) = ("0.90", "1.10");

/// `@id` of the pictures' adaptation set; video and audio have those before it.
const THUMBNAILS: u32 = 9;

/// `@bandwidth` of the small pictures: 8 kB in a second.
const THUMBNAIL_RATE: u32 = 64_000;

/// Beside the manifest, so that what stands in its path for access counts too.
const CLOCK_URL: &str = "time";

/// Writes the MPD.
pub fn manifest(presentation: &Presentation) -> String {
    let mut xml = String::with_capacity(4096);
    // Writing to a string cannot fail; the result carries nothing.
    _ = write_manifest(&mut xml, presentation);
    xml
}

fn write_manifest(xml: &mut String, presentation: &Presentation) -> std::fmt::Result {
    let layout = &presentation.layout;
    let segment = layout.segment_seconds;
    let window = layout.window_segments as u64 * u64::from(segment);
    let period = presentation.periods.last();
    let end = match (presentation.state, period.and_then(|period| period.end)) {
        (State::Ended, Some(end)) => {
            format!(
                " mediaPresentationDuration=\"PT{}S\"",
                seconds(end.as_micros())
            )
        }
        _ => format!(
            " minimumUpdatePeriod=\"PT{}S\"",
            MINIMUM_UPDATE_PERIOD.as_secs()
        ),
    };
    writeln!(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        xml,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" \
         profiles=\"urn:mpeg:dash:profile:isoff-live:2011,\
         http://www.dashif.org/guidelines/low-latency-live-v5\" type=\"dynamic\" \
         availabilityStartTime=\"{}\" publishTime=\"{}\"{end} \
         timeShiftBufferDepth=\"PT{window}S\" maxSegmentDuration=\"PT{segment}S\" \
         minBufferTime=\"PT{segment}S\">",
        iso8601(presentation.epoch.0),
        iso8601(presentation.published),
    )?;
    let target = layout.latency.as_millis();
    writeln!(
        xml,
        "<ServiceDescription id=\"0\"><Latency referenceId=\"0\" min=\"{}\" target=\"{target}\" \
         max=\"{}\"/><PlaybackRate min=\"{}\" max=\"{}\"/></ServiceDescription>",
        target / 2,
        target * 4,
        PLAYBACK_RATE.0,
        PLAYBACK_RATE.1,
    )?;
    for period in &presentation.periods {
        write_period(xml, presentation, period)?;
    }
    writeln!(xml, "{}\n</MPD>", utc_timing())
}

fn utc_timing() -> String {
    format!("<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-xsdate:2014\" value=\"{CLOCK_URL}\"/>")
}

fn write_period(
    xml: &mut String,
    presentation: &Presentation,
    period: &Period,
) -> std::fmt::Result {
    let start = presentation.layout.segment_start(period.first_segment);
    // The presenter may return: an end known now would end playback for good.
    let is_last = presentation
        .periods
        .last()
        .is_some_and(|p| p.first_segment == period.first_segment);
    let is_open = is_last && presentation.state != State::Ended;
    let duration = period.end.filter(|_| !is_open).map(|end| {
        let micros = end.as_micros().saturating_sub(start.as_micros());
        format!(" duration=\"PT{}S\"", seconds(micros))
    });
    writeln!(
        xml,
        "<Period id=\"{}\" start=\"PT{}S\"{}>",
        period.first_segment,
        seconds(start.as_micros()),
        duration.unwrap_or_default(),
    )?;
    let all = presentation.renditions.iter().zip(&period.inits);
    let is_made = |(index, _): &(usize, _)| !period.absent.contains(index);
    let made = all.enumerate().filter(is_made).map(|it| it.1);
    let with_init = made.filter_map(|(rendition, init)| Some((rendition, init.as_ref()?)));
    let made: Vec<_> = with_init.collect();
    let with_init = || made.iter().copied();
    let video: Vec<_> = with_init().filter(|(r, _)| !r.kind.is_audio()).collect();
    let sounds = with_init().filter(|(r, _)| r.kind.is_audio());
    // A player switches within a set, so each coding has one of its own.
    let sets = std::iter::once(video).chain(sounds.map(|it| vec![it]));
    for (id, members) in sets.enumerate() {
        write_adaptation_set(xml, presentation, period, start, id, &members)?;
    }
    if let Some(size) = presentation.thumbnails {
        write_thumbnails(xml, &presentation.layout, period, size)?;
    }
    writeln!(xml, "</Period>")
}

/// One small picture per segment (DASH-IF IOP part 3 §6.2.6), after all others, so
/// that it moves none of them where it comes later. It shows the segment's first frame,
/// and is there with its chunk: Shaka has low latency only where every set says so.
fn write_thumbnails(
    xml: &mut String,
    layout: &Layout,
    period: &Period,
    size: Resolution,
) -> std::fmt::Result {
    let (number, seconds) = (period.first_segment, layout.segment_seconds);
    writeln!(
        xml,
        "<AdaptationSet id=\"{THUMBNAILS}\" contentType=\"image\" mimeType=\"image/jpeg\">\n\
         <Representation id=\"thumbnails\" bandwidth=\"{THUMBNAIL_RATE}\" width=\"{}\" \
         height=\"{}\">\n<EssentialProperty \
         schemeIdUri=\"http://dashif.org/guidelines/thumbnail_tile\" value=\"1x1\"/>\n\
         <SegmentTemplate timescale=\"1\" duration=\"{seconds}\" startNumber=\"{number}\" \
         presentationTimeOffset=\"{}\" availabilityTimeOffset=\"{}\" \
         media=\"$RepresentationID$/$Number$.jpg\"/>\n\
         </Representation>\n</AdaptationSet>",
        size.width,
        size.height,
        number.saturating_mul(u64::from(seconds)),
        availability_time_offset(layout, &layout.video),
    )
}

fn write_adaptation_set(
    xml: &mut String,
    presentation: &Presentation,
    period: &Period,
    start: MediaTime,
    id: usize,
    members: &[(&Rendition, &std::sync::Arc<Init>)],
) -> std::fmt::Result {
    let Some((first, _)) = members.first() else {
        return Ok(());
    };
    // Players that know both codings and have no wish begin with AAC, as they do
    // where there is no other.
    let (kind, priority) = match first.kind {
        Kind::Video { .. } => ("video", ""),
        Kind::Audio(AudioCodec::Aac) => ("audio", ""),
        Kind::Audio(AudioCodec::Opus) => ("audio", " selectionPriority=\"0\""),
    };
    let offset = period
        .first_segment
        .saturating_mul(first.beat.segment_ticks);
    writeln!(
        xml,
        "<AdaptationSet id=\"{id}\" contentType=\"{kind}\" mimeType=\"{kind}/mp4\" lang=\"und\" \
         segmentAlignment=\"true\" startWithSAP=\"1\"{priority}>"
    )?;
    writeln!(
        xml,
        "<ProducerReferenceTime id=\"{id}\" inband=\"true\" type=\"captured\" \
         wallClockTime=\"{}\" presentationTime=\"{offset}\">{}</ProducerReferenceTime>",
        iso8601(presentation.epoch.utc(start)),
        utc_timing(),
    )?;
    writeln!(
        xml,
        "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>"
    )?;
    for (rendition, init) in members {
        write_representation(xml, presentation, period, rendition, init)?;
    }
    writeln!(xml, "</AdaptationSet>")
}

fn write_representation(
    xml: &mut String,
    presentation: &Presentation,
    period: &Period,
    rendition: &Rendition,
    init: &Init,
) -> std::fmt::Result {
    let beat = &rendition.beat;
    let shape = match rendition.kind {
        Kind::Video { resolution, rate } => format!(
            " width=\"{}\" height=\"{}\" frameRate=\"{}\" sar=\"1:1\"",
            resolution.width,
            resolution.height,
            rate.as_u32()
        ),
        Kind::Audio(_) => format!(" audioSamplingRate=\"{}\"", beat.timescale),
    };
    writeln!(
        xml,
        "<Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{}\"{shape}>",
        rendition.name, init.codec, rendition.peak
    )?;
    if rendition.kind.is_audio() {
        writeln!(
            xml,
            "<AudioChannelConfiguration \
             schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" \
             value=\"{}\"/>",
            init.channels()
        )?;
    }
    writeln!(
        xml,
        "<SegmentTemplate timescale=\"{}\" duration=\"{}\" startNumber=\"{}\" \
         presentationTimeOffset=\"{}\" availabilityTimeOffset=\"{}\" \
         availabilityTimeComplete=\"false\" initialization=\"{}/{}\" \
         media=\"$RepresentationID$/$Number$.m4s\"/>\n</Representation>",
        beat.timescale,
        beat.segment_ticks,
        period.first_segment,
        period.first_segment.saturating_mul(beat.segment_ticks),
        availability_time_offset(&presentation.layout, beat),
        rendition.name,
        init.name,
    )
}

/// A segment can be asked for when its first chunk is published: a segment
/// less a chunk and the margin before its nominal end. A segment may begin one frame
/// late where frames do not fit into a second, as AAC's do not.
fn availability_time_offset(layout: &Layout, beat: &Beat) -> String {
    let unit = u64::from(beat.unit_ticks);
    let drift = if beat.segment_ticks.is_multiple_of(unit) {
        0
    } else {
        unit
    };
    let early = beat
        .segment_ticks
        .saturating_sub(beat.chunk_ticks() + drift);
    let margin = i64::try_from(layout.publish_margin.as_micros()).unwrap_or(i64::MAX);
    seconds(beat.time(early).as_micros().saturating_sub(margin))
}

/// Microseconds as decimal seconds, never negative.
fn seconds(micros: i64) -> String {
    let micros = micros.max(0);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
