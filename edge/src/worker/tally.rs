//! What a worker counts on the way, in plain integers, and how that reaches
//! the process's metrics.
//!
//! Counters of sessions only rise, so what was told before is taken off. Loss
//! is the exception: a packet that is missing now may come in a moment, so it
//! counts when it is still missing at the next look.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    demux::Class,
    metrics::{Media, Refused},
    roq::link::{self, Link},
    whip::session::{Counters, Session},
};

/// What was told of a session already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported {
    packets: u64,
    bytes: u64,
    lost: u64,
    lost_before: u64,
    counters: Counters,
    freezes: (u64, Duration),
    pub(super) has_ice: bool,
    pub(super) has_media: bool,
}

/// What a worker has counted since it told last.
#[derive(Debug, Default)]
pub(super) struct Tally {
    classes: BTreeMap<Class, u64>,
    refused: [u64; Refused::ALL.len()],
    link: link::Counters,
    link_packets: (u64, u64),
}

impl Tally {
    pub(super) fn note_class(&mut self, class: Class) {
        *self.classes.entry(class).or_default() += 1;
    }

    pub(super) fn note_refused(&mut self, reason: Refused) {
        if let Some(at) = Refused::ALL.iter().position(|known| *known == reason) {
            self.refused[at] += 1;
        }
    }

    /// Tells what datagrams came.
    pub(super) fn tell_datagrams(&mut self, metrics: &Media) {
        for (class, count) in std::mem::take(&mut self.classes) {
            if let Some(counter) = metrics.datagrams(class) {
                counter.increment(count);
            }
        }
        for (reason, count) in Refused::ALL
            .into_iter()
            .zip(std::mem::take(&mut self.refused))
        {
            if let Some(counter) = metrics.refused(reason) {
                counter.increment(count);
            }
        }
    }

    /// Tells what the link did.
    pub(super) fn tell_link(&mut self, metrics: &Media, link: &Link) {
        let counters = link.counters();
        let told = &mut self.link;
        metrics
            .frames_ok
            .increment(counters.frames_sent - told.frames_sent);
        metrics
            .frames_cancelled
            .increment(counters.frames_cancelled - told.frames_cancelled);
        metrics
            .keyframes_wanted
            .increment(counters.keyframes_wanted - told.keyframes_wanted);
        metrics
            .link_unreadable
            .increment(counters.unreadable - told.unreadable);
        metrics
            .link_connected
            .increment(counters.connected - told.connected);
        metrics.link_broken.increment(counters.broken - told.broken);
        for (reason, count) in &counters.dropped {
            let before = told.dropped.get(reason).copied().unwrap_or_default();
            if let Some(counter) = metrics.dropped(*reason) {
                counter.increment(count - before);
            }
        }
        told.clone_from(counters);
        let Some(gauges) = link.gauges() else {
            self.link_packets = (0, 0);
            return;
        };
        // A new connection counts from zero.
        let (sent, lost) = self.link_packets;
        metrics
            .link_sent
            .increment(gauges.sent.checked_sub(sent).unwrap_or(gauges.sent));
        metrics
            .link_lost
            .increment(gauges.lost.checked_sub(lost).unwrap_or(gauges.lost));
        self.link_packets = (gauges.sent, gauges.lost);
        if link.is_up() {
            metrics.link_rtt.record(gauges.rtt.as_secs_f64());
            metrics.link_window.record(gauges.window as f64);
            metrics.link_mtu.set(f64::from(gauges.mtu));
            metrics
                .frames_under_way
                .record(gauges.frames_under_way as f64);
        }
        if let Some(offset) = gauges.clock_offset {
            metrics.clock_offset.set(offset);
        }
    }
}

impl Reported {
    /// Tells what a session did since the last look.
    pub(super) fn tell(&mut self, metrics: &Media, session: &Session) {
        let totals = session.totals();
        metrics.rtp_packets.increment(totals.packets - self.packets);
        metrics.rtp_bytes.increment(totals.bytes - self.bytes);
        (self.packets, self.bytes) = (totals.packets, totals.bytes);
        self.tell_lost(metrics, totals.lost.min(self.lost_before));
        self.lost_before = totals.lost;
        let counters = session.counters();
        metrics
            .nacks
            .increment(counters.nacks - self.counters.nacks);
        metrics
            .keyframe_requests
            .increment(counters.keyframe_requests - self.counters.keyframe_requests);
        metrics
            .foreign_packets
            .increment(counters.foreign - self.counters.foreign);
        metrics
            .layer_packets_dropped
            .increment(counters.layer_dropped - self.counters.layer_dropped);
        metrics
            .layer_changes
            .increment(counters.layer_changes - self.counters.layer_changes);
        metrics
            .malformed_datagrams
            .increment(counters.malformed - self.counters.malformed);
        self.counters = counters;
        let (freezes, frozen) = session.freezes();
        let (freezes_before, frozen_before) = self.freezes;
        metrics.freezes.increment(freezes - freezes_before);
        if freezes > freezes_before {
            metrics
                .frozen
                .record((frozen - frozen_before).as_secs_f64());
        }
        self.freezes = (freezes, frozen);
        if session.is_connected() {
            for jitter in session.jitters() {
                metrics.jitter.record(jitter.as_secs_f64());
            }
        }
        if let Some(rtt) = session.rtt() {
            metrics.session_rtt.record(rtt.as_secs_f64());
        }
    }

    /// Tells the rest when a session is over.
    pub(super) fn tell_last(&mut self, metrics: &Media, session: &Session) {
        self.tell(metrics, session);
        self.tell_lost(metrics, session.totals().lost);
    }

    fn tell_lost(&mut self, metrics: &Media, lost: u64) {
        metrics.rtp_lost.increment(lost.saturating_sub(self.lost));
        self.lost = self.lost.max(lost);
    }
}
