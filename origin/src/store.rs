//! What viewers may fetch right now.
