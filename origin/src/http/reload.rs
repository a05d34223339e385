//! Blocking playlist reload (RFC 8216bis §6.2.5.2): what a client asks for,
//! and whether a playlist holds it. Pure.
//!
//! The order of parameters makes no difference, and those of others are ignored.
//! A cache in front sees another URL in each spelling, though: it must leave all but
//! the three directives out of its key, and put these in their order, or one viewer
//! with a counter in the query asks the origin itself every time.
//! `config/nginx/inlet.conf` does so.

use crate::package::{Layout, Snapshot, State};

/// Segments that a client may ask ahead of the newest one. The draft allows
/// two, and hls.js guesses that far.
const MAX_SEGMENTS_AHEAD: u64 = 2;

/// What a client asks of a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    /// `_HLS_msn`: the segment that the playlist must hold.
    pub(super) segment: Option<u64>,
    /// `_HLS_part`: the part of it.
    pub(super) part: Option<u64>,
    /// `_HLS_skip`: a delta update will do.
    pub(super) skip: bool,
}

/// The query cannot be obeyed: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether a playlist can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds what was asked for, or something later, or nothing will follow.
    Ready,
    /// What was asked for is still to come.
    Wait,
    /// It is too far ahead to wait for: 400.
    TooFar,
}

impl Directives {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Malformed> {
        let mut directives = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match key {
                "_HLS_msn" => &mut directives.segment,
                "_HLS_part" => &mut directives.part,
                "_HLS_skip" => {
                    directives.skip = matches!(value, "YES" | "v2");
                    continue;
                }
                // Others are not ours: a CDN's, a token's, the page's own.
                _ => continue,
            };
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            if slot.is_some() || !digits {
                return Err(Malformed);
            }
            *slot = Some(value.parse().map_err(|_| Malformed)?);
        }
        if directives.part.is_some() && directives.segment.is_none() {
            return Err(Malformed);
        }
        Ok(directives)
    }

    pub(super) fn check(&self, snapshot: &Snapshot, layout: &Layout) -> Verdict {
        let Some(segment) = self.segment else {
            return Verdict::Ready;
        };
        let Some(edge) = snapshot.edge() else {
            return Verdict::Wait;
        };
        if snapshot.state == State::Ended {
            return Verdict::Ready;
        }
        if segment > edge.segment.saturating_add(MAX_SEGMENTS_AHEAD) {
            return Verdict::TooFar;
        }
        let edge_parts = edge.parts as u64;
        if let Some(part) = self.part {
            let known = if segment == edge.segment {
                edge_parts
            } else {
                0
            };
            if segment >= edge.segment && part >= known.saturating_add(advance_limit(layout)) {
                return Verdict::TooFar;
            }
        }
        let is_there = match self.part {
            _ if segment < edge.segment => true,
            None => segment == edge.segment && edge.complete,
            // Past the last part of a complete segment means part 0 of the
            // next one, which is not there, or the edge would be.
            Some(part) => segment == edge.segment && part < edge_parts,
        };
        if is_there {
            Verdict::Ready
        } else {
            Verdict::Wait
        }
    }
}

/// How many parts a client may ask ahead: three seconds' worth (§6.2.5.2,
/// "Advance Part Limit").
fn advance_limit(layout: &Layout) -> u64 {
    let part = layout.video.part_ticks();
    (3 * u64::from(layout.video.timescale)).div_ceil(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Directives, Malformed> {
        Directives::parse(Some(query))
    }

    #[test]
    fn directives_are_read_and_strangers_ignored() {
        assert_eq!(Directives::parse(None), Ok(Directives::default()));
        let all = Directives {
            segment: Some(5),
            part: Some(2),
            skip: true,
        };
        assert_eq!(
            parse("token=x&_HLS_msn=5&_HLS_part=2&_HLS_skip=YES"),
            Ok(all)
        );
    }

    #[test]
    fn malformed_directives_are_refused() {
        for query in [
            "_HLS_part=1",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=+1",
            "_HLS_msn=1.5",
            "_HLS_msn=x",
            "_HLS_msn=1&_HLS_msn=2",
            "_HLS_msn=99999999999999999999999",
            "_HLS_msn=1&_HLS_part=",
        ] {
            assert_eq!(parse(query), Err(Malformed), "{query}");
        }
    }
}
