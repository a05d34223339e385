use std::{fs, net::IpAddr, sync::mpsc};

use super::*;
use crate::dns::geo::{
    database::DatabaseError,
    mmdb::{Value, Writer},
    plan::Overrides,
    testing::{BUILT, Folder, NOW, ids, ip, plan},
};

/// A database that knows one network, in a country.
fn database(country: &str, built: u64) -> Vec<u8> {
    let mut writer = Writer::new("Test-Country", built);
    writer.insert(
        "192.0.2.0/24".parse().unwrap(),
        &Value::city("EU", country, None),
    );
    writer.finish()
}

struct Rig {
    folder: Folder,
    path: PathBuf,
    watched: Watched,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let path = folder.file("country.mmdb");
        let plan = Arc::new(plan(&Overrides::default()));
        let watched = Watched::new(plan, std::slice::from_ref(&path));
        Self {
            folder,
            path,
            watched,
        }
    }

    /// Puts a file in place, as an updater should.
    fn replace(&self, bytes: &[u8]) {
        let new = self.folder.file("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    fn look(&mut self) -> Seen {
        self.watched.look(NOW)
    }

    /// The first point of presence of a new table.
    fn first(&mut self) -> Option<u8> {
        let seen = self.look();
        assert!(seen.refused.is_empty(), "{:?}", seen.refused);
        seen.loaded.map(|loaded| first(&loaded))
    }

    /// The one refusal, and that it is not told again.
    fn refusal(&mut self) -> Refusal {
        let mut seen = self.look();
        assert!(seen.loaded.is_none());
        assert_eq!(seen.refused.len(), 1);
        let again = self.look();
        assert!(
            again.loaded.is_none() && again.refused.is_empty(),
            "told once"
        );
        seen.refused.remove(0).1
    }
}

fn first(loaded: &Loaded) -> u8 {
    let client: IpAddr = ip("192.0.2.1");
    ids(loaded.table.find(client).ranked)[0]
}

#[test]
fn a_database_is_exchanged_when_its_file_is() {
    let mut rig = Rig::new();
    rig.replace(&database("JP", BUILT));
    assert_eq!(rig.first(), Some(2));
    assert_eq!(rig.first(), None, "nothing has changed");
    rig.replace(&database("US", BUILT + 1));
    assert_eq!(rig.first(), Some(1));
    rig.replace(&database("BR", BUILT + 1));
    assert_eq!(rig.first(), Some(3), "built at the same time is not older");
}

/// As when an updater mixes its files up.
#[test]
fn another_kind_of_database_takes_no_ones_place() {
    let mut rig = Rig::new();
    rig.replace(&database("JP", BUILT));
    assert_eq!(rig.first(), Some(2));
    let mut asns = Writer::new("GeoLite2-ASN", BUILT + 1);
    asns.insert("192.0.2.0/24".parse().unwrap(), &Value::asn(64_500));
    rig.replace(&asns.finish());
    assert!(matches!(rig.refusal(), Refusal::Poorer("countries")));
    rig.replace(&database("US", BUILT + 1));
    assert_eq!(rig.first(), Some(1), "the next good one counts");
}

#[test]
fn an_older_database_is_refused_once() {
    let mut rig = Rig::new();
    rig.replace(&database("JP", BUILT));
    assert_eq!(rig.first(), Some(2));
    rig.replace(&database("US", BUILT - 1));
    assert!(matches!(rig.refusal(), Refusal::Older));
    rig.replace(&database("US", BUILT + 1));
    assert_eq!(rig.first(), Some(1));
}

#[test]
fn a_broken_database_is_refused_once_and_the_next_one_taken() {
    let mut rig = Rig::new();
    rig.replace(&database("JP", BUILT));
    assert_eq!(rig.first(), Some(2));
    let good = database("US", BUILT + 1);
    rig.replace(&good[..good.len() / 2]);
    assert!(matches!(
        rig.refusal(),
        Refusal::Unfit(DatabaseError::Broken(_))
    ));
    rig.replace(b"nothing of the kind");
    assert!(matches!(rig.refusal(), Refusal::Unfit(_)));
    rig.replace(&good);
    assert_eq!(rig.first(), Some(1));
}

#[test]
fn a_file_that_is_gone_leaves_what_is_in_use() {
    let mut rig = Rig::new();
    rig.replace(&database("JP", BUILT));
    assert_eq!(rig.first(), Some(2));
    fs::remove_file(&rig.path).unwrap();
    assert!(matches!(rig.refusal(), Refusal::Unseen(_)));
    rig.replace(&database("US", BUILT + 1));
    assert_eq!(rig.first(), Some(1));
}

#[test]
fn without_a_database_there_is_a_table_of_overrides() {
    let mut rig = Rig::new();
    let seen = rig.look();
    assert!(matches!(seen.refused[0].1, Refusal::Unseen(_)));
    assert_eq!(first(&seen.loaded.unwrap()), 0);
    rig.replace(&database("JP", BUILT));
    assert_eq!(rig.first(), Some(2));
}

#[test]
fn one_of_two_databases_is_exchanged_and_the_other_stays() {
    let folder = Folder::new();
    let paths = ["a.mmdb", "b.mmdb"].map(|name| folder.file(name));
    fs::write(&paths[0], database("XX", BUILT)).unwrap();
    fs::write(&paths[1], database("JP", BUILT)).unwrap();
    let mut watched = Watched::new(Arc::new(plan(&Overrides::default())), &paths);
    let loaded = watched.look(NOW).loaded.unwrap();
    assert_eq!(
        (loaded.databases.len(), first(&loaded)),
        (2, 0),
        "the first knows a country"
    );
    fs::remove_file(&paths[1]).unwrap();
    fs::write(&paths[1], database("US", BUILT + 1)).unwrap();
    fs::rename(&paths[1], &paths[0]).unwrap();
    let seen = watched.look(NOW);
    assert_eq!(seen.refused.len(), 1, "the second is gone");
    let loaded = seen.loaded.unwrap();
    assert_eq!((loaded.databases.len(), first(&loaded)), (2, 1));
}

#[test]
fn too_many_databases_leave_a_table_without() {
    let folder = Folder::new();
    let paths: Vec<_> = (0..5)
        .map(|number| folder.file(&format!("{number}.mmdb")))
        .collect();
    for path in &paths {
        fs::write(path, database("JP", BUILT)).unwrap();
    }
    let mut watched = Watched::new(Arc::new(plan(&Overrides::default())), &paths);
    let seen = watched.look(NOW);
    assert!(matches!(seen.refused[0].1, Refusal::Compile(_)));
    assert_eq!(first(&seen.loaded.unwrap()), 0);
    let again = watched.look(NOW);
    assert!(again.loaded.is_none() && again.refused.is_empty());
}

#[test]
fn a_refusal_is_told_with_what_caused_it() {
    let mut rig = Rig::new();
    let seen = rig.look();
    let text = chain(&seen.refused[0].1);
    assert!(
        text.starts_with("is gone") && text.contains("No such file"),
        "{text}"
    );
}

#[test]
fn a_thread_tells_what_is_new_and_ends_with_its_handle() {
    let mut rig = Rig::new();
    rig.look();
    let (tell, told) = mpsc::channel();
    let watched = std::mem::replace(
        &mut rig.watched,
        Watched::new(Arc::new(plan(&Overrides::default())), &[]),
    );
    let interval = Duration::from_millis(5);
    let watch = Watch::start(watched, interval, move |seen| tell.send(seen).unwrap()).unwrap();
    // As of today: the thread reads the clock.
    rig.replace(&database("JP", 1));
    let seen = told.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(first(&seen.loaded.unwrap()), 2);
    drop(watch);
    assert!(
        told.recv_timeout(Duration::from_secs(30)).is_err(),
        "its end is gone"
    );
}
