//! Stepping through a message: every read is bounded, none goes back.

use super::name::NameBuf;

/// Two set bits at the head of a label make it a pointer (RFC 1035 §4.1.4).
const POINTER: u8 = 0xc0;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(message: &'a [u8], at: usize) -> Self {
        Self { message, at }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at == self.message.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.message.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.message.get(start..self.at).unwrap_or_default()
    }

    /// A name that stands in full. The first name of a message has nothing before
    /// it that a pointer could point to.
    pub(super) fn whole_name(&mut self) -> Option<NameBuf> {
        let mut name = NameBuf::root();
        loop {
            match self.u8()? {
                0 => return Some(name),
                length if length & POINTER != 0 => return None,
                length => {
                    let label = self.take(usize::from(length))?;
                    if !name.push(label) {
                        return None;
                    }
                }
            }
        }
    }

    /// Steps over a name, and says whether it was the root. Pointers must point
    /// back (RFC 1035 §4.1.4: "a prior occurance"), which no loop can.
    pub(super) fn skip_name(&mut self) -> Option<bool> {
        let start = self.at;
        loop {
            let here = self.at;
            match self.u8()? {
                0 => return Some(here == start),
                length if length & POINTER == POINTER => {
                    let low = self.u8()?;
                    let target = usize::from(u16::from_be_bytes([length & !POINTER, low]));
                    return (target < start).then_some(false);
                }
                length if length & POINTER != 0 => return None,
                length => {
                    self.take(usize::from(length))?;
                    if self.at - start > super::MAX_NAME {
                        return None;
                    }
                }
            }
        }
    }
}
