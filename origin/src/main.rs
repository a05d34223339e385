//! `inlet-origin`: the service, its worker processes, and operator commands.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use inlet_common::service::logging;
use inlet_origin::{cli::Command, config::Config, service, transcode::worker};

/// Takes RTP over QUIC from edges and serves LL-HLS and LL-DASH.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "/etc/inlet/origin.toml")]
    config: PathBuf,
    /// Checks configuration, certificates and ports, and exits: 0 or 78.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> anyhow::Result<ExitCode> {
    // A worker process reads no configuration and must not start a runtime.
    if std::env::args()
        .nth(1)
        .is_some_and(|first| first == worker::SUBCOMMAND)
    {
        logging::init_child();
        let Err(error) = worker::run();
        return Err(error.into());
    }
    let arguments = Arguments::parse();
    if arguments.check {
        return Ok(service::check(&arguments.config));
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return Ok(service::refuse(&error)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(command) = arguments.command {
        runtime.block_on(command.run(&config, &mut std::io::stdout()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let logging = logging::init(&config.log)?;
    match service::try_encoders(&config.media) {
        Err(error) if error.is_for_good() => return Ok(service::refuse(&error)),
        outcome => outcome.context("the origin cannot start")?,
    }
    let ended = runtime
        .block_on(service::run(&arguments.config, config, logging))
        .context("the origin cannot start")?;
    Ok(if ended.is_orderly() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
