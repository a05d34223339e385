//! Secrets of the rig's edge, made anew at each start.

use std::{fs, path::Path};

use anyhow::Result;
use rand::Rng as _;

/// Folder for them, within the rig's.
pub(super) const FOLDER: &str = "secrets";

/// Writes `admin`, `turn`, and `fleet` for those that are one.
pub(super) fn write(folder: &Path) -> Result<()> {
    let folder = folder.join(FOLDER);
    fs::create_dir_all(&folder)?;
    for name in ["admin", "turn", "fleet"] {
        fs::write(folder.join(name), random() + "\n")?;
    }
    Ok(())
}

/// The edge's admin secret.
pub(super) fn admin(folder: &Path) -> Result<String> {
    let text = fs::read_to_string(folder.join(FOLDER).join("admin"))?;
    Ok(text.trim().to_owned())
}

fn random() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
