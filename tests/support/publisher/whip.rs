//! The HTTP half of WHIP (RFC 9725): one POST to begin, one DELETE to end.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, StatusCode, Url, header};

/// The edge said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the edge answered {status} (reason {reason:?}): {body}")]
pub struct Refused {
    /// HTTP status of the answer.
    pub status: u16,
    /// What `X-Reason-Code` says.
    pub reason: Option<u16>,
    /// The body, JSON as a rule.
    pub body: String,
}

/// A session that the edge has accepted.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    client: Client,
    url: Url,
}

/// Posts an offer, to the address that the host was resolved to if it was; returns the
/// session and the answer.
pub(super) async fn post(
    endpoint: &Url,
    resolved: Option<IpAddr>,
    offer: String,
) -> Result<(Resource, String)> {
    let mut client = Client::builder().timeout(Duration::from_secs(10));
    if let Some(address) = resolved {
        let host = endpoint.host_str().context("a URL without a host")?;
        let port = endpoint.port_or_known_default().context("no port")?;
        client = client.resolve(host, SocketAddr::new(address, port));
    }
    let client = client.build()?;
    let response = client
        .post(endpoint.clone())
        .header(header::CONTENT_TYPE, "application/sdp")
        .body(offer)
        .send()
        .await
        .with_context(|| format!("posting to {}", endpoint.origin().ascii_serialization()))?;
    let status = response.status();
    let headers = response.headers().clone();
    let base = response.url().clone();
    let body = response.text().await?;
    if status != StatusCode::CREATED {
        let reason = headers.get("x-reason-code");
        return Err(Refused {
            status: status.as_u16(),
            reason: reason.and_then(|value| value.to_str().ok()?.parse().ok()),
            body,
        }
        .into());
    }
    let location = headers
        .get(header::LOCATION)
        .context("201 without a Location")?;
    let url = base
        .join(location.to_str()?)
        .context("a Location that is no URL")?;
    Ok((Resource { client, url }, body))
}

impl Resource {
    /// Ends the session.
    pub(super) async fn delete(&self) -> Result<()> {
        let response = self.client.delete(self.url.clone()).send().await?;
        if !response.status().is_success() {
            bail!("DELETE answered {}", response.status());
        }
        Ok(())
    }

    /// URL of the session.
    pub(super) const fn url(&self) -> &Url {
        &self.url
    }
}
