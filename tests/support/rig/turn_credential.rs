//! Credentials for the edge's TURN server, as an application gets them.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// One entry of `iceServers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TurnCredential {
    /// `turn:` and `turns:` URLs, by UDP, TCP and TLS.
    pub urls: Vec<String>,
    /// Time-limited.
    pub username: String,
    /// Its password.
    pub credential: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ice_servers: Vec<serde_json::Value>,
}

impl TurnCredential {
    pub(super) async fn ask(admin: u16, secret: &str, tag: &str) -> Result<Self> {
        let answer: Answer = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{admin}/turn/credentials"))
            .bearer_auth(secret)
            .json(&json!({ "ttl": 86_400, "tag": tag }))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        // The first entry is STUN's, and has no credential.
        let last = answer.ice_servers.into_iter().next_back();
        Ok(serde_json::from_value(last.context("no iceServers")?)?)
    }
}
