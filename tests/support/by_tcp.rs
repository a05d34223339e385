//! A presenter's way by TCP: its datagrams, framed as RFC 4571 says, in one connection
//! to the edge (RFC 6544). The publisher sees a UDP candidate, the edge ICE-TCP.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream, UdpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// Longest datagram.
const DATAGRAM: usize = 2_048;

/// A running way; dropping it breaks the connection.
#[derive(Debug)]
pub struct ByTcp {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl ByTcp {
    /// Connects to the edge's `target`.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = front.local_addr()?;
        let stream = TcpStream::connect(target)
            .await
            .with_context(|| format!("calling {target}"))?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let task = tokio::spawn(async move {
            // Whichever end is first: the presenter sees that nobody answers.
            if let Err(error) = carry(&front, read, write).await {
                tracing::debug!("way by TCP: {error:#}");
            }
        });
        Ok(Self { address, task })
    }

    /// Where the presenter sends.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ByTcp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    front: &UdpSocket,
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
) -> Result<()> {
    let mut datagram = vec![0; DATAGRAM];
    // Nothing comes back before something has gone.
    let (len, presenter) = front.recv_from(&mut datagram).await?;
    send(&mut write, datagram.get(..len).unwrap_or_default()).await?;
    let there = async {
        loop {
            let len = front.recv(&mut datagram).await?;
            send(&mut write, datagram.get(..len).unwrap_or_default()).await?;
        }
    };
    let back = async {
        loop {
            let len = usize::from(read.read_u16().await?);
            let mut frame = vec![0; len];
            read.read_exact(&mut frame).await?;
            front.send_to(&frame, presenter).await?;
        }
    };
    tokio::select! {
        ended = there => ended,
        ended = back => ended,
    }
}

async fn send(write: &mut OwnedWriteHalf, datagram: &[u8]) -> Result<()> {
    let mut frame = u16::try_from(datagram.len())?.to_be_bytes().to_vec();
    frame.extend_from_slice(datagram);
    Ok(write.write_all(&frame).await?)
}
