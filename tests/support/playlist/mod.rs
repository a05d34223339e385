//! An HLS reader of our own, small and strict about what tests look at.
//!
//! It is no player: it knows the tags whose values a test compares, and keeps
//! the rest as lines.

mod media;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Url;

pub use media::{Media, Part, Report, Segment, parse};

/// A multivariant playlist.
#[derive(Clone, Debug, Default)]
pub struct Multivariant {
    /// Its variants, in their order.
    pub variants: Vec<Variant>,
    /// URIs of its audio renditions.
    pub audio: Vec<Url>,
}

/// One `EXT-X-STREAM-INF`.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its media playlist.
    pub url: Url,
    /// `RESOLUTION`.
    pub resolution: (u32, u32),
    /// `CODECS`.
    pub codecs: String,
    /// `BANDWIDTH`, bits per second.
    pub bandwidth: u64,
    /// `AVERAGE-BANDWIDTH`, bits per second.
    pub average_bandwidth: u64,
    /// `FRAME-RATE`.
    pub frame_rate: f64,
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
            let of = |name| attribute(attributes, name).with_context(|| format!("no {name}"));
            let (width, height) = of("RESOLUTION")?.split_once('x').context("RESOLUTION")?;
            playlist.variants.push(Variant {
                url: base.join(uri)?,
                resolution: (width.parse()?, height.parse()?),
                codecs: of("CODECS")?.to_owned(),
                bandwidth: of("BANDWIDTH")?.parse()?,
                average_bandwidth: of("AVERAGE-BANDWIDTH")?.parse()?,
                frame_rate: of("FRAME-RATE")?.parse()?,
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
}
