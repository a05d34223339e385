//! Binding requests as clients really send them.
//!
//! RFC 8445 §7.1.1 wants PRIORITY in each, and the engine refuses one without.
//! FFmpeg's `whip` muxer sends neither PRIORITY nor ICE-CONTROLLING, and
//! USE-CANDIDATE from the start. PRIORITY decides nothing at a lite agent, so it is
//! added here. The trap: MESSAGE-INTEGRITY covers it, so the request is believed
//! first, by its own, and then protected anew.

use crate::turn::wire::{IntegrityKey, Mac};

const HEADER: usize = 20;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;

/// Length of MESSAGE-INTEGRITY's value, an HMAC-SHA1 (RFC 8489 §14.5).
const MAC_LEN: usize = 20;

/// What is added: a peer-reflexive candidate's (RFC 8445 §5.1.2.2).
const ASSUMED_PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;

/// What of a Binding request matters here. What stands behind MESSAGE-INTEGRITY
/// does not count (RFC 8489 §14.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Binding {
    has_priority: bool,
    /// The presenter has selected this pair, or would if it works.
    pub(super) nominates: bool,
    /// Where MESSAGE-INTEGRITY begins.
    integrity: Option<usize>,
}

impl Binding {
    /// Looks at a request. Whatever is no STUN has nothing.
    pub(super) fn of(datagram: &[u8]) -> Self {
        let mut binding = Self::default();
        let mut at = HEADER;
        while let Some(&[k1, k2, l1, l2]) = datagram.get(at..).and_then(<[u8]>::first_chunk) {
            match u16::from_be_bytes([k1, k2]) {
                MESSAGE_INTEGRITY => {
                    binding.integrity = Some(at);
                    break;
                }
                PRIORITY => binding.has_priority = true,
                USE_CANDIDATE => binding.nominates = true,
                _ => {}
            }
            at += 4 + usize::from(u16::from_be_bytes([l1, l2])).next_multiple_of(4);
        }
        binding
    }

    /// Whether the engine would refuse it for what it lacks.
    pub(super) const fn is_incomplete(self) -> bool {
        !self.has_priority && self.integrity.is_some()
    }

    /// Whether its MESSAGE-INTEGRITY is `pwd`'s.
    pub(super) fn is_authentic(self, datagram: &[u8], pwd: &str) -> bool {
        let value = self.integrity.and_then(|at| {
            let (prefix, attribute) = datagram.split_at_checked(at)?;
            let len = attribute.get(2..4)?;
            let value = attribute.get(4..4 + MAC_LEN)?;
            (len == [0, MAC_LEN as u8]).then_some((prefix, value))
        });
        value.is_some_and(|(prefix, value)| {
            IntegrityKey::password(pwd).verify(Mac::Sha1, prefix, value)
        })
    }

    /// The request with PRIORITY, protected anew; `None` when it is not authentic.
    pub(super) fn complete(self, datagram: &[u8], pwd: &str) -> Option<Vec<u8>> {
        if !self.is_authentic(datagram, pwd) {
            return None;
        }
        let mut complete = datagram.get(..self.integrity?)?.to_vec();
        complete.extend(PRIORITY.to_be_bytes());
        complete.extend([0, 4]);
        complete.extend(ASSUMED_PRIORITY.to_be_bytes());
        let mac = IntegrityKey::password(pwd).sign(Mac::Sha1, &complete, MAC_LEN);
        complete.extend(MESSAGE_INTEGRITY.to_be_bytes());
        complete.extend([0, MAC_LEN as u8]);
        complete.extend(mac.as_ref());
        let len = u16::try_from(complete.len() - HEADER).ok()?;
        complete.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
        Some(complete)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::turn::wire::{Class, Encoder, Method, TransactionId};

    const PWD: &str = "a password of thirty-two letters";

    /// As FFmpeg 8.0 makes it: USERNAME, USE-CANDIDATE, MESSAGE-INTEGRITY,
    /// FINGERPRINT.
    fn request(pwd: &str) -> Vec<u8> {
        let id = TransactionId([3; 12]);
        Encoder::new(Class::Request, Method::Binding, id)
            .username(b"ours:theirs")
            .raw_attribute(USE_CANDIDATE, &[])
            .integrity(Mac::Sha1, &IntegrityKey::password(pwd))
            .fingerprint()
            .finish()
    }

    #[test]
    fn what_it_lacks_is_added_and_protected() {
        let request = request(PWD);
        let binding = Binding::of(&request);
        assert!(binding.is_incomplete() && binding.nominates);
        let complete = binding.complete(&request, PWD).unwrap();
        let again = Binding::of(&complete);
        assert!(!again.is_incomplete() && again.nominates);
        assert!(again.is_authentic(&complete, PWD));
        assert_eq!(complete[8..20], request[8..20], "same transaction");
    }

    #[test]
    fn what_is_not_authentic_is_left_alone() {
        let request = request("another password");
        let binding = Binding::of(&request);
        assert!(!binding.is_authentic(&request, PWD));
        assert_eq!(binding.complete(&request, PWD), None);
    }

    #[test]
    fn what_stands_behind_integrity_does_not_count() {
        let mut request = request(PWD);
        request.truncate(HEADER + 16);
        let plain = Binding::of(&request);
        assert!(!plain.nominates && !plain.is_incomplete());
        request.extend([0x00, 0x08, 0, 20]);
        request.extend([0; MAC_LEN]);
        request.extend([0x00, 0x25, 0, 0]);
        assert!(!Binding::of(&request).nominates);
    }

    proptest! {
        #[test]
        fn junk_never_panics(
            junk in proptest::collection::vec(any::<u8>(), 0..120),
            cut in 0_usize..100,
        ) {
            let request = request(PWD);
            for bytes in [&junk[..], &request[..cut.min(request.len())]] {
                let binding = Binding::of(bytes);
                let _ = (binding.is_authentic(bytes, PWD), binding.complete(bytes, PWD));
            }
        }
    }
}
