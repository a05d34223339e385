//! What is wrong with a body is told by name.

use super::*;

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
    let errors = api.errors(json!({"name": "s", "pass_through": null})).await;
    assert_eq!(errors, json!({"pass_through": ["must be true or false"]}));
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
            json!({"rungs": [good], "part_ms": 99}),
            vec!["quality_set.part_ms"],
        ),
        (
            json!({"rungs": [good], "part_ms": "200"}),
            vec!["quality_set.part_ms"],
        ),
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
async fn passing_through_is_asked_for_and_taken_back() {
    let api = Api::new().await;
    let body = json!({"name": "s", "pass_through": true});
    let stream = api.call_with("POST", STREAMS, &body).await.body;
    assert_eq!(stream["pass_through"], true);
    let path = path_of(&stream);
    let body = json!({"name": "t"});
    let answer = api.call_with("PATCH", &path, &body).await;
    assert_eq!(
        answer.body["pass_through"], true,
        "not mentioned, not changed"
    );
    let body = json!({"pass_through": false});
    let answer = api.call_with("PATCH", &path, &body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["pass_through"], false);
    assert_eq!(api.call("GET", &path).await.body["pass_through"], false);
}
