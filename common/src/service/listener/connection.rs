//! One connection, from its first byte of HTTP to its end.

use std::{convert::Infallible, net::SocketAddr, pin::pin};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::Response,
};
use hyper::{body::Incoming, rt, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto,
};
use tower::ServiceExt as _;

use super::{
    Options, Shared,
    activity::{Activity, Ceased, Guarded},
    metrics::Reason,
};

/// Most requests at once on one HTTP/2 connection. A CDN may hold the reloads of
/// many streams on one; RFC 9113 §6.5.2 recommends no fewer than 100.
const MAX_CONCURRENT_STREAMS: u32 = 256;

/// Longest head of a request, in bytes; more is 431.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Serves a connection until the client closes it, it falls idle, or shutdown
/// has let its last request finish.
pub(super) async fn serve<I>(shared: &Shared, router: &Router, io: I, peer: SocketAddr)
where
    I: rt::Read + rt::Write + Unpin + Send + 'static,
{
    let activity = Activity::default();
    let service = {
        let (router, activity) = (router.clone(), activity.clone());
        service_fn(move |request| respond(router.clone(), activity.clone(), request, peer))
    };
    let builder = builder(&shared.options);
    let mut connection = pin!(builder.serve_connection(io, service));
    let options = &shared.options;
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        ceased = activity.ceased(options.first_request_timeout, options.idle_timeout) => {
            shared.metrics.dropped(match ceased {
                Ceased::Idle => Reason::Idle,
                Ceased::Stalled => Reason::Stalled,
            });
            return;
        }
        () = shared.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}

fn builder(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No `header_read_timeout`, which would set a timer anew for every request: a head
    // that drips in is no request begun, and `activity` ends the connection.
    builder.http1().max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(options.idle_timeout / 2)
        .keep_alive_timeout(options.write_timeout);
    builder
}

async fn respond(
    router: Router,
    activity: Activity,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Guarded>, Infallible> {
    let running = activity.begin();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Guarded::new(body, running)))
}
