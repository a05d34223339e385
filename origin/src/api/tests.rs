//! Every call and every error, over the router and a real registry.

use axum::{
    body::{Body, to_bytes},
    extract::FromRequest as _,
    http::Request,
    response::IntoResponse as _,
};
use inlet_common::{clock::UtcTime, ids::ClientId};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    live::{Progress, Reason, Status},
    registry::Canvas,
    test_util::Folder,
    transcode::ladder::Resolution,
};

mod access;
mod fields;

const NOW: UtcTime = UtcTime::from_unix_micros(1_790_000_000_000_000);
const STREAMS: &str = "/streaming/streams";

/// Everything that is logged from now on by the whole test process, at TRACE.
fn capture_logs() -> Log {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .try_init()
        .expect("no other test captures logs");
    log
}

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An API over a registry of its own, with one key.
struct Api {
    router: Router,
    state: ApiState,
    key: String,
    _folder: Folder,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    async fn new() -> Self {
        let folder = Folder::new();
        let registry = Registry::open(&folder.path().join("r.sqlite3"))
            .await
            .unwrap();
        let key = registry
            .create_key(ClientId(1), "test", NOW)
            .await
            .unwrap()
            .expose();
        let urls = Urls {
            whip: "https://whip.example.com".parse().unwrap(),
            web: "https://live.example.com/".parse().unwrap(),
        };
        let directory = Arc::new(Directory::default());
        let state = ApiState {
            registry,
            directory,
            urls: Arc::new(urls),
            streams_per_client: 3,
        };
        Self {
            router: router(state.clone()),
            state,
            key,
            _folder: folder,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = if body.is_empty() {
            Value::Null
        } else {
            assert_eq!(parts.headers["content-type"], "application/json");
            serde_json::from_slice(&body).unwrap()
        };
        assert_eq!(parts.headers["cache-control"], "no-store");
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let key = format!("APIKey {}", self.key);
        Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", key)
    }

    async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(self.request(method, path).body(Body::empty()).unwrap())
            .await
    }

    async fn call_with(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self
            .request(method, path)
            .header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    async fn create(&self, name: &str) -> Value {
        let answer = self
            .call_with("POST", STREAMS, &json!({ "name": name }))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }

    /// Sends a body that must be refused, and returns what is wrong.
    async fn errors(&self, body: Value) -> Value {
        let answer = self.call_with("POST", STREAMS, &body).await;
        assert_eq!(answer.status, 422, "{body} → {}", answer.body);
        answer.body["errors"].clone()
    }
}

fn path_of(stream: &Value) -> String {
    format!("{STREAMS}/{}", stream["id"])
}

#[tokio::test]
async fn a_created_stream_has_every_field_and_no_other() {
    let api = Api::new().await;
    let answer = api
        .call_with("POST", STREAMS, &json!({"name": "Morning show"}))
        .await;
    assert_eq!(answer.status, 201);
    let stream = answer.body;
    assert_eq!(answer.headers["location"], path_of(&stream));
    let token = stream["token"].as_str().unwrap();
    let created_at = stream["created_at"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(created_at).is_ok(), "{created_at}");
    let expected = json!({
        "id": 1,
        "name": "Morning show",
        "active": true,
        "live": false,
        "token": token,
        "push_url_whip": format!("https://whip.example.com/1_{token}/whip"),
        "iframe_url": "https://live.example.com/streams/1_1",
        "hls_cmaf_url": "https://live.example.com/cmaf/1_1/master.m3u8",
        "hls_mpegts_url": "https://live.example.com/mpegts/1_1/master_mpegts.m3u8",
        "dash_url": "https://live.example.com/cmaf/1_1/index.mpd",
        "screenshot": "https://live.example.com/cmaf/1_1/screenshot.jpg",
        "stream_source_type": null,
        "transcoded_qualities": [],
        "transcoding_speed": null,
        "frame_rate": null,
        "video_width": null,
        "video_height": null,
        "active_ingest_region_primary": null,
        "created_at": created_at,
        "started_at_primary": null,
        "finished_at_primary": null,
        "client_entity_data": null,
        "quality_set": null,
        "pass_through": false,
        "pass_through_state": null,
        "pass_through_reason": null,
    });
    assert_eq!(stream, expected);
    let mut names: Vec<_> = object::Object::FIELDS.to_vec();
    names.sort_unstable();
    let fields: Vec<_> = stream
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, names);
    assert_eq!(api.call("GET", &path_of(&stream)).await.body, expected);
}

#[tokio::test]
async fn a_live_stream_shows_what_is_known_of_it() {
    let api = Api::new().await;
    let id = api.create("s").await["id"].as_i64().unwrap();
    let id = inlet_common::ids::StreamId(id);
    let stream = api
        .state
        .registry
        .stream(ClientId(1), id)
        .await
        .unwrap()
        .unwrap();
    let live = Status {
        started_at: NOW,
        region: "fra".to_owned(),
        source: Some(Resolution {
            width: 1280,
            height: 720,
        }),
        qualities: vec!["720p".to_owned(), "360p".to_owned()],
        is_shedding: true,
        is_starving: false,
        cores: 0.5,
        speed: Some(1.5),
        frame_rate: Some(30),
        pass_through: Some(Progress::Encoded(Reason::KeyFrames)),
    };
    let object = object::Object::new(&stream, Some(live), &api.state.urls);
    let object = serde_json::to_value(&object).unwrap();
    for (field, expected) in [
        ("live", json!(true)),
        ("stream_source_type", json!("webrtc")),
        ("transcoded_qualities", json!(["720p", "360p"])),
        ("transcoding_speed", json!(1.5)),
        ("frame_rate", json!(30)),
        ("pass_through_state", json!("encoded")),
        ("pass_through_reason", json!("key_frames")),
        ("video_width", json!(1280)),
        ("video_height", json!(720)),
        ("active_ingest_region_primary", json!("fra")),
        ("started_at_primary", json!("2026-09-21T14:13:20.000Z")),
        ("finished_at_primary", json!(null)),
    ] {
        assert_eq!(object[field], expected, "{field}");
    }
}

#[tokio::test]
async fn a_stream_remembers_its_last_session() {
    let api = Api::new().await;
    let stream = api.create("s").await;
    let id = inlet_common::ids::StreamId(1);
    let registry = &api.state.registry;
    registry.mark_started(id, NOW, "fra").await.unwrap();
    let size = Resolution {
        width: 640,
        height: 360,
    };
    let canvas = Canvas {
        first: size,
        size,
        quality_set: None,
        left_at: None,
    };
    registry.mark_source(id, NOW, size, &canvas).await.unwrap();
    registry
        .mark_finished(id, NOW, NOW.plus_micros(2_500_000))
        .await
        .unwrap();
    let object = api.call("GET", &path_of(&stream)).await.body;
    assert_eq!(object["live"], false);
    assert_eq!(object["stream_source_type"], "webrtc");
    assert_eq!(object["video_width"], 640);
    assert_eq!(object["active_ingest_region_primary"], Value::Null);
    assert_eq!(object["started_at_primary"], "2026-09-21T14:13:20.000Z");
    assert_eq!(object["finished_at_primary"], "2026-09-21T14:13:22.500Z");
}

#[tokio::test]
async fn every_settable_field_is_set() {
    let api = Api::new().await;
    let body = json!({
        "name": "s",
        "active": false,
        "client_entity_data": {"user": 7},
        "quality_set": {
            "rungs": [{"height": 360, "bitrate": 450_000}, {"height": 720, "bitrate": 1_800_000}],
            "fps": 25,
            "part_ms": 400,
        },
    });
    let stream = api.call_with("POST", STREAMS, &body).await.body;
    assert_eq!(stream["active"], false);
    assert_eq!(stream["client_entity_data"], json!({"user": 7}));
    let set = json!({
        "rungs": [{"height": 720, "bitrate": 1_800_000}, {"height": 360, "bitrate": 450_000}],
        "fps": 25,
        "part_ms": 400,
    });
    assert_eq!(stream["quality_set"], set);
}

#[tokio::test]
async fn fields_are_changed_bare_or_wrapped() {
    let api = Api::new().await;
    let stream = api.create("before").await;
    let path = path_of(&stream);
    let answer = api
        .call_with("PATCH", &path, &json!({"name": "bare"}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["name"]),
        (200, &json!("bare"))
    );
    assert_eq!(answer.body["token"], stream["token"]);
    let wrapped = json!({"stream": {"name": "wrapped", "active": false}});
    let answer = api.call_with("PATCH", &path, &wrapped).await;
    assert_eq!(answer.body["name"], "wrapped");
    assert_eq!(answer.body["active"], false);
    let answer = api.call_with("PATCH", &path, &json!({})).await;
    assert_eq!(answer.body["name"], "wrapped");
    let body = json!({"client_entity_data": "x", "quality_set": {"rungs": [{"height": 720, "bitrate": 900_000}]}});
    let answer = api.call_with("PATCH", &path, &body).await;
    assert_eq!(answer.body["quality_set"], body["quality_set"]);
    let body = json!({"client_entity_data": null, "quality_set": null});
    let answer = api.call_with("PATCH", &path, &body).await;
    assert_eq!(answer.body["quality_set"], Value::Null);
    assert_eq!(answer.body["client_entity_data"], Value::Null);
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let api = Api::new().await;
    let stream = api.create("s").await;
    let path = path_of(&stream);
    let answer = api
        .call_with("PATCH", &path, &json!({"name": "t", "active": "no"}))
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.body,
        json!({"errors": {"active": ["must be true or false"]}})
    );
    assert_eq!(api.call("GET", &path).await.body, stream);
}

#[tokio::test]
async fn a_deleted_stream_is_gone() {
    let api = Api::new().await;
    let path = path_of(&api.create("s").await);
    let answer = api.call("DELETE", &path).await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
    assert_eq!(api.call("GET", &path).await.status, 404);
    assert_eq!(api.call("DELETE", &path).await.status, 404);
}

#[tokio::test]
async fn a_reset_token_is_new() {
    let api = Api::new().await;
    let before = api.create("s").await;
    let path = format!("{}/reset_push_token", path_of(&before));
    let answer = api.call("POST", &path).await;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.body["token"], before["token"]);
    let token = answer.body["token"].as_str().unwrap();
    let url = answer.body["push_url_whip"].as_str().unwrap();
    assert!(url.contains(token), "{url}");
}

#[tokio::test]
async fn no_log_holds_a_token_or_a_key() {
    let log = capture_logs();
    let api = Api::new().await;
    let stream = api.create("logged name").await;
    let reset = api
        .call("POST", &format!("{}/reset_push_token", path_of(&stream)))
        .await
        .body;
    let path = format!("{}_{}", stream["id"], reset["token"].as_str().unwrap());
    let path: inlet_common::ids::PublishPath = path.parse().unwrap();
    api.state
        .registry
        .authorise(&path, 0, |_| 0)
        .await
        .unwrap_err();
    api.call("DELETE", &path_of(&stream)).await;
    api.state.registry.close().await;
    api.call("GET", STREAMS).await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for expected in [
        "stream created",
        "push token reset",
        "registry failed",
        "INSERT INTO",
    ] {
        assert!(
            text.contains(expected),
            "{expected} is not logged: nothing was tested"
        );
    }
    for token in [&stream["token"], &reset["token"]] {
        assert!(!text.contains(token.as_str().unwrap()));
    }
    assert!(!text.contains(api.key.split_once('$').unwrap().1));
}

#[tokio::test]
async fn streams_are_listed_by_page() {
    let api = Api::new().await;
    for name in ["a", "b", "c"] {
        api.create(name).await;
    }
    let answer = api.call("GET", STREAMS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-total-count"], "3");
    assert!(!answer.headers.contains_key("link"));
    assert_eq!(answer.body.as_array().unwrap().len(), 3);
    let answer = api
        .call("GET", "/streaming/streams?page=2&per_page=2")
        .await;
    assert_eq!(answer.body.as_array().unwrap().len(), 1);
    assert_eq!(answer.body[0]["name"], "c");
    let link = answer.headers["link"].to_str().unwrap();
    assert!(link.contains("page=1&per_page=2>; rel=\"prev\""), "{link}");
    let answer = api
        .call("GET", "/streaming/streams?page=0&per_page=1000")
        .await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.body["errors"]["page"].is_array() && answer.body["errors"]["per_page"].is_array()
    );
    assert_eq!(
        api.call("GET", "/streaming/streams?page=1&page=2")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_client_may_not_have_endless_streams() {
    let api = Api::new().await;
    for name in ["a", "b", "c"] {
        api.create(name).await;
    }
    let answer = api.call_with("POST", STREAMS, &json!({"name": "d"})).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body["error"].as_str().unwrap().contains('3'));
}
