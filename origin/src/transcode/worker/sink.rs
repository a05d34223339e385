//! The way out: whole messages on the socket, one thread at a time.

use std::{
    io::{self, IoSlice, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
};

use crate::transcode::Output;

/// The worker's end of the socket, shared by its threads.
#[derive(Clone, Debug)]
pub(super) struct Sink(Arc<Mutex<UnixStream>>);

impl Sink {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    /// Writes a message whole; blocks while the main process reads slowly.
    pub(super) fn send(&self, output: &Output) -> io::Result<()> {
        let Some(message) = output.encode() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "message too large",
            ));
        };
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces = [IoSlice::new(&message.head), IoSlice::new(&message.payload)];
        let mut left = pieces.as_mut_slice();
        while left.iter().any(|piece| !piece.is_empty()) {
            match socket.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
