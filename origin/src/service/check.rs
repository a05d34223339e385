//! `--check`: would the origin start with this configuration?

use std::{path::Path, process::ExitCode};

use inlet_common::{
    roq,
    service::{
        credential::Secret,
        logging,
        tls::{self, Certificates},
    },
};

use crate::{
    config::{Config, Media},
    metrics, playback,
    transcode::{supervisor::Program, trial},
};

/// `EX_CONFIG` of `sysexits.h`, which systemd shows by name.
const EX_CONFIG: u8 = 78;

/// Checks the configuration at `path` and prints what it found: 0 when the
/// origin would start, 78 when it would not.
#[expect(clippy::print_stdout, reason = "the answer to a command on a terminal")]
pub fn check(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(&[explain(&error)]),
    };
    let mut problems = Vec::new();
    let mut note = |result: Result<(), String>| problems.extend(result.err());
    note(logging::check_filter(&config.log.filter).map_err(|error| explain(&error)));
    note(certificates(&config));
    note(link(&config));
    note(try_encoders(&config.media).map_err(|error| explain(&error)));
    if let Some(file) = &config.admin.token_file {
        note(
            Secret::load(file)
                .map(drop)
                .map_err(|error| explain(&error)),
        );
    }
    if let Some(file) = &config.playback.secret_file {
        note(
            playback::Keys::load(file)
                .map(drop)
                .map_err(|error| explain(&error)),
        );
    }
    for (key, address) in [
        ("http.listen", config.http.listen),
        ("admin.listen", config.admin.listen),
        ("metrics.listen", config.metrics),
    ] {
        note(bindable(
            key,
            std::net::TcpListener::bind(address).map(drop),
        ));
    }
    let roq = std::net::UdpSocket::bind(config.roq.listen).map(drop);
    note(bindable("roq.listen", roq));
    if problems.is_empty() {
        println!("{}: sound", path.display());
        return ExitCode::SUCCESS;
    }
    fail(&problems)
}

/// Tries what `media` asks pictures and sound to be encoded with. Blocks, for some
/// seconds where a driver is stuck.
///
/// # Errors
///
/// [`trial::Error`] where it does not work here.
pub fn try_encoders(media: &Media) -> Result<(), trial::Error> {
    let choice = trial::Choice {
        encoder: media.encoder,
        preset: media.preset,
        memory_limit: media.worker_memory.as_u64(),
    };
    trial::run(&Program::current(), choice)?;
    trial::sound(media.opus_bitrate.is_some())
}

/// Says why a configuration cannot be used; the exit code is 78.
pub fn refuse(error: &dyn std::error::Error) -> ExitCode {
    fail(&[explain(error)])
}

fn certificates(config: &Config) -> Result<(), String> {
    let Some(files) = &config.http.tls else {
        return Ok(());
    };
    Certificates::load(files.clone(), metrics::certificate("check"))
        .map(drop)
        .map_err(|error| explain(&error))
}

fn link(config: &Config) -> Result<(), String> {
    let loaded = Certificates::load(config.roq.tls.clone(), metrics::certificate("check"))
        .map_err(|error| explain(&error))?;
    tls::link_server(loaded, &config.roq.client_ca, roq::ALPN)
        .map(drop)
        .map_err(|error| explain(&error))
}

fn bindable(key: &str, bound: std::io::Result<()>) -> Result<(), String> {
    bound.map_err(|error| {
        format!("{key} cannot be bound ({error}): stop what uses it, or choose another")
    })
}

/// An error and what caused it, in one line.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[expect(clippy::print_stderr, reason = "the answer to a command on a terminal")]
fn fail(problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    ExitCode::from(EX_CONFIG)
}
