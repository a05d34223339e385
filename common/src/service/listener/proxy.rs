//! The header that a trusted proxy puts before what a client sends: PROXY
//! protocol version 2, [proxy-protocol.txt §2.2](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  signature: 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A (12 bytes)    |
//! +-------+-------+-------+-------+-------------------------------+
//! | ver=2 |command| family| proto |   bytes that follow           |
//! +-------+-------+-------+-------+-------------------------------+
//! |  source address (4 or 16 bytes), destination address (same)   |
//! |          source port          |       destination port        |
//! |  TLVs, whatever is left                                       |
//! ```
//!
//! Read [`HEAD_BYTES`], then as many as [`Head::body_bytes`] says, and not one
//! more: the next byte is the client's. Only the proxy's word for the
//! addresses is taken; TLVs are skipped.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::net::{IpAddr, SocketAddr};

/// Length of the part that every header has.
pub(super) const HEAD_BYTES: usize = 16;

/// Most bytes behind it. The largest address block has 216, what is known to
/// come in TLVs (a virtual endpoint's name, what a client's certificate says)
/// some hundreds.
pub(super) const MAX_BODY_BYTES: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    command: Command,
    body_bytes: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Local,
    Proxy(Family),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Whose connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The proxy's own, a health check for instance.
    Local,
    /// A client's.
    Proxy {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
}

impl Head {
    /// Decodes the fixed part.
    pub(super) fn decode(wire: &[u8; HEAD_BYTES]) -> Result<Self, Error> {
        let Some((&[version_command, family, high, low], _)) = wire
            .strip_prefix(&SIGNATURE)
            .ok_or(Error::Signature)?
            .split_first_chunk()
        else {
            return Err(Error::Signature);
        };
        let command = match (version_command, family) {
            // "the receiver must accept this connection as valid and must use
            // the real connection endpoints and discard the protocol block
            // including the family which is ignored."
            (0x20, _) => Command::Local,
            (0x21, 0x11) => Command::Proxy(Family::V4),
            (0x21, 0x21) => Command::Proxy(Family::V6),
            // UNSPEC too: its real endpoints would be the proxy's, and "the
            // receiver is free to […] reject it".
            (0x21, family) => return Err(Error::Family(family)),
            (other, _) => return Err(Error::Command(other)),
        };
        let body_bytes = u16::from_be_bytes([high, low]);
        if usize::from(body_bytes) > MAX_BODY_BYTES {
            return Err(Error::TooLong(body_bytes));
        }
        Ok(Self {
            command,
            body_bytes,
        })
    }

    /// How many bytes follow, at most [`MAX_BODY_BYTES`].
    pub(super) fn body_bytes(self) -> usize {
        usize::from(self.body_bytes)
    }

    /// Decodes what followed.
    pub(super) fn header(self, body: &[u8]) -> Result<Header, Error> {
        let family = match self.command {
            Command::Local => return Ok(Header::Local),
            Command::Proxy(family) => family,
        };
        let addresses = match family {
            Family::V4 => endpoints::<4>(body),
            Family::V6 => endpoints::<16>(body),
        };
        let (source, destination) = addresses.ok_or(Error::TooShort)?;
        Ok(Header::Proxy {
            source,
            destination,
        })
    }
}

/// The address block of a family whose addresses have `N` bytes.
fn endpoints<const N: usize>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    let endpoint = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port))
    };
    Some((
        endpoint(source, source_port),
        endpoint(destination, destination_port),
    ))
}

/// A header that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Something else than a header of version 2.
    #[error("no PROXY signature")]
    Signature,
    /// Version and command, as on the wire.
    #[error("unknown version or command {0:#04x}")]
    Command(u8),
    /// Family and protocol, as on the wire.
    #[error("family and protocol {0:#04x} are not TCP over IPv4 or IPv6")]
    Family(u8),
    /// More than [`MAX_BODY_BYTES`].
    #[error("{0} bytes are announced")]
    TooLong(u16),
    /// Fewer bytes than the family's addresses take.
    #[error("addresses are cut off")]
    TooShort,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header as a proxy writes it.
    fn encode(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut wire = SIGNATURE.to_vec();
        wire.extend([version_command, family]);
        wire.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        wire.extend(body);
        wire
    }

    fn decode(wire: &[u8]) -> Result<Header, Error> {
        let (head, body) = wire.split_first_chunk().unwrap();
        let head = Head::decode(head)?;
        head.header(&body[..head.body_bytes()])
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0x01, 0xBB];

    #[test]
    fn a_client_by_ipv4_is_told() {
        let expected = Header::Proxy {
            source: "192.0.2.1:12345".parse().unwrap(),
            destination: "198.51.100.2:443".parse().unwrap(),
        };
        assert_eq!(decode(&encode(0x21, 0x11, &V4)), Ok(expected));
        let with_tlvs = [&V4[..], &[0x04, 0, 1, 0xFF]].concat();
        assert_eq!(decode(&encode(0x21, 0x11, &with_tlvs)), Ok(expected));
    }

    #[test]
    fn a_local_connection_is_taken_whatever_its_addresses() {
        for (family, body) in [(0x00, &[][..]), (0x11, &V4), (0x7F, &[1, 2, 3])] {
            assert_eq!(decode(&encode(0x20, family, body)), Ok(Header::Local));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let table = [
            (encode(0x21, 0x00, &[]), Error::Family(0x00)),
            (encode(0x21, 0x12, &V4), Error::Family(0x12)),
            (encode(0x21, 0x22, &[0; 36]), Error::Family(0x22)),
            (encode(0x21, 0x31, &[0; 216]), Error::Family(0x31)),
            (encode(0x22, 0x11, &V4), Error::Command(0x22)),
            (encode(0x11, 0x11, &V4), Error::Command(0x11)),
            (encode(0x21, 0x11, &V4[..11]), Error::TooShort),
            (encode(0x21, 0x21, &[0; 35]), Error::TooShort),
            (encode(0x21, 0x11, &[0; 4097]), Error::TooLong(4097)),
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.2".to_vec(),
                Error::Signature,
            ),
            (b"GET / HTTP/1.1\r\n".to_vec(), Error::Signature),
        ];
        for (wire, error) in table {
            assert_eq!(decode(&wire), Err(error), "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn endpoints_survive_the_wire(
            v4 in any::<([u8; 4], [u8; 4], u16, u16)>(),
            v6 in any::<([u8; 16], [u8; 16], u16, u16)>(),
            tlvs in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            fn told<const N: usize>(
                (from, to, from_port, to_port): ([u8; N], [u8; N], u16, u16),
                family: u8,
                tlvs: &[u8],
            ) -> Result<Header, Error> {
                let ports = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
                decode(&encode(0x21, family, &[&from[..], &to, &ports, tlvs].concat()))
            }
            let expected = Header::Proxy {
                source: (v4.0, v4.2).into(),
                destination: (v4.1, v4.3).into(),
            };
            prop_assert_eq!(told(v4, 0x11, &tlvs), Ok(expected));
            let expected = Header::Proxy {
                source: (v6.0, v6.2).into(),
                destination: (v6.1, v6.3).into(),
            };
            prop_assert_eq!(told(v6, 0x21, &tlvs), Ok(expected));
        }

        #[test]
        fn junk_never_panics_and_lengths_stay_bounded(
            junk in any::<[u8; 4]>(),
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut head = [0; HEAD_BYTES];
            head[..12].copy_from_slice(&SIGNATURE);
            head[12..].copy_from_slice(&junk);
            if let Ok(head) = Head::decode(&head) {
                prop_assert!(head.body_bytes() <= MAX_BODY_BYTES);
                head.header(&body).ok();
            }
        }
    }
}
