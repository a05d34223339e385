//! Tells the protocols on one UDP port apart, without parsing them.
//!
//! Pure, and called for every datagram before anything else. The trap: RTCP
//! shares its first byte with RTP (RFC 5761), and a STUN message says nothing
//! about whose it is; that is its USERNAME's business ([`stun_local_ufrag`]).
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

/// What a datagram is by its first byte (RFC 7983 §7, as updated by RFC 9443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// (S)RTP and (S)RTCP.
    Rtp,
    /// STUN, which ICE speaks.
    Stun,
    /// DTLS records.
    Dtls,
    /// TURN ChannelData, which has no place on a media port.
    ChannelData,
    /// Nothing that belongs here.
    Unknown,
}

/// Classifies a datagram; the most frequent class first.
pub fn classify(datagram: &[u8]) -> Class {
    match datagram.first() {
        Some(128..=191) => Class::Rtp,
        Some(0..=3) => Class::Stun,
        Some(20..=63) => Class::Dtls,
        Some(64..=79) => Class::ChannelData,
        _ => Class::Unknown,
    }
}

const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const USERNAME: [u8; 2] = [0x00, 0x06];

/// Longest ufrag that ICE knows (RFC 8839 §5.4).
const MAX_UFRAG: usize = 256;

/// The ufrag of ours that a Binding request names: what stands in its USERNAME
/// before the colon (RFC 8445 §7.2.2). `None` when the datagram is no Binding
/// request with a USERNAME. Nothing is verified here.
pub fn stun_local_ufrag(datagram: &[u8]) -> Option<&str> {
    let (head, mut attributes) = datagram.split_at_checked(20)?;
    if !head.starts_with(&BINDING_REQUEST) || head.get(4..8)? != MAGIC_COOKIE {
        return None;
    }
    while let Some((&[k1, k2, l1, l2], rest)) = attributes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([l1, l2]));
        if [k1, k2] == USERNAME {
            let username = std::str::from_utf8(rest.get(..len)?).ok()?;
            let (local, _) = username.split_once(':')?;
            return (local.len() <= MAX_UFRAG).then_some(local);
        }
        attributes = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// The payload type and SSRC of an RTP packet, `None` when it is RTCP or cut
/// short. Payload types 64–95 are RTCP here (RFC 5761 §4).
pub fn rtp_payload_type_and_ssrc(datagram: &[u8]) -> Option<(u8, u32)> {
    let head = datagram.first_chunk::<12>()?;
    let [_, second, _, _, _, _, _, _, ssrc @ ..] = *head;
    let payload_type = second & 0x7F;
    (!(64..96).contains(&payload_type)).then_some((payload_type, u32::from_be_bytes(ssrc)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_first_byte_has_its_class() {
        let table = [
            (0..=3, Class::Stun),
            (4..=19, Class::Unknown),
            (20..=63, Class::Dtls),
            (64..=79, Class::ChannelData),
            (80..=127, Class::Unknown),
            (128..=191, Class::Rtp),
            (192..=255, Class::Unknown),
        ];
        let mut seen = 0;
        for (bytes, class) in table {
            for byte in bytes {
                assert_eq!(classify(&[byte]), class, "{byte}");
                seen += 1;
            }
        }
        assert_eq!((seen, classify(&[])), (256, Class::Unknown));
    }

    fn binding_request(username: &[u8]) -> Vec<u8> {
        let mut wire = vec![0, 1, 0, 0];
        wire.extend(MAGIC_COOKIE);
        wire.extend([7; 12]);
        wire.extend([0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]);
        wire.extend([0, 6, 0, u8::try_from(username.len()).unwrap()]);
        wire.extend(username);
        wire.resize(wire.len().next_multiple_of(4), 0);
        wire
    }

    #[test]
    fn a_binding_request_names_its_ufrag() {
        assert_eq!(
            stun_local_ufrag(&binding_request(b"ours+/:theirs")),
            Some("ours+/")
        );
        assert_eq!(stun_local_ufrag(&binding_request(b"ours")), None);
        assert_eq!(stun_local_ufrag(&binding_request(&[0xFF, b':'])), None);
        let mut response = binding_request(b"ours:theirs");
        response[0] = 1;
        assert_eq!(stun_local_ufrag(&response), None);
    }

    #[test]
    fn rtcp_is_no_rtp() {
        let mut packet = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        assert_eq!(rtp_payload_type_and_ssrc(&packet), Some((96, 9)));
        packet[1] = 200;
        assert_eq!(rtp_payload_type_and_ssrc(&packet), None);
        assert_eq!(rtp_payload_type_and_ssrc(&packet[..11]), None);
    }

    proptest! {
        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (classify(&junk), stun_local_ufrag(&junk), rtp_payload_type_and_ssrc(&junk));
        }

        #[test]
        fn a_truncated_request_never_panics(cut in 0_usize..60) {
            let wire = binding_request(b"ours:theirs");
            let _ = stun_local_ufrag(&wire[..cut.min(wire.len())]);
        }
    }
}
