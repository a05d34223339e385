//! What a path under `/cmaf/` or `/mpegts/` names.

use inlet_common::ids::{ClientId, StreamId};

use crate::playback::Credentials;

/// One file of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) client: ClientId,
    pub(super) stream: StreamId,
    pub(super) file: File<'a>,
    /// The path before the credentials and the file, without a slash at its
    /// end: what a playback token is made for.
    pub(super) prefix: &'a str,
    /// What the path shows between the two.
    pub(super) credentials: Option<Credentials<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File<'a> {
    Master,
    Manifest,
    /// What DASH players set their clock by.
    Clock,
    /// The newest picture.
    Still,
    /// The list of small pictures.
    ThumbnailList,
    /// The small picture of a segment.
    Thumbnail {
        segment: u64,
    },
    Media {
        track: &'a str,
    },
    Init {
        track: &'a str,
        name: &'a str,
    },
    Segment {
        track: &'a str,
        number: u64,
    },
    Part {
        track: &'a str,
        number: u64,
        part: usize,
    },
    LegacyMaster,
    LegacyMedia {
        track: &'a str,
    },
    Transport {
        track: &'a str,
        number: u64,
    },
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unparsable {
    /// The stream is not `{client}_{id}`.
    Id,
    /// No stream has such a file.
    File,
}

impl<'a> Target<'a> {
    pub(super) fn parse(path: &'a str) -> Result<Self, Unparsable> {
        let (parse, inner): (fn(&'a str) -> Option<File<'a>>, _) =
            if let Some(inner) = path.strip_prefix("/cmaf/") {
                (File::parse, inner)
            } else {
                let inner = path.strip_prefix("/mpegts/").ok_or(Unparsable::File)?;
                (File::parse_legacy, inner)
            };
        let (id, file) = inner.split_once('/').unwrap_or((inner, ""));
        let (client, stream) = id.split_once('_').ok_or(Unparsable::Id)?;
        let end = path.len() - inner.len() + id.len();
        let (credentials, file) = match Credentials::split(file) {
            Some((credentials, file)) => (Some(credentials), file),
            None => (None, file),
        };
        Ok(Self {
            client: ClientId(number(client).ok_or(Unparsable::Id)?),
            stream: StreamId(number(stream).ok_or(Unparsable::Id)?),
            file: parse(file).ok_or(Unparsable::File)?,
            prefix: path.split_at(end).0,
            credentials,
        })
    }
}

impl<'a> File<'a> {
    fn parse(file: &'a str) -> Option<Self> {
        match file {
            "master.m3u8" => return Some(Self::Master),
            "index.mpd" => return Some(Self::Manifest),
            "time" => return Some(Self::Clock),
            "screenshot.jpg" => return Some(Self::Still),
            "thumbnails.vtt" => return Some(Self::ThumbnailList),
            _ => {}
        }
        let (track, name) = file.split_once('/')?;
        if track == "thumbnails" {
            let segment = number(name.strip_suffix(".jpg")?)?;
            return Some(Self::Thumbnail { segment });
        }
        if name == "media.m3u8" {
            return Some(Self::Media { track });
        }
        if name.starts_with("init-") {
            return Some(Self::Init { track, name });
        }
        let stem = name.strip_suffix(".m4s")?;
        match stem.split_once('.') {
            None => Some(Self::Segment {
                track,
                number: number(stem)?,
            }),
            Some((segment, part)) => Some(Self::Part {
                track,
                number: number(segment)?,
                part: number(part)?,
            }),
        }
    }

    fn parse_legacy(file: &'a str) -> Option<Self> {
        if file == "master_mpegts.m3u8" {
            return Some(Self::LegacyMaster);
        }
        let (track, name) = file.split_once('/')?;
        if name == "media.m3u8" {
            return Some(Self::LegacyMedia { track });
        }
        let number = number(name.strip_suffix(".ts")?)?;
        Some(Self::Transport { track, number })
    }

    /// The file's kind as a metric's label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Master
            | Self::Media { .. }
            | Self::LegacyMaster
            | Self::LegacyMedia { .. }
            | Self::ThumbnailList => "playlist",
            Self::Manifest => "manifest",
            Self::Clock => "time",
            Self::Still | Self::Thumbnail { .. } => "still",
            Self::Init { .. } => "init",
            Self::Segment { .. } | Self::Transport { .. } => "segment",
            Self::Part { .. } => "part",
        }
    }
}

/// A number in its one canonical form, so that nothing has two URLs.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Result<File<'_>, Unparsable> {
        Target::parse(path).map(|target| target.file)
    }

    #[test]
    fn every_kind_of_file_is_found() {
        assert_eq!(file("/cmaf/1_17/master.m3u8"), Ok(File::Master));
        assert_eq!(file("/cmaf/1_17/index.mpd"), Ok(File::Manifest));
        assert_eq!(file("/cmaf/1_17/time"), Ok(File::Clock));
        assert_eq!(file("/cmaf/1_17/screenshot.jpg"), Ok(File::Still));
        assert_eq!(file("/cmaf/1_17/thumbnails.vtt"), Ok(File::ThumbnailList));
        assert_eq!(
            file("/cmaf/1_17/thumbnails/12.jpg"),
            Ok(File::Thumbnail { segment: 12 })
        );
        assert_eq!(
            file("/cmaf/1_17/720p/media.m3u8"),
            Ok(File::Media { track: "720p" })
        );
        let init = File::Init {
            track: "audio",
            name: "init-ab.mp4",
        };
        assert_eq!(file("/cmaf/1_17/audio/init-ab.mp4"), Ok(init));
        let segment = File::Segment {
            track: "720p",
            number: 12,
        };
        assert_eq!(file("/cmaf/1_17/720p/12.m4s"), Ok(segment));
        let part = File::Part {
            track: "720p",
            number: 12,
            part: 0,
        };
        assert_eq!(file("/cmaf/1_17/720p/12.0.m4s"), Ok(part));
        assert_eq!(
            file("/mpegts/1_17/master_mpegts.m3u8"),
            Ok(File::LegacyMaster)
        );
        assert_eq!(
            file("/mpegts/1_17/720p/media.m3u8"),
            Ok(File::LegacyMedia { track: "720p" })
        );
        let transport = File::Transport {
            track: "720p",
            number: 12,
        };
        assert_eq!(file("/mpegts/1_17/720p/12.ts"), Ok(transport));
        let target = Target::parse("/cmaf/3_17/index.mpd").unwrap();
        assert_eq!((target.client, target.stream), (ClientId(3), StreamId(17)));
    }

    #[test]
    fn credentials_stand_between_the_stream_and_its_file() {
        let token = "A".repeat(43);
        let path = format!("/mpegts/3_17/{token}/1800000000/720p/9.ts");
        let target = Target::parse(&path).unwrap();
        assert_eq!(target.prefix, "/mpegts/3_17");
        assert!(target.credentials.is_some());
        assert_eq!(target.file.kind(), "segment");
        let plain = Target::parse("/cmaf/3_17/master.m3u8").unwrap();
        assert_eq!((plain.prefix, plain.credentials), ("/cmaf/3_17", None));
    }

    #[test]
    fn junk_is_told_apart_from_a_bad_id() {
        for path in [
            "/cmaf/",
            "/cmaf/x/master.m3u8",
            "/cmaf/1_/a",
            "/cmaf/1_x/a",
            "/cmaf/1_-2/a",
        ] {
            assert_eq!(file(path), Err(Unparsable::Id), "{path}");
        }
        for path in [
            "/cmaf/1_2",
            "/cmaf/1_2/",
            "/cmaf/1_2/a",
            "/cmaf/1_2/a/b",
            "/cmaf/1_2/a/+1.m4s",
            "/cmaf/1_2/a/01.m4s",
            "/cmaf/1_2/a/1.m4s/",
            "/cmaf/1_2/a/99999999999999999999999.m4s",
            "/cmaf/1_2/a/1.2.3.m4s",
            "/cmaf/1_2/a/1.ts",
            "/cmaf/1_2/a/1.jpg",
            "/cmaf/1_2/thumbnails/01.jpg",
            "/cmaf/1_2/thumbnails/1.m4s",
            "/mpegts/1_2/thumbnails.vtt",
            "/cmaf/1_2/master_mpegts.m3u8",
            "/mpegts/1_2/a/1.m4s",
            "/mpegts/1_2/a/01.ts",
            "/mpegts/1_2/index.mpd",
            "/other/1_2/a/1.ts",
        ] {
            assert_eq!(file(path), Err(Unparsable::File), "{path}");
        }
    }
}
