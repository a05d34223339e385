//! How it stands with passing through, in words of a closed set.

/// Where a session stands whose stream asks for its top rung to be passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The top rung is encoded, until the presenter has shown that it keeps the beat.
    Starting,
    /// The top rung is the presenter's own coded picture.
    Passing,
    /// The top rung is encoded until the session ends.
    Encoded(Reason),
}

/// Why a presenter's own picture is not the top rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not H.264, or there is none.
    Codec,
    /// It is of another profile than constrained baseline, main or high, or interlaced.
    Profile,
    /// Its parameter sets are not one pair that stays, or have our encoder's number.
    ParameterSets,
    /// It has not the size of the top rung, or another one than at first.
    Size,
    /// It has to be turned.
    Rotation,
    /// It has B frames: some are shown in another order than they are coded.
    Reordering,
    /// There are more of them in a second than the ladder has.
    FrameRate,
    /// They come at several times the rate that the presenter was told to keep.
    Bitrate,
    /// Key frames do not come when they are asked for.
    KeyFrames,
    /// None has come for a while.
    Stall,
    /// The ladder has no other rung.
    Ladder,
    /// The rungs are encoded in hardware, by which the two cannot be told apart.
    Encoder,
}

impl Progress {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Passing => "passing",
            Self::Encoded(_) => "encoded",
        }
    }

    /// Why the top rung is encoded, where it stays so.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Encoded(reason) => Some(reason),
            Self::Starting | Self::Passing => None,
        }
    }
}

impl Reason {
    /// Its name in the API, the log and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::Profile => "profile",
            Self::ParameterSets => "parameter_sets",
            Self::Size => "size",
            Self::Rotation => "rotation",
            Self::Reordering => "reordering",
            Self::FrameRate => "frame_rate",
            Self::Bitrate => "bitrate",
            Self::KeyFrames => "key_frames",
            Self::Stall => "stall",
            Self::Ladder => "ladder",
            Self::Encoder => "encoder",
        }
    }
}
