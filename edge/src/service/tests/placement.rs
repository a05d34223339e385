//! `GET /placement` of the admin API, with a fleet and MaxMind's city database.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use inlet_common::ids::SessionId;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::{config, placement::Seen, service::admin::Admin, trace::Notice};

const FLEET: &str = r#"
[[pop]]
name = "lon"
host = "lon.inlet.test"
ipv4 = ["192.0.2.1"]
latitude = 51.5
longitude = -0.1

[[pop]]
name = "dns"
host = "dns.inlet.test"
ipv4 = ["192.0.2.2"]
latitude = 47.6
longitude = -122.3
services = ["turn"]
"#;

/// Networks of the database.
const LONDON: &str = "81.2.69.160";
const SEATTLE: &str = "216.160.83.56";

/// An edge that knows of a fleet, called `name` in it.
async fn edge(folder: &Folder, name: &str) -> Edge {
    folder.write("fleet.toml", FLEET);
    let mut config = folder.config();
    config.pop = Some(name.to_owned());
    let database = "/../tests/data/mmdb/GeoIP2-City-Test.mmdb";
    config.fleet = Some(config::fleet::Known {
        file: folder.0.join("fleet.toml"),
        databases: vec![(env!("CARGO_MANIFEST_DIR").to_owned() + database).into()],
        secret_file: None,
        is_probing: false,
        ca: None,
        turn_secret_file: None,
        is_steering: true,
    });
    Edge::start(&config, &Lifecycle::new()).await.unwrap()
}

fn connect(edge: &Edge, client: &str) {
    let (gateway, session) = (edge.gateway().unwrap(), SessionId::random());
    let tally = gateway.tally().unwrap();
    tally.begin(session, client.parse().unwrap());
    tally.note(session, &Notice::Connected);
}

async fn get(edge: &Edge, path: &str) -> (StatusCode, Vec<u8>) {
    let admin = Admin {
        gateway: edge.gateway(),
        appliance: None,
        fleet: edge.fleet.clone(),
        reports: Arc::default(),
        shared_port: None,
        lifecycle: Lifecycle::new(),
    };
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = admin::router(admin).oneshot(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap();
    (status, body.to_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_who_is_near_and_what_would_help() {
    let folder = Folder::new();
    let edge = edge(&folder, "lon").await;
    for client in [LONDON, LONDON, SEATTLE, "127.0.0.1"] {
        connect(&edge, client);
    }
    let (status, body) = get(&edge, "/placement").await;
    assert_eq!(status, 200);
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["pop"], "lon");
    assert_eq!(
        (&told["presenters"], &told["located"]),
        (&4.into(), &3.into())
    );
    assert_eq!(
        (&told["in_region"], &told["unlocated"]),
        (&2.into(), &1.into())
    );
    // A TURN server alone takes no presenters, though it is near to Seattle.
    assert_eq!(told["near_another"], 0);
    assert_eq!(told["next"][0]["country"], "US");
    assert_eq!(told["next"][0]["share_after"], 1.0);
    assert!(!String::from_utf8_lossy(&body).contains(SEATTLE));
    let seen = Seen::read(&body).unwrap();
    assert_eq!(seen.rows.by_spot.len(), 3);

    let (status, body) = get(&edge, "/placement?region_km=20000").await;
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &told["in_region"]), (StatusCode::OK, &3.into()));
    for wrong in ["region_km=1", "region_km=NaN", "region_km=far", "region=2"] {
        let (status, _) = get(&edge, &format!("/placement?{wrong}")).await;
        assert_eq!(status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_the_fleet_does_not_have_says_so() {
    let folder = Folder::new();
    let edge = edge(&folder, "ams").await;
    connect(&edge, LONDON);
    let (status, body) = get(&edge, "/placement").await;
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 409);
    assert!(body.contains("no point of presence ams"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fleet_nobody_is_looked_up() {
    let folder = Folder::new();
    let edge = Edge::start(&folder.config(), &Lifecycle::new())
        .await
        .unwrap();
    assert!(edge.gateway().unwrap().tally().is_none());
    assert_eq!(get(&edge, "/placement").await.0, 404);
}
