//! What viewers fetch: playlists, manifests, segments, pages.
