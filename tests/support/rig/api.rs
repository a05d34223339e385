//! The stream API as an application developer calls it.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// The stream API of one origin, with a key.
#[derive(Clone)]
pub struct Api {
    client: Client,
    base: String,
    key: String,
}

/// What a test needs of a stream object.
#[derive(Clone, Debug, Deserialize)]
pub struct Stream {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether somebody publishes.
    pub live: bool,
    /// WHIP URL, with the push token.
    #[serde(rename = "push_url_whip")]
    pub whip: String,
    /// Player page.
    #[serde(rename = "iframe_url")]
    pub player: String,
    /// LL-HLS multivariant playlist.
    #[serde(rename = "hls_cmaf_url")]
    pub hls: String,
    /// LL-DASH manifest.
    #[serde(rename = "dash_url")]
    pub dash: String,
    /// Multivariant playlist of MPEG-TS.
    #[serde(rename = "hls_mpegts_url")]
    pub transport: String,
    /// A picture of what is on air.
    pub screenshot: String,
    /// Names of the rungs while it is live.
    #[serde(default)]
    pub transcoded_qualities: Vec<String>,
    /// Where its presenter comes in, while it is live.
    #[serde(default, rename = "active_ingest_region_primary")]
    pub region: Option<String>,
    /// How it stands with passing the presenter's picture through, and why not.
    #[serde(default, rename = "pass_through_state")]
    pub passing: Option<String>,
    /// See `passing`.
    #[serde(default, rename = "pass_through_reason")]
    pub not_passing: Option<String>,
    /// When it went live.
    #[serde(default, rename = "started_at_primary")]
    pub started_at: Option<String>,
}

impl Api {
    /// The API at `base` (scheme, host, port), used with `key`.
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            client: Client::new(),
            base: base.into(),
            key: key.into(),
        }
    }

    /// URL of the API.
    pub fn url(&self) -> String {
        format!("{}/streaming/streams", self.base)
    }

    /// The API key, as it stands in `Authorization`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Creates an active stream.
    ///
    /// # Errors
    ///
    /// Any answer but 201.
    pub async fn create(&self, name: &str) -> Result<Stream> {
        let body = json!({ "name": name, "active": true });
        let (status, body) = self.call(Method::POST, "", Some(body)).await?;
        ensure!(
            status == StatusCode::CREATED,
            "creating {name}: {status} {body}"
        );
        Ok(serde_json::from_value(body)?)
    }

    /// The stream of this name, created if there is none.
    ///
    /// # Errors
    ///
    /// When the API refuses.
    pub async fn find_or_create(&self, name: &str) -> Result<Stream> {
        let (status, body) = self.call(Method::GET, "?page=1&per_page=100", None).await?;
        ensure!(status == StatusCode::OK, "listing streams: {status} {body}");
        let listed = match body {
            Value::Array(streams) => streams,
            mut object => object["streams"]
                .take()
                .as_array()
                .cloned()
                .unwrap_or_default(),
        };
        match listed.into_iter().find(|stream| stream["name"] == name) {
            Some(stream) => Ok(serde_json::from_value(stream)?),
            None => self.create(name).await,
        }
    }

    /// The stream as it is now.
    ///
    /// # Errors
    ///
    /// Any answer but 200.
    pub async fn get(&self, id: i64) -> Result<Stream> {
        let (status, body) = self.call(Method::GET, &format!("/{id}"), None).await?;
        ensure!(
            status == StatusCode::OK,
            "reading stream {id}: {status} {body}"
        );
        serde_json::from_value(body).context("a stream object without its fields")
    }

    /// Changes fields of the stream.
    ///
    /// # Errors
    ///
    /// Any answer but 200.
    pub async fn patch(&self, id: i64, fields: Value) -> Result<Stream> {
        let (status, body) = self
            .call(Method::PATCH, &format!("/{id}"), Some(fields))
            .await?;
        ensure!(
            status == StatusCode::OK,
            "changing stream {id}: {status} {body}"
        );
        Ok(serde_json::from_value(body)?)
    }

    /// Deletes the stream.
    ///
    /// # Errors
    ///
    /// Any answer but 204.
    pub async fn delete(&self, id: i64) -> Result<()> {
        let (status, _) = self.call(Method::DELETE, &format!("/{id}"), None).await?;
        ensure!(status == StatusCode::NO_CONTENT, "deleting {id}: {status}");
        Ok(())
    }

    /// One call; `path` follows the URL of the API.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that is neither JSON nor empty.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self
            .client
            .request(method, self.url() + path)
            .header("authorization", format!("APIKey {}", self.key));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).with_context(|| format!("{status}: {text}"))?,
        };
        Ok((status, body))
    }
}
