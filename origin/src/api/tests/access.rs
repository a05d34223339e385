//! Who may ask, what there is to ask, and by which method.

use super::*;

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
