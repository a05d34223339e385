//! How a point of presence does, as it says itself: REPORT from an edge to the
//! origin, and FLEET from the origin to every edge.
//!
//! A report is ordered by its maker's clock and by nobody else's: what is told of
//! others carries ages, not moments. And it is never long: what a peer says beyond
//! [`MAX_POPS`], or under a name that is none, is passed over.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::clock::UtcTime;

/// Points of presence that a FLEET tells of; more are passed over. With the longest
/// names that is two thirds of [`MAX_MESSAGE`](super::control::MAX_MESSAGE).
pub const MAX_POPS: usize = 128;

/// Longest name, in bytes: as long as host names of Linux.
pub const MAX_NAME: usize = 64;

/// Services of others that a report calls down; more are passed over.
pub const MAX_DOWN: usize = 8;

/// How often an edge reports.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// Who has said nothing for so long is silent: three reports are missing.
pub const SILENCE: Duration = Duration::from_secs(6);

/// A report that is older says nothing any more: how its maker does is unknown.
pub const EXPIRY: Duration = Duration::from_secs(30);

/// The name of a point of presence: one to [`MAX_NAME`] printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Takes a name; `None` when it is none.
    pub fn new(name: &str) -> Option<Self> {
        let is_printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_printable);
        is_name.then(|| Self(name.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Share of a service's capacity that is in use, in thousandths; on the wire a
/// number from 0 (idle) to 1 (full).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Load(u16);

impl Load {
    /// Nothing is in use.
    pub const IDLE: Self = Self(0);

    /// Nothing is left.
    pub const FULL: Self = Self(1000);

    /// The load of a share; what lies outside 0 to 1 is cut. No number, as of a
    /// capacity of nothing, is full.
    pub fn new(share: f64) -> Self {
        match share.is_nan() {
            true => Self::FULL,
            false => Self((share.clamp(0.0, 1.0) * 1000.0).round() as u16),
        }
    }

    /// So much of a capacity.
    pub fn of(used: usize, capacity: usize) -> Self {
        Self::new(used as f64 / capacity as f64)
    }

    /// The share, from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl From<f64> for Load {
    fn from(share: f64) -> Self {
        Self::new(share)
    }
}

impl From<Load> for f64 {
    fn from(load: Load) -> Self {
        load.share()
    }
}

/// The load of each service; `None` when it is not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loads {
    /// Taking presenters by WHIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whip: Option<Load>,
    /// STUN and TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Load>,
}

/// A service of a point of presence by one address family, in four bytes whatever its
/// name is: whoever it is looks for its own. That another one has the same is as likely as
/// one in millions, and one mark alone takes nobody out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(u32);

impl Mark {
    /// The mark of `service` of the point of presence `name` by `family`: FNV-1a of the
    /// three, which neither has a `/` in it but the name, which is last.
    pub fn new(name: &str, service: &str, family: &str) -> Self {
        let words = [service, "/", family, "/", name];
        let bytes = words.iter().flat_map(|word| word.bytes());
        Self(bytes.fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        }))
    }
}

/// Which services of others its maker's own probes have down, at most [`MAX_DOWN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Mark>", into = "Vec<Mark>")]
pub struct Down([Option<Mark>; MAX_DOWN]);

impl Down {
    /// Makes it; what is beyond [`MAX_DOWN`] is left out.
    pub fn new(marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut down = Self::default();
        for (to, mark) in down.0.iter_mut().zip(marks) {
            *to = Some(mark);
        }
        down
    }

    /// Whether this one is among them.
    pub fn has(&self, mark: Mark) -> bool {
        self.0.contains(&Some(mark))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Vec<Mark>> for Down {
    fn from(marks: Vec<Mark>) -> Self {
        Self::new(marks)
    }
}

impl From<Down> for Vec<Mark> {
    fn from(down: Down) -> Self {
        down.0.into_iter().flatten().collect()
    }
}

/// What a point of presence says of itself. Its name is that of its HELLO, or of whom
/// another one has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made, by the clock of its maker: of two, the later one counts.
    pub made: UtcTime,
    /// Whether new clients should go elsewhere.
    pub is_draining: bool,
    /// Whether it has lost its origin: it can take no presenters until that is back, and
    /// relays all the same. No origin is told so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut_off: bool,
    /// How much it has to do.
    pub loads: Loads,
    /// What it finds down of others, for those whom it is about: nobody can see himself
    /// from outside. Earlier versions neither say so nor hand it on.
    #[serde(default, skip_serializing_if = "Down::is_empty")]
    pub down: Down,
}

impl Report {
    /// Whether this one counts instead of `held`, which came `age` ago. Reports may
    /// overtake one another, as by two links. A clock that was put back would make all
    /// later ones old, so whoever is silent begins anew.
    pub fn supersedes(&self, held: &Self, age: Duration) -> bool {
        self.made > held.made || age > SILENCE
    }
}

/// A report out of a FLEET.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Whose it is.
    pub name: Name,
    /// How long ago it came to the origin, in whole milliseconds.
    #[serde(rename = "age_ms", serialize_with = "as_millis")]
    pub age: Duration,
    /// What it says.
    pub report: Report,
}

/// The latest report of every point of presence that the origin has heard of in the
/// last [`EXPIRY`], whoever is told being among them. At most [`MAX_POPS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Told")]
pub struct Fleet {
    pops: Vec<Heard>,
}

impl Fleet {
    /// Makes it; what is beyond [`MAX_POPS`] is left out.
    pub fn new(pops: impl IntoIterator<Item = Heard>) -> Self {
        let pops = pops.into_iter().take(MAX_POPS).collect();
        Self { pops }
    }

    /// Who was heard of.
    pub fn pops(&self) -> &[Heard] {
        &self.pops
    }
}

/// A FLEET as it stands in the message, whose length bounds it.
#[derive(Deserialize)]
struct Told {
    pops: Vec<ToldOf>,
}

#[derive(Deserialize)]
struct ToldOf {
    name: String,
    age_ms: u64,
    report: Report,
}

impl From<Told> for Fleet {
    fn from(told: Told) -> Self {
        Self::new(told.pops.into_iter().filter_map(|of| {
            Some(Heard {
                name: Name::new(&of.name)?,
                age: Duration::from_millis(of.age_ms),
                report: of.report,
            })
        }))
    }
}

fn as_millis<S: serde::Serializer>(age: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roq::control::{self, Decoder, MAX_MESSAGE, Message};

    fn report(made: i64) -> Report {
        Report {
            made: UtcTime::from_unix_micros(made),
            is_draining: false,
            is_cut_off: false,
            loads: Loads {
                whip: Some(Load::new(0.25)),
                turn: None,
            },
            down: Down::default(),
        }
    }

    fn heard(name: &str) -> Heard {
        Heard {
            name: Name::new(name).unwrap(),
            age: Duration::from_millis(1_500),
            report: report(7),
        }
    }

    fn read(json: &str) -> Message {
        let mut decoder = Decoder::default();
        decoder.push(&u32::try_from(json.len()).unwrap().to_be_bytes());
        decoder.push(json.as_bytes());
        decoder.poll_message().unwrap().unwrap()
    }

    fn again(message: &Message) -> Message {
        let mut wire = Vec::new();
        control::encode(message, &mut wire);
        read(std::str::from_utf8(&wire[4..]).unwrap())
    }

    #[test]
    fn both_messages_are_read_as_they_were_written() {
        let report = Message::Report(report(-5));
        assert_eq!(again(&report), report);
        let fleet = Message::Fleet(Fleet::new([heard("ams"), heard("fra 1")]));
        assert_eq!(again(&fleet), fleet);
    }

    #[test]
    fn a_service_that_is_not_served_is_absent() {
        let json = serde_json::to_string(&Message::Report(report(1))).unwrap();
        let expected = r#"{"type":"report","made":1,"is_draining":false,"loads":{"whip":0.25}}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn who_has_lost_its_origin_says_so_and_nobody_else_does() {
        let mut cut_off = report(1);
        cut_off.is_cut_off = true;
        let message = Message::Report(cut_off);
        assert_eq!(again(&message), message);
        let json = serde_json::to_string(&Message::Report(report(1))).unwrap();
        assert!(!json.contains("cut"), "earlier versions do not know it");
    }

    #[test]
    fn what_is_down_is_told_by_marks_and_no_more_than_a_few() {
        let mark = |number: usize| Mark::new(&number.to_string(), "whip", "ipv4");
        let mut told = report(1);
        told.down = Down::new((0..MAX_DOWN + 3).map(mark));
        let message = Message::Report(told);
        assert_eq!(again(&message), message);
        assert!(told.down.has(mark(MAX_DOWN - 1)) && !told.down.has(mark(MAX_DOWN)));
        for other in [
            ("0", "turn", "ipv4"),
            ("0", "whip", "ipv6"),
            ("1 ", "whip", "ipv4"),
        ] {
            assert!(!told.down.has(Mark::new(other.0, other.1, other.2)));
        }
        // The same in every version: FNV-1a of "whip/ipv4/fra".
        assert_eq!(Mark::new("fra", "whip", "ipv4"), Mark(0xa3a7_4133));
        // An earlier version says nothing of it, a later one maybe more.
        let json = serde_json::to_string(&Message::Report(report(1))).unwrap();
        assert!(!json.contains("down"), "{json}");
        let marks = ["7"; MAX_DOWN + 1].join(",");
        let json = format!(
            r#"{{"type":"report","made":3,"is_draining":false,"loads":{{}},"down":[{marks}]}}"#
        );
        let Message::Report(read) = read(&json) else {
            panic!("no report");
        };
        assert!(read.down.has(Mark(7)));
    }

    #[test]
    fn services_of_a_later_version_are_passed_over() {
        let json = r#"{"type":"report","made":3,"is_draining":true,"loads":{"srt":1,"turn":1}}"#;
        let Message::Report(report) = read(json) else {
            panic!("no report");
        };
        assert!(report.is_draining);
        assert_eq!(report.loads.turn, Some(Load::FULL));
        assert_eq!(report.loads.whip, None);
    }

    #[test]
    fn a_load_is_a_share_whatever_was_sent() {
        let shares = [-1.0, 0.0, 0.1234, 1.0, 7.5, f64::INFINITY, f64::NAN];
        let loads = shares.map(|share| Load::new(share).share());
        assert_eq!(loads, [0.0, 0.0, 0.123, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(Load::of(1, 4).share(), 0.25);
        assert_eq!(Load::of(0, 0), Load::FULL);
    }

    #[test]
    fn names_are_short_and_printable() {
        for name in ["a", "fra 1", &"x".repeat(MAX_NAME)] {
            assert_eq!(Name::new(name).unwrap().as_str(), name);
        }
        for name in ["", "a\n", "\u{1F310}", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(Name::new(name), None, "{name}");
        }
    }

    #[test]
    fn a_list_is_cut_and_names_that_are_none_are_passed_over() {
        let one = |name: &str| {
            let report = r#"{"made":1,"is_draining":false,"loads":{}}"#;
            format!(r#"{{"name":"{name}","age_ms":1,"report":{report}}}"#)
        };
        let mut pops = vec![one(&"x".repeat(MAX_NAME + 1)), one("")];
        pops.extend((0..MAX_POPS + 5).map(|at| one(&at.to_string())));
        let json = format!(r#"{{"type":"fleet","pops":[{}]}}"#, pops.join(","));
        let Message::Fleet(fleet) = read(&json) else {
            panic!("no fleet");
        };
        assert_eq!(fleet.pops().len(), MAX_POPS);
        assert_eq!(fleet.pops()[0].name.as_str(), "0");
    }

    #[test]
    fn the_longest_fleet_is_a_message() {
        let mut longest = heard(&"\"".repeat(MAX_NAME));
        longest.age = Duration::MAX;
        longest.report.made = UtcTime::from_unix_micros(i64::MIN);
        longest.report.is_cut_off = true;
        longest.report.loads.turn = Some(Load::new(0.123));
        longest.report.down = Down::new([Mark(u32::MAX); MAX_DOWN]);
        let fleet = Fleet::new(std::iter::repeat_n(longest, MAX_POPS));
        let mut wire = Vec::new();
        control::encode(&Message::Fleet(fleet), &mut wire);
        assert!(wire.len() < MAX_MESSAGE, "{} bytes", wire.len());
    }

    #[test]
    fn the_later_report_counts_until_its_maker_falls_silent() {
        let (old, new) = (report(1), report(2));
        assert!(new.supersedes(&old, Duration::ZERO));
        assert!(!old.supersedes(&new, SILENCE));
        assert!(!new.supersedes(&new, SILENCE));
        assert!(old.supersedes(&new, SILENCE + Duration::from_millis(1)));
    }
}
