//! A strict parser of media playlists: knows the tags that ours may hold and
//! panics at anything else or out of order.

#[derive(Debug, Default)]
pub(crate) struct Playlist {
    pub(crate) media_sequence: u64,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) target_duration: f64,
    pub(crate) part_target: f64,
    pub(crate) control: Vec<(String, String)>,
    pub(crate) skipped: u64,
    pub(crate) segments: Vec<Segment>,
    /// Parts after the last whole segment.
    pub(crate) trailing_parts: Vec<Part>,
    pub(crate) maps: Vec<String>,
    pub(crate) dates: Vec<String>,
    pub(crate) preload_hint: Option<String>,
    pub(crate) reports: Vec<Vec<(String, String)>>,
    pub(crate) ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) duration: f64,
    pub(crate) gap: bool,
    pub(crate) discontinuity: bool,
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) duration: f64,
    pub(crate) uri: String,
    pub(crate) independent: bool,
}

/// Reads a playlist whose parts are all as short as PART-TARGET says.
pub(crate) fn parse(text: &str) -> Playlist {
    parse_with(text, 0.0)
}

/// Reads one of a stream with a hole: the picture before it stands until it is over, in
/// a part that is longer by as much, of less than a segment.
pub(crate) fn parse_with_holes(text: &str) -> Playlist {
    parse_with(text, 1.0)
}

fn parse_with(text: &str, longest: f64) -> Playlist {
    assert!(text.ends_with('\n'));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#EXTM3U"));
    assert_eq!(lines.next(), Some("#EXT-X-VERSION:9"));
    let mut playlist = Playlist::default();
    let mut segment = Segment::default();
    let mut pending_duration = None;
    let mut dated = false;
    for line in lines {
        assert!(!playlist.ended, "nothing may follow ENDLIST");
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-MAP" => playlist.maps.push(find(&attributes(value), "URI")),
            "#EXT-X-PROGRAM-DATE-TIME" => {
                assert_eq!(value.len(), 24, "{value}");
                playlist.dates.push(value.to_owned());
                dated = true;
            }
            "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
            "#EXT-X-GAP" => segment.gap = true,
            "#EXT-X-PART" => {
                assert!(dated, "a part's segment has its date first");
                let part = part(&attributes(value));
                let longest = playlist.part_target.max(longest) + 1e-9;
                assert!(part.duration <= longest, "{part:?}");
                segment.parts.push(part);
            }
            "#EXTINF" => {
                let duration: f64 = value.strip_suffix(',').unwrap().parse().unwrap();
                assert!(duration.round() <= playlist.target_duration);
                pending_duration = Some(duration);
            }
            "#EXT-X-PRELOAD-HINT" => {
                let hint = attributes(value);
                assert_eq!(find(&hint, "TYPE"), "PART");
                playlist.preload_hint = Some(find(&hint, "URI"));
            }
            "#EXT-X-RENDITION-REPORT" => playlist.reports.push(attributes(value)),
            "#EXT-X-ENDLIST" => playlist.ended = true,
            uri if !uri.starts_with('#') => {
                assert!(dated, "every segment has a date");
                dated = false;
                segment.duration = pending_duration.take().expect("EXTINF before the URI");
                segment.number = uri.strip_suffix(".m4s").unwrap().parse().unwrap();
                playlist.segments.push(std::mem::take(&mut segment));
            }
            _ => header_tag(&mut playlist, tag, value),
        }
    }
    playlist.trailing_parts = segment.parts;
    check_numbers(&playlist);
    playlist
}

fn header_tag(playlist: &mut Playlist, tag: &str, value: &str) {
    match tag {
        "#EXT-X-TARGETDURATION" => playlist.target_duration = value.parse().unwrap(),
        "#EXT-X-SERVER-CONTROL" => playlist.control = attributes(value),
        "#EXT-X-PART-INF" => {
            playlist.part_target = find(&attributes(value), "PART-TARGET").parse().unwrap();
        }
        "#EXT-X-MEDIA-SEQUENCE" => playlist.media_sequence = value.parse().unwrap(),
        "#EXT-X-DISCONTINUITY-SEQUENCE" => {
            playlist.discontinuity_sequence = value.parse().unwrap();
        }
        "#EXT-X-INDEPENDENT-SEGMENTS" => {}
        "#EXT-X-SKIP" => {
            assert!(playlist.segments.is_empty());
            playlist.skipped = find(&attributes(value), "SKIPPED-SEGMENTS")
                .parse()
                .unwrap();
        }
        other => panic!("unknown tag {other}"),
    }
}

fn check_numbers(playlist: &Playlist) {
    let first = playlist.media_sequence + playlist.skipped;
    for (number, segment) in (first..).zip(&playlist.segments) {
        assert_eq!(
            segment.number, number,
            "media sequence numbers have no holes"
        );
        for (index, part) in segment.parts.iter().enumerate() {
            assert_eq!(part.uri, format!("{number}.{index}.m4s"));
        }
        if !segment.parts.is_empty() {
            let sum: f64 = segment.parts.iter().map(|part| part.duration).sum();
            assert!(
                (sum - segment.duration).abs() < 1e-4,
                "{sum} {}",
                segment.duration
            );
        }
    }
    assert!(!playlist.maps.is_empty() || playlist.skipped > 0);
}

fn part(attributes: &[(String, String)]) -> Part {
    Part {
        duration: find(attributes, "DURATION").parse().unwrap(),
        uri: find(attributes, "URI"),
        independent: attributes
            .iter()
            .any(|(k, v)| k == "INDEPENDENT" && v == "YES"),
    }
}

pub(crate) fn find(attributes: &[(String, String)], name: &str) -> String {
    let found = attributes.iter().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

/// An attribute list; quoted values may hold commas.
pub(crate) fn attributes(text: &str) -> Vec<(String, String)> {
    let mut list = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        list.push((key.to_owned(), value.to_owned()));
        rest = after.strip_prefix(',').unwrap_or_else(|| {
            assert!(after.is_empty(), "{after}");
            after
        });
    }
    list
}
