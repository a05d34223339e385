//! Every line of the HTTP contract, through the real router, judge and engine;
//! only the worker's thread is played, since it speaks for the origin.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use axum::http::{Request, response::Parts};
use inlet_common::{
    ids::SessionId,
    lifecycle::{Lifecycle, Phase},
    roq::pop::Load,
};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::*;
use crate::{
    whip::{
        admission::{Limits, Worker},
        rate::Rule,
        session::{Addresses, Config},
    },
    worker::{Command, Event, Refusal, SendError},
};

mod cors;
mod elsewhere;
mod ends;
mod links;
mod patching;
mod placing;
mod publishing;
mod rate;
mod reading;
mod refusals;
mod report;
mod telling;

const OFFER: &str = include_str!("../offers/chromium.sdp");
const TOKEN: &str = "s3cret_t0ken";

/// Everything that a worker was told.
#[derive(Debug, Default)]
struct Told {
    commands: Mutex<Vec<String>>,
    /// In percent.
    load: AtomicU32,
    /// Its sessions are gone, and nobody has heard of it yet.
    has_lost: AtomicBool,
    /// The way to its origin is cut.
    is_cut: AtomicBool,
}

impl Told {
    fn all(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

type Reply = tokio::sync::oneshot::Sender<Result<(), Refusal>>;

/// A worker whose origin answers as the test wants.
struct Played {
    media: Addresses,
    told: Arc<Told>,
    answer: Box<dyn Fn(SessionId, Reply) + Send + Sync>,
    requests: mpsc::UnboundedSender<OpenRequest>,
}

impl std::fmt::Debug for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Played")
    }
}

impl Worker for Played {
    fn send(&self, command: Command) -> Result<(), SendError> {
        let note = |text: String| self.told.commands.lock().unwrap().push(text);
        match command {
            Command::Open {
                session,
                request,
                reply,
            } => {
                note("open".to_owned());
                self.requests.send(request).ok();
                (self.answer)(session.id(), reply);
            }
            // The token `right` is that.
            Command::Check { path, reply } => {
                note("check".to_owned());
                let word = match path.token.expose() {
                    "right" => Ok(()),
                    _ => Err(Refusal {
                        code: ReasonCode::WrongToken,
                        message: "wrong".to_owned(),
                        retry_after: None,
                    }),
                };
                reply.send(word).ok();
            }
            Command::Restart { session, reply, .. } => {
                note(format!("restart {session}"));
                let has_lost = self.told.has_lost.load(Ordering::Relaxed);
                reply.send(!has_lost).ok();
            }
            Command::Close { session, reason } => note(format!("close {session} {reason:?}")),
            other => note(format!("{other:?}")),
        }
        Ok(())
    }

    fn addresses(&self) -> &Addresses {
        &self.media
    }

    fn is_link_up(&self) -> bool {
        !self.told.is_cut.load(Ordering::Relaxed)
    }

    fn load(&self) -> f64 {
        f64::from(self.told.load.load(Ordering::Relaxed)) / 100.0
    }
}

/// An edge with one played worker.
struct Edge {
    gateway: Arc<Gateway>,
    site: Site,
    lifecycle: Lifecycle,
    told: Arc<Told>,
    requests: mpsc::UnboundedReceiver<OpenRequest>,
}

impl Edge {
    /// Its origin accepts everybody.
    fn open() -> Self {
        Self::answering(|_, reply| {
            reply.send(Ok(())).ok();
        })
    }

    /// Its origin refuses everybody.
    fn refusing(code: ReasonCode, retry_after: Option<u32>) -> Self {
        Self::answering(move |_, reply| {
            let message = "as the origin says".to_owned();
            let refusal = Refusal {
                code,
                message,
                retry_after,
            };
            reply.send(Err(refusal)).ok();
        })
    }

    fn answering(answer: impl Fn(SessionId, Reply) + Send + Sync + 'static) -> Self {
        Self::limited(answer, 100, 10)
    }

    /// Its origin refuses everybody, and the rate of that is as shipped.
    fn strict(code: ReasonCode) -> Self {
        let refuse = move |_, reply: Reply| {
            let message = "as the origin says".to_owned();
            let refusal = Refusal {
                code,
                message,
                retry_after: None,
            };
            reply.send(Err(refusal)).ok();
        };
        Self::made(refuse, 100, 10, Rule::default())
    }

    fn limited(
        answer: impl Fn(SessionId, Reply) + Send + Sync + 'static,
        max_sessions: usize,
        max_admissions: usize,
    ) -> Self {
        let lenient = Rule {
            burst: 1_000,
            ..Rule::default()
        };
        Self::made(answer, max_sessions, max_admissions, lenient)
    }

    fn made(
        answer: impl Fn(SessionId, Reply) + Send + Sync + 'static,
        max_sessions: usize,
        max_admissions: usize,
        refused: Rule,
    ) -> Self {
        let told = Arc::<Told>::default();
        let (requests, received) = mpsc::unbounded_channel();
        let worker = Played {
            media: Addresses {
                udp: vec!["192.0.2.1:40000".parse().unwrap()],
                ..Addresses::default()
            },
            told: Arc::clone(&told),
            answer: Box::new(answer),
            requests,
        };
        let limits = Limits {
            max_sessions,
            max_admissions,
            max_load: 0.85,
            open_timeout: Duration::from_secs(3),
            refused,
        };
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Ready);
        let config = Config::new().unwrap();
        Self {
            gateway: Gateway::new(
                vec![Arc::new(worker)],
                config,
                limits,
                lifecycle.clone(),
                Some(placing::tally()),
            ),
            site: Site::default(),
            lifecycle,
            told,
            requests: received,
        }
    }

    /// Sends a request as the listener would hand it on.
    async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from("192.0.2.7", request).await
    }

    async fn send_from(&self, source: &str, mut request: Request<Body>) -> Answer {
        let peer = SocketAddr::new(source.parse().unwrap(), 50_000);
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = router(Arc::clone(&self.gateway), self.site.clone())
            .oneshot(request)
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            head,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Posts a good offer to `/17_{TOKEN}/whip`.
    async fn publish(&self) -> Answer {
        self.send(post(&format!("/17_{TOKEN}/whip"), OFFER)).await
    }
}

fn post(path: &str, offer: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, SDP)
        .body(offer.into())
        .unwrap()
}

struct Answer {
    head: Parts,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    fn header(&self, name: &str) -> &str {
        let value = self.head.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    fn code(&self) -> &str {
        self.header("x-reason-code")
    }

    fn error(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(self.header("content-type"), "application/json");
        body["error"].as_str().unwrap().to_owned()
    }
}
