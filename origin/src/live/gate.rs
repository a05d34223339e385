//! OPEN and CLOSE of the edges: may this presenter publish?
//!
//! The registry knows the token, the [`Directory`] knows who is live; both are
//! asked before the edge answers the presenter. A token that is reset while the
//! registry is being asked is noticed by the directory's generation, and asked
//! again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use inlet_common::{
    clock,
    ids::{PublishPath, SessionId, StreamId},
    reason::ReasonCode,
    roq::control::{CloseReason, Kind, Open, Update},
};
use tokio::sync::mpsc;

use super::{
    Directory,
    broadcast::{self, Begin, Command, Settings},
    directory::{self, Claim, Entry, LastMedia},
    programme,
    room::Full,
};
use crate::{
    registry::{self, Authorised},
    roq::{
        Link,
        flow::{Media, Sink},
    },
    transcode::{
        cost,
        ladder::{Ladder, Resolution},
    },
};

/// Packets waiting for a stream's task: a second of a fast presenter, so that
/// a busy moment loses nothing.
const MAX_MEDIA_QUEUE: usize = 2048;

/// Times that the registry is asked again because some stream was ended
/// meanwhile; only a storm of resets gets there.
const MAX_ATTEMPTS: u32 = 5;

/// Decides who publishes; one per origin.
#[derive(Debug)]
pub struct Gate {
    directory: Arc<Directory>,
    settings: Arc<Settings>,
    is_draining: AtomicBool,
    is_closed: AtomicBool,
}

/// How often a silent presenter is looked at while another asks for its place.
const GHOST_LOOK: Duration = Duration::from_millis(50);

/// What became of a presenter at the directory.
enum Entered {
    /// Its packets go there.
    Live(mpsc::Sender<Media>),
    /// Some stream was ended while the registry was asked: ask again.
    StreamsChanged,
    /// The stream has a presenter, who has not been heard since.
    PerhapsGhost,
}

/// Why a presenter may not publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a number.
    pub code: ReasonCode,
    /// In words for the presenter.
    pub message: String,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
}

/// Why the origin has no room for a presenter, or for more rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is about to stop.
    Draining,
    /// `limits.live_streams` is reached.
    LiveStreams,
    /// The ladder does not fit into `limits.cpu_percent`, as estimated.
    Cores,
    /// Streams that run lack rungs that should have fitted.
    Shedding,
}

impl Refused {
    /// Its name in metrics and the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::LiveStreams => "live_streams",
            Self::Cores => "cores",
            Self::Shedding => "shedding",
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Draining => Refusal {
                code: ReasonCode::Draining,
                message: "the origin is about to stop".to_owned(),
                retry_after: Some(5),
            },
            Self::LiveStreams | Self::Cores | Self::Shedding => Refusal {
                code: ReasonCode::Overload,
                message: "the origin has no room for another stream".to_owned(),
                retry_after: Some(30),
            },
        }
    }
}

impl From<Full> for Refused {
    fn from(full: Full) -> Self {
        match full {
            Full::Estimated => Self::Cores,
            Full::Shedding => Self::Shedding,
        }
    }
}

/// Where the packets of an accepted session go.
#[derive(Debug)]
pub struct Sinks {
    session: SessionId,
    media: mpsc::Sender<Media>,
    kinds: Vec<Kind>,
    max_bitrate: u64,
}

impl Sinks {
    /// The most that is of use from this presenter, in bits per second.
    pub fn max_bitrate(&self) -> u64 {
        self.max_bitrate
    }

    /// Where packets of this kind go; `None` when the session has no such track.
    pub fn for_kind(&self, kind: Kind) -> Option<Sink> {
        let sink = || Sink {
            session: self.session,
            kind,
            media: self.media.clone(),
        };
        self.kinds.contains(&kind).then(sink)
    }
}

impl Gate {
    /// A gate before the streams of `directory`.
    pub fn new(directory: Arc<Directory>, settings: Arc<Settings>) -> Self {
        Self {
            directory,
            settings,
            is_draining: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// This origin's name, for HELLO.
    pub fn origin_name(&self) -> &str {
        &self.settings.origin_name
    }

    /// Lets a presenter in, or tells why not. An OPEN for a session that runs
    /// already moves it to this link: its edge has lost the earlier one.
    ///
    /// A stream that has a presenter is looked at for up to 3 s: one that still
    /// sends is left alone, and one that is silent for so long is the ghost of
    /// whoever asks, and makes room. Whoever shows the secret of the session that
    /// runs is its presenter, and goes on air in its stead at its first key frame.
    ///
    /// # Errors
    ///
    /// The refusal goes to the presenter as it is.
    pub async fn open(&self, open: Open, link: &Link, region: &str) -> Result<Sinks, Refusal> {
        let kinds = check_tracks(&open)?;
        self.check_room(&open.path)?;
        let asked = clock::now();
        let mut attempts = 0;
        while attempts < MAX_ATTEMPTS {
            let generation = self.directory.generation();
            let authorised = self.authorise(&open.path).await?;
            let begin = self.begin(&open, &authorised, link, region);
            match self.enter(generation, &open, begin, asked)? {
                Entered::Live(media) => {
                    let max_bitrate = max_bitrate(&authorised);
                    return Ok(Sinks {
                        session: open.session,
                        media,
                        kinds,
                        max_bitrate,
                    });
                }
                Entered::StreamsChanged => attempts += 1,
                Entered::PerhapsGhost => tokio::time::sleep(GHOST_LOOK).await,
            }
        }
        Err(Refusal {
            code: ReasonCode::RegistryDown,
            message: "streams are being changed right now".to_owned(),
            retry_after: Some(1),
        })
    }

    /// Whether a token may publish its stream, as far as the registry says; who is
    /// live does not matter here.
    ///
    /// # Errors
    ///
    /// The refusal goes to the presenter as it is.
    pub async fn check(&self, path: &PublishPath) -> Result<(), Refusal> {
        self.authorise(path).await.map(drop)
    }

    /// Takes what an edge has learned of a session's tracks.
    pub fn update(&self, update: Update) {
        self.directory
            .tell_session(update.session, Command::Update(update));
    }

    /// Ends a session at its edge's word.
    pub fn close(&self, session: SessionId, reason: CloseReason) {
        self.directory
            .tell_session(session, Command::End { session, reason });
    }

    /// A connection is gone. Its sessions live on until their edge opens them
    /// anew, or until they have been silent for too long.
    pub fn link_lost(&self, link: &Link) {
        let link = link.clone();
        self.directory
            .tell_all(|| Command::LinkLost { link: link.clone() });
    }

    /// How many streams are live.
    pub fn live_count(&self) -> usize {
        self.directory.live_count()
    }

    /// Turns of all streams' tasks so far; it stands still only when they do.
    pub fn turns(&self) -> u64 {
        self.settings.turns.load(Ordering::Relaxed)
    }

    /// Takes no new presenter from now on.
    pub fn close_to_newcomers(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Ends every session with [`CloseReason::Draining`] and every stream's
    /// output, and returns when all is sealed.
    pub async fn drain(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.directory.tell_all(|| Command::EndStream {
            reason: CloseReason::Draining,
        });
        self.settings.tasks.close();
        self.settings.tasks.wait().await;
    }

    /// Whether anyone new may come. It costs nothing, and so comes before the registry is
    /// asked: whoever it turns away may be a stranger, of whom the log says little.
    fn check_room(&self, path: &PublishPath) -> Result<(), Refusal> {
        self.room_for(path.stream).map_err(|why| {
            tracing::debug!(stream = %path.stream, reason = why.as_str(), "refused: no room");
            self.settings.metrics.stream_refused(why);
            why.refusal()
        })
    }

    fn room_for(&self, stream: StreamId) -> Result<(), Refused> {
        let is_live = self.directory.status(stream).is_some();
        let is_closed = self.is_closed.load(Ordering::SeqCst);
        if is_closed || (self.is_draining.load(Ordering::Relaxed) && !is_live) {
            return Err(Refused::Draining);
        }
        let live = u32::try_from(self.directory.live_count()).unwrap_or(u32::MAX);
        if live >= self.settings.limits.live_streams && !is_live {
            return Err(Refused::LiveStreams);
        }
        Ok(())
    }

    /// Tells of a presenter with the right token who is sent away.
    fn refuse(&self, stream: StreamId, why: Refused) -> Refusal {
        tracing::warn!(%stream, reason = why.as_str(), "refused: no room for this stream");
        self.settings.metrics.stream_refused(why);
        why.refusal()
    }

    /// Whether the machine can transcode the stream beside those that run. One whose
    /// viewers are there is let in: its presenter comes back, or moves.
    fn check_load(
        &self,
        streams: &BTreeMap<StreamId, Entry>,
        stream: StreamId,
        cores: f64,
    ) -> Result<(), Refusal> {
        // Its task is there as long as its playlist lingers.
        if streams.contains_key(&stream) {
            return Ok(());
        }
        let taken = directory::taken(streams, stream);
        let checked = self.settings.room.check(taken, cores);
        checked.map_err(|full| self.refuse(stream, full.into()))
    }

    async fn authorise(&self, path: &PublishPath) -> Result<Authorised, Refusal> {
        let limit = self.settings.limits.live_streams_per_client;
        self.settings
            .registry
            .authorise(path, limit, |client| {
                self.directory.live_of(client, path.stream)
            })
            .await
            .inspect_err(|refusal| {
                if let registry::Refusal::Registry(error) = refusal {
                    let error = error as &dyn std::error::Error;
                    tracing::error!(error, "the registry does not answer");
                }
            })
            .map_err(|refusal| Refusal {
                code: refusal.reason(),
                message: refusal.to_string(),
                retry_after: (refusal.reason() == ReasonCode::RegistryDown).then_some(2),
            })
    }

    fn begin(&self, open: &Open, authorised: &Authorised, link: &Link, region: &str) -> Begin {
        let now = clock::now();
        Begin {
            authorised: authorised.clone(),
            epoch: open.epoch,
            session: open.session,
            tracks: open.tracks.clone(),
            announced: open.announced,
            link: link.clone(),
            region: region.to_owned(),
            started_at: clock::steady(now),
            last_media: LastMedia::new(now),
            key: open.key,
            claim: Claim::Free,
            cores: self.cores(open, authorised),
        }
    }

    /// What the stream's ladder will take, by what its presenter announces.
    fn cores(&self, open: &Open, authorised: &Authorised) -> f64 {
        let source = open.announced.map_or(UNANNOUNCED, |size| Resolution {
            width: size.width,
            height: size.height,
        });
        let (ladder, rate) = programme::asked_for(authorised.quality_set.as_ref(), source);
        let media = &self.settings.media;
        cost::of(source, &ladder, rate, (media.encoder, media.preset))
    }

    /// Enters a presenter who asked at `asked` into the directory.
    fn enter(
        &self,
        generation: u64,
        open: &Open,
        mut begin: Begin,
        asked: Instant,
    ) -> Result<Entered, Refusal> {
        let authorised = begin.authorised.clone();
        let mut streams = self.directory.lock();
        // Whoever waited for a ghost may have waited past the end.
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(self.refuse(authorised.stream, Refused::Draining));
        }
        if self.directory.generation() != generation {
            return Ok(Entered::StreamsChanged);
        }
        self.check_load(&streams, authorised.stream, begin.cores)?;
        let entry = streams
            .entry(authorised.stream)
            .or_insert_with(|| self.launch(&authorised));
        // Its task is gone, which only a fault in it can bring about.
        if entry.commands.is_closed() {
            tracing::error!(stream = %authorised.stream, "the stream's task had died: a new one");
            *entry = self.launch(&authorised);
        }
        let newcomer = begin.running();
        let claim = entry.judge(&newcomer, open.replaces, asked, clock::now());
        match claim {
            Claim::Outdated => return Err(outdated()),
            Claim::Taken => return Err(taken()),
            Claim::PerhapsGhost => return Ok(Entered::PerhapsGhost),
            Claim::Free | Claim::Moves | Claim::Follows => {}
        }
        entry.admit(claim, newcomer);
        begin.claim = claim;
        entry.tell(Command::Begin(Box::new(begin)));
        Ok(Entered::Live(entry.media.clone()))
    }

    fn launch(&self, authorised: &Authorised) -> Entry {
        let (commands, command_queue) = mpsc::unbounded_channel();
        let (media, media_queue) = mpsc::channel(MAX_MEDIA_QUEUE);
        broadcast::spawn(
            authorised.clone(),
            Arc::clone(&self.settings),
            Arc::clone(&self.directory),
            command_queue,
            media_queue,
        );
        Entry {
            client: authorised.client,
            commands,
            media,
            running: None,
            successor: None,
        }
    }
}

/// The tallest rung that the stream may get and half as much again, and sound.
pub(super) fn max_bitrate(authorised: &Authorised) -> u64 {
    const SOUND: u64 = 256_000;
    let asked = authorised
        .quality_set
        .as_ref()
        .and_then(|set| set.rungs().first());
    let tallest = asked.map_or(Ladder::DEFAULT[0].bitrate, |rung| rung.bitrate);
    u64::from(tallest) * 3 / 2 + SOUND
}

/// What a presenter is taken to send who does not say: most cameras' first offer
/// to a browser.
const UNANNOUNCED: Resolution = Resolution {
    width: 1280,
    height: 720,
};

fn taken() -> Refusal {
    Refusal {
        code: ReasonCode::AlreadyPublishing,
        message: "someone is already publishing to this path".to_owned(),
        retry_after: None,
    }
}

fn outdated() -> Refusal {
    Refusal {
        code: ReasonCode::NoOrigin,
        message: "the session has moved to another connection".to_owned(),
        retry_after: None,
    }
}

/// At most one track of each kind, at least one in all.
fn check_tracks(open: &Open) -> Result<Vec<Kind>, Refusal> {
    let mut seen = BTreeMap::<Kind, u32>::new();
    for track in &open.tracks {
        *seen.entry(track.codec.kind()).or_default() += 1;
    }
    if seen.is_empty() || seen.values().any(|count| *count > 1) {
        return Err(Refusal {
            code: ReasonCode::Tracks,
            message: "a session has one video track, one audio track, or one of each".to_owned(),
            retry_after: None,
        });
    }
    Ok(seen.into_keys().collect())
}
