//! An origin and three points of presence, each a name server of the fleet's zone.
//!
//! The presenter is one in London: it asks a name server where to go, and asks again
//! when it is cut off. A point of presence that ends in good order, or that somebody
//! kills, has left the fleet; everything else that ends is an error.

use std::{
    net::Ipv4Addr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ipnet::Ipv4Net;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::{
    publisher::Publisher,
    rig::{
        Fleet, FleetPorts, Stream, TurnCredential,
        fleet::{FleetLayout, PLACES, PointOfPresence, WHIP},
        program, until,
    },
};

use super::{Arguments, Signals, playing, say, table, tell_ports, turn, write};

/// How long the presenter may take to go on elsewhere: until the origin believes that
/// its old session is over.
const PATIENCE: Duration = Duration::from_secs(30);

/// Client networks of MaxMind's test database, and where they are. The presenter is in
/// the first.
const CLIENTS: [(Ipv4Net, &str); 3] = [
    (client([81, 2, 69, 160], 27), "London"),
    (client([216, 160, 83, 56], 29), "Seattle"),
    (client([175, 16, 199, 0], 24), "Changchun"),
];

const fn client([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// Runs until it is told to stop.
pub(super) async fn run(arguments: &Arguments, mut signals: Signals) -> Result<()> {
    let mut demo = tokio::select! {
        demo = Demo::start(arguments) => demo?,
        () = signals.stop() => return Ok(()),
    };
    loop {
        let lost = async {
            match &mut demo.presenter {
                Some(presenter) => presenter.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = demo.fleet.any_exited() => {
                let (name, status) = ended?;
                demo.handle_end(name, status)?;
            }
            error = lost => {
                say(&format!("  The presenter was cut off: {error:#}."));
                tokio::select! {
                    gone_on = demo.go_on(arguments) => gone_on?,
                    () = signals.stop() => break,
                }
            }
            () = signals.stop() => break,
        }
    }
    say("\nStopping.");
    if let Some(presenter) = demo.presenter {
        // The one that it is at may be gone by now.
        presenter.stop().await.ok();
    }
    demo.fleet.stop().await
}

struct Demo {
    fleet: Fleet,
    stream: Stream,
    presenter: Option<Publisher>,
}

impl Demo {
    /// Brings everything up, and returns when it plays.
    async fn start(arguments: &Arguments) -> Result<Self> {
        let fleet = Fleet::start(FleetLayout {
            folder: arguments.folder()?,
            ports: ports(arguments)?,
            log_filter: "info".to_owned(),
            dns: String::new(),
            limits: String::new(),
        })
        .await?;
        let stream = fleet.api.find_or_create(&arguments.name).await?;
        let mut demo = Self {
            fleet,
            stream,
            presenter: None,
        };
        demo.publish(arguments)
            .await
            .with_context(|| demo.fleet.tails())?;
        if demo.presenter.is_some() {
            let playing = playing(&demo.stream.hls).await;
            playing.with_context(|| demo.fleet.tails())?;
        }
        demo.tell().await?;
        Ok(demo)
    }

    /// Publishes where a name server says, if anything is to be published.
    async fn publish(&mut self, arguments: &Arguments) -> Result<()> {
        let Some(mut options) = arguments.options(&self.stream.whip) else {
            return Ok(());
        };
        let pop = self.nearest(CLIENTS[0].0).await?;
        options.resolved = Some(pop.place.address.into());
        let name = pop.place.name;
        let presenter = Publisher::start(options).await.context("publishing")?;
        let session = presenter.session_url();
        say(&format!("  The presenter is at {name}: {session}"));
        self.presenter = Some(presenter);
        Ok(())
    }

    /// Where the first name server that answers sends a client.
    async fn nearest(&self, client: Ipv4Net) -> Result<&PointOfPresence> {
        for pop in &self.fleet.pops {
            if let Ok(address) = pop.resolver().resolve(WHIP, Some(client)).await {
                return self.fleet.at(address);
            }
        }
        bail!("no name server of the fleet answers")
    }

    /// The presenter asks where to go, and goes there.
    async fn go_on(&mut self, arguments: &Arguments) -> Result<()> {
        self.presenter = None;
        let gone_on = until("the presenter to go on", PATIENCE, async || {
            self.publish(arguments).await
        });
        let gone_on = gone_on.await;
        gone_on.with_context(|| self.fleet.tails())
    }

    fn handle_end(&self, name: &str, status: ExitStatus) -> Result<()> {
        let is_killed = status.signal() == Some(Signal::SIGKILL as i32);
        if name == "origin" || !(status.success() || is_killed) {
            bail!("{name} ended: {status}\n{}", self.fleet.tails());
        }
        let config = self.fleet.pop(name).config();
        let back = command(&config)?;
        say(&format!(
            "  {name} has left the fleet ({status}). Back: {back}"
        ));
        Ok(())
    }

    async fn tell(&self) -> Result<()> {
        let first = &self.fleet.pops[0];
        let credential = first.turn_credential("demo").await?;
        let mut clients = Vec::new();
        for (subnet, city) in CLIENTS {
            let pop = self.nearest(subnet).await?;
            clients.push((subnet, city, pop));
        }
        write(
            self.fleet.folder(),
            &self.urls(first, &credential, &clients)?,
        )?;
        self.announce(first, &credential, &clients)
    }

    /// The keys of the demonstration with one edge, which here are those of the first
    /// point of presence, and the fleet.
    fn urls(
        &self,
        first: &PointOfPresence,
        turn: &TurnCredential,
        clients: &[(Ipv4Net, &str, &PointOfPresence)],
    ) -> Result<Value> {
        let (fleet, stream) = (&self.fleet, &self.stream);
        let pops: Result<Vec<Value>> = fleet.pops.iter().map(|pop| pop_urls(pop, stream)).collect();
        let clients: Vec<Value> = clients
            .iter()
            .map(|(subnet, city, pop)| {
                json!({
                    "subnet": subnet,
                    "city": city,
                    "pop": pop.place.name,
                    "address": pop.place.address,
                })
            })
            .collect();
        Ok(json!({
            "api": fleet.api.url(),
            "api_key": fleet.api.key(),
            "stream_id": stream.id,
            "whip": first.whip(stream)?,
            "go_live": self.go_live(first)?,
            "player": stream.player,
            "hls": stream.hls,
            "dash": stream.dash,
            "hls_mpegts": stream.transport,
            "turn": turn,
            "metrics": { "edge": first.metrics_url(), "origin": fleet.origin_metrics() },
            "fleet": {
                "name": WHIP,
                "whip": stream.whip,
                "admin_token": fleet.folder().join("secrets/admin"),
                "pops": pops?,
                "clients": clients,
            },
        }))
    }

    /// The go-live page for a browser, whose resolver does not know the fleet's names.
    fn go_live(&self, pop: &PointOfPresence) -> Result<String> {
        let port = self.fleet.ports().shared.origin_http;
        let whip = pop.whip(&self.stream)?;
        Ok(format!("http://127.0.0.1:{port}/go-live#{whip}"))
    }

    fn announce(
        &self,
        first: &PointOfPresence,
        credential: &TurnCredential,
        clients: &[(Ipv4Net, &str, &PointOfPresence)],
    ) -> Result<()> {
        let (fleet, stream) = (&self.fleet, &self.stream);
        let token = fleet.folder().join("secrets/admin");
        let mut rows = vec![
            ("Player", stream.player.clone()),
            ("Go live", self.go_live(first)?),
            ("LL-HLS", stream.hls.clone()),
            ("WHIP", stream.whip.clone()),
            ("TURN", turn(credential)),
            ("API", fleet.api.url()),
            ("API key", fleet.api.key().to_owned()),
            ("Admin token", token.display().to_string()),
            ("Metrics, origin", fleet.origin_metrics()),
            ("Logs", fleet.folder().display().to_string()),
        ];
        for pop in &fleet.pops {
            let (address, metrics, admin) = (pop.place.address, pop.metrics_url(), pop.admin_url());
            let text = format!("{address}  admin {admin}  metrics {metrics}");
            rows.push((pop.place.name, text));
        }
        let headline = match self.presenter.is_some() {
            true => "Inlet is live, on three points of presence that are name servers.",
            false => "Inlet is up, on three points of presence, and nobody is live yet.",
        };
        say(&format!("\n  {headline}\n\n{}", table(&rows)));
        say(&self.commands(first, &token, clients)?);
        Ok(())
    }

    /// What to type to see it steer.
    fn commands(
        &self,
        first: &PointOfPresence,
        token: &Path,
        clients: &[(Ipv4Net, &str, &PointOfPresence)],
    ) -> Result<String> {
        let port = self.fleet.ports().dns;
        let dig = |at: Ipv4Addr| format!("dig @{at} -p {port} +short");
        let [fra, iad, sin] = PLACES.map(|place| place.address);
        let mut text = "  Where clients are sent, by any of the three:\n\n".to_owned();
        for ((subnet, city, pop), at) in clients.iter().zip([fra, iad, sin]) {
            let question = format!("{} +subnet={subnet} {WHIP} A", dig(at));
            let (name, address) = (pop.place.name, pop.place.address);
            text += &format!("    {question:<78}  # {city}: {address}, {name}\n");
        }
        let question = format!("{} -b 127.2.0.1 {WHIP} A", dig(fra));
        text += &format!("    {question:<78}  # by the resolver's own address: {iad}\n");
        text += "\n  Why:\n\n";
        let why = command(&first.config())?;
        text += &format!("    {why} dns explain {} {WHIP}\n", CLIENTS[0].0.network());
        text += "\n  A point of presence that leaves: its clients go to the other two, as does the\n  \
                 presenter.\n\n";
        let (token, admin) = (token.display(), first.admin_url());
        text += &format!(
            "    curl -X POST -H \"Authorization: Bearer $(cat {token})\" {admin}/drain\n"
        );
        let subnet = CLIENTS[0].0;
        text += &format!("    {} +subnet={subnet} {WHIP} A\n", dig(iad));
        text += &format!("    {why}    # brings it back, twelve seconds later\n");
        Ok(text + "\n  Ctrl-C stops all of it.\n")
    }
}

fn pop_urls(pop: &PointOfPresence, stream: &Stream) -> Result<Value> {
    Ok(json!({
        "name": pop.place.name,
        "address": pop.place.address,
        "dns": pop.resolver().server,
        "whip": pop.whip(stream)?,
        "admin": pop.admin_url(),
        "metrics": pop.metrics_url(),
        "config": pop.config(),
    }))
}

/// What starts an edge, or asks about its configuration.
fn command(config: &Path) -> Result<String> {
    let program: PathBuf = program("inlet-edge")?;
    Ok(format!(
        "{} --config {}",
        program.display(),
        config.display()
    ))
}

fn ports(arguments: &Arguments) -> Result<FleetPorts> {
    let edges = PLACES.len() as u16;
    if arguments.free_ports {
        return FleetPorts::free(edges);
    }
    let wished = FleetPorts {
        shared: arguments.wished_ports(),
        dns: arguments.dns_port,
    };
    let given = wished.or_next_free(edges)?;
    tell_ports(wished.named(), given.named());
    Ok(given)
}
