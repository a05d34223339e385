//! The named phases of a process, from start to stop.
