//! What the ladder costs, against the `ffmpeg` command line doing the same.

pub(crate) fn measure() {}
