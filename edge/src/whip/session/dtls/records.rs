//! Which records OpenSSL is shown.
//!
//! ```text
//! type (1) | version (2) | epoch (2) | sequence (6) | length (2) | contents
//! ```
//!
//! OpenSSL 3.0 answers a protected record that is shorter than its nonce and tag
//! by giving up the connection, although nobody has proven anything by it: one
//! forged datagram of 33 bytes would end a presenter's session. And what holds
//! application data is of no use here, since there is no data channel. So these
//! are taken out first; everything else may be as broken as it likes.

/// Bytes in front of a record's contents (RFC 6347 §4.1).
const HEADER: usize = 13;

/// The nonce and the tag of AES-GCM (RFC 5288 §3), which is all that is
/// negotiated here.
const SHORTEST_PROTECTED: usize = 8 + 16;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The records of a datagram that OpenSSL is shown, in one datagram again; empty
/// when there are none.
pub(super) fn sift(datagram: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(datagram.len());
    let mut rest = datagram;
    while let Some(&[kind, _, _, e1, e0, _, _, _, _, _, _, l1, l0]) = rest.first_chunk::<HEADER>() {
        let len = HEADER + usize::from(u16::from_be_bytes([l1, l0]));
        let Some((record, after)) = rest.split_at_checked(len) else {
            break;
        };
        let is_protected = (e1, e0) != (0, 0);
        let is_wanted = matches!(kind, CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE);
        if is_wanted && !(is_protected && record.len() < HEADER + SHORTEST_PROTECTED) {
            kept.extend_from_slice(record);
        }
        rest = after;
    }
    kept
}

#[cfg(test)]
mod unit {
    use super::*;

    fn record(kind: u8, epoch: u8, len: u8) -> Vec<u8> {
        let mut record = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 1, 0, len];
        record.extend(vec![kind; usize::from(len)]);
        record
    }

    #[test]
    fn only_the_handshake_and_alerts_of_a_possible_length_are_kept() {
        let good = [
            record(22, 0, 1),
            record(21, 0, 2),
            record(20, 0, 1),
            record(22, 1, 24),
            record(21, 1, 26),
        ];
        let bad = [
            record(23, 1, 60),
            record(22, 1, 23),
            record(21, 1, 2),
            record(24, 0, 3),
            record(40, 1, 30),
        ];
        let mixed: Vec<u8> = good
            .iter()
            .zip(&bad)
            .flat_map(|(good, bad)| [good.clone(), bad.clone()].concat())
            .collect();
        assert_eq!(sift(&mixed), good.concat());
        assert!(sift(&bad.concat()).is_empty());
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let whole = [record(22, 0, 9), record(22, 0, 30)].concat();
        for cut in 0..whole.len() {
            let kept = sift(&whole[..cut]).len();
            assert_eq!(kept, if cut < 22 { 0 } else { 22 });
        }
    }
}
