//! Log events on standard error: human on a terminal, JSON elsewhere.
//!
//! `RUST_LOG`, when set, wins over the configuration: it is how a developer
//! looks closer for one run. The filter can be changed while running.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// Changes the filter of the running process.
#[derive(Clone, Debug)]
pub struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging; call it once, first thing.
///
/// # Errors
///
/// [`Error::Filter`] when the filter cannot be read, and
/// [`Error::AlreadyStarted`] the second time.
pub fn init(config: &Log) -> Result<Handle, Error> {
    let (filter, handle) = reload::Layer::new(filter(config)?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = if is_json(config.format) {
        registry
            .with(layer.json().flatten_event(true).with_span_list(false))
            .try_init()
    } else {
        let colour = io::stderr().is_terminal();
        registry.with(layer.with_ansi(colour)).try_init()
    };
    started.map_err(|_| Error::AlreadyStarted)?;
    Ok(Handle { filter: handle })
}

/// Starts logging of warnings as plain lines without time, for a process whose
/// standard error goes into the log of the one that started it. Does nothing the
/// second time.
pub fn init_child() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time();
    let registry = tracing_subscriber::registry().with(filter).with(layer);
    registry.try_init().ok();
}

impl Handle {
    /// Takes the filter of a configuration that was read anew.
    ///
    /// # Errors
    ///
    /// [`Error::Filter`] when it cannot be read; the old one stays.
    pub fn reload(&self, config: &Log) -> Result<(), Error> {
        let filter = filter(config)?;
        // Fails only when the subscriber is gone, and with it all logging.
        self.filter.reload(filter).ok();
        Ok(())
    }
}

fn filter(config: &Log) -> Result<EnvFilter, Error> {
    match env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) => parse(&text),
        Err(_) => parse(&config.filter),
    }
}

/// Tells whether a filter can be read, for validation of a configuration.
///
/// # Errors
///
/// [`Error::Filter`] when it cannot.
pub fn check_filter(text: &str) -> Result<(), Error> {
    parse(text).map(drop)
}

fn parse(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(text).map_err(|source| Error::Filter {
        text: text.to_owned(),
        source,
    })
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Human => false,
        LogFormat::Json => true,
        // systemd sets JOURNAL_STREAM when the journal takes our output.
        LogFormat::Auto => env::var_os("JOURNAL_STREAM").is_some() || !io::stderr().is_terminal(),
    }
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not in `EnvFilter`'s syntax.
    #[error("log filter {text:?} cannot be understood: write it like \"info,inlet_edge=debug\"")]
    Filter {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process logs already.
    #[error("logging has already been started")]
    AlreadyStarted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_checked_before_it_is_used() {
        assert!(check_filter("info,inlet_edge::whip=debug").is_ok());
        assert!(check_filter("info,inlet_edge=loud").is_err());
    }

    #[test]
    fn the_format_can_be_forced() {
        assert!(is_json(LogFormat::Json));
        assert!(!is_json(LogFormat::Human));
    }
}
