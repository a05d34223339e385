//! Playback tokens with the real binaries: who may watch, and until when.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tests::{
    publisher::Publisher,
    rig::{self, Rig, Stream, scenario, until},
    stage, viewer,
};

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "a secret for the tests alone";
const NEW_SECRET: &str = "the secret that comes after it";

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_token_watches_and_nobody_else() {
    scenario(async |rig: &mut Rig| {
        let secrets = rig.folder().join("playback");
        fs::write(&secrets, SECRET)?;
        ask_for_tokens(rig, &secrets).await?;
        rig.link_up().await?;
        let stream = rig.api.create("tokens").await?;
        let publisher = Publisher::start(stage::options(&stream)).await?;

        let signed = sign(rig, &stream, &["--for", "1h"])?;
        let [hls, dash, transport, player] = &signed[..] else {
            anyhow::bail!("four URLs: {signed:?}");
        };
        let by_token = Stream {
            hls: hls.clone(),
            ..stream.clone()
        };
        stage::complete(&by_token).await?;
        let watched = viewer::watch(hls, 90, PATIENCE).await?;
        watched.ensure_smooth()?;
        let watched = viewer::watch(transport, 90, PATIENCE).await?;
        watched.ensure_smooth()?;
        ensure!(status(dash).await? == 200, "the manifest");
        ensure!(status(player).await? == 200, "the player page");

        for plain in [&stream.hls, &stream.dash, &stream.transport] {
            ensure!(status(plain).await? == 403, "{plain} without a token");
        }
        let over = sign(rig, &stream, &["--for", "0s"])?;
        ensure!(status(&over[0]).await? == 410, "a token that is over");
        let mine = sign(rig, &stream, &["--address", "127.0.0.1"])?;
        ensure!(status(&mine[0]).await? == 200, "from its address");
        let others = sign(rig, &stream, &["--address", "192.0.2.1"])?;
        ensure!(status(&others[0]).await? == 403, "from another address");
        publisher.stop().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_exchanged_by_a_reload() {
    scenario(async |rig: &mut Rig| {
        let secrets = rig.folder().join("playback");
        fs::write(&secrets, SECRET)?;
        ask_for_tokens(rig, &secrets).await?;
        let stream = rig.api.create("exchange").await?;
        // Nobody is live: a good token is answered 404, a bad one 403.
        let old = sign(rig, &stream, &[])?;
        ensure!(status(&old[0]).await? == 404, "before");

        fs::write(&secrets, format!("{NEW_SECRET}\n{SECRET}\n"))?;
        let new = sign(rig, &stream, &[])?;
        ensure!(new[0] != old[0], "signed with the first line");
        ensure!(status(&new[0]).await? == 403, "not read yet");
        rig.origin.signal(Signal::SIGHUP)?;
        until("the new secret", PATIENCE, async || {
            ensure!(status(&new[0]).await? == 404);
            Ok(())
        })
        .await?;
        ensure!(status(&old[0]).await? == 404, "both are good");

        // What cannot be used changes nothing.
        fs::write(&secrets, "short")?;
        rig.origin.signal(Signal::SIGHUP)?;
        until("the refusal in the log", PATIENCE, async || {
            let log = fs::read_to_string(rig.folder().join("origin.log"))?;
            ensure!(log.contains("playback secrets refused"));
            ensure!(
                !log.contains(SECRET) && !log.contains(NEW_SECRET),
                "a secret in the log"
            );
            Ok(())
        })
        .await?;
        ensure!(status(&new[0]).await? == 404, "the old ones stay");
        Ok(())
    })
    .await;
}

async fn ask_for_tokens(rig: &mut Rig, secrets: &Path) -> Result<()> {
    let section = format!("[playback]\nsecret_file = \"{}\"\n\n", secrets.display());
    rig.reconfigure_origin(|text| section + &text).await
}

/// What `inlet-origin sign` prints for a stream of the first client.
fn sign(rig: &Rig, stream: &Stream, more: &[&str]) -> Result<Vec<String>> {
    let output = Command::new(rig::program("inlet-origin")?)
        .arg("--config")
        .arg(rig.folder().join("origin.toml"))
        .args(["sign", &format!("1_{}", stream.id)])
        .args(more)
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{errors}");
    let urls = String::from_utf8(output.stdout).context("text")?;
    Ok(urls.lines().map(str::to_owned).collect())
}

async fn status(url: &str) -> Result<u16> {
    Ok(reqwest::get(url).await?.status().as_u16())
}
