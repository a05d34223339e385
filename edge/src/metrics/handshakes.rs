//! How DTLS handshakes end.

use metrics::{Counter, Unit, counter, describe_counter};

use crate::whip::session::dtls::{Failure, Outcome, Profile, Version};

const ESTABLISHED: &str = "inlet_edge_dtls_handshakes_total";
const FAILED: &str = "inlet_edge_dtls_failures_total";

/// Handles of what is counted of handshakes.
#[derive(Clone, Debug)]
pub struct Handshakes {
    established: [[Counter; Profile::ALL.len()]; Version::ALL.len()],
    failed: [Counter; Failure::ALL.len()],
}

impl Handshakes {
    /// Registers with the process's recorder; call after that is installed.
    pub fn register() -> Self {
        describe_counter!(
            ESTABLISHED,
            Unit::Count,
            "DTLS handshakes that gave keys, by version and SRTP profile"
        );
        describe_counter!(
            FAILED,
            Unit::Count,
            "DTLS handshakes that failed, by reason"
        );
        let established = |version: Version, profile: Profile| {
            let (version, profile) = (version.as_str(), profile.as_str());
            counter!(ESTABLISHED, "version" => version, "profile" => profile)
        };
        Self {
            established: Version::ALL
                .map(|version| Profile::ALL.map(|profile| established(version, profile))),
            failed: Failure::ALL.map(|reason| counter!(FAILED, "reason" => reason.as_str())),
        }
    }

    /// A handshake has ended.
    pub fn note(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Established(version, profile) => self
                .established
                .get(version as usize)
                .and_then(|of_version| of_version.get(profile as usize)),
            Outcome::Failed(reason) => self.failed.get(reason as usize),
        };
        if let Some(counter) = counter {
            counter.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `as usize` relies on.
    #[test]
    fn all_are_listed_in_their_order() {
        let versions = Version::ALL.into_iter().enumerate();
        assert!(versions.into_iter().all(|(at, one)| one as usize == at));
        let profiles = Profile::ALL.into_iter().enumerate();
        assert!(profiles.into_iter().all(|(at, one)| one as usize == at));
        let failures = Failure::ALL.into_iter().enumerate();
        assert!(failures.into_iter().all(|(at, one)| one as usize == at));
    }
}
