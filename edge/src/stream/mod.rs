//! TCP and TLS connections of a worker, as TURN clients and ICE-TCP have them.
//!
//! The trap: the poll is edge-triggered, so a socket is read until it says that
//! there is nothing, and TLS may hold plaintext that no event tells of.

mod outbox;

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;
use rustls::ServerConnection;

pub(crate) use outbox::Outbox;

/// Bytes read at once.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// A connection, and what waits to be sent.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    pub(crate) outbox: Outbox,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now; an event will tell.
    Nothing,
    /// The peer has closed, or the connection is broken.
    End,
}

impl Connection {
    /// Takes a non-blocking socket over; up to `max_waiting` bytes may wait to be
    /// sent.
    pub(crate) fn new(
        socket: TcpStream,
        tls: Option<Box<ServerConnection>>,
        max_waiting: usize,
    ) -> Self {
        Self {
            socket,
            tls,
            outbox: Outbox::new(max_waiting),
        }
    }

    /// The socket, for `mio::Registry`.
    pub(crate) const fn source(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(crate) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads what is there, as far as `buffer` takes it.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Read {
        let Some(tls) = &mut self.tls else {
            return match self.socket.read(buffer) {
                Ok(0) => Read::End,
                Ok(bytes) => Read::Bytes(bytes),
                Err(error) if is_nothing(&error) => Read::Nothing,
                Err(_) => Read::End,
            };
        };
        loop {
            match tls.reader().read(buffer) {
                Ok(0) => return Read::End,
                Ok(bytes) => return Read::Bytes(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Read::End,
            }
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Read::End,
                Ok(_) => {}
                Err(error) if is_nothing(&error) => return Read::Nothing,
                Err(_) => return Read::End,
            }
            if tls.process_new_packets().is_err() {
                return Read::End;
            }
        }
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            while !self.outbox.is_empty() {
                match self.socket.write(self.outbox.waiting()) {
                    Ok(bytes) => self.outbox.advance(bytes),
                    Err(error) if is_nothing(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        };
        loop {
            // rustls takes as much as its own bound allows.
            let taken = tls.writer().write(self.outbox.waiting())?;
            self.outbox.advance(taken);
            if !tls.wants_write() {
                return Ok(());
            }
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if is_nothing(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether nothing waits any more.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && self.tls.as_ref().is_none_or(|tls| !tls.wants_write())
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub(crate) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            if let Err(error) = tls.write_tls(&mut self.socket) {
                tracing::trace!(%error, "no close_notify");
            }
        }
    }
}

/// Nothing now; the socket's event will come.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
