//! An edge without an origin: whoever starts it plays the origin's part.
//!
//! Two steps, since an edge is ready only with a link: [`LoneEdge::prepare`]
//! writes the certificates that the other end of the link needs.

use std::{fs, path::PathBuf};

use anyhow::Result;

use super::{Layout, Process, binaries, certificates, ready, secrets, settings, spawn};

/// A prepared edge.
#[derive(Clone, Debug)]
pub struct LoneEdge {
    layout: Layout,
}

impl LoneEdge {
    /// Writes certificates and configuration.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written.
    pub fn prepare(layout: Layout) -> Result<Self> {
        let folder = &layout.folder;
        fs::create_dir_all(folder)?;
        certificates::write(&folder.join("certificates"))?;
        secrets::write(folder)?;
        fs::write(
            folder.join("edge.toml"),
            settings::edge(&layout.ports, folder, &layout.log_filter, &layout.media),
        )?;
        Ok(Self { layout })
    }

    /// Folder with `ca.pem`, `origin.pem` and `origin.key` for the link's other end.
    pub fn certificates(&self) -> PathBuf {
        self.layout.folder.join("certificates")
    }

    /// Starts it and waits until it has a link on every worker.
    ///
    /// # Errors
    ///
    /// When it ends, or is not ready in time; with the tail of its log.
    pub async fn start(&self) -> Result<Process> {
        let mut edge = spawn(&binaries()?, "inlet-edge", "edge", &self.layout.folder)?;
        ready(&mut edge, self.layout.ports.edge_admin).await?;
        Ok(edge)
    }
}
