//! The configuration files of the rig's two processes.

use super::{Layout, Ports, certificates};

/// The origin's file.
pub(super) fn origin(layout: &Layout) -> String {
    let Layout {
        folder,
        ports,
        address,
        log_filter: filter,
        ..
    } = layout;
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
    let scheme = if is_https(layout) { "https" } else { "http" };
    format!(
        r#"[http]
listen = "{address}:{origin_http}"

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
whip = "{scheme}://{address}:{edge_http}"
web = "http://{address}:{origin_http}"

[state]
dir = "{state}"

# Tests share whatever machine there is: what is asked for is made and let in. Those of
# overload turn it on.
[media]
shed_rungs = false

[limits]
cpu_percent = 0

[drain]
timeout = "2s"

[log]
filter = "{filter}"
format = "human"
"#
    )
}

/// The edge's file.
pub(super) fn edge(layout: &Layout) -> String {
    let (folder, ports, address) = (&layout.folder, &layout.ports, layout.address);
    let (filter, media) = (&layout.log_filter, &layout.media);
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
    let https = https(layout);
    format!(
        r#"roles = ["whip", "turn"]

[pop]
name = "loopback"

[http]
listen = "{address}:{edge_http}"
{https}

[media]
addresses = ["{address}"]
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
udp = ["{address}:{edge_turn}"]
tcp = ["{address}:{edge_turn}"]
tls = ["{address}:{edge_turns}"]
certificate = "{certificates}/turn.pem"
key = "{certificates}/turn.key"
relay_addresses = ["{address}"]
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

/// The certificate of WHIP, where there is to be one.
fn https(layout: &Layout) -> String {
    if !is_https(layout) {
        return String::new();
    }
    let certificates = layout.folder.join("certificates");
    let certificates = certificates.display();
    format!("certificate = \"{certificates}/turn.pem\"\nkey = \"{certificates}/turn.key\"")
}

/// Only the own machine may go without.
fn is_https(layout: &Layout) -> bool {
    !layout.address.is_loopback()
}
