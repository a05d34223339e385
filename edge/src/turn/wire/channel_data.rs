//! ChannelData, the short form of relayed data (RFC 8656 §12.4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |   Channel Number 0x4000–4FFF  |            Length             |
//! +-------------------------------+-------------------------------+
//! |       Application Data; over TCP padded to four bytes         |
//! +---------------------------------------------------------------+
//! ```

/// Bytes in front of the data.
pub const HEADER: usize = 4;

/// A channel's number, 0x4000–0x4FFF (RFC 8656 §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The number, `None` outside its range: what lies above 0x4FFF is reserved
    /// (RFC 8656 §12).
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            0x4000..=0x4FFF => Some(Self(number)),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The header of a ChannelData message of `len` bytes.
    pub fn header(self, len: u16) -> [u8; HEADER] {
        let [n1, n2] = self.0.to_be_bytes();
        let [l1, l2] = len.to_be_bytes();
        [n1, n2, l1, l2]
    }
}

/// A decoded ChannelData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// Which channel.
    pub number: ChannelNumber,
    /// The application's data, without padding.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Decodes a datagram or a whole frame. `None` when the number is out of
    /// range or the length says more than there is; what follows the data is
    /// padding and ignored.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[n1, n2, l1, l2], rest) = bytes.split_first_chunk::<HEADER>()?;
        let number = ChannelNumber::new(u16::from_be_bytes([n1, n2]))?;
        let len = usize::from(u16::from_be_bytes([l1, l2]));
        let data = rest.get(..len)?;
        Some(Self { number, data })
    }
}
