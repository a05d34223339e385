//! The configuration files of the rig's two processes.

use super::{Layout, Ports, certificates};

/// What an edge is called, and does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    /// Name of its point of presence.
    pub(super) name: &'a str,
    /// Its roles, as a list of TOML.
    pub(super) roles: &'a str,
    /// Name of the files with its certificate.
    pub(super) certificate: &'a str,
}

impl Identity<'_> {
    /// The rig's one edge.
    const ALONE: Self = Self {
        name: "loopback",
        roles: "[\"whip\", \"turn\"]",
        certificate: "turn",
    };
}

/// The origin's file.
pub(super) fn origin(layout: &Layout) -> String {
    let scheme = if is_https(layout) { "https" } else { "http" };
    let (address, port) = (layout.address, layout.ports.edge_http);
    origin_for(layout, &format!("{scheme}://{address}:{port}"))
}

/// Likewise, where presenters are sent to `whip`, a base URL.
pub(super) fn origin_for(layout: &Layout, whip: &str) -> String {
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
        ..
    } = ports;
    let certificates = folder.join("certificates");
    let certificates = certificates.display();
    let state = folder.join("state");
    let state = state.display();
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
whip = "{whip}"
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
    edge_of(layout, Identity::ALONE)
}

/// The file of one edge of several.
pub(super) fn edge_of(
    layout: &Layout,
    Identity {
        name,
        roles,
        certificate,
    }: Identity<'_>,
) -> String {
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
    let certificates = format!("{}/certificates", folder.display());
    let origin_name = certificates::ORIGIN_NAME;
    let workers = super::ports::MEDIA_PORTS;
    let secrets = format!("{}/{}", folder.display(), super::secrets::FOLDER);
    let https = https(layout);
    format!(
        r#"roles = {roles}

[pop]
name = "{name}"

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
origin_name = "{origin_name}"
certificate = "{certificates}/edge.pem"
key = "{certificates}/edge.key"
ca = "{certificates}/ca.pem"

[turn]
udp = ["{address}:{edge_turn}"]
tcp = ["{address}:{edge_turn}"]
tls = ["{address}:{edge_turns}"]
certificate = "{certificates}/{certificate}.pem"
key = "{certificates}/{certificate}.key"
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
