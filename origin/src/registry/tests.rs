//! The registry on a real file.

use std::os::unix::fs::PermissionsExt as _;

use inlet_common::{
    clock::UtcTime,
    ids::{ClientId, PublishPath, PushToken, StreamId},
};
use proptest::prelude::*;

use super::*;
use crate::{
    test_util::Folder,
    timeline::{Epoch, FrameRate},
    transcode::ladder::Resolution,
};

mod keys;
mod publish;

const CLIENT: ClientId = ClientId(1);
const NOW: UtcTime = UtcTime::from_unix_micros(1_790_000_000_123_456);
const LATER: UtcTime = UtcTime::from_unix_micros(1_790_000_100_000_000);

async fn open(folder: &Folder) -> Registry {
    Registry::open(&folder.path().join("r.sqlite3"))
        .await
        .unwrap()
}

fn named(name: &str) -> NewStream {
    NewStream {
        name: name.to_owned(),
        active: true,
        client_entity_data: None,
        quality_set: None,
        pass_through: false,
    }
}

async fn create(registry: &Registry, name: &str) -> Stream {
    registry
        .create_stream(CLIENT, named(name), 100, NOW)
        .await
        .unwrap()
        .unwrap()
}

fn path_of(stream: &Stream) -> PublishPath {
    PublishPath {
        stream: stream.id,
        token: stream.token.clone(),
    }
}

/// What a refused publisher is told.
async fn refusal(registry: &Registry, path: &PublishPath, live: u32) -> Option<u16> {
    let result = registry.authorise(path, 2, |_| live).await;
    result.err().map(|refusal| refusal.reason().as_u16())
}

#[tokio::test]
async fn a_fresh_registry_has_client_1_and_keeps_its_file_to_itself() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let clients: Vec<(i64, String)> = sqlx::query_as("SELECT id, name FROM clients")
        .fetch_all(&registry.pool)
        .await
        .unwrap();
    assert_eq!(clients, [(1, "default".to_owned())]);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn the_database_is_set_up_as_the_docs_say() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&registry.pool)
        .await
        .unwrap();
    let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys")
        .fetch_one(&registry.pool)
        .await
        .unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&registry.pool)
        .await
        .unwrap();
    assert_eq!((journal.as_str(), keys, synchronous), ("wal", 1, 2));
}

#[tokio::test]
async fn migrations_run_once_and_data_survives_a_restart() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let stream = create(&registry, "kept").await;
    registry.close().await;
    let registry = open(&folder).await;
    assert_eq!(
        registry.stream(CLIENT, stream.id).await.unwrap(),
        Some(stream)
    );
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'future', 1, x'00', 0)",
    )
    .execute(&registry.pool)
    .await
    .unwrap();
    registry.close().await;
    let error = Registry::open(&folder.path().join("r.sqlite3"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Migrate(_)), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let path = folder.path().join("r.sqlite3");
    let text = "this is no database, and long enough to be looked at by SQLite".repeat(20);
    fs::write(&path, &text).unwrap();
    let error = Registry::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("r.sqlite3"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn tokens_have_128_random_bits_and_no_separator() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let (a, b) = (create(&registry, "a").await, create(&registry, "b").await);
    assert_ne!(a.token, b.token);
    assert_eq!(a.token.expose().len(), 32);
    assert!(
        a.token
            .expose()
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
    );
    let text = format!("{}_{}", a.id, a.token.expose());
    assert_eq!(text.parse::<PublishPath>().unwrap(), path_of(&a));
}

#[tokio::test]
async fn a_stream_starts_its_time_on_a_whole_second() {
    let folder = Folder::new();
    let stream = create(&open(&folder).await, "s").await;
    assert_eq!(
        stream.epoch,
        Epoch(UtcTime::from_unix_micros(1_790_000_000_000_000))
    );
    assert_eq!(stream.created_at, NOW);
}

#[tokio::test]
async fn what_is_asked_for_is_kept_and_can_be_cleared() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let rungs = vec![
        Quality {
            height: 360,
            bitrate: 450_000,
        },
        Quality {
            height: 720,
            bitrate: 1_800_000,
        },
    ];
    let set = QualitySet::new(rungs, FrameRate::try_from(25).ok()).unwrap();
    let new = NewStream {
        quality_set: Some(set.clone()),
        client_entity_data: Some(serde_json::json!({"a": [1, null, "ü\u{0}"]})),
        pass_through: true,
        ..named("s")
    };
    let stream = registry
        .create_stream(CLIENT, new.clone(), 100, NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stream.quality_set.as_ref().unwrap().rungs()[0].height, 720);
    assert_eq!(stream.client_entity_data, new.client_entity_data);
    let granted = registry
        .authorise(&path_of(&stream), 2, |_| 0)
        .await
        .unwrap();
    assert_eq!(granted.quality_set, Some(set));
    assert!(granted.pass_through && stream.pass_through);
    assert_eq!((granted.client, granted.epoch), (CLIENT, stream.epoch));

    let nothing = registry
        .update_stream(CLIENT, stream.id, Change::default())
        .await
        .unwrap();
    assert_eq!(nothing.as_ref(), Some(&stream));
    let clear = Change {
        name: Some("t".to_owned()),
        quality_set: Some(None),
        client_entity_data: Some(None),
        ..Change::default()
    };
    let stream = registry
        .update_stream(CLIENT, stream.id, clear)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (stream.quality_set, stream.client_entity_data),
        (None, None)
    );
    assert_eq!((stream.name.as_str(), stream.active), ("t", true));
}

#[tokio::test]
async fn another_client_sees_nothing() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    sqlx::query("INSERT INTO clients (id, name, created_at) VALUES (2, 'b', 0)")
        .execute(&registry.pool)
        .await
        .unwrap();
    let stream = create(&registry, "s").await;
    let other = ClientId(2);
    let page = Page {
        offset: 0,
        limit: 10,
    };
    assert_eq!(registry.stream(other, stream.id).await.unwrap(), None);
    assert_eq!(registry.streams(other, page).await.unwrap(), (vec![], 0));
    let off = Change {
        active: Some(false),
        ..Change::default()
    };
    assert_eq!(
        registry.update_stream(other, stream.id, off).await.unwrap(),
        None
    );
    assert_eq!(registry.reset_token(other, stream.id).await.unwrap(), None);
    assert!(!registry.delete_stream(other, stream.id).await.unwrap());
    assert_eq!(
        registry.stream(CLIENT, stream.id).await.unwrap(),
        Some(stream)
    );
}

#[tokio::test]
async fn streams_are_listed_in_pages_and_limited_in_number() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    for name in ["a", "b", "c"] {
        create(&registry, name).await;
    }
    let (streams, total) = registry
        .streams(
            CLIENT,
            Page {
                offset: 1,
                limit: 1,
            },
        )
        .await
        .unwrap();
    assert_eq!(
        (streams.len(), streams[0].name.as_str(), total),
        (1, "b", 3)
    );
    assert_eq!(
        registry
            .create_stream(CLIENT, named("d"), 3, NOW)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_deleted_stream_never_lends_its_id() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let first = create(&registry, "a").await;
    assert!(registry.delete_stream(CLIENT, first.id).await.unwrap());
    assert!(!registry.delete_stream(CLIENT, first.id).await.unwrap());
    assert!(create(&registry, "b").await.id > first.id);
}

#[tokio::test]
async fn two_processes_write_without_losing_anything() {
    let folder = Folder::new();
    let (server, command) = (open(&folder).await, open(&folder).await);
    let writers = [server.clone(), command].map(|registry| {
        tokio::spawn(async move {
            for number in 0..20 {
                create(&registry, &number.to_string()).await;
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let (_, total) = server
        .streams(
            CLIENT,
            Page {
                offset: 0,
                limit: 1,
            },
        )
        .await
        .unwrap();
    assert_eq!(total, 40);
}

#[test]
fn quality_sets_that_make_no_ladder_are_refused() {
    let rung = |height, bitrate| Quality { height, bitrate };
    let refused = |rungs: &[Quality]| QualitySet::new(rungs.to_vec(), None).unwrap_err();
    assert_eq!(refused(&[]), InvalidQualitySet::Count(0));
    assert_eq!(
        refused(&[rung(360, 450_000); 7]),
        InvalidQualitySet::Count(7)
    );
    let same = [rung(360, 450_000), rung(360, 500_000)];
    assert_eq!(refused(&same), InvalidQualitySet::SameHeight(360));
    let inverted = [rung(360, 900_000), rung(720, 900_000)];
    assert_eq!(refused(&inverted), InvalidQualitySet::Inverted(360, 720));
    for rung in [
        rung(361, 450_000),
        rung(98, 450_000),
        rung(2162, 450_000),
        rung(360, 1),
    ] {
        assert!(
            matches!(refused(&[rung]), InvalidQualitySet::Rung(_)),
            "{rung:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_key_is_read_back(id in 1..i64::MAX, secret in "[A-Za-z0-9_$-]{1,128}") {
        let text = format!("{id}${secret}");
        let key: ApiKey = text.parse().unwrap();
        prop_assert_eq!(key.expose(), text);
        prop_assert_eq!(key.id(), KeyId(id));
    }

    #[test]
    fn whatever_is_taken_as_key_is_its_one_spelling(text in r"[-+0-9]{0,4}\$?.{0,140}") {
        if let Ok(key) = text.parse::<ApiKey>() {
            prop_assert_eq!(key.expose(), text);
        }
    }

    #[test]
    fn a_sound_set_is_stored_and_read_back(
        heights in proptest::collection::btree_set(50_u32..=1080, 1..=6),
        fps in proptest::option::of(proptest::sample::select(&FrameRate::ALLOWED[..])),
        part_ms in proptest::option::of(100_u32..=1000),
    ) {
        let rungs = heights.iter().map(|half| Quality { height: half * 2, bitrate: half * 1000 });
        let set = QualitySet::new(rungs.collect(), fps.map(|fps| FrameRate::try_from(fps).unwrap()));
        let set = set.and_then(|set| set.with_part(part_ms)).unwrap();
        prop_assert!(set.rungs().windows(2).all(|pair| pair[0].height > pair[1].height));
        let text = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(serde_json::from_str::<QualitySet>(&text).unwrap(), set);
    }
}
