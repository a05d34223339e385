//! Sending pieces that lie apart, as one datagram or as several of one size.
//!
//! A relayed packet is its sender's payload behind another header; putting both
//! into one buffer would copy the payload. `quinn-udp` sends from one slice
//! only, so this is `sendmsg` with an I/O vector, and UDP_SEGMENT where there
//! are several datagrams (udp(7)).

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg},
};

use super::Socket;

/// What is sent at once.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a> {
    /// Where to.
    pub destination: SocketAddr,
    /// Which of our addresses it comes from; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// One after the other.
    pub slices: &'a [IoSlice<'a>],
    /// The size of each datagram but the last; `None` when there is one.
    pub segment_size: Option<u16>,
}

impl Socket {
    /// Sends pieces. A pending ICMP error of an earlier packet does not stop
    /// them.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when the kernel's buffer is full, and what
    /// else the kernel says.
    pub fn send_pieces(&self, pieces: &Pieces<'_>) -> io::Result<()> {
        self.state()?;
        match self.send_once(pieces) {
            Err(error) if error != Errno::EAGAIN => self.send_once(pieces),
            other => other,
        }
        .map_err(io::Error::from)
    }

    fn send_once(&self, pieces: &Pieces<'_>) -> nix::Result<()> {
        let address = SockaddrStorage::from(pieces.destination);
        let descriptor = self.inner.as_raw_fd();
        let segment = pieces.segment_size;
        let segment = segment.as_ref().map(ControlMessage::UdpGsoSegments);
        let source_four;
        let source_six;
        let source = match pieces.source {
            Some(IpAddr::V4(ip)) => {
                source_four = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(ip.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                Some(ControlMessage::Ipv4PacketInfo(&source_four))
            }
            Some(IpAddr::V6(ip)) => {
                source_six = libc::in6_pktinfo {
                    ipi6_ifindex: 0,
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                };
                Some(ControlMessage::Ipv6PacketInfo(&source_six))
            }
            None => None,
        };
        let (flags, to) = (MsgFlags::empty(), Some(&address));
        match (segment, source) {
            (None, None) => sendmsg(descriptor, pieces.slices, &[], flags, to),
            (Some(one), None) | (None, Some(one)) => {
                sendmsg(descriptor, pieces.slices, &[one], flags, to)
            }
            (Some(segment), Some(source)) => {
                sendmsg(descriptor, pieces.slices, &[segment, source], flags, to)
            }
        }
        .map(drop)
    }
}
