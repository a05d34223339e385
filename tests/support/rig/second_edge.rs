//! Another edge beside the rig's own, at the same origin: another point of presence.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use reqwest::{Client, Method};

use super::{
    Layout, Ports, Process, Rig, STOP_PATIENCE, Stream, TAIL, TurnCredential, ready, secrets,
    settings, spawn,
};

/// What it calls itself, and what the API calls the region.
const NAME: &str = "second";

/// A running edge; dropping it kills it.
pub struct SecondEdge {
    ports: Ports,
    process: Process,
    secret: String,
}

impl SecondEdge {
    /// Starts one beside those of `rig`, with the same certificates, and waits until
    /// presenters are welcome.
    ///
    /// # Errors
    ///
    /// When it is not ready in time; with the tail of its log.
    pub async fn start(rig: &Rig) -> Result<Self> {
        Self::start_with(rig, "").await
    }

    /// Likewise, with more sections in its configuration.
    ///
    /// # Errors
    ///
    /// As [`SecondEdge::start`].
    pub async fn start_with(rig: &Rig, sections: &str) -> Result<Self> {
        Self::start_edited(rig, |text| text + sections).await
    }

    /// Likewise, with its configuration changed.
    ///
    /// # Errors
    ///
    /// As [`SecondEdge::start`].
    pub async fn start_edited(rig: &Rig, edit: impl FnOnce(String) -> String) -> Result<Self> {
        let own = Ports::free()?;
        let ports = Ports {
            origin_roq: rig.ports().origin_roq,
            ..own
        };
        let layout = Layout {
            ports: ports.clone(),
            ..rig.layout.clone()
        };
        let name = "name = \"loopback\"";
        let config = settings::edge(&layout);
        ensure!(config.contains(name), "the edge has another name by now");
        let config = edit(config.replacen(name, &format!("name = \"{NAME}\""), 1));
        let folder = rig.folder();
        fs::write(folder.join("second.toml"), config)?;
        fs::write(folder.join("second.log"), "")?;
        let mut process = spawn(&rig.binaries, "inlet-edge", "second", folder)?;
        ready(&mut process, ports.edge_admin).await?;
        Ok(Self {
            ports,
            process,
            secret: secrets::admin(folder)?,
        })
    }

    /// The ports it listens on.
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// A credential for its TURN server, made by its admin API.
    ///
    /// # Errors
    ///
    /// When it does not give one.
    pub async fn turn_credential(&self, tag: &str) -> Result<TurnCredential> {
        TurnCredential::ask(self.ports.edge_admin, &self.secret, tag).await
    }

    /// Asks it to read its configuration anew.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn reload(&self) -> Result<()> {
        self.process.signal(Signal::SIGHUP)
    }

    /// Where it counts.
    pub fn metrics(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.ports.edge_metrics)
    }

    /// Where a stream is published here.
    ///
    /// # Errors
    ///
    /// When the stream's own URL is none.
    pub fn whip(&self, stream: &Stream) -> Result<String> {
        let mut url: reqwest::Url = stream.whip.parse().context("the WHIP URL")?;
        let taken = url.set_port(Some(self.ports.edge_http));
        ensure!(taken.is_ok(), "a URL without a port");
        Ok(url.into())
    }

    /// What its admin API says to a request without a body.
    ///
    /// # Errors
    ///
    /// When it does not answer, or refuses.
    pub async fn admin(&self, method: Method, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.edge_admin);
        let request = Client::new().request(method, url).bearer_auth(&self.secret);
        let response = request.send().await?.error_for_status()?;
        Ok(response.text().await?)
    }

    /// Kills it at once, as a crash of the machine would.
    ///
    /// # Errors
    ///
    /// When the operating system does not say how it ended.
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    /// Stops it politely, if it has not ended already.
    ///
    /// # Errors
    ///
    /// When it had to be killed or ended with an error.
    pub async fn stop(mut self) -> Result<()> {
        let status = self.process.stop(STOP_PATIENCE).await?;
        ensure!(status.success(), "{status}\n{}", self.process.tail(TAIL));
        Ok(())
    }
}
