//! Who may publish, and what is noted of it.

use super::*;

#[tokio::test]
async fn publishers_are_refused_in_the_order_of_the_codes() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let stream = create(&registry, "s").await;
    let path = path_of(&stream);
    assert_eq!(refusal(&registry, &path, 1).await, None);
    assert_eq!(refusal(&registry, &path, 2).await, Some(2005));

    let nobody = PublishPath {
        stream: StreamId(99),
        ..path.clone()
    };
    assert_eq!(refusal(&registry, &nobody, 9).await, Some(2001));
    let wrong = PublishPath {
        token: PushToken::new("x"),
        ..path.clone()
    };
    assert_eq!(refusal(&registry, &wrong, 9).await, Some(2002));

    let off = Change {
        active: Some(false),
        ..Change::default()
    };
    registry
        .update_stream(CLIENT, stream.id, off)
        .await
        .unwrap();
    assert_eq!(refusal(&registry, &path, 9).await, Some(2004));
    assert_eq!(refusal(&registry, &wrong, 9).await, Some(2002));
}

#[tokio::test]
async fn a_reset_kills_the_old_token() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let before = create(&registry, "s").await;
    let after = registry
        .reset_token(CLIENT, before.id)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(before.token, after.token);
    assert_eq!(refusal(&registry, &path_of(&before), 0).await, Some(2002));
    assert_eq!(refusal(&registry, &path_of(&after), 0).await, None);
}

#[tokio::test]
async fn a_registry_that_is_down_says_so() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let stream = create(&registry, "s").await;
    registry.close().await;
    assert_eq!(refusal(&registry, &path_of(&stream), 0).await, Some(2303));
}

#[tokio::test]
async fn an_unreadable_value_refuses_and_does_not_guess() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let stream = create(&registry, "s").await;
    sqlx::query("UPDATE streams SET quality_set = '{\"rungs\": []}'")
        .execute(&registry.pool)
        .await
        .unwrap();
    let error = registry.stream(CLIENT, stream.id).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreadable {
                column: "quality_set",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(refusal(&registry, &path_of(&stream), 0).await, Some(2303));
}

#[tokio::test]
async fn a_session_is_noted_from_start_to_end() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let id = create(&registry, "s").await.id;
    registry.mark_started(id, NOW, "fra").await.unwrap();
    registry
        .mark_source(id, NOW, size(1280, 720), &canvas(size(1280, 720)))
        .await
        .unwrap();
    let running = registry.stream(CLIENT, id).await.unwrap().unwrap();
    assert_eq!((running.started_at, running.finished_at), (Some(NOW), None));
    assert_eq!(running.last_region.as_deref(), Some("fra"));
    assert_eq!(running.source, Some(size(1280, 720)));
    registry.mark_region(id, LATER, "nobody").await.unwrap();
    registry.mark_region(id, NOW, "ams").await.unwrap();
    registry.mark_finished(id, NOW, LATER).await.unwrap();
    let ended = registry.stream(CLIENT, id).await.unwrap().unwrap();
    assert_eq!(ended.finished_at, Some(LATER));
    assert_eq!(ended.last_region.as_deref(), Some("ams"));
    assert_eq!(ended.source, running.source);
}

#[tokio::test]
async fn an_older_session_does_not_end_the_one_that_took_over() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let id = create(&registry, "s").await.id;
    registry.mark_started(id, NOW, "fra").await.unwrap();
    registry.mark_started(id, LATER, "ams").await.unwrap();
    registry.mark_finished(id, NOW, LATER).await.unwrap();
    registry
        .mark_source(id, NOW, size(2, 2), &canvas(size(2, 2)))
        .await
        .unwrap();
    let stream = registry.stream(CLIENT, id).await.unwrap().unwrap();
    assert_eq!((stream.started_at, stream.finished_at), (Some(LATER), None));
    assert_eq!(stream.source, None);
}

#[tokio::test]
async fn sessions_that_a_crash_left_open_are_ended_at_the_start() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let (open_one, never) = (
        create(&registry, "a").await.id,
        create(&registry, "b").await.id,
    );
    registry.mark_started(open_one, NOW, "fra").await.unwrap();
    assert_eq!(registry.finish_interrupted(LATER).await.unwrap(), 1);
    assert_eq!(registry.finish_interrupted(LATER).await.unwrap(), 0);
    let stream = registry.stream(CLIENT, open_one).await.unwrap().unwrap();
    assert_eq!(stream.finished_at, Some(LATER));
    assert_eq!(
        registry
            .stream(CLIENT, never)
            .await
            .unwrap()
            .unwrap()
            .finished_at,
        None
    );
}

fn size(width: u32, height: u32) -> Resolution {
    Resolution { width, height }
}

#[tokio::test]
async fn a_playlist_is_known_until_it_ends_or_another_session_begins() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let stream = create(&registry, "s").await;
    let known = async || {
        let granted = registry.authorise(&path_of(&stream), 9, |_| 0).await;
        granted.unwrap().canvas
    };
    assert_eq!(known().await, None);
    registry.mark_started(stream.id, NOW, "fra").await.unwrap();
    let rungs = vec![Quality {
        height: 360,
        bitrate: 450_000,
    }];
    let asked = QualitySet::new(rungs, None).unwrap();
    let made = |left_at| Canvas {
        first: size(480, 270),
        quality_set: Some(asked.clone()),
        left_at,
        ..canvas(size(1280, 720))
    };
    let source = size(640, 360);
    let begun = made(None);
    registry
        .mark_source(stream.id, NOW, source, &begun)
        .await
        .unwrap();
    assert_eq!(known().await, Some(made(None)));
    // As at the start after a crash.
    registry.finish_interrupted(LATER).await.unwrap();
    assert_eq!(known().await, Some(made(Some(LATER))));
    registry
        .mark_started(stream.id, LATER, "fra")
        .await
        .unwrap();
    assert_eq!(known().await, None, "until the new session has a picture");
    registry
        .mark_source(stream.id, LATER, source, &begun)
        .await
        .unwrap();
    registry.mark_ended(stream.id).await.unwrap();
    assert_eq!(known().await, None);
}

fn canvas(size: Resolution) -> Canvas {
    Canvas {
        first: size,
        size,
        quality_set: None,
        left_at: None,
    }
}
