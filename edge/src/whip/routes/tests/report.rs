//! How another point of presence asks how this one does.

use inlet_common::roq::pop::{Loads, Report};

use super::*;
use crate::fleet::ask::{HEADER, PATH, Secrets, Teller};

/// The point of presence `here`, which is idle.
#[derive(Debug)]
struct Telling(Secrets);

impl Teller for Telling {
    fn answer(&self, question: &str) -> Option<Vec<u8>> {
        let report = || Report {
            made: clock::utc(),
            is_draining: false,
            is_cut_off: false,
            down: Default::default(),
            loads: Loads::default(),
        };
        self.0.answer("here", question, clock::utc(), report)
    }
}

fn secrets() -> Secrets {
    Secrets::new(["a secret of the whole fleet"])
}

fn edge() -> Edge {
    let mut edge = Edge::open();
    edge.site.teller = Some(Arc::new(Telling(secrets())));
    edge
}

fn asked(method: Method, question: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(PATH);
    let request = request.header(HEADER, question);
    request.body(Body::empty()).unwrap()
}

/// The answer as it is: what is sealed is no text.
async fn raw(edge: &Edge, mut request: Request<Body>) -> (StatusCode, Bytes) {
    let peer = SocketAddr::new([192, 0, 2, 7].into(), 50_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    let router = router(Arc::clone(&edge.gateway), edge.site.clone());
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap();
    (status, body.to_bytes())
}

#[tokio::test]
async fn who_has_the_secret_is_told_how_this_one_does() {
    let question = secrets().ask("here", clock::utc());
    let (status, sealed) = raw(&edge(), asked(Method::GET, question.as_str())).await;
    assert_eq!(status, 200);
    let report = secrets().open(&question, &sealed).unwrap();
    assert!(!report.is_draining && !report.is_cut_off);
}

#[tokio::test]
async fn to_everybody_else_there_is_no_such_path() {
    let edge = edge();
    let good = secrets().ask("here", clock::utc());
    let to_another = secrets().ask("there", clock::utc());
    let stranger = Secrets::new(["somebody else's secret, surely"]);
    let forged = stranger.ask("here", clock::utc());
    let requests = [
        Request::get(PATH).body(Body::empty()).unwrap(),
        asked(Method::GET, "junk"),
        asked(Method::GET, to_another.as_str()),
        asked(Method::GET, forged.as_str()),
        asked(Method::POST, good.as_str()),
        asked(Method::HEAD, good.as_str()),
    ];
    for request in requests {
        let what = format!("{request:?}");
        let nowhere = edge.ask(request.method().as_str(), "/fleet/other").await;
        let answer = edge.send(request).await;
        assert_eq!(answer.status(), 404, "{what}");
        assert_eq!(answer.body, nowhere.body, "{what}");
        assert_eq!(answer.head.headers, nowhere.head.headers, "{what}");
    }
    let keyless = Edge::open();
    let answer = keyless.send(asked(Method::GET, good.as_str())).await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn guessing_is_limited_and_does_not_lock_the_fleet_out() {
    let edge = edge();
    let statuses = async |count: usize| {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(edge.send(asked(Method::GET, "junk")).await.status());
        }
        statuses
    };
    assert_eq!(statuses(60).await, [404; 60]);
    assert!(statuses(5).await.contains(&429));
    let question = secrets().ask("here", clock::utc());
    let (status, _) = raw(&edge, asked(Method::GET, question.as_str())).await;
    assert_eq!(status, 200);
}
