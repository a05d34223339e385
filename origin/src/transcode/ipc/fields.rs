//! The parts of a message: its head as it is written, its fields as they are read.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{DecodeError, Encoded, MAX_MESSAGE};
use crate::{timeline::MediaTime, transcode::ladder::MAX_RUNGS};

/// The beginning of a message; the length is filled in by `finish`.
pub(super) struct Head(pub(super) BytesMut);

impl Default for Head {
    fn default() -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u32(0);
        Self(bytes)
    }
}

impl Head {
    pub(super) fn kind(&mut self, kind: u8) {
        self.0.put_u8(kind);
    }

    pub(super) fn finish(mut self, payload: Bytes) -> Option<Encoded> {
        let size = self.0.len() - 4 + payload.len();
        if size > MAX_MESSAGE {
            return None;
        }
        let length = u32::try_from(size).ok()?;
        self.0.get_mut(..4)?.copy_from_slice(&length.to_be_bytes());
        Some(Encoded {
            head: self.0.freeze(),
            payload,
        })
    }
}

/// Writes two byte strings: the first one's length and content into the head,
/// the second one as payload.
pub(super) fn two_parts(head: &mut Head, first: &Bytes, second: &Bytes) -> Option<Bytes> {
    head.0.put_u16(u16::try_from(first.len()).ok()?);
    head.0.put_slice(first);
    Some(second.clone())
}

/// What is left of a message.
pub(super) struct Fields(pub(super) Bytes);

impl Fields {
    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.0.try_get_u8().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.0.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.0.try_get_u32().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.0.try_get_u64().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn time(&mut self) -> Result<MediaTime, DecodeError> {
        let micros = self.0.try_get_i64().map_err(|_| DecodeError::Truncated)?;
        Ok(MediaTime::from_micros(micros))
    }

    pub(super) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Range("flag")),
        }
    }

    pub(super) fn rung(&mut self) -> Result<usize, DecodeError> {
        match usize::from(self.u8()?) {
            rung if rung < MAX_RUNGS => Ok(rung),
            _ => Err(DecodeError::Range("rung")),
        }
    }

    pub(super) fn two_parts(&mut self) -> Result<(Bytes, Bytes), DecodeError> {
        let first = usize::from(self.u16()?);
        if first > self.0.len() {
            return Err(DecodeError::Truncated);
        }
        Ok((self.0.split_to(first), self.rest()))
    }

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }
}
