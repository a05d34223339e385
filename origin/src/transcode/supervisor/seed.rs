//! The tallest made rung's frames since its last IDR: what a new worker decodes to show
//! what viewers saw last.
//!
//! Pure. These are our own encoder's frames, but a worker that was taken over
//! may have made them: they are decoded inside the sandbox again, and a worker
//! that dies of them gets none next time.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::transcode::{Output, ipc::ToWorker};

/// Keeps the seed.
#[derive(Debug, Default)]
pub(super) struct Seed {
    /// The tallest rung that is made.
    rung: usize,
    /// By rung: few, as the ledger lets no others pass.
    configs: BTreeMap<usize, (Bytes, Bytes)>,
    frames: Vec<Bytes>,
    bytes: usize,
    /// Later frames than those kept have come.
    is_cut: bool,
}

impl Seed {
    /// Keeps the frames of this rung from now on.
    pub(super) fn follow(&mut self, rung: usize) {
        if self.rung != rung {
            self.rung = rung;
            self.frames.clear();
            self.bytes = 0;
            // What comes before its next IDR is nothing without what came before that.
            self.is_cut = true;
        }
    }

    /// Takes note of what goes out to viewers.
    pub(super) fn handle_output(&mut self, output: &Output) {
        match output {
            Output::VideoConfig { rung, sps, pps } => {
                if *rung == self.rung {
                    self.frames.clear();
                    self.bytes = 0;
                    self.is_cut = false;
                }
                self.configs.insert(*rung, (sps.clone(), pps.clone()));
            }
            Output::Video {
                rung, idr, data, ..
            } if *rung == self.rung => {
                if *idr {
                    self.frames.clear();
                    self.bytes = 0;
                    self.is_cut = false;
                }
                if self.frames.len() >= MAX_FRAMES || self.bytes + data.len() > MAX_BYTES {
                    // An older picture is better than a gap in the middle.
                    self.is_cut = true;
                }
                if !self.is_cut {
                    self.bytes += data.len();
                    // Each lies in a read buffer of 64 KiB, which it would pin for as
                    // long as a segment lasts: 2 MB a second of them.
                    self.frames.push(Bytes::copy_from_slice(data));
                }
            }
            _ => {}
        }
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        *self = Self {
            rung: self.rung,
            ..Self::default()
        };
    }

    /// The messages that give it to a worker; none without an IDR.
    pub(super) fn messages(&self) -> impl Iterator<Item = ToWorker> {
        let config = self
            .configs
            .get(&self.rung)
            .filter(|_| !self.frames.is_empty());
        let config = config.map(|(sps, pps)| ToWorker::SeedConfig {
            sps: sps.clone(),
            pps: pps.clone(),
        });
        let frames = self
            .frames
            .iter()
            .map(|data| ToWorker::SeedFrame { data: data.clone() });
        let has_config = config.is_some();
        config.into_iter().chain(frames.filter(move |_| has_config))
    }
}

/// A segment of 4 s at 60 frames per second, and then some.
const MAX_FRAMES: usize = 300;

/// A second of 32 Mbps.
const MAX_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_since_the_last_idr_of_the_top_rung_are_kept() {
        let mut seed = Seed::default();
        seed.handle_output(&frame(0, true, 1));
        assert_eq!(seed.messages().count(), 0);
        seed.handle_output(&Output::VideoConfig {
            rung: 0,
            sps: Bytes::from_static(b"s"),
            pps: Bytes::from_static(b"p"),
        });
        assert_eq!(seed.messages().count(), 0);
        for (rung, idr) in [
            (0, true),
            (1, true),
            (0, false),
            (0, true),
            (0, false),
            (1, false),
        ] {
            seed.handle_output(&frame(rung, idr, 10));
        }
        let messages: Vec<_> = seed.messages().collect();
        assert_eq!(messages.len(), 3);
        assert!(matches!(messages[0], ToWorker::SeedConfig { .. }));
        seed.clear();
        assert_eq!(seed.messages().count(), 0);
    }

    #[test]
    fn the_seed_is_of_the_tallest_rung_that_is_made() {
        let mut seed = Seed::default();
        let set = Bytes::from_static(b"s");
        for rung in [0, 1] {
            let (sps, pps) = (set.clone(), set.clone());
            seed.handle_output(&Output::VideoConfig { rung, sps, pps });
            seed.handle_output(&frame(rung, true, 1));
        }
        assert_eq!(seed.messages().count(), 2);
        seed.follow(1);
        seed.handle_output(&frame(1, false, 1));
        assert_eq!(seed.messages().count(), 0, "before its next IDR");
        seed.handle_output(&frame(1, true, 1));
        seed.handle_output(&frame(0, true, 1));
        seed.handle_output(&frame(1, false, 1));
        assert_eq!(seed.messages().count(), 3);
        seed.follow(0);
        assert_eq!(seed.messages().count(), 0);
    }

    #[test]
    fn a_seed_pins_no_buffer() {
        let mut seed = Seed::default();
        let buffer = Bytes::from(vec![7; 100]);
        seed.handle_output(&Output::Video {
            rung: 0,
            number: 0,
            idr: true,
            data: buffer.slice(10..20),
        });
        assert!(buffer.is_unique());
        assert_eq!(seed.frames, [&[7; 10][..]]);
    }

    #[test]
    fn the_seed_is_bounded_and_never_has_a_gap() {
        let mut seed = Seed::default();
        let set = Bytes::from_static(b"s");
        seed.handle_output(&Output::VideoConfig {
            rung: 0,
            sps: set.clone(),
            pps: set,
        });
        seed.handle_output(&frame(0, true, MAX_BYTES / 2));
        seed.handle_output(&frame(0, false, MAX_BYTES));
        seed.handle_output(&frame(0, false, 1));
        assert_eq!(seed.frames.len(), 1);
        for index in 0..2 * MAX_FRAMES {
            seed.handle_output(&frame(0, index == 0, 1));
        }
        assert_eq!(seed.frames.len(), MAX_FRAMES);
    }

    fn frame(rung: usize, idr: bool, size: usize) -> Output {
        Output::Video {
            rung,
            number: 0,
            idr,
            data: Bytes::from(vec![0; size]),
        }
    }
}
