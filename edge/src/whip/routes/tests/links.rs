//! ICE servers on OPTIONS and on the 201.

use super::*;

#[derive(Debug)]
struct Known;

impl IceServers for Known {
    fn servers(&self, stream: Option<StreamId>, host: Option<&str>) -> Vec<IceServer> {
        let host = host.unwrap_or("edge.example");
        let server = |url: &str, credential| IceServer {
            url: url.to_owned(),
            credential,
        };
        let mut servers = vec![server(&format!("stun:{host}:3478"), None)];
        if let Some(stream) = stream {
            let credential = (format!("1700000000:{stream}"), "c2VjcmV0".to_owned());
            servers.push(server(
                &format!("turns:{host}:443?transport=tcp"),
                Some(credential),
            ));
        }
        servers
    }
}

fn edge(code: Option<ReasonCode>) -> Edge {
    let mut edge = match code {
        Some(code) => Edge::strict(code),
        None => Edge::open(),
    };
    edge.site.ice_servers = Some(Arc::new(Known));
    edge
}

fn links(answer: &Answer) -> Vec<&str> {
    let links = answer.head.headers.get_all(header::LINK).iter();
    links.map(|link| link.to_str().unwrap()).collect()
}

const STUN: &str = "<stun:edge.example:3478>; rel=\"ice-server\"";
const TURN: &str = "<turns:edge.example:443?transport=tcp>; rel=\"ice-server\"; \
    username=\"1700000000:17\"; credential=\"c2VjcmV0\"; credential-type=\"password\"";

#[tokio::test]
async fn options_with_the_right_token_have_credentials() {
    let edge = edge(None);
    let answer = edge.ask("OPTIONS", "/17_right/whip").await;
    assert_eq!((answer.status(), links(&answer)), (204, vec![STUN, TURN]));
    let bearer = Request::options("/17/whip").header(header::AUTHORIZATION, "Bearer right");
    let answer = edge.send(bearer.body(Body::empty()).unwrap()).await;
    assert_eq!(links(&answer), [STUN, TURN]);
}

#[tokio::test]
async fn others_have_stun_alone_and_a_preflight_nothing() {
    let edge = edge(None);
    for path in ["/17_wrong/whip", "/17/whip", "/x/whip"] {
        let answer = edge.ask("OPTIONS", path).await;
        assert_eq!(
            (answer.status(), links(&answer)),
            (204, vec![STUN]),
            "{path}"
        );
    }
    let preflight = Request::options("/17_right/whip")
        .header("access-control-request-method", "POST")
        .body(Body::empty());
    let answer = edge.send(preflight.unwrap()).await;
    assert!(links(&answer).is_empty());
}

#[tokio::test]
async fn the_host_is_the_one_that_was_asked_when_it_can_be_one() {
    let edge = edge(None);
    let ask = async |host: &str| {
        let request = Request::options("/17/whip").header(header::HOST, host);
        let answer = edge.send(request.body(Body::empty()).unwrap()).await;
        links(&answer)[0].to_owned()
    };
    let named = "<stun:fra1.example:3478>; rel=\"ice-server\"";
    assert_eq!(ask("fra1.example:8443").await, named);
    for odd in ["fra1.example>; rel=x", "a,b", ""] {
        assert_eq!(ask(odd).await, STUN, "{odd}");
    }
}

/// Behind a name of several points of presence there would be another one's server.
#[tokio::test]
async fn the_host_is_the_own_one_where_a_name_leads_to_several() {
    let mut edge = edge(None);
    edge.site.home = Some(Arc::new(elsewhere::A));
    for host in ["whip.example", "a.example:8443"] {
        let request = Request::options("/17/whip").header(header::HOST, host);
        let answer = edge.send(request.body(Body::empty()).unwrap()).await;
        let own = "<stun:a.example:3478>; rel=\"ice-server\"";
        assert_eq!(links(&answer), [own], "{host}");
    }
}

#[tokio::test]
async fn the_answer_has_them_too() {
    let edge = edge(None);
    assert_eq!(links(&edge.publish().await), [STUN, TURN]);
}

#[tokio::test]
async fn guessing_tokens_by_options_is_limited_like_offers() {
    let edge = edge(Some(ReasonCode::WrongToken));
    for _ in 0..Rule::default().burst {
        edge.ask("OPTIONS", "/17_wrong/whip").await;
    }
    let asked = |edge: &Edge| edge.told.all().iter().filter(|it| *it == "check").count();
    let before = asked(&edge);
    let answer = edge.ask("OPTIONS", "/17_right/whip").await;
    assert_eq!((answer.status(), links(&answer)), (204, vec![STUN]));
    assert_eq!(asked(&edge), before, "nobody is asked any more");
    assert_eq!(edge.publish().await.status(), 429);
}

/// As points of presence probe each other.
#[tokio::test]
async fn an_endpoint_without_a_token_asks_nobody_and_charges_nobody() {
    let edge = edge(Some(ReasonCode::WrongToken));
    for _ in 0..50 {
        let answer = edge.ask("OPTIONS", "/0/whip").await;
        assert_eq!((answer.status(), links(&answer)), (204, vec![STUN]));
        assert_eq!(answer.header("accept-post"), "application/sdp");
    }
    assert!(edge.told.all().is_empty(), "the origin is not asked");
    assert_eq!(edge.publish().await.status(), 403, "and not 429");
}
