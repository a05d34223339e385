//! One rendition's playlist, part by part.
//!
//! In each step the next part is asked for three times at once: by the whole playlist,
//! by a delta update, and by the part that was hinted. All are held until it is there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use inlet_common::clock;
use reqwest::{Client, StatusCode, Url};

use super::{Answer, Board, Conduct, Last, Record};
use crate::playlist::{self, Media, Report};

/// How long after its part is due an answer may come: a busy machine's worst.
const LATEST: Duration = Duration::from_secs(2);
/// From the end of a part's media until it is listed.
const BEHIND: Duration = Duration::from_secs(4);
/// A part is complete with its last frame, which is shown for so long, in seconds.
const AHEAD: f64 = 0.1;
/// What took longer was held.
const AT_ONCE: Duration = Duration::from_millis(20);
/// Segments behind the edge whose parts are no longer listed, and are still there.
const UNLISTED: u64 = 5;

/// Who walks one playlist.
pub(super) struct Walker<'a> {
    client: Client,
    board: &'a Board,
    conduct: Conduct,
    view: Media,
    record: Record,
    /// How far the others were when the view before was asked for.
    edges: BTreeMap<Url, Option<Last>>,
    /// The part that was hinted, as it came.
    hinted: Option<(String, Answer)>,
}

impl<'a> Walker<'a> {
    /// Reads the playlist as it is now.
    pub(super) async fn begin(
        client: &Client,
        url: &Url,
        board: &'a Board,
        conduct: Conduct,
    ) -> Result<Self> {
        let edges = board.read();
        let text = Answer::must(client, url).await?;
        let view = playlist::parse(std::str::from_utf8(&text)?)?;
        let mut walker = Self {
            client: client.clone(),
            board,
            conduct,
            record: Record::new(url.clone(), &view)?,
            view: Media::default(),
            edges,
            hinted: None,
        };
        walker.take(view).await?;
        Ok(walker)
    }

    /// Walks on until then.
    pub(super) async fn run(mut self, end: Instant) -> Result<Record> {
        while clock::now() < end {
            let edge = self.view.edge();
            let step = self.step(edge).await;
            step.with_context(|| format!("{} behind {edge:?}", self.record.url))?;
        }
        Ok(self.record)
    }

    async fn step(&mut self, (segment, part): (u64, usize)) -> Result<()> {
        let edges = self.board.read();
        let mut whole = self.record.url.clone();
        whole.set_query(Some(&format!("_HLS_msn={segment}&_HLS_part={part}")));
        let mut delta = self.record.url.clone();
        let query = format!("_HLS_msn={segment}&_HLS_part={part}&_HLS_skip=YES");
        delta.set_query(Some(&query));
        let (whole, delta, hinted) = tokio::try_join!(
            Answer::get(&self.client, &whole),
            Answer::get(&self.client, &delta),
            self.fetch_hinted(),
        )?;
        if self.waits_in_vain(&whole)? || self.waits_in_vain(&delta)? {
            return Ok(());
        }
        let view = playlist::parse(std::str::from_utf8(&whole.body)?)?;
        let delta = playlist::parse(std::str::from_utf8(&delta.body)?)?;
        ensure!(
            view.edge() > (segment, part),
            "it ends at {:?}",
            view.edge()
        );
        self.ensure_in_time(&whole, &view)?;
        self.compare(delta, &view)?;
        let known = std::mem::replace(&mut self.edges, edges);
        self.ensure_reports(&view, &known).await?;
        self.hinted = hinted;
        self.take(view).await
    }

    /// Whether nothing came for as long as requests are held.
    fn waits_in_vain(&self, answer: &Answer) -> Result<bool> {
        match answer.status {
            StatusCode::OK => Ok(false),
            StatusCode::SERVICE_UNAVAILABLE if self.conduct == Conduct::Broken => Ok(true),
            status => bail!("{status} after {:?}", answer.took),
        }
    }

    fn ensure_in_time(&mut self, answer: &Answer, view: &Media) -> Result<()> {
        self.record.reloads += 1;
        self.record.held += u64::from(answer.took > AT_ONCE);
        if self.conduct == Conduct::Broken {
            return Ok(());
        }
        let limit = Duration::from_secs_f64(view.part_target) + LATEST;
        ensure!(answer.took <= limit, "it took {:?}", answer.took);
        let newest = match view.open_parts {
            0 => view.segments.last().context("no segment")?,
            _ => &view.open,
        };
        let listed: f64 = newest.parts.iter().map(|part| part.duration).sum();
        let begin = newest.date.context("no date")?;
        let micros = clock::utc().as_unix_micros() - begin;
        let behind = micros as f64 / 1e6 - listed;
        ensure!(
            (-AHEAD..BEHIND.as_secs_f64()).contains(&behind),
            "the part's media ended {behind} s ago"
        );
        Ok(())
    }

    /// A delta update and what was known before make the whole playlist. Which other
    /// renditions have grown meanwhile makes no difference.
    fn compare(&mut self, delta: Media, whole: &Media) -> Result<()> {
        let is_delta = delta.skipped > 0;
        let left_out_until = delta.sequence + delta.skipped;
        if self.conduct == Conduct::Broken && left_out_until > self.view.edge().0 {
            // The presenter was away for so long that the delta begins behind what was
            // known: a client reads the whole one then.
            return Ok(());
        }
        let mut merged = delta.merge(&self.view)?;
        if merged.edge() != whole.edge() {
            return Ok(());
        }
        merged.reports.clone_from(&whole.reports);
        ensure!(merged == *whole, "merged to {merged:#?}\nnot {whole:#?}");
        self.record.merged += u64::from(is_delta);
        Ok(())
    }

    /// What a playlist says of the others is not older than what was known of them
    /// before it grew, and nothing that they do not hold.
    async fn ensure_reports(
        &self,
        view: &Media,
        known: &BTreeMap<Url, Option<Last>>,
    ) -> Result<()> {
        ensure!(
            view.reports.len() + 1 == known.len(),
            "reports of {:?}",
            view.reports
        );
        for Report { uri, last } in &view.reports {
            let other = self.record.url.join(uri)?;
            ensure!(other != self.record.url, "a report of itself");
            let known = known
                .get(&other)
                .with_context(|| format!("who is {uri}?"))?;
            ensure!(
                known.is_none_or(|known| *last >= known),
                "{uri} is reported at {last:?}, and was at {known:?} before"
            );
            if view.open_parts == 1 {
                let text = Answer::must(&self.client, &other).await?;
                let now = playlist::parse(std::str::from_utf8(&text)?)?.last();
                ensure!(
                    now >= Some(*last),
                    "{uri} is reported at {last:?}, and is at {now:?}"
                );
            }
        }
        Ok(())
    }

    async fn fetch_hinted(&self) -> Result<Option<(String, Answer)>> {
        let Some(hint) = &self.view.preload_hint else {
            return Ok(None);
        };
        let url = self.record.url.join(hint)?;
        let answer = Answer::get(&self.client, &url).await?;
        Ok(Some((hint.clone(), answer)))
    }

    /// Takes a view, and fetches all that it names and was not known.
    async fn take(&mut self, view: Media) -> Result<()> {
        if self.conduct != Conduct::Broken {
            ensure!(view.preload_hint.is_some(), "no PRELOAD-HINT");
        }
        self.record.take(&view, self.conduct)?;
        self.board.set(&self.record.url, view.last());
        self.view = view;
        for map in self.record.missing_inits() {
            let init = Answer::must(&self.client, &self.record.url.join(&map)?).await?;
            self.record.inits.insert(map, init);
        }
        for (number, index, uri) in self.record.missing_parts() {
            let part = self.fetch_part(&uri).await?;
            self.record.put_part(number, index, part)?;
        }
        if let Some((hint, _)) = self.hinted.take() {
            ensure!(
                self.conduct == Conduct::Broken,
                "{hint} was hinted, and has not come"
            );
        }
        for (number, uri) in self.record.missing_segments() {
            let url = self.record.url.join(&uri)?;
            let segment = Answer::must(&self.client, &url).await?;
            self.record.put_segment(number, segment)?;
            self.ensure_kept(number).await?;
        }
        Ok(())
    }

    async fn fetch_part(&mut self, uri: &str) -> Result<Bytes> {
        let part = Answer::must(&self.client, &self.record.url.join(uri)?).await?;
        if let Some((_, hinted)) = self.hinted.take_if(|(hint, _)| hint == uri) {
            let status = hinted.status;
            ensure!(status == StatusCode::OK, "{uri} was hinted, and {status}");
            ensure!(hinted.body == part, "{uri} is not what was hinted");
            self.record.hinted += 1;
        }
        Ok(part)
    }

    /// Parts that the playlist has ceased to name can still be fetched.
    async fn ensure_kept(&mut self, newest: u64) -> Result<()> {
        let Some((uri, known)) = self.record.unlisted(newest.saturating_sub(UNLISTED)) else {
            return Ok(());
        };
        let part = Answer::must(&self.client, &self.record.url.join(&uri)?).await?;
        ensure!(part == known, "{uri} has changed");
        self.record.kept += 1;
        Ok(())
    }
}
