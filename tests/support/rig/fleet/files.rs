//! The files of a fleet: certificates, secrets, database, and the configuration of each
//! process.

use std::{fs, net::Ipv4Addr};

use anyhow::Result;

use super::{
    super::{
        FleetPorts, Layout, Ports, certificates, name_server::database, secrets, settings,
        settings::Identity,
    },
    FleetLayout, PLACES, Place, TURN, WHIP,
};

/// Ports of one of the edges.
pub(super) fn own_ports(shared: &Ports, index: u16) -> Ports {
    Ports {
        edge_admin: shared.edge_admin + index,
        edge_metrics: shared.edge_metrics + index,
        ..shared.clone()
    }
}

/// Writes all of them.
pub(super) fn write(layout: &FleetLayout) -> Result<()> {
    let folder = &layout.folder;
    for inner in ["state", "databases"] {
        fs::create_dir_all(folder.join(inner))?;
    }
    let servers = PLACES.map(|Place { name, address, .. }| {
        let host = format!("{name}.inlet.test");
        let names = [host, WHIP.to_owned(), TURN.to_owned(), address.to_string()];
        (name, Vec::from(names))
    });
    certificates::write_for(&folder.join("certificates"), &servers)?;
    secrets::write(folder)?;
    let city = folder.join("databases/city.mmdb");
    fs::copy(database("GeoIP2-City-Test.mmdb"), city)?;
    fs::write(folder.join("fleet.toml"), file(&layout.ports))?;
    let shared = &layout.ports.shared;
    let whip = format!("http://{WHIP}:{}", shared.edge_http);
    let origin = settings::origin_for(&of(layout, Ipv4Addr::LOCALHOST, shared.clone()), &whip);
    fs::write(folder.join("origin.toml"), origin)?;
    fs::write(folder.join("origin.log"), "")?;
    for (index, place) in (0..).zip(PLACES) {
        let own = of(layout, place.address, own_ports(shared, index));
        let text = edge(layout, &own, place);
        fs::write(folder.join(place.name).with_extension("toml"), text)?;
        fs::write(folder.join(place.name).with_extension("log"), "")?;
    }
    Ok(())
}

fn of(layout: &FleetLayout, address: Ipv4Addr, ports: Ports) -> Layout {
    Layout {
        folder: layout.folder.clone(),
        ports,
        address,
        log_filter: layout.log_filter.clone(),
        media: String::new(),
    }
}

/// The file of one edge.
fn edge(layout: &FleetLayout, own: &Layout, place: Place) -> String {
    let identity = Identity {
        name: place.name,
        roles: "[\"whip\", \"turn\", \"dns\"]",
        certificate: place.name,
    };
    let limits = format!("[limits]\n{}\n", layout.limits);
    let text = settings::edge_of(own, identity).replacen("[limits]\n", &limits, 1);
    // Long enough to see one drain.
    let text = text.replacen("timeout = \"2s\"", "timeout = \"5s\"", 1);
    let (address, port, more) = (place.address, layout.ports.dns, &layout.dns);
    let folder = layout.folder.display();
    text + &format!(
        r#"
[dns]
udp = ["{address}:{port}"]
tcp = ["{address}:{port}"]
threads = 1
{more}

[fleet]
file = "{folder}/fleet.toml"
databases = ["{folder}/databases/city.mmdb"]
secret_file = "{folder}/secrets/fleet"
ca = "{folder}/certificates/ca.pem"
turn_secret_file = "{folder}/secrets/turn"
"#
    )
}

/// The fleet's file. Nobody's network is known on loopback, so that some are given to
/// each by hand; the private one is for whoever needs many clients of one of them.
fn file(ports: &FleetPorts) -> String {
    let Ports {
        edge_http: http,
        edge_turn: turn,
        edge_turns: turns,
        ..
    } = &ports.shared;
    let pops = PLACES.map(|place| {
        let Place {
            name,
            address,
            latitude,
            longitude,
        } = place;
        format!(
            r#"[[pop]]
name = "{name}"
host = "{name}.inlet.test"
url = "http://{address}:{http}"
ipv4 = ["{address}"]
latitude = {latitude}
longitude = {longitude}
soft_limit = 0.7
hard_limit = 0.9

"#
        )
    });
    pops.concat()
        + &format!(
            r#"[overrides.networks]
"127.1.0.0/16" = ["fra"]
"127.2.0.0/16" = ["iad"]
"127.3.0.0/16" = ["sin"]
"10.0.0.0/8" = ["fra"]

[[zone]]
name = "inlet.test"
name_servers = ["fra", "iad", "sin"]

[[zone.steered]]
name = "whip"
service = "whip"
https_port = {http}

[[zone.steered]]
name = "turn"
service = "turn"
udp_port = {turn}
tcp_port = {turn}
tls_port = {turns}
"#
        )
}
