//! `[fleet]`: what this edge knows of the others, as written and as checked.

use std::path::PathBuf;

use inlet_common::config::Check;
use serde::{Deserialize, Serialize};

use super::{file, is_empty};
use crate::dns::geo::MAX_DATABASES;

/// `[fleet]` as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// The fleet's file: points of presence, zones, overrides. Empty, the default:
    /// this edge knows of no others. Reload.
    pub file: PathBuf,
    /// GeoIP databases, of cities, countries or autonomous systems; each is watched
    /// and taken anew when it is replaced. Default none: only overrides count, and
    /// the default list. Reload.
    pub databases: Vec<PathBuf>,
    /// File with the secret that all edges of the fleet share: DNS cookies are made
    /// with it, the marks of presenters who are sent on, and the questions by which edges
    /// ask each other how they do. Empty, the default: cookies of this edge alone, plain
    /// marks, and no questions.
    pub secret_file: PathBuf,
    /// Whether every point of presence is probed every two seconds: WHIP by HTTPS, STUN,
    /// and TURN by UDP, TCP and TLS, each with data that must come through. Default
    /// true.
    #[serde(rename = "probe")]
    pub is_probing: bool,
    /// PEM authorities that sign the others' certificates, for probes. Empty, the
    /// default: those that this machine trusts.
    pub ca: PathBuf,
    /// File with the secret of TURN that the fleet shares, as `turn.secret_file`: probes
    /// make their credentials with the first line. Empty, the default: they ask as
    /// strangers, and whether a server relays stays open.
    pub turn_secret_file: PathBuf,
    /// Whether presenters who came to the wrong point of presence are sent to a clearly
    /// nearer one (307), and those who cannot be taken here to the next best. Default
    /// true.
    #[serde(rename = "steer")]
    pub is_steering: bool,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            databases: Vec::new(),
            secret_file: PathBuf::new(),
            is_probing: true,
            ca: PathBuf::new(),
            turn_secret_file: PathBuf::new(),
            is_steering: true,
        }
    }
}

/// A sound `[fleet]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The fleet's file.
    pub file: PathBuf,
    /// GeoIP databases.
    pub databases: Vec<PathBuf>,
    /// File with the secret that the fleet shares; `None` makes one.
    pub secret_file: Option<PathBuf>,
    /// Whether points of presence are probed.
    pub is_probing: bool,
    /// Authorities that sign the others; `None` means the machine's.
    pub ca: Option<PathBuf>,
    /// File with the secret of TURN; `None` probes as a stranger.
    pub turn_secret_file: Option<PathBuf>,
    /// Whether presenters are sent to a clearly nearer point of presence.
    pub is_steering: bool,
}

impl Fleet {
    pub(super) fn check(&self, check: &mut Check, is_needed: bool) {
        check.require(
            !is_needed || !is_empty(&self.file),
            "fleet.file",
            "is empty: the name server needs points of presence and zones; config/fleet.toml is \
             a sample",
        );
        check.range("fleet.databases", self.databases.len(), 0..=MAX_DATABASES);
    }

    /// Puts checked values in their final form; `None` without a file.
    pub(super) fn build(self) -> Option<Known> {
        Some(Known {
            file: file(self.file)?,
            databases: self.databases,
            secret_file: file(self.secret_file),
            is_probing: self.is_probing,
            ca: file(self.ca),
            turn_secret_file: file(self.turn_secret_file),
            is_steering: self.is_steering,
        })
    }
}
