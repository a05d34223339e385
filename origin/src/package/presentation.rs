//! What concerns the whole stream rather than one rendition: the multivariant
//! playlist and the MPD are made of it. It changes rarely: when the stream
//! begins, breaks, ends, or a segment outgrows the announced bandwidth.

use std::sync::Arc;

use inlet_common::clock::UtcTime;

use super::{Beat, Init, Layout, State};
use crate::{
    timeline::{Epoch, FrameRate, MediaTime},
    transcode::ladder::Resolution,
};

/// A stream at one moment.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// Lengths of segments, parts and chunks.
    pub layout: Layout,
    /// Where the stream's time begins.
    pub epoch: Epoch,
    /// Video renditions, tallest first, then those of the sound, AAC's first.
    pub renditions: Vec<Rendition>,
    /// Unbroken stretches of media, oldest first; never empty. The last ones may
    /// be yet to come.
    pub periods: Vec<Period>,
    /// Size of the small pictures beside the media; `None` where there are none.
    pub thumbnails: Option<Resolution>,
    /// Whether more is to come.
    pub state: State,
    /// When this presentation was made, on the stream's own clock.
    pub published: UtcTime,
}

impl Presentation {
    /// The renditions of the sound with their indices, AAC's first.
    pub fn sounds(&self) -> impl Iterator<Item = (usize, &Rendition, AudioCodec)> {
        let all = self.renditions.iter().enumerate();
        all.filter_map(|(index, rendition)| match rendition.kind {
            Kind::Audio(codec) => Some((index, rendition, codec)),
            Kind::Video { .. } => None,
        })
    }

    /// Whether a rendition has pictures of its own in the newest period.
    pub fn is_made(&self, index: usize) -> bool {
        let period = self.periods.last();
        period.is_none_or(|period| !period.absent.contains(&index))
    }

    /// Init segment of a rendition in the newest period.
    pub fn init(&self, index: usize) -> Option<&Arc<Init>> {
        self.periods.last()?.inits.get(index)?.as_ref()
    }
}

/// A rendition's fixed facts.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its name in URLs, `720p`, `audio` or `opus`.
    pub name: String,
    /// Video or audio.
    pub kind: Kind,
    /// Its lengths.
    pub beat: Beat,
    /// Mean rate with the boxes around it, bits per second.
    pub average: u64,
    /// Highest rate of a segment, bits per second.
    pub peak: u64,
}

/// Video or audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A rung of the ladder.
    Video {
        /// Size of its picture.
        resolution: Resolution,
        /// Its frames per second.
        rate: FrameRate,
    },
    /// The sound, which all rungs share.
    Audio(AudioCodec),
}

impl Kind {
    /// Whether it is one of the sound.
    pub fn is_audio(self) -> bool {
        matches!(self, Self::Audio(_))
    }
}

/// How a rendition of the sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC-LC, which every player takes.
    Aac,
    /// Opus, for those that take it.
    Opus,
}

/// An unbroken stretch of media, which DASH calls a period.
#[derive(Clone, Debug)]
pub struct Period {
    /// Its first segment; the period begins with the segment's nominal start.
    pub first_segment: u64,
    /// Where it ended; `None` while it goes on.
    pub end: Option<MediaTime>,
    /// The renditions' init segments; `None` where there was none yet.
    pub inits: Vec<Option<Arc<Init>>>,
    /// Renditions that show another one's pictures, because their rung is not
    /// made: no player should begin with them.
    pub absent: Vec<usize>,
}

/// Names for a ladder's renditions, each once, those of the sound last.
pub(super) fn names(rungs: impl Iterator<Item = String>, has_opus: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in rungs {
        let same = |taken: &&String| **taken == name || taken.starts_with(&format!("{name}-"));
        let taken = names.iter().filter(same).count();
        names.push(if taken == 0 {
            name
        } else {
            format!("{name}-{}", taken + 1)
        });
    }
    names.push("audio".into());
    names.extend(has_opus.then(|| "opus".into()));
    names
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_rungs_of_one_height_get_two_names() {
        let rungs = ["720p", "720p", "360p", "720p"].map(String::from);
        let names = super::names(rungs.into_iter(), true);
        assert_eq!(names, ["720p", "720p-2", "360p", "720p-3", "audio", "opus"]);
    }
}
