//! How an origin that was started anew tells edges that it knows nothing of
//! their connections.
//!
//! QUIC's stateless reset (RFC 9000 §10.3) does it, within a round trip of the
//! next packet, where an edge would otherwise wait for its idle timeout. Both
//! processes must derive the same tokens, so the secret lies in the state
//! directory; connection ids come from it too, since quinn answers none that
//! it could not have given.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::hmac;
use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use rand::Rng as _;

/// The secret's file in the state directory.
const FILE: &str = "link-reset-key";

const KEY_LEN: usize = 32;

/// Settings of the endpoint for the link, with the secret of `state_dir`; makes
/// it where there is none.
///
/// # Errors
///
/// [`Error`] when the file cannot be read or made.
pub fn endpoint(state_dir: &Path) -> Result<EndpointConfig, Error> {
    let path = state_dir.join(FILE);
    let secret = load_or_make(&path).map_err(|source| Error { path, source })?;
    let derive = |label: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        hmac::sign(&key, label)
    };
    let reset = derive(b"stateless reset");
    let mut ids = [0; 8];
    ids.copy_from_slice(derive(b"connection ids").as_ref().split_at(8).0);
    let ids = u64::from_be_bytes(ids);
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref());
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    Ok(config)
}

fn load_or_make(path: &Path) -> io::Result<[u8; KEY_LEN]> {
    match fs::read(path) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| io::Error::other("it is not 32 bytes long: remove it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

/// Whole or not at all: half a secret would keep the next start from going on.
fn make(path: &Path) -> io::Result<[u8; KEY_LEN]> {
    let mut secret = [0; KEY_LEN];
    rand::rng().fill_bytes(&mut secret);
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(secret)
}

/// The secret can neither be read nor made.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::test_util::Folder;

    #[test]
    fn the_secret_is_made_once_and_read_by_its_owner_alone() {
        let folder = Folder::new();
        let path = folder.path().join(FILE);
        let made = load_or_make(&path).unwrap();
        assert_eq!(load_or_make(&path).unwrap(), made);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let other = load_or_make(&folder.path().join("other")).unwrap();
        assert_ne!(other, made);
    }

    #[test]
    fn half_a_secret_is_refused() {
        let folder = Folder::new();
        fs::write(folder.path().join(FILE), "half").unwrap();
        let error = endpoint(folder.path()).unwrap_err();
        assert!(error.source.to_string().contains("remove it"));
    }
}
