//! What several unit tests need.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A folder that is gone when the test is.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("inlet-origin-{}", Uuid::new_v4()));
        std::fs::create_dir(&path).expect("the temporary folder is writable");
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over lies in the temporary folder and hurts nobody.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
