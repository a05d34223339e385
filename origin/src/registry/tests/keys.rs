//! API keys: made once, shown once, and never readable again.

use super::*;

#[tokio::test]
async fn the_first_start_writes_one_key_for_its_owner_alone() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let path = registry
        .ensure_first_key(folder.path(), NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(path, folder.path().join("api-key"));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key: ApiKey = fs::read_to_string(&path)
        .unwrap()
        .trim_end()
        .parse()
        .unwrap();
    assert_eq!(registry.client_of_key(&key).await.unwrap(), Some(CLIENT));
    assert_eq!(
        registry.ensure_first_key(folder.path(), NOW).await.unwrap(),
        None
    );
    assert_eq!(registry.keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_first_key_that_cannot_be_written_is_not_made() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let nowhere = folder.path().join("nowhere");
    let error = registry.ensure_first_key(&nowhere, NOW).await.unwrap_err();
    assert!(matches!(error, Error::KeyFile { .. }), "{error}");
    assert!(registry.keys().await.unwrap().is_empty());
    assert!(
        registry
            .ensure_first_key(folder.path(), NOW)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn revoking_every_key_does_not_make_another_first_one() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let key = registry.create_key(CLIENT, "only", NOW).await.unwrap();
    assert!(registry.revoke_key(key.id(), LATER).await.unwrap());
    assert_eq!(
        registry
            .ensure_first_key(folder.path(), LATER)
            .await
            .unwrap(),
        None
    );
    assert_eq!(registry.keys().await.unwrap()[0].revoked_at, Some(LATER));
}

#[tokio::test]
async fn only_the_whole_key_opens() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let key = registry.create_key(CLIENT, "a", NOW).await.unwrap();
    let other = registry.create_key(CLIENT, "b", NOW).await.unwrap();
    let (_, secret) = key
        .expose()
        .split_once('$')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for wrong in [
        format!("{}${secret}x", key.id()),
        format!("{}${}", key.id(), &secret[1..]),
        format!("{}${secret}", other.id()),
        format!("99${secret}"),
    ] {
        let wrong: ApiKey = wrong.parse().unwrap();
        assert_eq!(registry.client_of_key(&wrong).await.unwrap(), None);
    }
    assert_eq!(registry.client_of_key(&key).await.unwrap(), Some(CLIENT));
}

#[tokio::test]
async fn the_secret_is_nowhere_in_the_file() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let key = registry.create_key(CLIENT, "a", NOW).await.unwrap();
    registry.close().await;
    let file = fs::read(folder.path().join("r.sqlite3")).unwrap();
    let secret = key.expose().split_once('$').unwrap().1.to_owned();
    assert!(
        !file
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    );
}

#[tokio::test]
async fn no_debug_text_shows_a_secret() {
    let folder = Folder::new();
    let registry = open(&folder).await;
    let stream = create(&registry, "s").await;
    let key = registry.create_key(CLIENT, "a", NOW).await.unwrap();
    let text = format!("{stream:?} {:?} {key:?} {registry:?}", path_of(&stream));
    assert!(!text.contains(stream.token.expose()), "{text}");
    assert!(
        !text.contains(key.expose().split_once('$').unwrap().1),
        "{text}"
    );
}
