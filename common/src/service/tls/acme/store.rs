//! What is kept over restarts: the account, the certificate, and the attempts.
//!
//! ```text
//! state_dir/                                       0700
//!   acme-v02.api.letsencrypt.org-1f3c9a72b4d0/     0700, one per CA
//!     account.json        the account's key        0600
//!     certificate.pem     chain and private key    0600
//!     attempts.json       failures in a row        0600
//! ```
//!
//! Each file is written whole beside its place and then put there, so that a
//! crash leaves the old one or the new one; chain and key are one file, since
//! they are only good together. A CA of its own directory: after a trial with a
//! test CA nobody is served its certificate by mistake.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.pem";
const ATTEMPTS: &str = "attempts.json";

/// Largest file that is read. A chain has some ten kilobytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Bytes of the digest that tell directories of one host apart.
const DIGEST_BYTES: usize = 6;

/// The state of one CA.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Where the state for the CA at `directory` lies; nothing is touched.
    pub(super) fn new(state_dir: &Path, directory: &str) -> Self {
        let uri: Option<http::Uri> = directory.parse().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("ca");
        let digest: [u8; 32] = Sha256::digest(directory).into();
        let digest = hex::encode(digest.get(..DIGEST_BYTES).unwrap_or_default());
        // An IPv6 address has brackets, which are of no harm in a file name.
        Self {
            folder: state_dir.join(format!("{host}-{digest}")),
        }
    }

    /// The file with the certificate, for messages.
    pub(super) fn certificate_path(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }

    pub(super) fn certificate(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(CERTIFICATE)
    }

    pub(super) fn keep_certificate(&self, pem: &[u8]) -> Result<(), Error> {
        self.write(CERTIFICATE, pem)
    }

    pub(super) fn account(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(ACCOUNT)
    }

    pub(super) fn keep_account(&self, json: &[u8]) -> Result<(), Error> {
        self.write(ACCOUNT, json)
    }

    /// Puts the account aside: the CA does not know it any more.
    pub(super) fn retire_account(&self) -> Result<(), Error> {
        let path = self.folder.join(ACCOUNT);
        let aside = self.folder.join(format!("{ACCOUNT}.old"));
        fs::rename(&path, aside).map_err(|source| Error::Write { path, source })
    }

    pub(super) fn attempts(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(ATTEMPTS)
    }

    pub(super) fn keep_attempts(&self, json: &[u8]) -> Result<(), Error> {
        self.write(ATTEMPTS, json)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(name);
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(name);
        self.write_whole(&path, bytes)
            .map_err(|source| Error::Write { path, source })
    }

    fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        // One that was there already may be open to others.
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        let beside = path.with_extension("new");
        // What an earlier crash left: its mode would be kept.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Why state cannot be read or kept. The file is always named.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: let the service's user write acme.state_dir", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("inlet-acme-{}", uuid::Uuid::new_v4()));
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_for_the_owner_alone() {
        let folder = Folder::new();
        let store = Store::new(&folder.0, "https://ca.example/dir");
        assert_eq!(store.certificate().unwrap(), None);
        // As a crash between writing and putting in place leaves it.
        fs::create_dir_all(&store.folder).unwrap();
        fs::write(store.folder.join("certificate.new"), "half").unwrap();
        fs::set_permissions(&store.folder, Permissions::from_mode(0o755)).unwrap();

        store.keep_certificate(b"one").unwrap();
        store.keep_certificate(b"two").unwrap();
        assert_eq!(store.certificate().unwrap().unwrap(), b"two");
        assert_eq!(mode(&store.certificate_path()), 0o600);
        assert_eq!(mode(&store.folder), 0o700);
        assert!(!store.folder.join("certificate.new").exists());
    }

    #[test]
    fn each_ca_has_a_directory_of_its_own() {
        let folder = |url| Store::new(Path::new("/s"), url).folder;
        let production = folder("https://ca.example/dir");
        assert_eq!(production, folder("https://ca.example/dir"));
        assert_ne!(production, folder("https://ca.example/test"));
        assert!(production.to_str().unwrap().starts_with("/s/ca.example-"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = Folder::new();
        fs::write(&folder.0, "a file").unwrap();
        let store = Store::new(&folder.0, "https://ca.example/dir");
        let error = store.keep_attempts(b"{}").unwrap_err().to_string();
        assert!(error.contains("attempts.json: let"), "{error}");
        fs::remove_file(&folder.0).unwrap();
    }
}
