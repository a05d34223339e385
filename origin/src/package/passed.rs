//! A presenter's own frames as the top rendition's.

use bytes::Bytes;

/// What is told of frames that are passed through, in the order of frames and before
/// any worker can have answered for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A segment begins with a key frame, in all renditions.
    Begins {
        /// Its number.
        segment: u64,
        /// Its first frame.
        frame: u64,
        /// The next segment begins with this frame at the earliest.
        sure_until: u64,
    },
    /// A frame that might have begun the next segment does not.
    Continues {
        /// The frame.
        frame: u64,
    },
    /// Frames of the presenter's, for the top rendition.
    Frames {
        /// The frame number whose place they share.
        first: u64,
        /// Frame numbers until the next ones come, from 1: the last one is shown so long.
        count: u64,
        /// In coding order, which is that of showing.
        frames: Vec<Coded>,
    },
    /// Nothing more is passed through: from the next one on, segments begin at their
    /// nominal places.
    Ends,
}

/// A coded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coded {
    /// What a sample holds; of a picture, slices as NAL units after lengths of 4 bytes.
    pub data: Bytes,
    /// Whether decoding can begin here.
    pub sync: bool,
}

/// One of each of H.264's parameter sets, without start codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    /// The sequence parameter set.
    pub sps: Bytes,
    /// The picture parameter set.
    pub pps: Bytes,
}
