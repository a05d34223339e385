//! Bytes that wait for a connection to take them, bounded.

/// Bytes that may wait: a quarter of a second of 8 Mbps. Media that are older
/// are of no use; a byte stream stops being read instead.
pub(super) const MAX_WAITING: usize = 256 * 1024;

/// Waiting bytes, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that have left.
    sent: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes pieces in, all or none: none when there is no room.
    pub(super) fn push(&mut self, pieces: &[&[u8]]) -> bool {
        let more: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.len() + more > MAX_WAITING {
            return false;
        }
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        true
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes have left.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.is_empty() {
            self.sent = 0;
            self.bytes.clear();
            // One slow moment must not cost its memory for hours.
            self.bytes.shrink_to(16 * 1024);
        } else if self.sent > MAX_WAITING {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_taken_whole_or_not_at_all() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(&[b"ab", b"", b"c"]));
        assert!(!outbox.push(&[b"d", &vec![0; MAX_WAITING - 3]]));
        assert_eq!(outbox.waiting(), b"abc");
        outbox.advance(2);
        assert_eq!((outbox.waiting(), outbox.len()), (&b"c"[..], 1));
        outbox.advance(1);
        assert!(outbox.is_empty() && outbox.push(&[&vec![0; MAX_WAITING]]));
    }
}
