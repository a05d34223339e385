//! API keys. Whoever holds one may do everything with its client's streams.
//!
//! A key is shown once, when it is made; the registry keeps the SHA-256 of its
//! secret. The very first key cannot be shown to anybody, so it is written to
//! a file that only the service's user can read.

use std::{
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use inlet_common::{clock::UtcTime, ids::ClientId};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Error, Kind, Registry};

/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;

/// Name of the first key's file in the state directory.
const FIRST_KEY_FILE: &str = "api-key";

impl Registry {
    /// Makes a key for `client`. The answer is the only place where its secret
    /// can ever be read; `label` is for the operator who lists keys.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchClient`], or [`Error::Query`].
    pub async fn create_key(
        &self,
        client: ClientId,
        label: &str,
        now: UtcTime,
    ) -> Result<ApiKey, Error> {
        let (secret, hash) = new_secret();
        let insert = sqlx::query_scalar(
            "INSERT INTO api_keys (client_id, label, secret_hash, created_at) \
             VALUES (?1, ?2, ?3, ?4) RETURNING id",
        )
        .bind(client.0)
        .bind(label)
        .bind(hash.to_vec())
        .bind(now.as_unix_micros())
        .fetch_one(&self.pool);
        match self.run(Kind::Write, insert).await {
            Ok(id) => Ok(ApiKey {
                id: KeyId(id),
                secret,
            }),
            Err(Error::Query(sqlx::Error::Database(error))) if error.is_foreign_key_violation() => {
                Err(Error::NoSuchClient(client))
            }
            Err(error) => Err(error),
        }
    }

    /// Every key, the revoked ones too, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, Error> {
        let select = sqlx::query_as::<_, (i64, i64, String, i64, Option<i64>)>(
            "SELECT id, client_id, label, created_at, revoked_at FROM api_keys ORDER BY id",
        )
        .fetch_all(&self.pool);
        let rows = self.run(Kind::Read, select).await?;
        let record = |(id, client, label, created, revoked): (_, _, _, _, Option<i64>)| KeyRecord {
            id: KeyId(id),
            client: ClientId(client),
            label,
            created_at: UtcTime::from_unix_micros(created),
            revoked_at: revoked.map(UtcTime::from_unix_micros),
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Revokes a key: its next request is refused. `false` when there is no
    /// such key, or it was revoked before.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn revoke_key(&self, id: KeyId, now: UtcTime) -> Result<bool, Error> {
        let update =
            sqlx::query("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")
                .bind(id.0)
                .bind(now.as_unix_micros())
                .execute(&self.pool);
        Ok(self.run(Kind::Write, update).await?.rows_affected() > 0)
    }

    /// Whose key this is; `None` when it is nobody's, or revoked.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn client_of_key(&self, key: &ApiKey) -> Result<Option<ClientId>, Error> {
        let select = sqlx::query_as::<_, (i64, Vec<u8>)>(
            "SELECT client_id, secret_hash FROM api_keys WHERE id = ?1 AND revoked_at IS NULL",
        )
        .bind(key.id.0)
        .fetch_optional(&self.pool);
        let Some((client, stored)) = self.run(Kind::Read, select).await? else {
            return Ok(None);
        };
        let given = Sha256::digest(key.secret.as_bytes());
        Ok(bool::from(given.as_slice().ct_eq(&stored)).then_some(ClientId(client)))
    }

    /// On the first start, when there never was a key, makes one for client 1
    /// and writes it to `api-key` in `state_dir`, readable by its owner alone.
    /// Logs that path, and returns it, when it did.
    ///
    /// # Errors
    ///
    /// [`Error::KeyFile`] when the file cannot be written; then no key was
    /// made. [`Error::Query`].
    pub async fn ensure_first_key(
        &self,
        state_dir: &Path,
        now: UtcTime,
    ) -> Result<Option<PathBuf>, Error> {
        let count =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM api_keys").fetch_one(&self.pool);
        if self.run(Kind::Read, count).await? > 0 {
            return Ok(None);
        }
        let key = self.create_key(ClientId(1), "first key", now).await?;
        let path = state_dir.join(FIRST_KEY_FILE);
        if let Err(source) = write_private(&path, &format!("{}\n", key.expose())) {
            // A key that nobody can read would keep the next start from
            // making one.
            let delete = sqlx::query("DELETE FROM api_keys WHERE id = ?1")
                .bind(key.id.0)
                .execute(&self.pool);
            self.run(Kind::Write, delete).await?;
            return Err(Error::KeyFile { path, source });
        }
        tracing::info!(path = %path.display(), "first API key written");
        Ok(Some(path))
    }
}

/// Writes a file that only its owner can read, whole or not at all, in place
/// of an older one.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

/// Draws a secret and hashes it.
fn new_secret() -> (String, [u8; 32]) {
    let mut bytes = [0; SECRET_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let hash = Sha256::digest(secret.as_bytes()).into();
    (secret, hash)
}

/// The registry's number of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub i64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        // One spelling per key: no sign, no leading zero.
        let id: i64 = text.parse().map_err(|_| InvalidApiKey)?;
        if id < 1 || id.to_string() != text {
            return Err(InvalidApiKey);
        }
        Ok(Self(id))
    }
}

/// An API key as its holder presents it, `<id>$<secret>`.
///
/// `Debug` shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: KeyId,
    secret: String,
}

impl ApiKey {
    /// Longest secret taken from outside, in bytes.
    const MAX_SECRET: usize = 128;

    /// The key's number, which is no secret.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The whole key, secret included.
    pub fn expose(&self) -> String {
        format!("{}${}", self.id, self.secret)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}$…)", self.id)
    }
}

impl FromStr for ApiKey {
    type Err = InvalidApiKey;

    fn from_str(text: &str) -> Result<Self, InvalidApiKey> {
        let (id, secret) = text.split_once('$').ok_or(InvalidApiKey)?;
        if secret.is_empty() || secret.len() > Self::MAX_SECRET {
            return Err(InvalidApiKey);
        }
        Ok(Self {
            id: id.parse()?,
            secret: secret.to_owned(),
        })
    }
}

/// The text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key: it reads <id>$<secret>")]
pub struct InvalidApiKey;

/// What is known of a key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its number.
    pub id: KeyId,
    /// Whose streams it opens.
    pub client: ClientId,
    /// What the operator called it.
    pub label: String,
    /// When it was made.
    pub created_at: UtcTime,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UtcTime>,
}
