//! A real ACME CA: Let's Encrypt's `pebble`, with a DNS server that calls every
//! name 127.0.0.1.
//!
//! It forgets everything when it ends, and signs with a root of its own each time.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Process, ports, tls, until};

/// How long it may take until it answers, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Key identifier of the account that [`Options::external_account`] asks for.
pub const EAB_KID: &str = "kid-1";
/// Its HMAC key, in base64url.
pub const EAB_HMAC: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// What a test wants of the CA.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where it validates by HTTP-01.
    pub http_port: u16,
    /// Where it validates by TLS-ALPN-01.
    pub tls_port: u16,
    /// How long its certificates live.
    pub validity: Duration,
    /// Whether it wants an external account.
    pub external_account: bool,
}

/// A CA that may be started and stopped; its directory stays where it is.
pub struct Pebble {
    folder: PathBuf,
    options: Options,
    acme: u16,
    management: u16,
    dns: u16,
    processes: Vec<Process>,
}

impl Pebble {
    /// Chooses ports. `folder` holds `certificates/`, as [`super::LoneEdge`] and
    /// [`super::TurnEdge`] write it; nothing is started.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn prepare(folder: &Path, options: Options) -> Result<Self> {
        let [acme, management, dns] = ports::any()?;
        Ok(Self {
            folder: folder.to_owned(),
            options,
            acme,
            management,
            dns,
            processes: Vec::new(),
        })
    }

    /// URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.acme)
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not answer in time.
    pub async fn start(&mut self) -> Result<()> {
        let dns = format!("127.0.0.1:{}", self.dns);
        let off = [
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-management",
            "",
        ];
        let names = [
            "-dns01",
            &dns,
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
        ];
        let program = "pebble-challtestsrv";
        let log = self.folder.join("dns.log");
        let arguments = names.into_iter().chain(off);
        let process = Process::start(program, Path::new(program), arguments, log)?;
        self.processes.push(process);

        let configuration = self.folder.join("pebble.json");
        fs::write(&configuration, self.configuration().to_string())?;
        let configuration = configuration.to_str().context("a folder's name")?;
        let arguments = ["-config", configuration, "-dnsserver", &dns];
        let log = self.folder.join("pebble.log");
        let environment = [
            // Validates at once, each name each time, and takes each nonce.
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_AUTHZREUSE", "0"),
            ("PEBBLE_WFE_NONCEREJECT", "5"),
        ];
        let process =
            Process::start_with("pebble", Path::new("pebble"), arguments, environment, log)?;
        self.processes.push(process);
        until("pebble", PATIENCE, async || {
            self.root().await?;
            Ok(())
        })
        .await
    }

    /// Kills it; it forgets all accounts.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub async fn stop(&mut self) -> Result<()> {
        for mut process in self.processes.drain(..) {
            process.kill().await?;
        }
        Ok(())
    }

    /// The root that signs what it issues, as PEM.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn root(&self) -> Result<String> {
        let ca = fs::read_to_string(self.folder.join("certificates/ca.pem"))?;
        let mut stream = tls::connect(self.management, "127.0.0.1", &ca, &[]).await?;
        let (_, body) = tls::get(&mut stream, "/roots/0", "127.0.0.1").await?;
        Ok(body)
    }

    /// What it has said, for whoever has to find out why.
    pub fn tail(&self, lines: usize) -> String {
        let tails = self.processes.iter().map(|process| process.tail(lines));
        tails.collect::<Vec<_>>().join("\n")
    }

    fn configuration(&self) -> serde_json::Value {
        let certificates = self.folder.join("certificates");
        json!({
            "pebble": {
                "listenAddress": format!("127.0.0.1:{}", self.acme),
                "managementListenAddress": format!("127.0.0.1:{}", self.management),
                "certificate": certificates.join("turn.pem"),
                "privateKey": certificates.join("turn.key"),
                "httpPort": self.options.http_port,
                "tlsPort": self.options.tls_port,
                "ocspResponderURL": "",
                "certificateValidityPeriod": self.options.validity.as_secs(),
                "externalAccountBindingRequired": self.options.external_account,
                "externalAccountMACKeys": { EAB_KID: EAB_HMAC },
            }
        })
    }
}
