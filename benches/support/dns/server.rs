//! The server under test: one process on one core, started for one measurement and
//! killed after it.

use std::{
    env, fmt,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use tests::rig::{gdnsd, name_server::database, program};

use super::{POPS, SERVER_CORE, ZONE, amplification};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `inlet-edge` in its DNS role.
    Ours,
    /// The peer.
    Gdnsd,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "inlet-edge",
            Self::Gdnsd => "gdnsd",
        })
    }
}

/// What servers are started with.
#[derive(Debug)]
pub struct Stand {
    folder: PathBuf,
    edge: PathBuf,
    /// Where both are asked, one after the other.
    pub port: u16,
}

impl Stand {
    /// Writes their configurations into a folder.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or there is no `inlet-edge`.
    pub fn new() -> Result<Self> {
        let folder = env::temp_dir().join(format!("inlet-bench-dns-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let port = free_port()?;
        let stand = Self {
            folder,
            edge: program("inlet-edge")?,
            port,
        };
        stand.write_ours()?;
        stand.write_gdnsd()?;
        Ok(stand)
    }

    /// Where files may be put.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a server, lets `measure` have it by its process id, and ends it.
    ///
    /// # Errors
    ///
    /// Those of `measure`, with the server's log.
    pub fn with<T>(&self, kind: Kind, measure: impl FnOnce(i32) -> Result<T>) -> Result<T> {
        let log = self.folder.join("server.log");
        let output = File::create(&log)?;
        let mut command = Command::new("taskset");
        command.args(["-c", &SERVER_CORE.to_string()]);
        match kind {
            Kind::Ours => command
                .arg(&self.edge)
                .arg("--config")
                .arg(self.folder.join("edge.toml")),
            Kind::Gdnsd => command
                .args(["gdnsd", "-c"])
                .arg(self.folder.join("gdnsd"))
                .arg("start"),
        };
        command.stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Server(command.spawn()?);
        let pid = i32::try_from(server.0.id())?;
        let measured = server.until_ready(self.port).and_then(|()| measure(pid));
        measured.with_context(|| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            format!("{kind}, which said:\n{log}")
        })
    }

    fn write_ours(&self) -> Result<()> {
        let (folder, port) = (self.folder.display(), self.port);
        let [admin, metrics] = [free_port()?, free_port()?];
        let city = database("GeoIP2-City-Test.mmdb");
        let edge = format!(
            r#"roles = ["dns"]
[admin]
listen = "127.0.0.1:{admin}"
[metrics]
listen = "127.0.0.1:{metrics}"
[dns]
udp = ["127.0.0.1:{port}"]
tcp = ["127.0.0.1:{port}"]
threads = 1
responses_per_second = {RATE_LIMIT}
[fleet]
file = "{folder}/fleet.toml"
databases = ["{}"]
probe = false
"#,
            city.display()
        );
        fs::write(self.folder.join("edge.toml"), edge)?;
        let mut fleet = String::new();
        for (number, pop) in POPS.iter().enumerate() {
            let (name, latitude, longitude) = (pop.name, pop.north, pop.east);
            let address = pop.address;
            fleet += &format!(
                "[[pop]]\nname = \"{name}\"\nhost = \"{name}.{ZONE}\"\nipv4 = [\"{address}\"]\n\
                 ipv6 = [\"2001:db8::{number}\"]\nlatitude = {latitude}\nlongitude = {longitude}\n"
            );
        }
        fleet += &format!(
            "[[zone]]\nname = \"{ZONE}\"\nname_servers = [\"ns1\"]\n\
             [[zone.steered]]\nname = \"whip\"\nservice = \"whip\"\n"
        );
        Ok(fs::write(self.folder.join("fleet.toml"), fleet)?)
    }

    fn write_gdnsd(&self) -> Result<()> {
        let folder = self.folder.join("gdnsd");
        let city = fs::read(database("GeoIP2-City-Test.mmdb"))?;
        gdnsd::write(&folder, self.port, &city, &POPS)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Every query comes from one network, so the limit must be on and out of the way:
/// what it costs is part of the answer's price.
const RATE_LIMIT: u32 = 4_000_000;

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

struct Server(Child);

impl Server {
    fn until_ready(&mut self, port: u16) -> Result<()> {
        let begun = clock::now();
        while amplification(port).is_err() {
            ensure!(self.0.try_wait()?.is_none(), "it has ended");
            let waited = clock::now().saturating_duration_since(begun);
            ensure!(waited < PATIENCE, "it does not answer");
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
