//! The origin's configuration.
