//! An HLS reader of our own, small and strict about what tests look at.
//!
//! It is no player: it knows the tags whose values a test compares, and keeps
//! the rest as lines.

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Url;

/// A multivariant playlist.
#[derive(Clone, Debug, Default)]
pub struct Multivariant {
    /// Its variants, in their order.
    pub variants: Vec<Variant>,
    /// URIs of its audio renditions.
    pub audio: Vec<Url>,
}

/// One `EXT-X-STREAM-INF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its media playlist.
    pub url: Url,
    /// `RESOLUTION`.
    pub resolution: (u32, u32),
    /// `CODECS`.
    pub codecs: String,
}

/// A media playlist.
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub discontinuity_sequence: u64,
    /// Complete segments.
    pub segments: Vec<Segment>,
    /// Parts after the last complete segment.
    pub open_parts: usize,
    /// Whether `EXT-X-ENDLIST` stands there.
    pub has_ended: bool,
    /// URI of the newest `EXT-X-MAP`.
    pub map: Option<String>,
}

/// One complete segment.
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
}

impl Media {
    /// Position of the live edge: the number of the open segment and its parts.
    pub fn edge(&self) -> (u64, usize) {
        (self.sequence + self.segments.len() as u64, self.open_parts)
    }
}

/// Fetches and reads a multivariant playlist.
///
/// # Errors
///
/// Any answer but 200, and a playlist that is none.
pub async fn multivariant(url: &str) -> Result<Multivariant> {
    let base: Url = url.parse()?;
    let text = fetch(&base).await?;
    let mut playlist = Multivariant::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(attributes) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            let uri = lines.next().context("a variant without URI")?;
            let resolution = attribute(attributes, "RESOLUTION").context("no RESOLUTION")?;
            let (width, height) = resolution.split_once('x').context("RESOLUTION")?;
            playlist.variants.push(Variant {
                url: base.join(uri)?,
                resolution: (width.parse()?, height.parse()?),
                codecs: attribute(attributes, "CODECS")
                    .context("no CODECS")?
                    .to_owned(),
            });
        } else if let Some(attributes) = line.strip_prefix("#EXT-X-MEDIA:TYPE=AUDIO,") {
            let uri = attribute(attributes, "URI").context("audio without URI")?;
            playlist.audio.push(base.join(uri)?);
        }
    }
    Ok(playlist)
}

/// Fetches and reads a media playlist.
///
/// # Errors
///
/// Any answer but 200, and a playlist that is none.
pub async fn media(url: &Url) -> Result<Media> {
    parse(&fetch(url).await?)
}

/// Reads a media playlist.
///
/// # Errors
///
/// When a number in it is none.
pub fn parse(text: &str) -> Result<Media> {
    let mut playlist = Media::default();
    let mut next = Segment::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-MEDIA-SEQUENCE" => playlist.sequence = value.parse()?,
            "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = value.parse()?,
            "#EXT-X-DISCONTINUITY" => next.is_discontinuity = true,
            "#EXT-X-GAP" => next.is_gap = true,
            "#EXT-X-MAP" => playlist.map = attribute(value, "URI").map(str::to_owned),
            "#EXT-X-PART" => playlist.open_parts += 1,
            "#EXT-X-ENDLIST" => playlist.has_ended = true,
            "#EXTINF" => next.duration = value.trim_end_matches(',').parse()?,
            _ if line.starts_with('#') => {}
            _ => {
                next.number = playlist.sequence + playlist.segments.len() as u64;
                line.clone_into(&mut next.uri);
                playlist.segments.push(std::mem::take(&mut next));
                playlist.open_parts = 0;
            }
        }
    }
    Ok(playlist)
}

async fn fetch(url: &Url) -> Result<String> {
    let response = reqwest::get(url.clone()).await?;
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{url}: {status}: {text}");
    if !text.starts_with("#EXTM3U") {
        bail!("{url}: no playlist: {text}");
    }
    Ok(text)
}

/// The value of an attribute, without its quotes (RFC 8216 §4.2).
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        if key == name {
            return Some(value);
        }
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_behind_quoted_commas() {
        let list = r#"BANDWIDTH=1,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360"#;
        assert_eq!(attribute(list, "RESOLUTION"), Some("640x360"));
        assert_eq!(attribute(list, "CODECS"), Some("avc1.42c01e,mp4a.40.2"));
        assert_eq!(attribute(list, "URI"), None);
    }

    #[test]
    fn parts_of_complete_segments_do_not_count_as_open() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-PART:URI=\"a\"\n#EXTINF:1.0,\ns7.m4s\n\
            #EXT-X-DISCONTINUITY\n#EXT-X-GAP\n#EXTINF:1.0,\ns8.m4s\n#EXT-X-PART:URI=\"b\"\n";
        let playlist = parse(text).unwrap();
        assert_eq!(playlist.edge(), (9, 1));
        assert!(playlist.segments[1].is_gap && playlist.segments[1].is_discontinuity);
        assert!(!playlist.segments[0].is_gap);
    }
}
