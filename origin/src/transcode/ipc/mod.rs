//! The messages on the socket pair between main process and worker.
//!
//! ```text
//!  0        4      5
//!  +--------+------+------------------+-----------------------------+
//!  | length | kind | fixed fields     | payload, to the length's end |
//!  +--------+------+------------------+-----------------------------+
//! ```
//!
//! All numbers are big endian; `length` counts from `kind` on. The worker
//! trusts what it gets; the main process must not, because the worker has
//! looked at a stranger's bytes: every length is bounded and every number
//! that has a range is checked. Payloads are slices of the received buffer.

mod fields;
mod output;
mod to_worker;

use bytes::{Buf as _, Bytes, BytesMut};

pub use to_worker::ToWorker;

/// Longest message after its length field: an intra picture of 4K at the
/// worst quality is about half of it.
pub const MAX_MESSAGE: usize = 8 << 20;

/// A message in two pieces, so that its payload is never copied.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Length, kind and fixed fields.
    pub head: Bytes,
    /// The rest; may be empty.
    pub payload: Bytes,
}

impl Encoded {
    /// Bytes on the socket.
    pub fn size(&self) -> usize {
        self.head.len() + self.payload.len()
    }
}

/// A message that cannot be understood: the stream is lost from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The length is zero or above [`MAX_MESSAGE`].
    #[error("message of {0} bytes")]
    Length(u32),
    /// The kind is unknown.
    #[error("unknown message kind {0}")]
    Kind(u8),
    /// The message ends before its fields do.
    #[error("truncated message")]
    Truncated,
    /// A field is out of its range.
    #[error("{0} out of range")]
    Range(&'static str),
}

/// Takes the next whole message out of `buffer`, without its length; `None`
/// while it is incomplete.
///
/// # Errors
///
/// [`DecodeError::Length`] when the length cannot be right.
pub fn next_message(buffer: &mut BytesMut) -> Result<Option<Bytes>, DecodeError> {
    let Some(Ok(length)) = buffer.get(..4).map(<[u8; 4]>::try_from) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length);
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size == 0 || size > MAX_MESSAGE {
        return Err(DecodeError::Length(length));
    }
    if buffer.len() < 4 + size {
        // One allocation for a large message instead of many doublings.
        buffer.reserve(4 + size - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(size).freeze()))
}

#[cfg(test)]
mod tests;
