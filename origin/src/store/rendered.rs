//! A playlist or manifest as bytes, made once for all who fetch it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    sync::OnceLock,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::HeaderValue;

/// Text in both encodings. The gzip one is made when it is first wanted.
#[derive(Debug)]
pub struct Rendered {
    identity: Bytes,
    gzip: OnceLock<Bytes>,
    etag: HeaderValue,
}

impl Rendered {
    pub(super) fn new(text: String) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        // Weak, because both encodings share it (RFC 9110 §8.8.3).
        let etag = format!("W/\"{:016x}\"", hasher.finish());
        let etag = HeaderValue::try_from(etag).expect("digits and quotes");
        Self {
            identity: text.into(),
            gzip: OnceLock::new(),
            etag,
        }
    }

    /// The text as it is.
    pub fn identity(&self) -> &Bytes {
        &self.identity
    }

    /// The text compressed.
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| compress(&self.identity))
    }

    /// The entity tag of both.
    pub fn etag(&self) -> &HeaderValue {
        &self.etag
    }
}

/// The fastest level: a playlist shrinks to a tenth with any.
fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder
        .write_all(text)
        .and_then(|()| encoder.finish())
        .expect("writing to a vector cannot fail")
        .into()
}
