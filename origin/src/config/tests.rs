//! The shipped files, and every refusal.

use super::*;

const SHIPPED: &str = include_str!("../../../config/origin.toml");
const UNIT: &str = include_str!("../../../systemd/inlet-origin.service");

fn load(text: &str) -> Result<Config, Error> {
    let path = Path::new("origin.toml");
    config::parse::<ConfigFile>(path, text)?.validate(path)
}

/// The problems that a file has, as `key: what`.
fn problems(text: &str) -> Vec<String> {
    match load(text) {
        Err(Error::Invalid { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected problems with {text}, got {other:?}"),
    }
}

#[test]
fn the_shipped_file_has_every_key_at_its_default() {
    let shipped: toml::Table = toml::from_str(SHIPPED).unwrap();
    let defaults = toml::Table::try_from(ConfigFile::default()).unwrap();
    assert_eq!(shipped, defaults);
}

#[test]
fn the_shipped_file_is_loaded() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/origin.toml");
    assert_eq!(Config::load(&path).unwrap(), Config::default());
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn the_defaults_have_no_problem() {
    ConfigFile::default()
        .validate(Path::new("defaults"))
        .unwrap();
}

#[test]
fn every_shipped_key_is_explained() {
    let mut lines = SHIPPED.lines();
    let mut before = "";
    for line in lines.by_ref() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with('#'), "no comment above: {line}");
        }
        before = line;
    }
}

#[test]
fn the_unit_waits_longer_than_the_drain() {
    let stop = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="))
        .unwrap();
    let stop: u64 = stop.strip_suffix('s').unwrap().parse().unwrap();
    assert!(Duration::from_secs(stop) > Config::default().drain_timeout);
}

#[test]
fn the_unit_holds_every_default_credential() {
    for credential in [
        &ConfigFile::default().roq.certificate,
        &ConfigFile::default().roq.key,
    ] {
        let line = format!("LoadCredential={}:", credential.display());
        assert!(UNIT.contains(&line), "{line}");
    }
}

#[test]
fn the_registry_lies_in_the_state_directory() {
    let config = load("[state]\ndir = \"/srv/inlet\"").unwrap();
    assert_eq!(
        config.state.registry,
        Path::new("/srv/inlet/registry.sqlite3")
    );
    let config = load("[state]\nregistry = \"/mnt/r.db\"").unwrap();
    assert_eq!(config.state.registry, Path::new("/mnt/r.db"));
}

#[test]
fn every_encoder_can_be_chosen() {
    for encoder in Encoder::ALL {
        let text = format!("[media]\nencoder = \"{}\"", encoder.as_str());
        assert_eq!(load(&text).unwrap().media.encoder, encoder);
    }
}

#[test]
fn https_takes_a_certificate_and_its_key() {
    let config = load("[http]\ncertificate = \"/a.pem\"\nkey = \"/a.key\"").unwrap();
    assert_eq!(config.http.tls.unwrap().key, Path::new("/a.key"));
    let problem = problems("[http]\ncertificate = \"/a.pem\"").remove(0);
    assert!(
        problem.starts_with("http.key: certificate and key go together"),
        "{problem}"
    );
}

#[test]
fn there_is_no_opus_unless_it_has_a_rate() {
    assert_eq!(load("").unwrap().media.opus_bitrate, None);
    let config = load("[media]\nopus_bitrate = \"96 kbps\"").unwrap();
    assert_eq!(config.media.opus_bitrate, Some(Bitrate::from_kbps(96)));
}

/// Files with one fault each, and how its problem begins.
const FAULTS: &[(&str, &str)] = &[
    (
        "[media]\nsegment = \"11s\"\nwindow = \"5m\"",
        "media.segment: 11s is out of range: use 1s to 10s",
    ),
    (
        "[media]\nsegment = \"1500ms\"\nwindow = \"30s\"",
        "media.segment: must be whole seconds",
    ),
    (
        "[media]\nopus_bitrate = \"8 kbps\"",
        "media.opus_bitrate: 8 kbps is out of range: use 16 kbps to 320 kbps",
    ),
    (
        "[media]\npart = \"2s\"",
        "media.part: 2s is out of range: use 50ms to 1s",
    ),
    (
        "[media]\nchunk = \"300ms\"",
        "media.chunk: 300ms is out of range: use 16ms to 200ms",
    ),
    (
        "[media]\nwindow = \"5s\"",
        "media.window: 5s is out of range: use 10s to 1h",
    ),
    ("[media]\nlinger = \"2h\"", "media.linger:"),
    ("[media]\nlatency = \"0s\"", "media.latency:"),
    (
        "[media]\npublish_margin = \"150ms\"",
        "media.publish_margin:",
    ),
    (
        "[media]\naudio_bitrate = \"1 Mbps\"",
        "media.audio_bitrate: 1 Mbps is out of range",
    ),
    (
        "[media]\nworker_memory = \"1 MiB\"",
        "media.worker_memory: 1 MiB is out of range",
    ),
    ("[media]\nworker_memory = \"1 MiB\"", "media.worker_memory:"),
    (
        "[limits]\nlive_streams = 0",
        "limits.live_streams: 0 is out of range: use 1 to 10000",
    ),
    (
        "[limits]\nlive_streams_per_client = 0",
        "limits.live_streams_per_client:",
    ),
    (
        "[limits]\nstreams_per_client = 0",
        "limits.streams_per_client:",
    ),
    ("[limits]\nhttp_connections = 1", "limits.http_connections:"),
    ("[limits]\nedge_connections = 0", "limits.edge_connections:"),
    ("[drain]\ntimeout = \"1d\"", "drain.timeout:"),
    (
        "[state]\ndir = \"state\"",
        "state.dir: is not an absolute path",
    ),
    ("[roq]\nkey = \"\"", "roq.key: is empty"),
    (
        "[metrics]\nlisten = \"127.0.0.1:8080\"",
        "metrics.listen: 127.0.0.1:8080 is http.listen",
    ),
];

#[test]
fn every_fault_is_told_with_what_to_write() {
    for (text, expected) in FAULTS {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text =
        "[limits]\nlive_streams = 0\n[drain]\ntimeout = \"2h\"\n[media]\nworker_memory = \"1 MiB\"";
    assert_eq!(problems(text).len(), 3);
}

#[test]
fn a_misspelt_key_is_refused() {
    for text in [
        "[http]\nlisen = \"[::]:443\"",
        "[htpp]",
        "[media]\npreset = \"placebo\"",
        "[media]\nencoder = \"openh264\"",
    ] {
        assert!(matches!(load(text), Err(Error::Parse { .. })), "{text}");
    }
}

#[test]
fn several_listeners_may_take_any_port() {
    let any = "listen = \"127.0.0.1:0\"";
    load(&format!("[http]\n{any}\n[admin]\n{any}\n[metrics]\n{any}")).unwrap();
}
