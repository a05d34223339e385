//! Bytes that wait for a connection to take them, bounded.

/// Waiting bytes, in order.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes at the front that have left.
    sent: usize,
    /// The most that may wait.
    max: usize,
}

impl Outbox {
    /// An empty one that takes up to `max` bytes.
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            max,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes pieces in, all or none: none when there is no room.
    pub(crate) fn push(&mut self, pieces: &[&[u8]]) -> bool {
        let more: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.len() + more > self.max {
            return false;
        }
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        true
    }

    /// What waits.
    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// So many bytes have left.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.is_empty() {
            self.sent = 0;
            self.bytes.clear();
            // One slow moment must not cost its memory for hours.
            self.bytes.shrink_to(16 * 1024);
        } else if self.sent > self.max {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_WAITING: usize = 256 * 1024;

    #[test]
    fn pieces_are_taken_whole_or_not_at_all() {
        let mut outbox = Outbox::new(MAX_WAITING);
        assert!(outbox.push(&[b"ab", b"", b"c"]));
        assert!(!outbox.push(&[b"d", &vec![0; MAX_WAITING - 3]]));
        assert_eq!(outbox.waiting(), b"abc");
        outbox.advance(2);
        assert_eq!((outbox.waiting(), outbox.len()), (&b"c"[..], 1));
        outbox.advance(1);
        assert!(outbox.is_empty() && outbox.push(&[&vec![0; MAX_WAITING]]));
    }
}
