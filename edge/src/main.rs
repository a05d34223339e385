//! `inlet-edge`: the service, and operator commands.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use inlet_common::service::logging;
use inlet_edge::{cli::Command, config::Config, service};

/// Takes live video in by WebRTC (WHIP) and forwards it by RTP over QUIC.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "/etc/inlet/edge.toml")]
    config: PathBuf,
    /// Checks configuration, certificates and ports, and exits: 0 or 78.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.check {
        return Ok(service::check(&arguments.config));
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return Ok(service::refuse(&error)),
    };
    if let Some(command) = arguments.command {
        command.run(&config, &mut std::io::stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    let logging = logging::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime
        .block_on(service::run(&arguments.config, config, logging))
        .context("the edge cannot start")?;
    Ok(if ended.is_orderly() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
