//! Inlet.
