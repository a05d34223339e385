//! The edge's end of the control stream.
//!
//! Messages wait here until QUIC takes them. The trap: a partial write is
//! ordinary on this stream and only on this one; what is left is kept, up to a
//! bound at which the origin is taken for dead.

use bytes::{Buf, Bytes, BytesMut};
use inlet_common::roq::control::{self, DecodeError, Decoder, Message};
use quinn_proto::{Connection, Dir, ReadError, StreamId, WriteError};

/// Bytes that may wait for the origin to read.
const MAX_BACKLOG: usize = 1 << 20;

/// Messages taken per call, so that a flood of them cannot hold up media.
pub(super) const MAX_MESSAGES: usize = 256;

/// The control stream of one connection.
#[derive(Debug)]
pub(super) struct Control {
    stream: StreamId,
    backlog: BytesMut,
    decoder: Decoder,
    has_ended: bool,
}

/// The control stream has become useless, and the connection with it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The origin has not read for too long.
    #[error("origin does not read its control stream")]
    Backlog,
    /// The origin has ended the stream.
    #[error("origin has ended the control stream")]
    Ended,
    /// What the origin wrote cannot be read.
    #[error("unreadable control stream")]
    Unreadable(#[from] DecodeError),
}

impl Control {
    /// Opens the stream; `None` when the origin allows none.
    pub(super) fn open(connection: &mut Connection) -> Option<Self> {
        let stream = connection.streams().open(Dir::Bi)?;
        // Before any media.
        let _set = connection.send_stream(stream).set_priority(i32::MAX);
        Some(Self {
            stream,
            backlog: BytesMut::new(),
            decoder: Decoder::default(),
            has_ended: false,
        })
    }

    pub(super) fn is(&self, stream: StreamId) -> bool {
        self.stream == stream
    }

    /// Whether QUIC has taken all that was queued.
    pub(super) fn is_flushed(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Queues a message.
    pub(super) fn send(&mut self, message: &Message) {
        control::encode(message, &mut self.backlog);
    }

    /// Writes what QUIC takes now.
    pub(super) fn flush(&mut self, connection: &mut Connection) -> Result<(), Broken> {
        while !self.backlog.is_empty() {
            match connection.send_stream(self.stream).write(&self.backlog) {
                Ok(written) => self.backlog.advance(written),
                Err(WriteError::Blocked) if self.backlog.len() <= MAX_BACKLOG => break,
                Err(WriteError::Blocked) => return Err(Broken::Backlog),
                Err(_) => return Err(Broken::Ended),
            }
        }
        Ok(())
    }

    /// Reads what has come.
    pub(super) fn read(&mut self, connection: &mut Connection) -> Result<(), Broken> {
        let mut recv = connection.recv_stream(self.stream);
        let mut chunks = recv.read(true).map_err(|_| Broken::Ended)?;
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.push(&chunk.bytes),
                Ok(None) => {
                    self.has_ended = true;
                    break;
                }
                Err(ReadError::Blocked) => break,
                Err(ReadError::Reset(_)) => {
                    self.has_ended = true;
                    break;
                }
            }
        }
        // Credit goes back with the next packet.
        let _transmit = chunks.finalize();
        Ok(())
    }

    fn push(&mut self, chunk: &Bytes) {
        self.decoder.push(chunk);
    }

    /// The next message.
    pub(super) fn poll_message(&mut self) -> Result<Option<Message>, Broken> {
        match self.decoder.poll_message()? {
            None if self.has_ended => Err(Broken::Ended),
            message => Ok(message),
        }
    }
}
