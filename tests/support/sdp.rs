//! An SDP reader of our own (RFC 8866), as far as tests compare answers with offers.

use anyhow::{Context as _, Result, ensure};

/// A description: its session part, and its m-sections.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// `a=` lines ahead of the first m-section.
    pub attributes: Vec<(String, String)>,
    /// The m-sections, in order.
    pub media: Vec<Media>,
}

/// One m-section.
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// `audio` or `video`.
    pub kind: String,
    /// The port; 0 is a rejected section, or in an offer a bundled one.
    pub port: u16,
    /// Its payload types.
    pub payload_types: Vec<String>,
    /// Its `a=` lines: name, and value (empty without).
    pub attributes: Vec<(String, String)>,
}

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// When a line is none, or an m-line lacks its parts.
    pub fn parse(text: &str) -> Result<Self> {
        let mut description = Self::default();
        for line in text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
        {
            let (kind, value) = line.split_once('=').with_context(|| line.to_owned())?;
            match kind {
                "m" => description.media.push(Media::parse(value)?),
                "a" => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    let attribute = (name.to_owned(), value.trim().to_owned());
                    match description.media.last_mut() {
                        Some(media) => media.attributes.push(attribute),
                        None => description.attributes.push(attribute),
                    }
                }
                _ => ensure!(kind.len() == 1, "no line: {line}"),
            }
        }
        Ok(description)
    }

    /// The values of a session attribute.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.attributes, name)
    }
}

impl Media {
    fn parse(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [kind, port, _, payload_types @ ..] = words.as_slice() else {
            anyhow::bail!("no m-line: {line}");
        };
        Ok(Self {
            kind: (*kind).to_owned(),
            port: port.parse()?,
            payload_types: payload_types.iter().map(|&word| word.to_owned()).collect(),
            attributes: Vec::new(),
        })
    }

    /// The values of an attribute.
    pub fn values(&self, name: &str) -> Vec<&str> {
        values(&self.attributes, name)
    }

    /// Whether it has an attribute.
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(other, _)| other == name)
    }

    /// What an attribute says of a payload type: `a=NAME:PT VALUE`.
    pub fn of_payload_type<'a>(&'a self, name: &str, payload_type: &str) -> Vec<&'a str> {
        let of_it = |value: &'a str| {
            let (of, rest) = value.split_once(' ')?;
            (of == payload_type || of == "*").then_some(rest.trim())
        };
        self.values(name).into_iter().filter_map(of_it).collect()
    }

    /// Name of a payload type's codec, in capitals.
    pub fn codec(&self, payload_type: &str) -> Option<String> {
        let rtpmap = self.of_payload_type("rtpmap", payload_type);
        let name = rtpmap.first()?.split('/').next()?;
        Some(name.to_ascii_uppercase())
    }
}

fn values<'a>(attributes: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let of_name = attributes.iter().filter(|(other, _)| other == name);
    of_name.map(|(_, value)| value.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_belong_to_the_section_they_stand_in() {
        let text = "v=0\r\na=ice-lite\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n\
            a=rtpmap:96 h264/90000\r\na=rtcp-fb:96 nack \r\na=rtcp-fb:* ccm fir\r\na=recvonly\r\n";
        let description = Description::parse(text).unwrap();
        assert_eq!(description.values("ice-lite"), [""]);
        let video = &description.media[0];
        assert_eq!((video.kind.as_str(), video.port), ("video", 9));
        assert_eq!(video.payload_types, ["96", "97"]);
        assert_eq!(video.codec("96").as_deref(), Some("H264"));
        assert_eq!(video.codec("97"), None);
        assert_eq!(video.of_payload_type("rtcp-fb", "96"), ["nack", "ccm fir"]);
        assert!(video.has("recvonly") && !video.has("sendonly"));
        assert!(Description::parse("v=0\nnonsense").is_err());
    }
}
