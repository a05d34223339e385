//! Who may publish, and what is noted of a publishing session.
//!
//! The trap: between "authorised" and "in the live directory" a token may be
//! reset. Whoever begins a publication enters it into the directory first and
//! asks here second; then a reset either comes before the answer, and refuses
//! it, or finds the entry, and ends it.

use inlet_common::{
    clock::UtcTime,
    ids::{ClientId, PublishPath, StreamId},
    reason::ReasonCode,
};
use subtle::ConstantTimeEq as _;

use super::{Error, Kind, QualitySet, Registry, stream};
use crate::{timeline::Epoch, transcode::ladder::Resolution};

impl Registry {
    /// Decides whether the holder of `path` may publish now.
    ///
    /// `live_of` tells how many of the client's *other* streams are live (a
    /// session that takes over from its own ghost is no additional one);
    /// `limit` is how many may be in all.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], in this order: no such stream, wrong token, not active,
    /// too many live.
    pub async fn authorise(
        &self,
        path: &PublishPath,
        limit: u32,
        live_of: impl FnOnce(ClientId) -> u32,
    ) -> Result<Authorised, Refusal> {
        let id = path.stream.0;
        let select = sqlx::query_as::<_, Row>(
            "SELECT client_id, token, active, epoch, quality_set, \
             canvas_first_width, canvas_first_height, canvas_width, canvas_height, \
             canvas_quality_set, finished_at_primary, pass_through FROM streams WHERE id = ?1",
        )
        .bind(id)
        .fetch_optional(&self.pool);
        let row = self.run(Kind::Authorise, select).await?;
        let row = row.ok_or(Refusal::StreamNotFound)?;
        let given = path.token.expose().as_bytes();
        if !bool::from(row.token.as_bytes().ct_eq(given)) {
            return Err(Refusal::WrongToken);
        }
        if !row.active {
            return Err(Refusal::NotActive);
        }
        let client = ClientId(row.client_id);
        if live_of(client) >= limit {
            return Err(Refusal::TooManyLive);
        }
        Ok(Authorised {
            stream: path.stream,
            client,
            epoch: Epoch(UtcTime::from_unix_micros(row.epoch)),
            canvas: row.canvas(id)?,
            quality_set: stream::from_json(id, "quality_set", row.quality_set)?,
            pass_through: row.pass_through,
        })
    }

    /// Notes that a session began. Nothing happens to a stream that is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn mark_started(
        &self,
        stream: StreamId,
        started_at: UtcTime,
        region: &str,
    ) -> Result<(), Error> {
        let update = sqlx::query(
            "UPDATE streams SET started_at_primary = ?2, finished_at_primary = NULL, \
             last_region = ?3, source_width = NULL, source_height = NULL, \
             canvas_width = NULL, canvas_height = NULL WHERE id = ?1",
        )
        .bind(stream.0)
        .bind(started_at.as_unix_micros())
        .bind(region)
        .execute(&self.pool);
        self.run(Kind::Write, update).await?;
        Ok(())
    }

    /// Notes that the session that began at `started_at` goes on by another region.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn mark_region(
        &self,
        stream: StreamId,
        started_at: UtcTime,
        region: &str,
    ) -> Result<(), Error> {
        let update = sqlx::query(
            "UPDATE streams SET last_region = ?3 WHERE id = ?1 AND started_at_primary = ?2",
        )
        .bind(stream.0)
        .bind(started_at.as_unix_micros())
        .bind(region)
        .execute(&self.pool);
        self.run(Kind::Write, update).await?;
        Ok(())
    }

    /// Notes the size of the picture of the session that began at
    /// `started_at`, and what its playlist is made for.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn mark_source(
        &self,
        stream: StreamId,
        started_at: UtcTime,
        source: Resolution,
        canvas: &Canvas,
    ) -> Result<(), Error> {
        let update = sqlx::query(
            "UPDATE streams SET source_width = ?3, source_height = ?4, \
             canvas_width = ?5, canvas_height = ?6, \
             canvas_first_width = ?7, canvas_first_height = ?8, canvas_quality_set = ?9 \
             WHERE id = ?1 AND started_at_primary = ?2",
        )
        .bind(stream.0)
        .bind(started_at.as_unix_micros())
        .bind(source.width)
        .bind(source.height)
        .bind(canvas.size.width)
        .bind(canvas.size.height)
        .bind(canvas.first.width)
        .bind(canvas.first.height)
        .bind(stream::to_json(canvas.quality_set.as_ref()))
        .execute(&self.pool);
        self.run(Kind::Write, update).await?;
        Ok(())
    }

    /// Notes that the playlist has ended: nothing continues it.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn mark_ended(&self, stream: StreamId) -> Result<(), Error> {
        let update = sqlx::query(
            "UPDATE streams SET canvas_width = NULL, canvas_height = NULL WHERE id = ?1",
        )
        .bind(stream.0)
        .execute(&self.pool);
        self.run(Kind::Write, update).await?;
        Ok(())
    }

    /// Notes that the session that began at `started_at` has ended. An older
    /// session that ends late does not end the one that took over from it.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn mark_finished(
        &self,
        stream: StreamId,
        started_at: UtcTime,
        finished_at: UtcTime,
    ) -> Result<(), Error> {
        let update = sqlx::query(
            "UPDATE streams SET finished_at_primary = ?3 \
             WHERE id = ?1 AND started_at_primary = ?2 AND finished_at_primary IS NULL",
        )
        .bind(stream.0)
        .bind(started_at.as_unix_micros())
        .bind(finished_at.as_unix_micros())
        .execute(&self.pool);
        self.run(Kind::Write, update).await?;
        Ok(())
    }

    /// Ends, on the books, every session that an origin which died has left
    /// open, and tells how many. For the start of the server alone.
    ///
    /// # Errors
    ///
    /// [`Error::Query`].
    pub async fn finish_interrupted(&self, now: UtcTime) -> Result<u64, Error> {
        let update = sqlx::query(
            "UPDATE streams SET finished_at_primary = max(?1, started_at_primary) \
             WHERE started_at_primary IS NOT NULL AND finished_at_primary IS NULL",
        )
        .bind(now.as_unix_micros())
        .execute(&self.pool);
        Ok(self.run(Kind::Write, update).await?.rows_affected())
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    client_id: i64,
    token: String,
    active: bool,
    epoch: i64,
    quality_set: Option<String>,
    canvas_first_width: Option<u32>,
    canvas_first_height: Option<u32>,
    canvas_width: Option<u32>,
    canvas_height: Option<u32>,
    canvas_quality_set: Option<String>,
    finished_at_primary: Option<i64>,
    pass_through: bool,
}

impl Row {
    fn canvas(&self, id: i64) -> Result<Option<Canvas>, Error> {
        let size = |(width, height)| Resolution { width, height };
        let Some(now) = self.canvas_width.zip(self.canvas_height).map(size) else {
            return Ok(None);
        };
        let set = self.canvas_quality_set.clone();
        let first = self.canvas_first_width.zip(self.canvas_first_height);
        Ok(Some(Canvas {
            first: first.map_or(now, size),
            size: now,
            quality_set: stream::from_json(id, "canvas_quality_set", set)?,
            left_at: self.finished_at_primary.map(UtcTime::from_unix_micros),
        }))
    }
}

/// What the last playlist was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// The source's size at its beginning.
    pub first: Resolution,
    /// The size that its ladder has grown with; the same where it has not.
    pub size: Resolution,
    /// The rungs, rate and parts that were asked for when it began.
    pub quality_set: Option<QualitySet>,
    /// When its last presenter left; `None` when one is on air.
    pub left_at: Option<UtcTime>,
}

/// What a publisher has been granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorised {
    /// The stream.
    pub stream: StreamId,
    /// Whose it is; stands in the URLs of its output.
    pub client: ClientId,
    /// Where its time begins.
    pub epoch: Epoch,
    /// What the last playlist was made for, unless that has ended.
    pub canvas: Option<Canvas>,
    /// The ladder it asks for; `None` means the product's default.
    pub quality_set: Option<QualitySet>,
    /// Whether the top rung may be the presenter's own coded picture.
    pub pass_through: bool,
}

/// Why a publisher is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such stream.
    #[error("no such stream")]
    StreamNotFound,
    /// The token is not the stream's.
    #[error("wrong push token")]
    WrongToken,
    /// The stream is switched off.
    #[error("the stream is not active")]
    NotActive,
    /// The client has as many live streams as it may have.
    #[error("too many live streams")]
    TooManyLive,
    /// The registry could not be asked.
    #[error(transparent)]
    Registry(#[from] Error),
}

impl Refusal {
    /// What the presenter is told.
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::StreamNotFound => ReasonCode::StreamNotFound,
            Self::WrongToken => ReasonCode::WrongToken,
            Self::NotActive => ReasonCode::NotActive,
            Self::TooManyLive => ReasonCode::TooManyLive,
            Self::Registry(error) => error.reason(),
        }
    }
}
