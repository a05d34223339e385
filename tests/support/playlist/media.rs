//! Media playlists, whole or as delta updates (draft-pantos-hls-rfc8216bis).

use anyhow::{Context as _, Result, bail, ensure};

use super::attribute;
use crate::moment;

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// `EXT-X-TARGETDURATION` in seconds.
    pub target_duration: f64,
    /// `PART-TARGET` in seconds; 0 where there is none.
    pub part_target: f64,
    /// `EXT-X-SERVER-CONTROL`, as written.
    pub control: String,
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// `SKIPPED-SEGMENTS` of a delta update: so many are left out of `segments`.
    pub skipped: u64,
    /// Complete segments.
    pub segments: Vec<Segment>,
    /// What stands there of the segment after the last complete one.
    pub open: Segment,
    /// Parts after the last complete segment.
    pub open_parts: usize,
    /// Whether `EXT-X-ENDLIST` stands there.
    pub has_ended: bool,
    /// URI of the newest `EXT-X-MAP`.
    pub map: Option<String>,
    /// URI of `EXT-X-PRELOAD-HINT`.
    pub preload_hint: Option<String>,
    /// How far the other renditions are.
    pub reports: Vec<Report>,
}

/// One segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// Its URI, as written.
    pub uri: String,
    /// `EXTINF` in seconds.
    pub duration: f64,
    /// Whether `EXT-X-DISCONTINUITY` stands before it.
    pub is_discontinuity: bool,
    /// Whether it is an `EXT-X-GAP`.
    pub is_gap: bool,
    /// `EXT-X-PROGRAM-DATE-TIME` in microseconds of Unix time.
    pub date: Option<i64>,
    /// URI of the `EXT-X-MAP` that holds for it; `None` in a delta update until another
    /// than that of the segments left out is named.
    pub map: Option<String>,
    /// Its parts, as far as they are listed.
    pub parts: Vec<Part>,
}

/// One `EXT-X-PART`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Its URI, as written.
    pub uri: String,
    /// `DURATION` in seconds.
    pub duration: f64,
    /// `INDEPENDENT=YES`.
    pub is_independent: bool,
}

/// One `EXT-X-RENDITION-REPORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// URI of the other playlist, as written.
    pub uri: String,
    /// `LAST-MSN` and `LAST-PART`.
    pub last: (u64, Option<usize>),
}

impl Media {
    /// Position of the live edge: the number of the open segment and its parts.
    pub fn edge(&self) -> (u64, usize) {
        let complete = self.skipped + self.segments.len() as u64;
        (self.sequence + complete, self.open_parts)
    }

    /// The newest segment with anything listed, and its newest part.
    pub fn last(&self) -> Option<(u64, Option<usize>)> {
        let open = Some(&self.open).filter(|open| !open.parts.is_empty());
        let last = open.or(self.segments.last())?;
        Some((last.number, last.parts.len().checked_sub(1)))
    }

    /// The whole playlist that this delta update means to whoever has `known`
    /// (§6.2.5.1).
    ///
    /// # Errors
    ///
    /// When `known` lacks what was left out.
    pub fn merge(mut self, known: &Self) -> Result<Self> {
        let skipped = self.sequence..self.sequence + std::mem::take(&mut self.skipped);
        let kept = known.segments.iter();
        let kept = kept.filter(|segment| skipped.contains(&segment.number));
        let mut segments: Vec<Segment> = kept.cloned().collect();
        // They are twice as old as what shows parts.
        segments.iter_mut().for_each(|it| it.parts.clear());
        ensure!(
            segments.len() as u64 == skipped.end - skipped.start,
            "{skipped:?} are left out, and not all known"
        );
        let map = segments.last().and_then(|last| last.map.clone());
        let unnamed = self.segments.iter_mut().chain([&mut self.open]);
        for segment in unnamed.filter(|segment| segment.map.is_none()) {
            segment.map.clone_from(&map);
        }
        segments.append(&mut self.segments);
        self.segments = segments;
        self.map = self.map.or(map);
        Ok(self)
    }
}

/// Reads a media playlist.
///
/// # Errors
///
/// When a number in it is none, or an attribute is missing.
pub fn parse(text: &str) -> Result<Media> {
    let mut playlist = Media::default();
    let mut next = Segment::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-DISCONTINUITY" => next.is_discontinuity = true,
            "#EXT-X-GAP" => next.is_gap = true,
            "#EXT-X-MAP" => playlist.map = attribute(value, "URI").map(str::to_owned),
            "#EXT-X-PROGRAM-DATE-TIME" => next.date = Some(moment::parse(value)?),
            "#EXT-X-PART" => next.parts.push(part(value)?),
            "#EXTINF" => next.duration = value.trim_end_matches(',').parse()?,
            _ if line.starts_with('#') => of_playlist(&mut playlist, tag, value)?,
            _ => {
                line.clone_into(&mut next.uri);
                close(&mut playlist, &mut next);
            }
        }
    }
    playlist.open_parts = next.parts.len();
    close(&mut playlist, &mut next);
    playlist.open = playlist.segments.pop().context("no segment")?;
    Ok(playlist)
}

/// Adds the segment whose tags have been read.
fn close(playlist: &mut Media, next: &mut Segment) {
    next.number = playlist.edge().0;
    next.map.clone_from(&playlist.map);
    playlist.segments.push(std::mem::take(next));
}

fn of_playlist(playlist: &mut Media, tag: &str, value: &str) -> Result<()> {
    match tag {
        "#EXT-X-TARGETDURATION" => playlist.target_duration = value.parse()?,
        "#EXT-X-PART-INF" => playlist.part_target = required(value, "PART-TARGET")?.parse()?,
        "#EXT-X-SERVER-CONTROL" => value.clone_into(&mut playlist.control),
        "#EXT-X-MEDIA-SEQUENCE" => playlist.sequence = value.parse()?,
        "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = value.parse()?,
        "#EXT-X-SKIP" => playlist.skipped = required(value, "SKIPPED-SEGMENTS")?.parse()?,
        "#EXT-X-ENDLIST" => playlist.has_ended = true,
        "#EXT-X-PRELOAD-HINT" => {
            playlist.preload_hint = Some(required(value, "URI")?.to_owned());
        }
        "#EXT-X-RENDITION-REPORT" => playlist.reports.push(report(value)?),
        _ => {}
    }
    Ok(())
}

fn part(attributes: &str) -> Result<Part> {
    Ok(Part {
        uri: required(attributes, "URI")?.to_owned(),
        duration: required(attributes, "DURATION")?.parse()?,
        is_independent: match attribute(attributes, "INDEPENDENT") {
            None => false,
            Some("YES") => true,
            Some(other) => bail!("INDEPENDENT={other}"),
        },
    })
}

fn report(attributes: &str) -> Result<Report> {
    let part = attribute(attributes, "LAST-PART").map(str::parse);
    Ok(Report {
        uri: required(attributes, "URI")?.to_owned(),
        last: (
            required(attributes, "LAST-MSN")?.parse()?,
            part.transpose()?,
        ),
    })
}

fn required<'a>(attributes: &'a str, name: &str) -> Result<&'a str> {
    attribute(attributes, name).with_context(|| format!("no {name} in {attributes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_complete_segments_do_not_count_as_open() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n\
            #EXT-X-PART:URI=\"a\",DURATION=1.0\n#EXTINF:1.0,\ns7.m4s\n\
            #EXT-X-DISCONTINUITY\n#EXT-X-GAP\n#EXTINF:1.0,\ns8.m4s\n\
            #EXT-X-PART:URI=\"b\",DURATION=0.2,INDEPENDENT=YES\n";
        let playlist = parse(text).unwrap();
        assert_eq!(playlist.edge(), (9, 1));
        assert_eq!(playlist.last(), Some((9, Some(0))));
        assert!(playlist.open.parts[0].is_independent);
        assert!(playlist.segments[1].is_gap && playlist.segments[1].is_discontinuity);
        assert!(!playlist.segments[0].is_gap);
    }

    #[test]
    fn a_delta_update_takes_what_it_leaves_out_from_what_is_known() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"i\"\n\
            #EXTINF:1.0,\n7.m4s\n#EXT-X-PART:URI=\"a\",DURATION=1.0\n\
            #EXTINF:1.0,\n8.m4s\n#EXTINF:1.0,\n9.m4s\n";
        let whole = parse(text).unwrap();
        let delta = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:8\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n\
            #EXTINF:1.0,\n9.m4s\n#EXTINF:1.0,\n10.m4s\n";
        let delta = parse(delta).unwrap();
        assert_eq!(delta.edge(), (11, 0));
        let merged = delta.clone().merge(&whole).unwrap();
        let numbers: Vec<u64> = merged.segments.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [8, 9, 10]);
        assert_eq!(merged.segments[1], whole.segments[2]);
        assert!(!whole.segments[1].parts.is_empty() && merged.segments[0].parts.is_empty());
        assert_eq!(merged.segments[2].map.as_deref(), Some("i"));
        assert!(delta.merge(&Media::default()).is_err());
    }
}
