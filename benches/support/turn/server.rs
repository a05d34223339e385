//! The server under test: one process in the server's namespace, started for one
//! measurement and killed after it.
//!
//! A server that has just started has no other load's allocations, and no memory
//! that another load made it take.

use std::{
    env, fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{cipher_suite, default_provider},
    },
};
use tests::rig::program;

use super::{
    PASSWORD, REALM, SERVER, SERVER_IP, SERVER_TLS, USER, client, forwarder,
    ground::{self, SERVER_CORE},
};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// How much of a server's log goes with an error.
const TAIL: usize = 20;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The peer.
    Coturn,
    /// `inlet-edge` in its TURN role.
    Ours,
    /// No TURN at all: what the kernel takes.
    Forwarder(forwarder::Form),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coturn => f.write_str("coturn"),
            Self::Ours => f.write_str("inlet-edge"),
            Self::Forwarder(form) => write!(f, "a forwarder of {} without TURN", form.name()),
        }
    }
}

/// What servers are started with.
#[derive(Debug)]
pub struct Stand {
    namespace: String,
    folder: PathBuf,
    edge: PathBuf,
    /// For clients by TLS.
    pub tls: Arc<ClientConfig>,
}

impl Stand {
    /// Writes certificate and configuration into a folder.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or there is no `inlet-edge`.
    pub fn new(namespace: String, folder: PathBuf) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([SERVER_IP.to_string()])?.self_signed(&key)?;
        fs::write(folder.join("cert.pem"), certificate.pem())?;
        fs::write(folder.join("key.pem"), key.serialize_pem())?;
        fs::write(folder.join("token"), hex(&rand::random::<[u8; 16]>()))?;
        fs::write(folder.join("edge.toml"), configuration(&folder))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        Ok(Self {
            namespace,
            folder,
            edge: program("inlet-edge")?,
            tls: Arc::new(tls(roots)?),
        })
    }

    /// Starts a server, lets `measure` have it by its process id, and ends it.
    ///
    /// # Errors
    ///
    /// Those of `measure`, with the end of the server's log.
    pub fn with<T>(&self, kind: Kind, measure: impl FnOnce(i32) -> Result<T>) -> Result<T> {
        let log = self.folder.join("server.log");
        let mut server = Server(self.spawn(kind, &log)?);
        let pid = i32::try_from(server.0.id())?;
        let measured = server.until_ready(kind, &log).and_then(|()| measure(pid));
        measured.with_context(|| format!("{kind}, which said:\n{}", tail(&log)))
    }

    fn spawn(&self, kind: Kind, log: &Path) -> Result<Child> {
        let output = File::create(log)?;
        let mut command = match kind {
            Kind::Coturn => self.coturn(),
            Kind::Ours => {
                let mut command = self.command(&self.edge);
                command.arg("--config").arg(self.folder.join("edge.toml"));
                command
            }
            Kind::Forwarder(form) => {
                let mut command = self.command(env::current_exe()?);
                command.args(["forward", form.name()]);
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {kind}"))
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        ground::command(&self.namespace, SERVER_CORE, program)
    }

    /// One relay thread, as ours has one worker, and nothing that it could leave
    /// out.
    fn coturn(&self) -> Command {
        let mut command = self.command("turnserver");
        command.args(["-n", "-m", "1", "-a", "--no-dtls", "--no-cli"]);
        command.args([
            "--no-software-attribute",
            "--log-file=stdout",
            "--simple-log",
        ]);
        command.arg(format!("--user={USER}:{PASSWORD}"));
        command.arg(format!("--realm={REALM}"));
        command.arg(format!("--listening-ip={SERVER_IP}"));
        command.arg(format!("--relay-ip={SERVER_IP}"));
        command.arg(format!("--listening-port={}", SERVER.port()));
        command.arg(format!("--tls-listening-port={}", SERVER_TLS.port()));
        command.args(["--min-port=49152", "--max-port=65535"]);
        let option =
            |name: &str, file: &str| format!("--{name}={}", self.folder.join(file).display());
        command.arg(option("cert", "cert.pem"));
        command.arg(option("pkey", "key.pem"));
        command.arg(option("pidfile", "coturn.pid"));
        command.arg(option("userdb", "coturn.db"));
        command
    }
}

/// A running server; killed with the value, since none has anything to lose.
struct Server(Child);

impl Server {
    fn until_ready(&mut self, kind: Kind, log: &Path) -> Result<()> {
        let start = clock::now();
        loop {
            ensure!(self.0.try_wait()?.is_none(), "it ended at once");
            let is_ready = match kind {
                Kind::Forwarder(_) => fs::read_to_string(log)?.contains(forwarder::READY),
                Kind::Coturn | Kind::Ours => client::answers_binding()?,
            };
            if is_ready {
                return Ok(());
            }
            let waited = clock::now().duration_since(start);
            ensure!(waited < PATIENCE, "it does not answer");
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended by itself, which its log tells.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// One cipher, so that both servers encrypt alike; coturn of Debian 12 ends at
/// TLS 1.2.
fn tls(roots: RootCertStore) -> Result<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        ..default_provider()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Ours, with the limits out of the way and one thread.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"roles = ["turn"]

[turn]
realm = "{REALM}"
udp = ["{SERVER}"]
tcp = ["{SERVER}"]
tls = ["{SERVER_TLS}"]
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
relay_addresses = ["{SERVER_IP}"]
policy = "open"
allow_peers = ["10.9.0.0/24"]
users = ["{USER}:{PASSWORD}"]

[turn.limits]
allocations = 20000
allocations_per_user = 20000
permissions_per_user = 100000
channels_per_user = 100000
challenges_per_second = 0

[media]
workers = 1

[admin]
listen = "127.0.0.1:9081"
token_file = "{folder}/token"

[metrics]
listen = "127.0.0.1:9091"
"#
    )
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
