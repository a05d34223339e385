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
use crate::{live::Status, test_util::Folder, transcode::ladder::Resolution};

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
        "dash_url": "https://live.example.com/cmaf/1_1/index.mpd",
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
        speed: Some(1.5),
        frame_rate: Some(30),
    };
    let object = object::Object::new(&stream, Some(live), &api.state.urls);
    let object = serde_json::to_value(&object).unwrap();
    for (field, expected) in [
        ("live", json!(true)),
        ("stream_source_type", json!("webrtc")),
        ("transcoded_qualities", json!(["720p", "360p"])),
        ("transcoding_speed", json!(1.5)),
        ("frame_rate", json!(30)),
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
    registry
        .mark_source(
            id,
            NOW,
            Resolution {
                width: 640,
                height: 360,
            },
        )
        .await
        .unwrap();
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
        },
    });
    let stream = api.call_with("POST", STREAMS, &body).await.body;
    assert_eq!(stream["active"], false);
    assert_eq!(stream["client_entity_data"], json!({"user": 7}));
    let set = json!({
        "rungs": [{"height": 720, "bitrate": 1_800_000}, {"height": 360, "bitrate": 450_000}],
        "fps": 25,
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

#[tokio::test]
async fn bad_fields_are_told_by_name() {
    let api = Api::new().await;
    assert_eq!(
        api.errors(json!({})).await,
        json!({"name": ["is required"]})
    );
    for (name, reason) in [
        (json!(7), "must be a string"),
        (json!(null), "must be a string"),
        (json!("  "), "must not be blank"),
        (json!("a\u{7}"), "must not hold control characters"),
        (
            json!("ü".repeat(256)),
            "has 256 characters, at most 255 are allowed",
        ),
    ] {
        assert_eq!(
            api.errors(json!({"name": name})).await,
            json!({"name": [reason]})
        );
    }
    api.call_with("POST", STREAMS, &json!({"name": "ü".repeat(255)}))
        .await;
    let errors = api.errors(json!({"name": "s", "active": 1})).await;
    assert_eq!(errors, json!({"active": ["must be true or false"]}));
    let data = "x".repeat(4096);
    let errors = api
        .errors(json!({"name": "s", "client_entity_data": data}))
        .await;
    assert!(
        errors["client_entity_data"][0]
            .as_str()
            .unwrap()
            .contains("4098 bytes"),
        "{errors}"
    );
    let errors = api
        .errors(json!({"name": "s", "token": "mine", "nmae": 1, "pull": true}))
        .await;
    let expected = json!({
        "token": ["is read-only: leave it out"],
        "nmae": ["is not a field of a stream"],
        "pull": ["is not a field of a stream"],
    });
    assert_eq!(errors, expected);
}

#[tokio::test]
async fn bad_quality_sets_are_told_by_rung() {
    let api = Api::new().await;
    let good = json!({"height": 720, "bitrate": 1_800_000});
    for (set, fields) in [
        (json!(7), vec!["quality_set"]),
        (json!({}), vec!["quality_set.rungs"]),
        (json!({"rungs": []}), vec!["quality_set.rungs"]),
        (json!({"rungs": vec![&good; 7]}), vec!["quality_set.rungs"]),
        (json!({"rungs": [good, good]}), vec!["quality_set.rungs"]),
        (json!({"rungs": [good, 7]}), vec!["quality_set.rungs[1]"]),
        (
            json!({"rungs": [good], "fps": 29.97}),
            vec!["quality_set.fps"],
        ),
        (json!({"rungs": [good], "fps": 7}), vec!["quality_set.fps"]),
        (
            json!({"rungs": [good], "rate": 30}),
            vec!["quality_set.rate"],
        ),
        (
            json!({"rungs": [{"height": 721, "bitrate": 1}]}),
            vec![
                "quality_set.rungs[0].bitrate",
                "quality_set.rungs[0].height",
            ],
        ),
        (
            json!({"rungs": [{"height": 720}]}),
            vec!["quality_set.rungs[0].bitrate"],
        ),
        (
            json!({"rungs": [{"height": -2, "bitrate": 9e99}]}),
            vec![
                "quality_set.rungs[0].bitrate",
                "quality_set.rungs[0].height",
            ],
        ),
        (
            json!({"rungs": [{"height": 720, "bitrate": 1_800_000, "width": 1280}]}),
            vec!["quality_set.rungs[0].width"],
        ),
    ] {
        let errors = api.errors(json!({"name": "s", "quality_set": set})).await;
        let at_fault: Vec<_> = errors.as_object().unwrap().keys().collect();
        assert_eq!(at_fault, fields, "{set}");
    }
}

#[tokio::test]
async fn bad_wrappers_are_refused() {
    let api = Api::new().await;
    let whole = json!({"stream": {"name": "s"}});
    assert_eq!(api.call_with("POST", STREAMS, &whole).await.status, 201);
    let mixed = json!({"stream": {"name": "s"}, "active": false});
    assert_eq!(
        api.errors(mixed).await,
        json!({"stream": ["must hold all fields, or none"]})
    );
    let errors = api.errors(json!({"stream": 1})).await;
    assert_eq!(errors, json!({"stream": ["must be an object"]}));
    assert_eq!(
        api.errors(json!([])).await,
        json!({"body": ["must be a JSON object"]})
    );
}

#[tokio::test]
async fn many_unknown_fields_get_a_short_answer() {
    let api = Api::new().await;
    let fields: serde_json::Map<_, _> = (0..1000)
        .map(|number| (format!("f{number}"), Value::Null))
        .collect();
    let errors = api.errors(Value::Object(fields)).await;
    assert!(errors.as_object().unwrap().len() <= 17);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let api = Api::new().await;
    let send = async |content_type: Option<&str>, body: Vec<u8>| {
        let mut request = api.request("POST", STREAMS);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = api.send(request.body(Body::from(body)).unwrap()).await;
        assert!(
            answer.body["error"].is_string() || answer.status == 201,
            "{}",
            answer.body
        );
        answer.status.as_u16()
    };
    let json_type = Some("application/json");
    assert_eq!(send(json_type, b"{".to_vec()).await, 400);
    assert_eq!(send(json_type, vec![]).await, 400);
    assert_eq!(send(json_type, vec![0xff]).await, 400);
    assert_eq!(send(json_type, vec![b'['; 60_000]).await, 400);
    assert_eq!(send(json_type, vec![b' '; 64 * 1024 + 1]).await, 413);
    assert_eq!(
        send(Some("text/plain"), b"{\"name\": \"s\"}".to_vec()).await,
        415
    );
    let charset = Some("Application/JSON; charset=utf-8");
    assert_eq!(send(charset, b"{\"name\": \"s\"}".to_vec()).await, 201);
    assert_eq!(send(None, b"{\"name\": \"s\"}".to_vec()).await, 201);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let stalled = Body::from_stream(tokio_stream::pending::<Result<&str, std::io::Error>>());
    let request = Request::post(STREAMS).body(stalled).unwrap();
    let error = body::Fields::from_request(request, &())
        .await
        .err()
        .unwrap();
    assert_eq!(error.into_response().status(), 408);
}

#[tokio::test]
async fn nothing_is_told_without_a_valid_key() {
    let api = Api::new().await;
    let stream = api.create("s").await;
    let key = &api.key;
    let (id, secret) = key.split_once('$').unwrap();
    let wrong = [
        None,
        Some(key.clone()),
        Some(format!("Bearer {key}")),
        Some("APIKey".to_owned()),
        Some("APIKey ".to_owned()),
        Some(format!("APIKey {secret}")),
        Some(format!("APIKey {id}$")),
        Some(format!("APIKey {id}${secret}x")),
        Some(format!("APIKey 0{id}${secret}")),
        Some(format!("APIKey 99${secret}")),
    ];
    let reset = format!("{}/reset_push_token", path_of(&stream));
    let calls = [
        ("GET", STREAMS.to_owned()),
        ("POST", STREAMS.to_owned()),
        ("GET", path_of(&stream)),
        ("PATCH", path_of(&stream)),
        ("DELETE", path_of(&stream)),
        ("POST", reset),
        ("PUT", STREAMS.to_owned()),
        ("GET", "/streaming/nothing".to_owned()),
        ("OPTIONS", STREAMS.to_owned()),
    ];
    for authorization in &wrong {
        for (method, path) in &calls {
            let mut request = Request::builder().method(*method).uri(path);
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let answer = api.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 401, "{method} {path} {authorization:?}");
            assert_eq!(answer.headers["www-authenticate"], "APIKey");
            assert!(answer.body["error"].is_string());
        }
    }
    assert_eq!(api.call("GET", &path_of(&stream)).await.body, stream);
    let lower = format!("apikey  {key}");
    let request = Request::get(STREAMS).header("authorization", lower);
    assert_eq!(
        api.send(request.body(Body::empty()).unwrap()).await.status,
        200
    );
}

#[tokio::test]
async fn a_revoked_key_is_dead_at_once() {
    let api = Api::new().await;
    let id = api.key.parse::<ApiKey>().unwrap().id();
    assert_eq!(api.call("GET", STREAMS).await.status, 200);
    api.state.registry.revoke_key(id, NOW).await.unwrap();
    assert_eq!(api.call("GET", STREAMS).await.status, 401);
}

#[tokio::test]
async fn what_does_not_exist_is_404_in_json() {
    let api = Api::new().await;
    for path in [
        "/streaming",
        "/streaming/",
        "/streaming/videos",
        "/streaming/streams/",
        "/streaming/streams/99",
        "/streaming/streams/x",
        "/streaming/streams/%FF",
        "/streaming/streams/-1",
        "/streaming/streams/99999999999999999999",
        "/streaming/streams/1/x",
    ] {
        let answer = api.call("GET", path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body["error"].is_string(), "{path}");
    }
    for (method, path) in [
        ("PATCH", "/streaming/streams/99"),
        ("DELETE", "/streaming/streams/99"),
        ("POST", "/streaming/streams/99/reset_push_token"),
    ] {
        assert_eq!(
            api.call_with(method, path, &json!({})).await.status,
            404,
            "{method}"
        );
    }
}

#[tokio::test]
async fn other_paths_of_a_merged_router_need_no_key() {
    let api = Api::new().await;
    let merged = [
        Router::new().merge(api.router.clone()),
        api.router.clone().merge(crate::http::pages::router()),
    ];
    for router in merged {
        let request = Request::get("/elsewhere").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 404);
        let request = Request::get("/streaming/elsewhere")
            .body(Body::empty())
            .unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_with_the_right_ones() {
    let api = Api::new().await;
    for (method, path, allow) in [
        ("PUT", STREAMS, "GET,HEAD,POST"),
        ("POST", "/streaming/streams/1", "GET,HEAD,PATCH,DELETE"),
        ("GET", "/streaming/streams/1/reset_push_token", "POST"),
        ("BREW", STREAMS, "GET,HEAD,POST"),
    ] {
        let answer = api.call(method, path).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.headers["allow"], allow, "{method} {path}");
        assert!(answer.body["error"].is_string());
    }
}

#[tokio::test]
async fn no_browser_is_let_in() {
    let api = Api::new().await;
    let request = api
        .request("GET", STREAMS)
        .header("origin", "https://evil.example");
    let answer = api.send(request.body(Body::empty()).unwrap()).await;
    assert!(
        !answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control-"))
    );
}

#[tokio::test]
async fn a_registry_that_is_down_is_503() {
    let api = Api::new().await;
    api.state.registry.close().await;
    let answer = api.call("GET", STREAMS).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["retry-after"], "2");
    assert!(answer.body["error"].is_string());
}
