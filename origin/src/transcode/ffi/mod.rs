//! The few FFmpeg calls that need `unsafe`.
