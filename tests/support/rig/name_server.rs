//! An edge that is a name server and nothing else, on loopback: three points of
//! presence, MaxMind's synthetic databases, DNS by UDP, TCP and TLS.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use reqwest::{Method, RequestBuilder};
use tokio::process::Command;

use super::{
    Metrics, Process, STOP_PATIENCE, TAIL, binaries, certificates, ports, program, ready, spawn,
};

const TOKEN: &str = "admin-token-of-the-system-tests";

/// The fleet, as each test begins with it.
pub const FLEET: &str = r#"
[[pop]]
name = "lon"
host = "lon.inlet.test"
ipv4 = ["192.0.2.1"]
ipv6 = ["2001:db8:1::1"]
latitude = 51.5
longitude = -0.1

[[pop]]
name = "sea"
host = "sea.inlet.test"
ipv4 = ["192.0.2.2"]
ipv6 = ["2001:db8:2::1"]
latitude = 47.6
longitude = -122.3

[[pop]]
name = "tyo"
host = "tyo.inlet.test"
ipv4 = ["192.0.2.3"]
ipv6 = ["2001:db8:3::1"]
latitude = 35.7
longitude = 139.7

[overrides]
default = ["lon"]

[[zone]]
name = "inlet.test"
name_servers = ["ns1"]

[[zone.steered]]
name = "whip"
service = "whip"

[[zone.steered]]
name = "turn"
service = "turn"

[[zone.record]]
name = "ns1"
type = "A"
data = "127.0.0.1"

[[zone.record]]
name = "long"
type = "TXT"
data = "a text that is far longer than three times what somebody asks for it, and so comes by TCP alone, where nobody can pretend to be somebody else; by UDP it would make this server worth abusing, and a resolver that is told so by a flag comes again"
"#;

/// A running name server.
pub struct NameServer {
    /// The process.
    pub process: Process,
    folder: PathBuf,
    dns: u16,
    tls: u16,
    admin: u16,
    metrics: u16,
}

impl NameServer {
    /// Starts one; `dns` is added to its `[dns]`.
    ///
    /// # Errors
    ///
    /// When it ends, or is not ready in time; with the tail of its log.
    pub async fn start(dns: &str) -> Result<Self> {
        let city = fs::read(database("GeoIP2-City-Test.mmdb"))?;
        Self::start_with(FLEET, &city, dns).await
    }

    /// Likewise, with a fleet and a database of the test's own.
    ///
    /// # Errors
    ///
    /// As [`NameServer::start`].
    pub async fn start_with(fleet: &str, city: &[u8], dns: &str) -> Result<Self> {
        // There is nobody at the addresses of FLEET.
        Self::launch(fleet, city, dns, "probe = false").await
    }

    /// Likewise, with points of presence that are there, and more lines in its `[fleet]`.
    ///
    /// # Errors
    ///
    /// As [`NameServer::start`].
    pub async fn start_probing(fleet: &str, section: &str) -> Result<Self> {
        let city = fs::read(database("GeoIP2-City-Test.mmdb"))?;
        Self::launch(fleet, &city, "", section).await
    }

    async fn launch(fleet: &str, city: &[u8], dns: &str, section: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let folder = env::temp_dir().join(format!("inlet-dns-{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join("databases"))?;
        certificates::write(&folder.join("certificates"), Ipv4Addr::LOCALHOST)?;
        fs::write(folder.join("token"), TOKEN)?;
        fs::write(folder.join("fleet.toml"), fleet)?;
        let [port, tls, admin, metrics] = ports::any()?;
        fs::write(folder.join(CITY), city)?;
        let text = settings(&folder, [port, tls, admin, metrics], dns, section);
        fs::write(folder.join("edge.toml"), text)?;
        let mut process = spawn(&binaries()?, "inlet-edge", "edge", &folder)?;
        ready(&mut process, admin).await?;
        Ok(Self {
            process,
            folder,
            dns: port,
            tls,
            admin,
            metrics,
        })
    }

    /// Where it is asked by UDP and TCP, by IPv4.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.dns))
    }

    /// Asks by `dig`, without what is not the answer.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn dig(&self, arguments: &str) -> Result<String> {
        let port = self.dns.to_string();
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &port, "+tries=1", "+time=5"]);
        let output = command.args(arguments.split_whitespace()).output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Asks by `kdig` over TLS; the certificate is believed when it is of the
    /// authority that made it.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn kdig_tls(&self, arguments: &str) -> Result<String> {
        let authority = self.folder.join("certificates/ca.pem");
        let ca = format!("+tls-ca={}", authority.display());
        let port = self.tls.to_string();
        let mut command = Command::new("kdig");
        command.args([
            "@127.0.0.1",
            "-p",
            &port,
            &ca,
            "+tls-host=localhost",
            "+retry=0",
        ]);
        let output = command.args(arguments.split_whitespace()).output().await?;
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Runs a subcommand on its configuration.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(program("inlet-edge")?);
        command.arg("--config").arg(self.folder.join("edge.toml"));
        Ok(command.args(arguments).output().await?)
    }

    /// Puts a database in the place of the one in use, as its makers tell to: by
    /// renaming.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn replace_database(&self, contents: &[u8]) -> Result<()> {
        let new = self.folder.join("databases/new");
        fs::write(&new, contents)?;
        Ok(fs::rename(new, self.folder.join(CITY))?)
    }

    /// Writes the fleet's file anew and asks for a reload.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn reload(&self, fleet: &str) -> Result<()> {
        fs::write(self.folder.join("fleet.toml"), fleet)?;
        self.process.signal(Signal::SIGHUP)
    }

    /// A request to the admin API, with the secret.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        reqwest::Client::new()
            .request(method, url)
            .bearer_auth(TOKEN)
    }

    /// What it counts now.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Metrics::fetch(&format!("http://127.0.0.1:{}/metrics", self.metrics)).await
    }

    /// The resident memory in KiB.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub fn resident(&self) -> Result<u64> {
        self.process.resident()
    }

    /// Stops it politely and takes its files away.
    ///
    /// # Errors
    ///
    /// When it had to be killed, or ended with an error.
    pub async fn stop(mut self) -> Result<()> {
        let status = self.process.stop(STOP_PATIENCE).await?;
        ensure!(
            status.success(),
            "ended with {status}\n{}",
            self.process.tail(TAIL)
        );
        Ok(fs::remove_dir_all(&self.folder)?)
    }
}

const CITY: &str = "databases/city.mmdb";

/// A database of the tests.
pub fn database(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/mmdb")
        .join(name)
}

fn settings(
    folder: &Path,
    [port, tls, admin, metrics]: [u16; 4],
    dns: &str,
    fleet: &str,
) -> String {
    let folder = folder.display();
    let filter = env::var("INLET_LOG").unwrap_or_else(|_| "info".to_owned());
    format!(
        r#"roles = ["dns"]

[pop]
name = "lon"

[admin]
listen = "127.0.0.1:{admin}"
token_file = "{folder}/token"

[metrics]
listen = "127.0.0.1:{metrics}"

[log]
filter = "{filter}"
format = "human"

[dns]
udp = ["127.0.0.1:{port}", "[::1]:{port}"]
tcp = ["127.0.0.1:{port}", "[::1]:{port}"]
tls = ["127.0.0.1:{tls}"]
certificate = "{folder}/certificates/origin.pem"
key = "{folder}/certificates/origin.key"
threads = 2
{dns}

[fleet]
file = "{folder}/fleet.toml"
databases = ["{folder}/{CITY}"]
{fleet}
"#
    )
}
