//! Which rungs a stream gets, from the resolution its presenter started with.

/// A picture's size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Resolution {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// One rendition of the ladder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rung {
    /// Its size, with the source's aspect and even numbers.
    pub resolution: Resolution,
    /// Target rate of its encoder, in bits per second.
    pub bitrate: u32,
}

impl Rung {
    /// The rung's name in URLs, labels and the API: its short side and a `p`.
    pub fn name(&self) -> String {
        format!("{}p", self.resolution.width.min(self.resolution.height))
    }
}
