//! HTTPS to the CA, for the ACME library: bounded in time and size.
//!
//! The library has no time limits of its own and drops `Retry-After` of what is
//! refused; both are made good here.

use std::{
    fmt,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Hyper, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{BodyWrapper, BytesResponse, Error as AcmeError, HttpClient};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::super::{self as tls, Error};
use crate::clock;

/// Longest request, its answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer that is read. A chain has some ten kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// An HTTPS client for one CA.
#[derive(Clone)]
pub(super) struct Client {
    hyper: Hyper<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl Client {
    /// Trusts the authorities in `ca`, or without it those of this machine.
    ///
    /// # Errors
    ///
    /// When there are none, or they cannot be used.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, ClientError> {
        let roots = match ca {
            Some(ca) => tls::roots(ca)?,
            None => Arc::new(machine_roots()?),
        };
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Unusable)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .build();
        Ok(Self {
            hyper: Hyper::builder(TokioExecutor::new()).build(connector),
            retry_after: Arc::default(),
        })
    }

    /// What the CA's last refusal said about when to come back; only once.
    pub(super) fn take_retry_after(&self) -> Option<Duration> {
        let mut retry_after = self
            .retry_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        retry_after.take()
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failed> {
        let method = request.method().clone();
        let exchange = async {
            let response = self.hyper.request(request).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
            let body = body.map_err(Failed::Body)?.to_bytes();
            Ok::<_, Failed>(Response::from_parts(parts, body))
        };
        let response = match timeout(REQUEST_TIMEOUT, exchange).await {
            Ok(response) => response?,
            Err(_) => return Err(Failed::Timeout),
        };
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let mut retry_after = self
                .retry_after
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *retry_after = read_retry_after(&response);
            // Of the directory the library takes whatever comes, and a proxy's
            // error page is no problem document (RFC 7807).
            if method == Method::GET || !is_json(&response) {
                return Err(Failed::Status(status));
            }
        }
        let (parts, body) = response.into_parts();
        let body = Box::new(body);
        Ok(BytesResponse { parts, body })
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, AcmeError>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let exchanged = client.exchange(request).await;
            exchanged.map_err(|error| AcmeError::Other(Box::new(error)))
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

fn is_json(response: &Response<Bytes>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.contains("json"))
}

/// Seconds or a date (RFC 9110 §10.2.3).
fn read_retry_after(response: &Response<Bytes>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    date.duration_since(clock::utc().to_system_time()).ok()
}

/// The authorities that this machine trusts.
fn machine_roots() -> Result<RootCertStore, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    match taken {
        0 => Err(ClientError::NoRoots),
        _ => Ok(roots),
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error(
        "this machine trusts no authority, so the CA cannot be reached: install the package \
         ca-certificates, or name a file in acme.directory_ca"
    )]
    NoRoots,
    #[error(transparent)]
    Tls(#[from] Error),
}

/// Why there is no answer that the library could read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("no connection")]
    Connect(#[from] hyper_util::client::legacy::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer broke off, or is too large")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("answered {0}")]
    Status(StatusCode),
}
