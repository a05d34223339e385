//! One stream's output, shared between the task that makes it and HTTP.
//!
//! Readers take an `Arc` out of an `ArcSwap` and never wait for the writer.
//! Playlists are rendered by the first reader after a part, once. Whoever waits
//! must subscribe *before* looking, or the change in between is missed.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use inlet_common::clock::UtcTime;
use tokio::sync::watch;

use super::{
    Rendered,
    thumbnails::Listing,
    transport::{Transport, TransportError},
};
use crate::{
    package::{
        self, AudioCodec, Beat, Layout, Packager, Presentation, Segment, Snapshot, State,
        Thumbnails, dash, hls, ts,
    },
    timeline::Epoch,
};

/// One stream's output.
#[derive(Debug)]
pub struct Stream {
    layout: Layout,
    epoch: Epoch,
    presentation: ArcSwapOption<Announced>,
    /// Video tallest first, then the sound, AAC's first; a track that there is never goes.
    tracks: ArcSwap<Vec<Arc<Track>>>,
    still: ArcSwapOption<Still>,
    thumbnails: ArcSwap<Listing>,
    is_retired: AtomicBool,
    part_delay: metrics::Histogram,
}

/// A picture of the stream, as a JPEG.
#[derive(Debug)]
pub struct Still {
    /// The file.
    pub data: Bytes,
    /// Its strong entity tag.
    pub etag: String,
}

/// One rendition's output.
#[derive(Debug)]
pub struct Track {
    name: String,
    /// How its sound is coded; `None` for pictures.
    codec: Option<AudioCodec>,
    beat: Beat,
    /// As of the last part: what the playlist shows.
    listed: ArcSwap<Listed>,
    /// As of the last chunk.
    newest: ArcSwap<Snapshot>,
    parts: watch::Sender<()>,
    chunks: watch::Sender<()>,
    transport: Transport,
}

#[derive(Debug)]
struct Announced {
    presentation: Arc<Presentation>,
    master: OnceLock<Arc<Rendered>>,
    legacy_master: OnceLock<Arc<Rendered>>,
    manifest: OnceLock<Arc<Rendered>>,
}

#[derive(Debug)]
struct Listed {
    snapshot: Arc<Snapshot>,
    full: OnceLock<Arc<Rendered>>,
    delta: OnceLock<Arc<Rendered>>,
}

impl Stream {
    /// Makes the empty output of a packager. `part_delay` receives, for each
    /// part, the seconds from the capture of its last sample to its publication.
    pub fn new(packager: &Packager, part_delay: metrics::Histogram) -> Self {
        Self {
            layout: *packager.layout(),
            epoch: packager.epoch(),
            presentation: ArcSwapOption::empty(),
            tracks: ArcSwap::from_pointee(tracks(packager, &[])),
            still: ArcSwapOption::empty(),
            thumbnails: ArcSwap::default(),
            is_retired: AtomicBool::new(false),
            part_delay,
        }
    }

    /// Takes the renditions that the packager has by now. Those that it had go on.
    pub fn enlarge(&self, packager: &Packager) {
        let known = self.tracks.load_full();
        self.tracks.store(Arc::new(tracks(packager, &known)));
    }

    /// Publishes what the packager produced, at wall time `now`.
    pub fn apply(&self, output: package::Output, now: UtcTime) {
        match output {
            package::Output::Presentation(presentation) => {
                self.presentation.store(Some(Arc::new(Announced {
                    presentation,
                    master: OnceLock::new(),
                    legacy_master: OnceLock::new(),
                    manifest: OnceLock::new(),
                })));
            }
            package::Output::Thumbnails(thumbnails) => {
                self.thumbnails.store(Arc::new(Listing::new(thumbnails)));
            }
            package::Output::Rendition {
                index,
                snapshot,
                playlist,
                part_ends,
            } => {
                let tracks = self.tracks.load();
                let Some(track) = tracks.get(index) else {
                    return;
                };
                track.publish(snapshot, playlist);
                if let Some(ends) = part_ends {
                    let micros = now.micros_since(self.epoch.utc(ends));
                    // A frame counts as captured when it is shown first, so the
                    // difference is the path's delay and never negative but for
                    // clocks that disagree.
                    self.part_delay.record(micros.max(0) as f64 / 1e6);
                }
            }
        }
    }

    /// The small pictures of the window.
    pub fn thumbnails(&self) -> Arc<Thumbnails> {
        Arc::clone(&self.thumbnails.load().thumbnails)
    }

    /// The WebVTT file that lists them; `None` before the first.
    pub fn thumbnail_list(&self) -> Option<Arc<Rendered>> {
        self.thumbnails.load().text(self.epoch)
    }

    /// Publishes a picture, in the place of the one before.
    pub fn set_still(&self, data: Bytes) {
        let mut hasher = DefaultHasher::new();
        data.hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        self.still.store(Some(Arc::new(Still { data, etag })));
    }

    /// The newest picture; `None` before the first.
    pub fn still(&self) -> Option<Arc<Still>> {
        self.still.load_full()
    }

    /// The lengths of segments, parts and chunks.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A rendition by its name in URLs.
    pub fn track(&self, name: &str) -> Option<Arc<Track>> {
        let tracks = self.tracks.load();
        tracks.iter().find(|track| track.name == name).cloned()
    }

    /// The stream as a whole; `None` before every rendition has a part.
    pub fn presentation(&self) -> Option<Arc<Presentation>> {
        self.presentation
            .load()
            .as_ref()
            .map(|a| Arc::clone(&a.presentation))
    }

    /// The multivariant playlist; `None` before every rendition has a part.
    pub fn master(&self) -> Option<Arc<Rendered>> {
        let announced = self.presentation.load();
        let announced = announced.as_ref()?;
        let render = || Arc::new(Rendered::new(hls::master(&announced.presentation)));
        Some(Arc::clone(announced.master.get_or_init(render)))
    }

    /// The multivariant playlist of transport streams; `None` before every
    /// rendition has a part.
    pub fn legacy_master(&self) -> Option<Arc<Rendered>> {
        let announced = self.presentation.load();
        let announced = announced.as_ref()?;
        let text = || hls::legacy::master(&announced.presentation);
        let render = || Arc::new(Rendered::new(text()));
        Some(Arc::clone(announced.legacy_master.get_or_init(render)))
    }

    /// The MPD; `None` before every rendition has a part.
    pub fn manifest(&self) -> Option<Arc<Rendered>> {
        let announced = self.presentation.load();
        let announced = announced.as_ref()?;
        let render = || Arc::new(Rendered::new(dash::manifest(&announced.presentation)));
        Some(Arc::clone(announced.manifest.get_or_init(render)))
    }

    /// A rendition's media playlist as of its last part, or its delta update.
    pub fn media(&self, track: &Track, delta: bool) -> Arc<Rendered> {
        let listed = track.listed.load();
        let cell = if delta { &listed.delta } else { &listed.full };
        let render = || {
            let reports = self.reports_beside(track);
            let snapshot = &listed.snapshot;
            let (beat, layout) = (&track.beat, &self.layout);
            let text = hls::media(snapshot, beat, layout, self.epoch, &reports, delta);
            Arc::new(Rendered::new(text))
        };
        Arc::clone(cell.get_or_init(render))
    }

    /// A rung's media playlist of transport streams; `None` before its first
    /// segment, and for audio, which has none.
    pub fn legacy_media(&self, track: &Track) -> Option<Arc<Rendered>> {
        let tracks = self.tracks.load();
        let audio = carried(&tracks).filter(|_| !track.is_audio())?;
        let (video, audio) = (track.newest(), audio.newest());
        let last = hls::legacy::newest(&video, &audio)?;
        let render = || hls::legacy::media(&video, last, &track.beat, &self.layout, self.epoch);
        Some(track.transport.playlist(last, video.state, render))
    }

    /// Segment `number` of a rung as a transport stream; `None` when there is
    /// none, or not yet.
    ///
    /// # Errors
    ///
    /// When the segment cannot be muxed, which is a fault of ours, or not any more.
    pub async fn transport_segment(
        &self,
        track: &Track,
        number: u64,
    ) -> Result<Option<Bytes>, TransportError> {
        let Some(Carried { picture, sound }) = self.carried_in(track, number) else {
            return Ok(None);
        };
        let mux = move || {
            let sound = sound.as_ref();
            ts::segment(&picture, sound.map(|(audio, beat)| (audio.as_ref(), beat)))
        };
        track.transport.segment(number, mux).await.map(Some)
    }

    /// The length of what [`Stream::transport_segment`] makes, where that has been made
    /// before; `None` too when there is no such segment any more.
    pub fn transport_length(&self, track: &Track, number: u64) -> Option<usize> {
        let length = track.transport.length(number)?;
        self.carried_in(track, number).map(|_| length)
    }

    /// What segment `number` of a rung's transport stream is made of.
    fn carried_in(&self, track: &Track, number: u64) -> Option<Carried> {
        let tracks = self.tracks.load();
        let sound = carried(&tracks).filter(|_| !track.is_audio())?;
        let (video, audio) = (track.newest(), sound.newest());
        if hls::legacy::newest(&video, &audio).is_none_or(|newest| number > newest) {
            return None;
        }
        let picture = video.segment(number).filter(|segment| !segment.gap)?;
        let audio = audio.segment(number).filter(|segment| !segment.gap);
        Some(Carried {
            picture: Arc::clone(picture),
            sound: audio.map(|audio| (Arc::clone(audio), sound.beat)),
        })
    }

    /// Tells everyone who waits that nothing more will come from here.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        for track in self.tracks.load().iter() {
            track.wake();
        }
    }

    /// Whether the stream has left the directory.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    fn reports_beside(&self, track: &Track) -> Vec<hls::Report> {
        let tracks = self.tracks.load();
        let others = tracks.iter().filter(|other| other.name != track.name);
        others
            .filter_map(|other| {
                let edge = other.listed.load().snapshot.edge()?;
                Some(hls::Report {
                    name: other.name.clone(),
                    last_segment: edge.segment,
                    last_part: edge.parts.checked_sub(1),
                })
            })
            .collect()
    }
}

/// A track for each rendition of the packager: the known one, or an empty one.
fn tracks(packager: &Packager, known: &[Arc<Track>]) -> Vec<Arc<Track>> {
    let track = |(name, codec, beat): (&str, _, _)| {
        let known = known.iter().find(|track| track.name == name).cloned();
        known.unwrap_or_else(|| Arc::new(Track::new(name.to_owned(), codec, beat)))
    };
    packager.tracks().map(track).collect()
}

/// What a transport stream's segment is made of.
struct Carried {
    picture: Arc<Segment>,
    sound: Option<(Arc<Segment>, Beat)>,
}

/// The sound that a transport stream carries.
fn carried(tracks: &[Arc<Track>]) -> Option<&Arc<Track>> {
    tracks
        .iter()
        .find(|track| track.codec == Some(AudioCodec::Aac))
}

impl Track {
    fn new(name: String, codec: Option<AudioCodec>, beat: Beat) -> Self {
        let empty = Arc::new(Snapshot {
            segments: Vec::new(),
            first_listed: 0,
            open: None,
            discontinuity_sequence: 0,
            is_break_next: false,
            state: State::Live,
        });
        Self {
            name,
            codec,
            beat,
            listed: ArcSwap::from_pointee(Listed::new(Arc::clone(&empty))),
            newest: ArcSwap::new(empty),
            parts: watch::Sender::new(()),
            chunks: watch::Sender::new(()),
            transport: Transport::default(),
        }
    }

    /// The rendition's name in URLs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a rendition of the sound.
    pub fn is_audio(&self) -> bool {
        self.codec.is_some()
    }

    /// The rendition as its playlist shows it.
    pub fn listed(&self) -> Arc<Snapshot> {
        Arc::clone(&self.listed.load().snapshot)
    }

    /// The rendition with the chunks made since its last part.
    pub fn newest(&self) -> Arc<Snapshot> {
        self.newest.load_full()
    }

    /// Wakes when the playlist changes: once per part.
    pub fn parts(&self) -> watch::Receiver<()> {
        self.parts.subscribe()
    }

    /// Wakes with every chunk.
    pub fn chunks(&self) -> watch::Receiver<()> {
        self.chunks.subscribe()
    }

    fn publish(&self, snapshot: Arc<Snapshot>, playlist: bool) {
        self.newest.store(Arc::clone(&snapshot));
        self.chunks.send_replace(());
        if playlist {
            self.listed.store(Arc::new(Listed::new(snapshot)));
            self.parts.send_replace(());
        }
    }

    fn wake(&self) {
        self.chunks.send_replace(());
        self.parts.send_replace(());
    }
}

impl Listed {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            full: OnceLock::new(),
            delta: OnceLock::new(),
        }
    }
}
