//! The configuration files of the rig's two processes.

use std::path::Path;

use super::{Ports, certificates};

/// The origin's file.
pub(super) fn origin(ports: &Ports, folder: &Path, filter: &str) -> String {
    let Ports {
        origin_http,
        origin_roq,
        origin_admin,
        origin_metrics,
        edge_http,
        ..
    } = ports;
    let certificates = folder.join("certificates");
    let certificates = certificates.display();
    let state = folder.join("state");
    let state = state.display();
    format!(
        r#"[http]
listen = "127.0.0.1:{origin_http}"

[roq]
listen = "127.0.0.1:{origin_roq}"
certificate = "{certificates}/origin.pem"
key = "{certificates}/origin.key"
client_ca = "{certificates}/ca.pem"

[admin]
listen = "127.0.0.1:{origin_admin}"

[metrics]
listen = "127.0.0.1:{origin_metrics}"

[urls]
whip = "http://127.0.0.1:{edge_http}"
web = "http://127.0.0.1:{origin_http}"

[state]
dir = "{state}"

[drain]
timeout = "2s"

[log]
filter = "{filter}"
format = "human"
"#
    )
}

/// The edge's file.
pub(super) fn edge(ports: &Ports, folder: &Path, filter: &str, media: &str) -> String {
    let Ports {
        origin_roq,
        edge_http,
        edge_admin,
        edge_metrics,
        edge_media,
        edge_turn,
        edge_turns,
        ..
    } = ports;
    let certificates = folder.join("certificates");
    let certificates = certificates.display();
    let name = certificates::ORIGIN_NAME;
    let workers = super::ports::MEDIA_PORTS;
    let secrets = folder.join(super::secrets::FOLDER);
    let secrets = secrets.display();
    format!(
        r#"roles = ["whip", "turn"]

[pop]
name = "loopback"

[http]
listen = "127.0.0.1:{edge_http}"

[media]
addresses = ["127.0.0.1"]
port = {edge_media}
workers = {workers}
{media}

[roq]
origin = "127.0.0.1:{origin_roq}"
origin_name = "{name}"
certificate = "{certificates}/edge.pem"
key = "{certificates}/edge.key"
ca = "{certificates}/ca.pem"

[turn]
udp = ["127.0.0.1:{edge_turn}"]
tcp = ["127.0.0.1:{edge_turn}"]
tls = ["127.0.0.1:{edge_turns}"]
certificate = "{certificates}/turn.pem"
key = "{certificates}/turn.key"
relay_addresses = ["127.0.0.1"]
secret_file = "{secrets}/turn"

[limits]
# Junk is refused over and over, and shall be read each time.
refused_burst = 1000

[admin]
listen = "127.0.0.1:{edge_admin}"
token_file = "{secrets}/admin"

[metrics]
listen = "127.0.0.1:{edge_metrics}"

[drain]
timeout = "2s"

[log]
filter = "{filter}"
format = "human"
"#
    )
}
