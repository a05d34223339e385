//! A client's way to its server, by UDP, or by a stream of frames (RFC 8656 §3.1).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::UdpSocket,
};

use super::Error;
use crate::turn::wire::Framing;

/// Longest message that is taken; a probe's answers have some 200 bytes.
const MAX_MESSAGE: usize = 4_096;

/// A way to the server.
pub(super) trait Link {
    /// Sends a whole message.
    async fn send(&mut self, message: &[u8]) -> Result<(), Error>;

    /// The next whole message, when there is one.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>>;

    /// Says goodbye.
    async fn close(&mut self);
}

/// A socket of our own for one server.
#[derive(Debug)]
pub(super) struct Datagrams(UdpSocket);

impl Datagrams {
    /// Connected, so that nobody else is heard and a refusal (ICMP) is.
    pub(super) async fn open(server: SocketAddr) -> Result<Self, Error> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await.map_err(of_io)?;
        socket.connect(server).await.map_err(of_io)?;
        Ok(Self(socket))
    }
}

impl Link for Datagrams {
    async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.0.send(message).await.map(drop).map_err(of_io)
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        let mut bytes = [0; MAX_MESSAGE];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(self.0.poll_recv(context, &mut buffer)).map_err(of_io)?;
        Poll::Ready(Ok(buffer.filled().to_vec()))
    }

    async fn close(&mut self) {}
}

/// A connection, with TLS or without.
#[derive(Debug)]
pub(super) struct Frames<S> {
    stream: S,
    /// What has come and is no whole message yet.
    inbox: Vec<u8>,
}

impl<S> Frames<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            stream,
            inbox: Vec::new(),
        }
    }

    /// Takes a whole message out of the inbox.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let (message, len) = match Framing::next(&self.inbox) {
            Framing::Whole(frame) => (frame.message.to_vec(), frame.len),
            // Much of what is no TURN at all looks like the begin of long ChannelData.
            Framing::More if !self.is_too_long() => return Ok(None),
            Framing::More | Framing::Broken => return Err(Error::Protocol),
        };
        self.inbox.drain(..len);
        Ok(Some(message))
    }

    /// By the length that both kinds of message have in their third and fourth byte.
    fn is_too_long(&self) -> bool {
        let header = self.inbox.first_chunk();
        header
            .is_some_and(|[_, _, l1, l2]| usize::from(u16::from_be_bytes([*l1, *l2])) > MAX_MESSAGE)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link for Frames<S> {
    async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.stream.write_all(message).await.map_err(of_io)?;
        self.stream.flush().await.map_err(of_io)
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Error>> {
        loop {
            if let Some(message) = self.next()? {
                return Poll::Ready(Ok(message));
            }
            let mut bytes = [0; MAX_MESSAGE];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)).map_err(of_io)?;
            match buffer.filled() {
                [] => return Poll::Ready(Err(Error::Closed)),
                read => self.inbox.extend(read),
            }
        }
    }

    async fn close(&mut self) {
        // Whoever has closed first, or broken off, has no use for it.
        if let Err(error) = self.stream.shutdown().await {
            tracing::trace!(%error, "no orderly end of a probe's connection");
        }
    }
}

fn of_io(error: io::Error) -> Error {
    Error::of_io(&error)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::duplex;

    use super::*;
    use crate::turn::wire::{ChannelNumber, Class, Encoder, Method, TransactionId};

    fn binding() -> Vec<u8> {
        Encoder::new(Class::Request, Method::Binding, TransactionId([3; 12])).finish()
    }

    async fn receive(link: &mut impl Link) -> Result<Vec<u8>, Error> {
        poll_fn(|context| link.poll_receive(context)).await
    }

    #[tokio::test]
    async fn frames_are_cut_wherever_reads_end() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let mut link = Frames::new(ours);
        let channel = ChannelNumber::new(0x4000).unwrap();
        let data = [&channel.header(3)[..], b"abc\0"].concat();
        let stream = [binding(), data, binding()].concat();
        tokio::spawn(async move {
            for byte in stream {
                theirs.write_all(&[byte]).await.unwrap();
            }
        });
        assert_eq!(receive(&mut link).await, Ok(binding()));
        assert_eq!(receive(&mut link).await.map(|data| data.len()), Ok(7));
        assert_eq!(receive(&mut link).await, Ok(binding()));
        assert_eq!(receive(&mut link).await, Err(Error::Closed));
    }

    #[tokio::test]
    async fn another_protocol_and_an_endless_message_end_it() {
        let channel = ChannelNumber::new(0x4000).unwrap();
        let endless = channel.header(u16::MAX).to_vec();
        let others = [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SSH-2.0-x", &endless];
        for stream in others {
            let (ours, mut theirs) = duplex(64 * 1024);
            theirs.write_all(stream).await.unwrap();
            assert_eq!(receive(&mut Frames::new(ours)).await, Err(Error::Protocol));
        }
    }
}
