//! Streams as the API creates, changes and lists them.
//!
//! Every call names the client whose stream it is: another client's stream
//! does not exist for it.

use inlet_common::{
    clock::UtcTime,
    ids::{ClientId, PushToken, StreamId},
};
use rand::Rng as _;
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, Kind, QualitySet, Registry};
use crate::{timeline::Epoch, transcode::ladder::Resolution};

/// Random bytes in a push token: 128 bits, the product's least.
const TOKEN_BYTES: usize = 16;

impl Registry {
    /// Makes a stream, with a fresh push token and its epoch at `now`. `None`
    /// when the client already has `limit` streams.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn create_stream(
        &self,
        client: ClientId,
        new: NewStream,
        limit: u32,
        now: UtcTime,
    ) -> Result<Option<Stream>, Error> {
        let insert = sqlx::query_as::<_, Row>(
            "INSERT INTO streams (client_id, name, active, token, epoch, quality_set, \
             client_entity_data, created_at, pass_through) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10 \
             WHERE (SELECT count(*) FROM streams WHERE client_id = ?1) < ?9 RETURNING *",
        )
        .bind(client.0)
        .bind(new.name)
        .bind(new.active)
        .bind(new_token())
        .bind(epoch_for(now).as_unix_micros())
        .bind(to_json(new.quality_set.as_ref()))
        .bind(to_json(new.client_entity_data.as_ref()))
        .bind(now.as_unix_micros())
        .bind(limit)
        .bind(new.pass_through)
        .fetch_optional(&self.pool);
        self.run(Kind::Write, insert)
            .await?
            .map(Row::into_stream)
            .transpose()
    }

    /// A client's stream, if it has it.
    ///
    /// # Errors
    ///
    /// [`Error::Query`], [`Error::Unreadable`].
    pub async fn stream(&self, client: ClientId, id: StreamId) -> Result<Option<Stream>, Error> {
        let select =
            sqlx::query_as::<_, Row>("SELECT * FROM streams WHERE id = ?1 AND client_id = ?2")
                .bind(id.0)
                .bind(client.0)
                .fetch_optional(&self.pool);
        self.run(Kind::Read, select)
            .await?
            .map(Row::into_stream)
            .transpose()
    }

    /// One page of a client's streams, oldest first, and how many it has in
    /// all.
    ///
    /// # Errors
    ///
    /// [`Error::Query`], [`Error::Unreadable`].
    pub async fn streams(&self, client: ClientId, page: Page) -> Result<(Vec<Stream>, u64), Error> {
        let count =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM streams WHERE client_id = ?1")
                .bind(client.0)
                .fetch_one(&self.pool);
        let total = self.run(Kind::Read, count).await?;
        let select = sqlx::query_as::<_, Row>(
            "SELECT * FROM streams WHERE client_id = ?1 ORDER BY id LIMIT ?2 OFFSET ?3",
        )
        .bind(client.0)
        .bind(page.limit)
        .bind(i64::try_from(page.offset).unwrap_or(i64::MAX))
        .fetch_all(&self.pool);
        let rows = self.run(Kind::Read, select).await?;
        let streams = rows
            .into_iter()
            .map(Row::into_stream)
            .collect::<Result<_, _>>()?;
        Ok((streams, u64::try_from(total).unwrap_or(0)))
    }

    /// Changes the fields that `change` names; `None` when the client has no
    /// such stream.
    ///
    /// # Errors
    ///
    /// [`Error::Query`], [`Error::Unreadable`].
    pub async fn update_stream(
        &self,
        client: ClientId,
        id: StreamId,
        change: Change,
    ) -> Result<Option<Stream>, Error> {
        let (set_data, data) = (
            change.client_entity_data.is_some(),
            change.client_entity_data,
        );
        let (set_rungs, rungs) = (change.quality_set.is_some(), change.quality_set);
        let update = sqlx::query_as::<_, Row>(
            "UPDATE streams SET name = coalesce(?3, name), active = coalesce(?4, active), \
             client_entity_data = CASE WHEN ?5 THEN ?6 ELSE client_entity_data END, \
             quality_set = CASE WHEN ?7 THEN ?8 ELSE quality_set END, \
             pass_through = coalesce(?9, pass_through) \
             WHERE id = ?1 AND client_id = ?2 RETURNING *",
        )
        .bind(id.0)
        .bind(client.0)
        .bind(change.name)
        .bind(change.active)
        .bind(set_data)
        .bind(to_json(data.flatten().as_ref()))
        .bind(set_rungs)
        .bind(to_json(rungs.flatten().as_ref()))
        .bind(change.pass_through)
        .fetch_optional(&self.pool);
        self.run(Kind::Write, update)
            .await?
            .map(Row::into_stream)
            .transpose()
    }

    /// Removes a stream for ever; `false` when the client has no such stream.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn delete_stream(&self, client: ClientId, id: StreamId) -> Result<bool, Error> {
        let delete = sqlx::query("DELETE FROM streams WHERE id = ?1 AND client_id = ?2")
            .bind(id.0)
            .bind(client.0)
            .execute(&self.pool);
        Ok(self.run(Kind::Write, delete).await?.rows_affected() > 0)
    }

    /// Gives a stream a new push token, the old one being dead from now on;
    /// `None` when the client has no such stream.
    ///
    /// # Errors
    ///
    /// [`Error::Query`], [`Error::Unreadable`].
    pub async fn reset_token(
        &self,
        client: ClientId,
        id: StreamId,
    ) -> Result<Option<Stream>, Error> {
        let update = sqlx::query_as::<_, Row>(
            "UPDATE streams SET token = ?3 WHERE id = ?1 AND client_id = ?2 RETURNING *",
        )
        .bind(id.0)
        .bind(client.0)
        .bind(new_token())
        .fetch_optional(&self.pool);
        self.run(Kind::Write, update)
            .await?
            .map(Row::into_stream)
            .transpose()
    }
}

/// A fresh push token. Hexadecimal: it needs no escaping in any URL form, and
/// holds no `_`, which parts it from the stream's id.
fn new_token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

/// A stream's time begins at the whole second before its creation, so that
/// segment boundaries fall on whole seconds of UTC and manifests are short.
fn epoch_for(now: UtcTime) -> UtcTime {
    UtcTime::from_unix_micros(now.as_unix_seconds().saturating_mul(1_000_000))
}

pub(super) fn to_json<T: Serialize>(value: Option<&T>) -> Option<String> {
    value.map(|value| serde_json::to_string(value).expect("its keys are strings"))
}

/// What a new stream is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStream {
    /// What its owner calls it.
    pub name: String,
    /// Whether it may be published to.
    pub active: bool,
    /// Whatever the owner wants to keep with it.
    pub client_entity_data: Option<serde_json::Value>,
    /// The ladder it asks for; `None` means the product's default.
    pub quality_set: Option<QualitySet>,
    /// Whether the top rung may be the presenter's own coded picture.
    pub pass_through: bool,
}

/// Which fields of a stream to change; `None` leaves a field as it is, and
/// `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// See [`NewStream::name`].
    pub name: Option<String>,
    /// See [`NewStream::active`].
    pub active: Option<bool>,
    /// See [`NewStream::client_entity_data`].
    pub client_entity_data: Option<Option<serde_json::Value>>,
    /// See [`NewStream::quality_set`]. A running session keeps its ladder.
    pub quality_set: Option<Option<QualitySet>>,
    /// See [`NewStream::pass_through`]. A running session keeps what it began with.
    pub pass_through: Option<bool>,
}

/// Which part of a list to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Streams to pass over.
    pub offset: u64,
    /// Most streams to return.
    pub limit: u32,
}

/// A stream as the registry knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its number.
    pub id: StreamId,
    /// Whose it is.
    pub client: ClientId,
    /// What its owner calls it.
    pub name: String,
    /// Whether it may be published to.
    pub active: bool,
    /// The right to publish to it.
    pub token: PushToken,
    /// Where its time begins; never changes.
    pub epoch: Epoch,
    /// The ladder it asks for; `None` means the product's default.
    pub quality_set: Option<QualitySet>,
    /// Whether the top rung may be the presenter's own coded picture.
    pub pass_through: bool,
    /// Whatever the owner keeps with it.
    pub client_entity_data: Option<serde_json::Value>,
    /// When it was made.
    pub created_at: UtcTime,
    /// When its running or last session began; `None` before the first.
    pub started_at: Option<UtcTime>,
    /// When its last session ended; `None` while one runs and before the first.
    pub finished_at: Option<UtcTime>,
    /// Through which PoP its running or last session came.
    pub last_region: Option<String>,
    /// Size of the presenter's picture in its running or last session.
    pub source: Option<Resolution>,
}

/// A row of `streams`. Without `Debug`: it holds the token.
#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    client_id: i64,
    name: String,
    active: bool,
    token: String,
    epoch: i64,
    quality_set: Option<String>,
    client_entity_data: Option<String>,
    created_at: i64,
    started_at_primary: Option<i64>,
    finished_at_primary: Option<i64>,
    last_region: Option<String>,
    source_width: Option<u32>,
    source_height: Option<u32>,
    pass_through: bool,
}

impl Row {
    fn into_stream(self) -> Result<Stream, Error> {
        let utc = UtcTime::from_unix_micros;
        Ok(Stream {
            id: StreamId(self.id),
            client: ClientId(self.client_id),
            name: self.name,
            active: self.active,
            token: PushToken::new(self.token),
            epoch: Epoch(utc(self.epoch)),
            quality_set: from_json(self.id, "quality_set", self.quality_set)?,
            client_entity_data: from_json(self.id, "client_entity_data", self.client_entity_data)?,
            pass_through: self.pass_through,
            created_at: utc(self.created_at),
            started_at: self.started_at_primary.map(utc),
            finished_at: self.finished_at_primary.map(utc),
            last_region: self.last_region,
            source: match (self.source_width, self.source_height) {
                (Some(width), Some(height)) => Some(Resolution { width, height }),
                _ => None,
            },
        })
    }
}

/// Reads a JSON column of a stream.
pub(super) fn from_json<T: DeserializeOwned>(
    stream: i64,
    column: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Error> {
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| Error::Unreadable {
            column,
            stream,
            source,
        })
}
