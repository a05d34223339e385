//! What viewers fetch: playlists, manifests, segments, pages.

pub mod pages;
