//! Why a stream or a connection was ended (§10 of the draft).

/// Nothing went wrong.
pub const NO_ERROR: u32 = 0x00;
/// Something went wrong that has no code of its own.
pub const GENERAL: u32 = 0x01;
/// This side cannot go on.
pub const INTERNAL: u32 = 0x02;
/// A packet could not be read.
pub const PACKET: u32 = 0x03;
/// A stream of a kind that has no place here.
pub const STREAM_CREATION: u32 = 0x04;
/// The frame on this stream is too old to be of use.
pub const FRAME_CANCELLED: u32 = 0x05;
/// No session goes by this flow id.
pub const UNKNOWN_FLOW: u32 = 0x06;
/// Something that was signalled did not come to pass.
pub const EXPECTATION_UNMET: u32 = 0x07;
