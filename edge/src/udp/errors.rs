//! ICMP errors for what a socket has sent (`IP_RECVERR`, ip(7)).
//!
//! The trap: a pending error also fails the next send or receive once, so
//! whoever meets an error there looks here and tries again.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd as _,
};

use nix::{
    cmsg_space,
    libc::{self, sock_extended_err, sockaddr_in6},
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrLike as _, SockaddrStorage, recvmsg, setsockopt,
        sockopt,
    },
};

use super::Socket;

/// An ICMP error that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Where the packet was sent to that it is about.
    pub destination: SocketAddr,
    /// ICMP type, of the destination's IP version.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// The next hop's MTU of a "too big", else 0.
    pub mtu: u32,
}

impl Socket {
    pub(super) fn keep_errors(&self) -> io::Result<()> {
        match self.local.is_ipv6() {
            true => setsockopt(&self.inner, sockopt::Ipv6RecvErr, &true)?,
            false => setsockopt(&self.inner, sockopt::Ipv4RecvErr, &true)?,
        }
        Ok(())
    }

    /// The next ICMP error; `None` when there is none. Errors of this machine's
    /// own making are passed over.
    pub fn receive_error(&self) -> Option<IcmpError> {
        loop {
            match self.receive_one_error() {
                Ok(Some(error)) => return Some(error),
                Ok(None) => {}
                Err(_) => return None,
            }
        }
    }

    fn receive_one_error(&self) -> nix::Result<Option<IcmpError>> {
        // Of the packet that it is about, nothing is needed.
        let mut none = [IoSliceMut::new(&mut [])];
        // The error, and what this socket is told with every datagram.
        let mut space = cmsg_space!(sock_extended_err, sockaddr_in6, [u8; 128]);
        let message = recvmsg::<SockaddrStorage>(
            self.inner.as_raw_fd(),
            &mut none,
            Some(&mut space),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let destination = message.address.as_ref().and_then(to_std);
        let error = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => Some(error),
            _ => None,
        });
        let (Some(destination), Some(error)) = (destination, error) else {
            return Ok(None);
        };
        let is_icmp = matches!(
            error.ee_origin,
            libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6
        );
        Ok(is_icmp.then_some(IcmpError {
            destination,
            kind: error.ee_type,
            code: error.ee_code,
            mtu: error.ee_info,
        }))
    }
}

fn to_std(address: &SockaddrStorage) -> Option<SocketAddr> {
    match address.family()? {
        nix::sys::socket::AddressFamily::Inet => {
            let four = address.as_sockaddr_in()?;
            Some(SocketAddr::new(four.ip().into(), four.port()))
        }
        _ => {
            let six = address.as_sockaddr_in6()?;
            Some(SocketAddr::new(six.ip().into(), six.port()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inlet_common::clock;

    use super::{super::Outgoing, *};

    #[test]
    fn a_closed_port_comes_back_as_an_icmp_error() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let destination = free.local_addr().unwrap();
        drop(free);
        let socket = Socket::bind_relay("127.0.0.1:0".parse().unwrap()).unwrap();
        let outgoing = Outgoing {
            destination,
            source: None,
            contents: b"nobody",
            segment_size: None,
            ecn: None,
        };
        socket.send(&outgoing).unwrap();
        let deadline = clock::now() + Duration::from_secs(5);
        let error = loop {
            if let Some(error) = socket.receive_error() {
                break error;
            }
            assert!(clock::now() < deadline, "no error came");
            std::thread::yield_now();
        };
        // Destination unreachable, port unreachable (RFC 792).
        assert_eq!(
            error,
            IcmpError {
                destination,
                kind: 3,
                code: 3,
                mtu: 0
            }
        );
        assert_eq!(socket.receive_error(), None);
    }
}
