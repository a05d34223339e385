//! The MPD of a live stream, and its segments as their availability times have it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use inlet_common::clock;
use reqwest::{Client, StatusCode, Url};

use super::{Answer, Conduct, all_of};
use crate::{boxes, moment};

/// How long after its availability the first chunk of a segment may come: a busy
/// machine's worst.
const LATEST: i64 = 3_000_000;
/// So much earlier every second segment is asked for, in microseconds.
const EARLY: i64 = 200_000;
/// A segment of a second that is sent as it grows takes at least so long.
const GROWS: Duration = Duration::from_millis(500);
/// What our clock and that of `UTCTiming` may be apart, on one machine.
const CLOCKS: i64 = 1_000_000;
/// What a segment of sound may begin late, in ticks.
const SOUND_LATE: i64 = 1024;
/// What a capture time may be off by rounding, in microseconds.
const ROUNDING: i64 = 1_001;

/// What a representation's walk has seen.
#[derive(Debug)]
pub struct Walked {
    /// `Representation@id`.
    pub id: String,
    /// Its segments by number.
    pub segments: BTreeMap<u64, Bytes>,
    /// Segments whose chunks came while it grew.
    pub grown: usize,
}

/// What an MPD with one period says.
#[derive(Clone, Debug, PartialEq)]
struct Mpd {
    /// `availabilityStartTime` in microseconds of Unix time.
    start: i64,
    published: i64,
    period: i64,
    clock: String,
    representations: Vec<Representation>,
}

/// A `Representation` with its `SegmentTemplate`; times in ticks.
#[derive(Clone, Debug, PartialEq)]
struct Representation {
    id: String,
    timescale: i64,
    duration: i64,
    first: i64,
    presentation_offset: i64,
    /// `availabilityTimeOffset` in microseconds.
    early: i64,
    initialization: String,
    media: String,
}

/// Walks all representations for so long.
///
/// # Errors
///
/// At the first thing that is not as it must be.
pub async fn walk(url: &str, length: Duration, conduct: Conduct) -> Result<Vec<Walked>> {
    let url: Url = url.parse()?;
    let client = Client::new();
    let mpd = Mpd::fetch(&client, &url).await?;
    ensure_clock(&client, &url.join(&mpd.clock)?).await?;
    let end = clock::utc().as_unix_micros() + i64::try_from(length.as_micros())?;
    let walks = mpd.representations.iter().map(|representation| {
        let (client, url) = (client.clone(), url.clone());
        representation.walk(client, url, &mpd, end, conduct)
    });
    let (walked, ()) = tokio::try_join!(all_of(walks), look_again(&client, &url, &mpd, end))?;
    Ok(walked)
}

/// The MPD stays what it is, but for the moment of its publication and rates.
async fn look_again(client: &Client, url: &Url, first: &Mpd, end: i64) -> Result<()> {
    let mut published = first.published;
    while clock::utc().as_unix_micros() < end {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mpd = Mpd::fetch(client, url).await?;
        ensure!(mpd.published >= published, "publishTime goes back");
        published = mpd.published;
        let rest = Mpd {
            published: first.published,
            ..mpd
        };
        ensure!(rest == *first, "{first:?} became {rest:?}");
    }
    Ok(())
}

async fn ensure_clock(client: &Client, url: &Url) -> Result<()> {
    let text = Answer::must(client, url).await?;
    let told = moment::parse(std::str::from_utf8(&text)?.trim())?;
    let apart = clock::utc().as_unix_micros() - told;
    ensure!((0..CLOCKS).contains(&apart), "{url} is {apart} µs behind");
    Ok(())
}

impl Mpd {
    async fn fetch(client: &Client, url: &Url) -> Result<Self> {
        let text = Answer::must(client, url).await?;
        let xml = std::str::from_utf8(&text)?;
        Self::read(xml).with_context(|| format!("{url}: {xml}"))
    }

    fn read(xml: &str) -> Result<Self> {
        let root = element(xml, "MPD")?;
        ensure!(attribute(root, "type")? == "dynamic");
        let periods: Vec<&str> = xml.split("<Period ").skip(1).collect();
        let [period] = periods[..] else {
            bail!("{} periods", periods.len());
        };
        let latency = element(xml, "Latency")?;
        element(xml, "PlaybackRate")?;
        let mut representations = Vec::new();
        let mut references = Vec::new();
        for set in period.split("<AdaptationSet ").skip(1) {
            // Pictures of the timeline may stand beside what is played.
            if !matches!(attribute(set, "contentType"), Ok("video" | "audio")) {
                continue;
            }
            let produced = element(set, "ProducerReferenceTime")?;
            let is_captured = attribute(produced, "type")? == "captured";
            ensure!(
                is_captured && attribute(produced, "inband")? == "true",
                "{produced}"
            );
            references.push(attribute(produced, "id")?);
            let all = set.split("<Representation ").skip(1);
            for representation in all {
                representations.push(Representation::read(representation)?);
            }
        }
        ensure!(references.contains(&attribute(latency, "referenceId")?));
        Ok(Self {
            start: moment::parse(attribute(root, "availabilityStartTime")?)?,
            published: moment::parse(attribute(root, "publishTime")?)?,
            period: span(attribute(period, "start")?)?,
            clock: attribute(element(xml, "UTCTiming")?, "value")?.to_owned(),
            representations,
        })
    }
}

impl Representation {
    fn read(xml: &str) -> Result<Self> {
        let template = element(xml, "SegmentTemplate")?;
        let number = |name| -> Result<i64> { Ok(attribute(template, name)?.parse()?) };
        ensure!(attribute(template, "availabilityTimeComplete")? == "false");
        let early: f64 = attribute(template, "availabilityTimeOffset")?.parse()?;
        Ok(Self {
            id: attribute(xml, "id")?.to_owned(),
            timescale: number("timescale")?,
            duration: number("duration")?,
            first: number("startNumber")?,
            presentation_offset: number("presentationTimeOffset")?,
            early: (early * 1e6).round() as i64,
            initialization: attribute(template, "initialization")?.to_owned(),
            media: attribute(template, "media")?.to_owned(),
        })
    }

    /// Length of a segment in microseconds.
    fn length(&self) -> i64 {
        self.duration * 1_000_000 / self.timescale
    }

    /// When a segment can be asked for (ISO/IEC 23009-1 §A.3.2 with §5.3.9.5.3): its
    /// end, less what it is available early.
    fn available(&self, mpd: &Mpd, number: i64) -> i64 {
        mpd.start + mpd.period + (number - self.first + 1) * self.length() - self.early
    }

    async fn walk(
        &self,
        client: Client,
        url: Url,
        mpd: &Mpd,
        end: i64,
        conduct: Conduct,
    ) -> Result<Walked> {
        let init = url.join(&self.initialization)?;
        let init = Answer::must(&client, &init).await?;
        ensure!(boxes::timescale(&init)? == u64::try_from(self.timescale)?);
        let now = clock::utc().as_unix_micros();
        let passed = (now - self.available(mpd, self.first)) / self.length();
        let numbers = self.first + passed + 1..;
        let numbers = numbers.take_while(|number| self.available(mpd, *number) < end);
        let numbers: Vec<i64> = numbers.collect();
        let fetched = numbers.iter().map(|number| {
            let early = if number % 2 == 0 { EARLY } else { 0 };
            self.fetch(&client, &url, self.available(mpd, *number), early, *number)
        });
        let fetched = all_of(fetched).await?;
        let mut walked = Walked {
            id: self.id.clone(),
            segments: BTreeMap::new(),
            grown: 0,
        };
        let mut next = None;
        for (number, (segment, has_grown)) in numbers.into_iter().zip(fetched) {
            let judged = self.judge(mpd, number, &segment, &mut next, conduct);
            judged.with_context(|| format!("{} segment {number}", self.id))?;
            walked.grown += usize::from(has_grown);
            walked.segments.insert(u64::try_from(number)?, segment);
        }
        Ok(walked)
    }

    /// Asks for a segment when it is available, or earlier, and is given it as it grows.
    async fn fetch(
        &self,
        client: &Client,
        url: &Url,
        available: i64,
        early: i64,
        number: i64,
    ) -> Result<(Bytes, bool)> {
        let wait = available - early - clock::utc().as_unix_micros();
        tokio::time::sleep(Duration::from_micros(u64::try_from(wait).unwrap_or(0))).await;
        let path = self.media.replace("$RepresentationID$", &self.id);
        let url = url.join(&path.replace("$Number$", &number.to_string()))?;
        let mut response = client.get(url.clone()).send().await?;
        ensure!(
            response.status() == StatusCode::OK,
            "{url} by its time: {}",
            response.status()
        );
        let (mut segment, mut begun) = (BytesMut::new(), None);
        while let Some(bytes) = response.chunk().await.with_context(|| url.to_string())? {
            if begun.is_none() {
                begun = Some(clock::now());
                let late = clock::utc().as_unix_micros() - available;
                ensure!(late < LATEST, "{url} came {late} µs late");
            }
            segment.extend_from_slice(&bytes);
        }
        let took = clock::now().duration_since(begun.context("an empty segment")?);
        Ok((segment.freeze(), took >= GROWS))
    }

    /// Decode times go on from the segment before, begin where its number says (sound
    /// within a frame, a presenter's own pictures within half a segment), and were captured
    /// when they say.
    fn judge(
        &self,
        mpd: &Mpd,
        number: i64,
        segment: &[u8],
        next: &mut Option<u64>,
        conduct: Conduct,
    ) -> Result<()> {
        let chunks = boxes::chunks(segment)?;
        let first = chunks.first().context("no chunk")?;
        let produced = first.produced.context("no prft")?;
        let scaled = |ticks: u64| -> Result<i64> {
            let micros = u128::from(ticks) * 1_000_000 / self.timescale.unsigned_abs() as u128;
            Ok(i64::try_from(micros)?)
        };
        ensure!(produced.media_time == first.start, "prft {produced:?}");
        let off = produced.captured - mpd.start - scaled(first.start)?;
        ensure!(
            off.abs() <= ROUNDING,
            "captured {off} µs off its media time"
        );
        let nominal = self.presentation_offset + (number - self.first) * self.duration;
        let drift = i64::try_from(first.start)? - nominal;
        let half = self.duration / 2;
        let allowed = match conduct {
            Conduct::Passed => -half..=half,
            Conduct::Steady | Conduct::Broken => 0..=SOUND_LATE,
        };
        ensure!(allowed.contains(&drift), "begins {drift} ticks late");
        for chunk in &chunks {
            let end = chunk.start + chunk.duration();
            let expected = next.replace(end);
            ensure!(
                expected.is_none_or(|expected| expected == chunk.start),
                "tfdt is {} behind {expected:?}",
                chunk.start
            );
        }
        Ok(())
    }
}

/// The attributes of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Result<&'a str> {
    let open = format!("<{name} ");
    let found = xml
        .split(&open)
        .nth(1)
        .and_then(|rest| rest.split('>').next());
    found.with_context(|| format!("no {name}"))
}

/// An attribute of the element that `tag` begins in.
fn attribute<'a>(tag: &'a str, name: &str) -> Result<&'a str> {
    let tag = tag.split('>').next().unwrap_or_default();
    let mut pairs = tag
        .split("\" ")
        .filter_map(|pair| pair.trim().split_once("=\""));
    let found = pairs.find(|(key, _)| *key == name).map(|pair| pair.1);
    let value = found.with_context(|| format!("no {name} in {tag}"))?;
    Ok(value.trim_end_matches('/').trim_end_matches('"'))
}

/// `PT30.5S` in microseconds.
fn span(text: &str) -> Result<i64> {
    let seconds = text.strip_prefix("PT").and_then(|it| it.strip_suffix('S'));
    let seconds: f64 = seconds
        .with_context(|| format!("no span: {text}"))?
        .parse()?;
    Ok((seconds * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_available_before_their_end() {
        let xml = "<MPD type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:10.000Z\" \
            publishTime=\"1970-01-01T00:00:20.000Z\">\
            <Latency referenceId=\"0\" target=\"800\"/><PlaybackRate min=\"0.9\"/>\
            <Period id=\"5\" start=\"PT5.000000S\">\
            <AdaptationSet id=\"9\" contentType=\"image\"><Representation id=\"tiles\"/>\
            </AdaptationSet><AdaptationSet id=\"0\" contentType=\"video\">\
            <ProducerReferenceTime id=\"0\" inband=\"true\" type=\"captured\">\
            <UTCTiming schemeIdUri=\"x\" value=\"time\"/></ProducerReferenceTime>\
            <Representation id=\"360p\">\
            <SegmentTemplate timescale=\"90000\" duration=\"90000\" startNumber=\"5\" \
            presentationTimeOffset=\"450000\" availabilityTimeOffset=\"0.850000\" \
            availabilityTimeComplete=\"false\" initialization=\"360p/i.mp4\" \
            media=\"$RepresentationID$/$Number$.m4s\"/></Representation></AdaptationSet></Period></MPD>";
        let mpd = Mpd::read(xml).unwrap();
        let representation = &mpd.representations[0];
        assert_eq!(representation.id, "360p");
        assert_eq!(representation.media, "$RepresentationID$/$Number$.m4s");
        assert_eq!(representation.available(&mpd, 5), 15_150_000);
        assert_eq!(representation.available(&mpd, 7), 17_150_000);
        assert!(Mpd::read(&xml.replace("captured", "encoder")).is_err());
    }
}
