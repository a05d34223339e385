//! A viewer that looks at everything: it walks the live playlists of all renditions
//! part by part, and the MPD segment by segment, and keeps what it got.
//!
//! | file | holds |
//! |---|---|
//! | `rendition` | one rendition's playlist, by blocking reload |
//! | [`record`] | what a playlist has said, which it may not take back |
//! | [`judge`] | what the bytes say, against what the playlists said |
//! | [`dash`] | the MPD, and segments as their availability times have it |
//!
//! What fails, fails at once and says where; nothing is counted and forgiven but what a
//! busy machine does to every viewer.

pub mod dash;
pub mod judge;
pub mod record;
mod rendition;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use inlet_common::clock;
use reqwest::{Client, StatusCode, Url};

pub use record::Record;

use crate::playlist::Multivariant;

/// What the presenter and its worker do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Nothing unusual: every part is there, in time, and of its length.
    Steady,
    /// Nothing unusual, but that the top rung is the presenter's own picture: segments
    /// begin with its key frames, up to half a segment beside their nominal places.
    Passed,
    /// The worker dies, or the presenter leaves and returns: parts may be cut short,
    /// stretched, late or missing, but what is said must be true all the same.
    Broken,
}

/// Walks all renditions for so long; the tallest rung first, the sound last.
///
/// # Errors
///
/// At the first thing that is not as it must be.
pub async fn renditions(
    playlist: &Multivariant,
    length: Duration,
    conduct: Conduct,
) -> Result<Vec<Record>> {
    let end = clock::now() + length;
    let client = Client::new();
    let variants = playlist.variants.iter().map(|variant| &variant.url);
    let urls: Vec<&Url> = variants.chain(&playlist.audio).collect();
    let board = Board::new(&urls);
    let mut walkers = Vec::new();
    for url in urls {
        walkers.push(rendition::Walker::begin(&client, url, &board, conduct).await?);
    }
    let walks = walkers.into_iter().map(|walker| walker.run(end));
    all_of(walks).await
}

/// Drives all at once on this task; ends with the first that fails.
async fn all_of<T>(all: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    let mut all: Vec<_> = all.map(|it| (Box::pin(it), None)).collect();
    let poll = |context: &mut Context<'_>| {
        let mut is_pending = false;
        for (future, outcome) in all.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(ready) => *outcome = Some(ready?),
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending {
            Poll::Pending
        } else {
            Poll::Ready(anyhow::Ok(()))
        }
    };
    std::future::poll_fn(poll).await?;
    Ok(all.into_iter().filter_map(|(_, outcome)| outcome).collect())
}

/// A playlist's newest segment and its newest part.
type Last = (u64, Option<usize>);

/// How far each rendition was seen to be.
struct Board(Mutex<BTreeMap<Url, Option<Last>>>);

impl Board {
    fn new(urls: &[&Url]) -> Self {
        let nothing = urls.iter().map(|url| (Url::clone(url), None));
        Self(Mutex::new(nothing.collect()))
    }

    fn set(&self, url: &Url, last: Option<Last>) {
        let mut edges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        edges.insert(url.clone(), last);
    }

    fn read(&self) -> BTreeMap<Url, Option<Last>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An answer, and how long it took.
struct Answer {
    status: StatusCode,
    body: Bytes,
    took: Duration,
}

impl Answer {
    async fn get(client: &Client, url: &Url) -> Result<Self> {
        let asked = clock::now();
        let response = client.get(url.clone()).send().await;
        let response = response.with_context(|| url.to_string())?;
        let status = response.status();
        let body = response.bytes().await.with_context(|| url.to_string())?;
        Ok(Self {
            status,
            body,
            took: clock::now().duration_since(asked),
        })
    }

    /// What must be there.
    async fn must(client: &Client, url: &Url) -> Result<Bytes> {
        let answer = Self::get(client, url).await?;
        ensure!(answer.status == StatusCode::OK, "{url}: {}", answer.status);
        Ok(answer.body)
    }
}
