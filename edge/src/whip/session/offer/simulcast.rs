//! Simulcast in an offer: which layers of a picture are taken.
//!
//! Two forms are out there. RFC 8853 lists names, each described by `a=rid`:
//! `a=simulcast:send q;~h;f`, where `~` is paused for now and `a,b` are
//! alternatives. The older one, of Chromium with rewritten SDP, groups sources:
//! `a=ssrc-group:SIM 1 2 3`. What cannot be taken is left out of the answer, and
//! then is not sent; it never fails the offer.

use str0m::media::Rid;

use super::{Format, line};
use crate::whip::session::layers::MAX_LAYERS;

/// Most names, and most sources of a group, that are read.
const MAX_READ: usize = 16;

/// Longest name that is taken. Real ones have a letter or two, and the engine
/// tells them apart by eight.
const MAX_RID: usize = 32;

/// Most restrictions of a layer that are repeated to the presenter.
const MAX_RESTRICTIONS: usize = 8;

/// A layer that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::whip::session) struct Layer {
    pub(in crate::whip::session) name: Name,
    /// Not sent for now.
    pub(in crate::whip::session) is_paused: bool,
    /// As `a=rid` has them, payload types left aside; empty mostly.
    pub(in crate::whip::session) restrictions: String,
}

/// By what a layer is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::whip::session) enum Name {
    Rid(String),
    Ssrc(u32),
}

impl Layer {
    pub(super) const fn has_rid(&self) -> bool {
        matches!(self.name, Name::Rid(_))
    }
}

/// What an m-line says of simulcast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simulcast {
    rids: Vec<Described>,
    /// The value of `a=simulcast`.
    list: Option<String>,
    /// The sources of the first `a=ssrc-group:SIM`.
    group: Vec<u32>,
}

/// A layer as `a=rid` describes it (RFC 8851 §10).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Described {
    id: String,
    /// Empty for all.
    payload_types: Vec<u8>,
    restrictions: String,
}

impl Simulcast {
    /// `<id> send [pt=<list>;]<restriction>=<value>;…`
    pub(super) fn read_rid(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let (Some(id), Some("send")) = (words.next(), words.next()) else {
            return;
        };
        let is_known = self.rids.iter().any(|rid| rid.id == id);
        if is_known || self.rids.len() == MAX_READ || !is_rid(id) {
            return;
        }
        let parameters = || words.clone().flat_map(|word| word.split(';'));
        let payload_types = parameters()
            .filter_map(|parameter| parameter.strip_prefix("pt="))
            .flat_map(|list| list.split(','))
            .filter_map(|number| number.parse().ok())
            .take(MAX_READ)
            .collect();
        let restrictions: Vec<&str> = parameters()
            .filter(|parameter| is_restriction(parameter))
            .take(MAX_RESTRICTIONS)
            .collect();
        self.rids.push(Described {
            id: id.to_owned(),
            payload_types,
            restrictions: restrictions.join(";"),
        });
    }

    pub(super) fn read_list(&mut self, value: &str) {
        self.list.get_or_insert_with(|| value.to_owned());
    }

    /// `SIM <source> <source> …`; other groups are others' business.
    pub(super) fn read_group(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        if words.next() == Some("SIM") && self.group.is_empty() {
            let sources = words.filter_map(|word| word.parse().ok());
            self.group = sources.take(MAX_READ).collect();
        }
    }

    /// Whether there is an `a=simulcast`.
    pub(super) const fn is_listed(&self) -> bool {
        self.list.is_some()
    }

    /// The layers that are taken. `has_names` is whether packets can tell their
    /// layer's name, `announced` are the sources of `a=ssrc`.
    pub(super) fn layers(
        &self,
        has_names: bool,
        announced: &[u32],
        formats: &[Format],
    ) -> Vec<Layer> {
        match &self.list {
            Some(list) if has_names => self.named(list, formats),
            Some(_) => Vec::new(),
            None => self.grouped(announced),
        }
    }

    fn named(&self, list: &str, formats: &[Format]) -> Vec<Layer> {
        let mut taken: Vec<Layer> = Vec::new();
        for alternatives in sent(list).split(';') {
            let found = alternatives.split(',').find_map(|alternative| {
                let id = alternative.trim_start_matches('~');
                let rid = self.rids.iter().find(|rid| rid.id == id)?;
                let is_new = taken.iter().all(|other| !other.is_alike(id));
                (is_new && rid.fits(formats)).then(|| Layer {
                    name: Name::Rid(id.to_owned()),
                    is_paused: alternative.starts_with('~'),
                    restrictions: rid.restrictions.clone(),
                })
            });
            taken.extend(found);
            if taken.len() == MAX_LAYERS {
                break;
            }
        }
        taken
    }

    fn grouped(&self, announced: &[u32]) -> Vec<Layer> {
        let sources = self.group.iter().filter(|ssrc| announced.contains(ssrc));
        sources
            .take(MAX_LAYERS)
            .map(|ssrc| Layer {
                name: Name::Ssrc(*ssrc),
                is_paused: false,
                restrictions: String::new(),
            })
            .collect()
    }
}

impl Layer {
    /// Whether the engine would take the other name for this one.
    fn is_alike(&self, id: &str) -> bool {
        matches!(&self.name, Name::Rid(own) if Rid::from(own.as_str()) == Rid::from(id))
    }
}

impl Described {
    /// Whether it may be sent in one of the formats that are taken.
    fn fits(&self, formats: &[Format]) -> bool {
        let mut formats = formats.iter();
        self.payload_types.is_empty()
            || formats.any(|format| self.payload_types.contains(&format.payload_type))
    }
}

/// Writes the layers that have names for the engine.
pub(super) fn write(out: &mut String, layers: &[Layer]) {
    let names: Vec<&str> = layers
        .iter()
        .filter_map(|layer| match &layer.name {
            Name::Rid(id) => Some(id.as_str()),
            Name::Ssrc(_) => None,
        })
        .collect();
    if names.is_empty() {
        return;
    }
    for name in &names {
        line(out, format_args!("a=rid:{name} send"));
    }
    // Not as paused: that would ask the presenter to leave it so.
    line(out, format_args!("a=simulcast:send {}", names.join(";")));
}

/// The list behind `send`; drafts of RFC 8853 had `rid=` in front of it.
fn sent(value: &str) -> &str {
    let mut words = value.split_ascii_whitespace();
    let list = words.by_ref().find(|word| *word == "send");
    let list = list.and_then(|_| words.next()).unwrap_or_default();
    list.strip_prefix("rid=").unwrap_or(list)
}

/// Of letters and digits, as packets have it (RFC 8852 §3). `a=rid` may have
/// more in it (RFC 8851 §10), and then names nothing that comes.
fn is_rid(id: &str) -> bool {
    (1..=MAX_RID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `max-width=1280` and the like (RFC 8851 §5), fit to be repeated.
fn is_restriction(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let is_name = |b: u8| b.is_ascii_lowercase() || b == b'-';
        let is_value = |b: u8| b.is_ascii_digit() || b == b'.';
        name.starts_with("max-")
            && parameter.len() <= MAX_RID
            && name.bytes().all(is_name)
            && !value.is_empty()
            && value.bytes().all(is_value)
    })
}
