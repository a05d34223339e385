//! A fleet on loopback: one origin, and three points of presence that take presenters,
//! relay, and are name servers, each at an address of its own with the same ports.
//!
//! ```text
//! folder/  certificates/  secrets/  databases/  fleet.toml
//!          origin.toml  fra.toml  iad.toml  sin.toml, and a .log of each
//!          state/         the origin's registry and first API key
//! ```
//!
//! A presenter's URL has the name that is steered, [`WHIP`], and a port; where it leads
//! is for a name server of the fleet to say.

mod files;
mod point;

use std::{
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub use point::PointOfPresence;

use super::{
    Api, FleetPorts, Process, READY_PATIENCE, STOP_PATIENCE, TAIL, binaries, ready, spawn, until,
};

/// The name that leads presenters to the nearest point of presence.
pub const WHIP: &str = "whip.inlet.test";
/// The name that leads clients of TURN there.
pub const TURN: &str = "turn.inlet.test";

/// A point of presence, and where on earth it claims to stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// Where all of its services are, DNS included.
    pub address: Ipv4Addr,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// The fleet: Frankfurt, Washington, Singapore.
pub const PLACES: [Place; 3] = [
    Place {
        name: "fra",
        address: Ipv4Addr::new(127, 0, 0, 11),
        latitude: 50.11,
        longitude: 8.68,
    },
    Place {
        name: "iad",
        address: Ipv4Addr::new(127, 0, 0, 12),
        latitude: 38.95,
        longitude: -77.45,
    },
    Place {
        name: "sin",
        address: Ipv4Addr::new(127, 0, 0, 13),
        latitude: 1.35,
        longitude: 103.99,
    },
];

/// How often it is asked who has ended.
const LOOK: Duration = Duration::from_millis(100);

/// Where a fleet keeps its files, and what is not as usual.
#[derive(Clone, Debug)]
pub struct FleetLayout {
    /// Folder for everything; made when missing. State in it is taken over.
    pub folder: PathBuf,
    /// Ports of all processes.
    pub ports: FleetPorts,
    /// Which log events they write.
    pub log_filter: String,
    /// More lines for `[dns]` of each edge; empty leaves the defaults.
    pub dns: String,
    /// More lines for `[limits]` of each edge; empty leaves the defaults.
    pub limits: String,
}

/// A running fleet; dropping it kills it.
pub struct Fleet {
    layout: FleetLayout,
    /// The central process.
    pub origin: Process,
    /// The points of presence, in the order of [`PLACES`].
    pub pops: Vec<PointOfPresence>,
    /// The stream API, with the first key.
    pub api: Api,
}

impl Fleet {
    /// Starts all of it and waits until presenters are welcome everywhere.
    ///
    /// # Errors
    ///
    /// When a process ends, or is not ready in time; with the tail of its log.
    pub async fn start(layout: FleetLayout) -> Result<Self> {
        files::write(&layout)?;
        let folder = &layout.folder;
        let shared = &layout.ports.shared;
        let mut origin = spawn(&binaries()?, "inlet-origin", "origin", folder)?;
        ready(&mut origin, shared.origin_admin).await?;
        let mut pops = Vec::new();
        for (index, place) in (0..).zip(PLACES) {
            let ports = files::own_ports(shared, index);
            let dns = layout.ports.dns;
            pops.push(PointOfPresence::spawn(place, folder, ports, dns)?);
        }
        for pop in &mut pops {
            pop.ready().await?;
        }
        let key = fs::read_to_string(folder.join("state/api-key")).context("the first API key")?;
        let base = format!("http://127.0.0.1:{}", shared.origin_http);
        let api = Api::new(base, key.trim());
        let fleet = Self {
            layout,
            origin,
            pops,
            api,
        };
        until("all to be known well", READY_PATIENCE, async || {
            fleet.ensure_all_are_well().await
        })
        .await?;
        Ok(fleet)
    }

    /// Each name server sends each network that belongs to somebody by hand there: who
    /// has no link yet drains, and others hear of its link a moment later.
    async fn ensure_all_are_well(&self) -> Result<()> {
        for pop in &self.pops {
            for (number, place) in (1..).zip(PLACES) {
                let resolver = pop.resolver().at(Ipv4Addr::new(127, number, 0, 1));
                let told = resolver.resolve(WHIP, None).await?;
                let at = pop.place.name;
                ensure!(told == place.address, "{at} sends {} to {told}", place.name);
            }
        }
        Ok(())
    }

    /// The folder with logs, configuration and state.
    pub fn folder(&self) -> &Path {
        &self.layout.folder
    }

    /// The ports.
    pub const fn ports(&self) -> &FleetPorts {
        &self.layout.ports
    }

    /// The point of presence of this name.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn pop(&self, name: &str) -> &PointOfPresence {
        let mut pops = self.pops.iter();
        pops.find(|pop| pop.place.name == name)
            .expect("a point of presence")
    }

    /// Likewise, to start or end it.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn pop_mut(&mut self, name: &str) -> &mut PointOfPresence {
        let mut pops = self.pops.iter_mut();
        pops.find(|pop| pop.place.name == name)
            .expect("a point of presence")
    }

    /// The one at this address, which a name server has answered.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn at(&self, address: Ipv4Addr) -> Result<&PointOfPresence> {
        let mut pops = self.pops.iter();
        pops.find(|pop| pop.place.address == address)
            .with_context(|| format!("nobody is at {address}"))
    }

    /// Changes the fleet's file, and has every edge that runs read it anew.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or an edge has ended by itself.
    pub fn reload(&self, edit: impl FnOnce(String) -> String) -> Result<()> {
        let file = self.folder().join("fleet.toml");
        fs::write(&file, edit(fs::read_to_string(&file)?))?;
        for pop in &self.pops {
            if let Some(process) = pop.process() {
                process.signal(Signal::SIGHUP)?;
            }
        }
        Ok(())
    }

    /// URL of the origin's metrics.
    pub fn origin_metrics(&self) -> String {
        format!(
            "http://127.0.0.1:{}/metrics",
            self.ports().shared.origin_metrics
        )
    }

    /// Waits until a process has ended: its name, and how. An edge is gone then.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub async fn any_exited(&mut self) -> Result<(&'static str, ExitStatus)> {
        loop {
            if !self.origin.is_running()? {
                return Ok(("origin", self.origin.exited().await?));
            }
            for pop in &mut self.pops {
                if !pop.is_running()? {
                    return Ok((pop.place.name, pop.ended().await?));
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops every edge that runs, then the origin, politely.
    ///
    /// # Errors
    ///
    /// When one had to be killed or ended with an error.
    pub async fn stop(&mut self) -> Result<()> {
        let running = self.pops.iter_mut().filter_map(|pop| pop.process_mut());
        let mut edges: Vec<&mut Process> = running.collect();
        // All at once: each stays a while for those who still come.
        for edge in &mut edges {
            if edge.is_running()? {
                edge.signal(Signal::SIGTERM)?;
            }
        }
        for edge in edges {
            let status = edge.stopped(STOP_PATIENCE).await?;
            ensure_well(edge, status)?;
        }
        let status = self.origin.stop(STOP_PATIENCE).await?;
        ensure_well(&self.origin, status)
    }

    /// The tails of all logs, for whoever has to find out why.
    pub fn tails(&self) -> String {
        let places = PLACES.iter().map(|place| place.name);
        let tail = |name: &str| {
            let log = self.folder().join(name).with_extension("log");
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let lines = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            format!("--- {name} ({})\n{lines}\n", log.display())
        };
        ["origin"].into_iter().chain(places).map(tail).collect()
    }
}

fn ensure_well(process: &Process, status: ExitStatus) -> Result<()> {
    let (name, tail) = (process.name(), process.tail(TAIL));
    ensure!(status.success(), "{name} ended with {status}\n{tail}");
    Ok(())
}

/// Runs `test` on a fresh fleet, then stops it; `edit` may change the layout.
///
/// # Panics
///
/// When the test fails, or a process does not stop cleanly: with the tails of all logs,
/// and the folder is kept.
pub async fn scenario(
    edit: impl FnOnce(&mut FleetLayout),
    test: impl AsyncFnOnce(&mut Fleet) -> Result<()>,
) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Relaxed);
    let folder = env::temp_dir().join(format!("inlet-fleet-{}-{number}", std::process::id()));
    let mut layout = FleetLayout {
        folder: folder.clone(),
        ports: FleetPorts::free(PLACES.len() as u16).expect("free ports"),
        log_filter: env::var("INLET_LOG").unwrap_or_else(|_| "info".to_owned()),
        // All who ask are one network here.
        dns: "responses_per_second = 0".to_owned(),
        limits: String::new(),
    };
    edit(&mut layout);
    let mut fleet = match Fleet::start(layout).await {
        Ok(fleet) => fleet,
        Err(error) => panic!("{error:#}\n(files in {})", folder.display()),
    };
    let mut outcome = test(&mut fleet).await;
    if outcome.is_ok() {
        outcome = fleet.stop().await;
    }
    if let Err(error) = outcome {
        let tails = fleet.tails();
        panic!("{error:#}\n{tails}(files in {})", folder.display());
    }
    drop(fleet);
    fs::remove_dir_all(&folder).ok();
}
