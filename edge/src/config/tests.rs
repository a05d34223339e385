//! The shipped files, and every refusal.

use super::*;

const SHIPPED: &str = include_str!("../../../config/edge.toml");
const UNIT: &str = include_str!("../../../systemd/inlet-edge.service");

fn load(text: &str) -> Result<Config, Error> {
    let path = Path::new("edge.toml");
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/edge.toml");
    assert_eq!(Config::load(&path).unwrap(), Config::default());
    assert_eq!(load("").unwrap(), Config::default());
}

#[test]
fn dtls_is_one_of_two() {
    use crate::whip::session::dtls::Backend;

    let dtls = |text| load(text).map(|config| config.media.dtls);
    assert_eq!(dtls("").unwrap(), Backend::OpenSsl);
    assert_eq!(
        dtls("[media]\ndtls = \"openssl\"").unwrap(),
        Backend::OpenSsl
    );
    let memory_safe = dtls("[media]\ndtls = \"memory-safe\"").unwrap();
    assert_eq!(memory_safe, Backend::MemorySafe);
    assert!(dtls("[media]\ndtls = \"boringssl\"").is_err());
}

#[test]
fn the_sample_of_a_turn_server_is_sound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/turn.toml");
    let config = Config::load(&path).unwrap();
    assert!(!config.is_whip);
    let turn = config.turn.unwrap();
    assert_eq!(turn.peers.policy, crate::turn::peer_policy::Policy::Open);
    assert!(turn.listen.certificate.is_some());
}

#[test]
fn turn_falls_back_to_what_http_and_media_have() {
    let text = "roles = [\"whip\", \"turn\"]\n[http]\ncertificate = \"/a.pem\"\n\
                key = \"/a.key\"\n[media]\npublic = [\"192.0.2.1\"]\n[turn]\ntls = \
                [\"0.0.0.0:5349\"]\nfleet = [\"192.0.2.9:40000-40015\", \"[2001:db8::9]:7\"]";
    let turn = load(text).unwrap().turn.unwrap();
    let certificate = turn.listen.certificate.unwrap();
    assert_eq!(certificate.files().unwrap().key, Path::new("/a.key"));
    assert_eq!(turn.public, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(
        (turn.peers.fleet[0].first, turn.peers.fleet[1].last),
        (40_000, 7)
    );
}

#[test]
fn every_shipped_key_is_explained() {
    let mut before = "";
    for line in SHIPPED.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with('#'), "no comment above: {line}");
        }
        before = line;
    }
}

#[test]
fn the_unit_waits_longer_than_the_drain() {
    let lines = || UNIT.lines();
    let stop = lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop: u64 = stop.unwrap().strip_suffix('s').unwrap().parse().unwrap();
    let needed = Config::default().drain_timeout + inlet_common::lifecycle::CLOSE_TIMEOUT;
    assert!(Duration::from_secs(stop) > needed);
}

#[test]
fn the_unit_holds_every_default_credential() {
    let roq = ConfigFile::default().roq;
    for credential in [roq.certificate, roq.key] {
        let line = format!("LoadCredential={}:", credential.display());
        assert!(UNIT.contains(&line), "{line}");
    }
}

#[test]
fn empty_text_stands_for_what_the_machine_knows() {
    let config = Config::default();
    assert_eq!(config.pop, None);
    assert_eq!(config.roq.origin_name, "127.0.0.1");
    assert!(config.media.workers >= 1);
    let config = load("[roq]\norigin = \"o.example:4433\"\n[pop]\nname = \"fra\"").unwrap();
    assert_eq!(config.roq.origin_name, "o.example");
    assert_eq!(config.pop.as_deref(), Some("fra"));
}

#[test]
fn https_takes_a_certificate_and_its_key() {
    let config = load("[http]\ncertificate = \"/a.pem\"\nkey = \"/a.key\"").unwrap();
    let tls = config.http.tls.unwrap();
    assert_eq!(tls.files().unwrap().key, Path::new("/a.key"));
    let problem = problems("[http]\ncertificate = \"/a.pem\"").remove(0);
    assert!(
        problem.starts_with("http.key: certificate and key"),
        "{problem}"
    );
}

#[test]
fn acme_serves_http_and_turn_where_they_have_no_files() {
    let acme = "[acme]\ndomains = [\"a.example\"]\n";
    let both = "roles = [\"whip\", \"turn\"]\n";
    let config = load(&format!("{both}{acme}")).unwrap();
    assert_eq!(config.http.tls, Some(CertificateSource::Acme));
    let turn = config.turn.unwrap();
    assert_eq!(turn.listen.certificate, Some(CertificateSource::Acme));
    let own = "[turn]\ncertificate = \"/t.pem\"\nkey = \"/t.key\"\n";
    let config = load(&format!("{both}{acme}{own}")).unwrap();
    assert_eq!(config.http.tls, Some(CertificateSource::Acme));
    let turn = config.turn.unwrap().listen.certificate.unwrap();
    assert_eq!(turn.files().unwrap().key, Path::new("/t.key"));
}

/// Files with one fault each, and how its problem begins.
const FAULTS: &[(&str, &str)] = &[
    (
        "[http]\nlisten = \"127.0.0.1:9081\"",
        "admin.listen: 127.0.0.1:9081 is http.listen already",
    ),
    (
        "[media]\nport = 9080\nworkers = 2",
        "admin.listen: 127.0.0.1:9081 is a port of media.port",
    ),
    ("[media]\naddresses = []", "media.addresses: is empty"),
    (
        "[media]\naddresses = [\"::\", \"::\"]",
        "media.addresses: names an address twice",
    ),
    (
        "[media]\npublic = [\"192.0.2.1\", \"192.0.2.2\"]",
        "media.public: has more than one",
    ),
    (
        "[media]\npublic = [\"0.0.0.0\"]",
        "media.public: must be an address",
    ),
    (
        "[media]\nworkers = 257",
        "media.workers: 257 is out of range: use 0 to 256",
    ),
    (
        "[media]\nport = 65535\nworkers = 2",
        "media.port: the last worker would need port 65536",
    ),
    (
        "[media]\nconnect_timeout = \"0s\"",
        "media.connect_timeout: 0s is out of range",
    ),
    (
        "[media]\nsilence_timeout = \"2m\"",
        "media.silence_timeout: 2m is out of range",
    ),
    (
        "[media]\nstart_bitrate = \"9 Mbps\"",
        "media.start_bitrate: 9 Mbps is out of range",
    ),
    (
        "[media]\nmax_bitrate = \"1 Gbps\"",
        "media.max_bitrate: 1 Gbps is out of range",
    ),
    (
        "[roq]\norigin = \"origin.example\"",
        "roq.origin: is no host and port",
    ),
    (
        "[roq]\norigin = \"2001:db8::1:4433\"",
        "roq.origin: is no host and port",
    ),
    ("[roq]\norigin = \"a:0\"", "roq.origin: is no host and port"),
    ("[roq]\nca = \"\"", "roq.ca: is empty"),
    (
        "[roq]\nopen_timeout = \"1m\"",
        "roq.open_timeout: 1m is out of range",
    ),
    (
        "[roq]\nidle_timeout = \"1s\"",
        "roq.idle_timeout: 1s is out of range",
    ),
    (
        "[roq]\nlink_lost_timeout = \"31s\"",
        "roq.link_lost_timeout: 31s is out of range",
    ),
    (
        "[roq]\nloss_tolerance = 0.9",
        "roq.loss_tolerance: 0.9 is out of range",
    ),
    (
        "[roq]\nloss_tolerance = nan",
        "roq.loss_tolerance: NaN is out of range",
    ),
    (
        "[limits]\nsessions_per_worker = 0",
        "limits.sessions_per_worker: 0 is out of range",
    ),
    (
        "[limits]\nadmissions = 0",
        "limits.admissions: 0 is out of range",
    ),
    (
        "[limits]\nhttp_connections = 1",
        "limits.http_connections: 1 is out of range",
    ),
    (
        "[limits]\nrefused_burst = 0",
        "limits.refused_burst: 0 is out of range",
    ),
    (
        "[limits]\nrefused_interval = \"0s\"",
        "limits.refused_interval: 0s is out of range",
    ),
    ("roles = []", "roles: is empty"),
    (
        "roles = [\"turn\"]\n[turn]\ntls = [\"0.0.0.0:5349\"]",
        "turn.tls: needs a certificate",
    ),
    (
        "roles = [\"turn\"]\n[turn]\nudp = []\ntcp = []",
        "turn.udp: is empty, and so are",
    ),
    (
        "roles = [\"turn\"]\n[turn]\nrelay_addresses = [\"::\"]",
        "turn.relay_addresses: must be an address",
    ),
    (
        "roles = [\"turn\"]\n[turn]\nfirst_port = 70\n",
        "turn.first_port: 70 is out of range: use 1024 to 65535",
    ),
    (
        "roles = [\"turn\"]\n[turn]\nfleet = [\"203.0.113.7\"]",
        "turn.fleet: \"203.0.113.7\" is no range",
    ),
    (
        "roles = [\"turn\"]\n[turn]\nusers = [\"anna\"]",
        "turn.users: has an entry that is not name:password",
    ),
    (
        "roles = [\"turn\"]\n[turn]\nmax_lifetime = \"5m\"",
        "turn.max_lifetime: 5m is out of range",
    ),
    (
        "[http]\ncertificate = \"/a\"\nkey = \"/b\"\n[acme]\ndomains = [\"a.example\"]",
        "acme.domains: stands beside http.certificate",
    ),
    (
        "roles = [\"turn\"]\n[turn]\ncertificate = \"/a\"\nkey = \"/b\"\n[acme]\n\
         domains = [\"a.example\"]",
        "acme.domains: would serve no listener",
    ),
    (
        "[http]\nlisten = \"0.0.0.0:80\"\n[acme]\ndomains = [\"a\"]\nchallenge = \"http-01\"",
        "acme.http_listen: 0.0.0.0:80 is http.listen already",
    ),
    (
        "[http]\npublic_url = \"https://b.example\"\n[acme]\ndomains = [\"a.example\"]",
        "acme.domains: b.example of http.public_url is not among them",
    ),
    (
        "[acme]\ndomains = [\"*.example\"]",
        "acme.domains: \"*.example\" is a wildcard",
    ),
    (
        "[drain]\ntimeout = \"2h\"",
        "drain.timeout: 2h is out of range",
    ),
];

#[test]
fn each_fault_is_told_by_its_key() {
    for (text, begin) in FAULTS {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with(begin), "{text}: {}", problems[0]);
    }
}

#[test]
fn what_is_not_a_key_is_refused() {
    for text in [
        "[medai]\n",
        "[media]\nprot = 1",
        "[media]\naddresses = [\"x\"]",
    ] {
        assert!(matches!(load(text), Err(Error::Parse { .. })), "{text}");
    }
}

#[test]
fn host_and_port_are_told_apart() {
    for (text, expected) in [
        ("a.example:1", Some(("a.example", 1))),
        ("192.0.2.1:4433", Some(("192.0.2.1", 4433))),
        ("[2001:db8::1]:4433", Some(("2001:db8::1", 4433))),
        ("[::1:4433", None),
        (":4433", None),
        ("a b:1", None),
        ("a:65536", None),
    ] {
        assert_eq!(split_host(text), expected, "{text}");
    }
}
