//! Sequence numbers that do not wrap.

/// An RTP sequence number extended to 64 bits, so that order is plain `<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// Extends the wire's 16-bit numbers by what was seen before.
///
/// A number is taken as the one nearest to the newest seen, so reordering by
/// up to 32,767 packets across a wrap is told apart from a jump forward.
#[derive(Clone, Debug, Default)]
pub struct Extender {
    newest: Option<u64>,
}

impl Extender {
    /// Extends one number. The first starts one wrap above zero, so that
    /// packets older than the first still have a number.
    pub fn extend(&mut self, wire: u16) -> SeqNo {
        let Some(newest) = self.newest else {
            let first = (1 << 16) | u64::from(wire);
            self.newest = Some(first);
            return SeqNo(first);
        };
        let [.., high, low] = newest.to_be_bytes();
        let ahead = wire.wrapping_sub(u16::from_be_bytes([high, low]));
        let extended = if ahead < 0x8000 {
            newest.wrapping_add(u64::from(ahead))
        } else {
            newest.saturating_sub(u64::from(ahead.wrapping_neg()))
        };
        self.newest = Some(newest.max(extended));
        SeqNo(extended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_across_the_wrap() {
        let mut extender = Extender::default();
        let a = extender.extend(65_534);
        let b = extender.extend(65_535);
        let c = extender.extend(0);
        let late = extender.extend(65_533);
        assert_eq!([b.0 - a.0, c.0 - b.0, a.0 - late.0], [1, 1, 1]);
        assert_eq!(extender.extend(1), c.next());
    }
}
