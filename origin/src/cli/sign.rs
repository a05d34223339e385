//! `inlet-origin sign`: URLs with playback tokens, for a look and for scripts.
//!
//! Applications make tokens by themselves; the scheme is in [`crate::playback`].

use std::{fmt::Write as _, net::IpAddr, time::Duration};

use clap::Args;
use inlet_common::clock::UtcTime;

use crate::{
    config::Config,
    http::pages::OutputPath,
    playback::{self, Keys, Signed},
};

/// What to sign.
#[derive(Clone, Debug, Args)]
pub struct SignCommand {
    /// The stream as its URLs name it: `{client}_{id}`.
    #[arg(value_parser = stream)]
    stream: OutputPath,
    /// How long the URLs are good. Round it up to the same moment for many
    /// viewers, so that a CDN sees one URL and not thousands.
    #[arg(long = "for", default_value = "6h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// Makes them good from this address alone.
    #[arg(long)]
    address: Option<IpAddr>,
}

fn stream(text: &str) -> Result<OutputPath, String> {
    OutputPath::parse(text).ok_or_else(|| "a stream is {client}_{id}, such as 1_17".to_owned())
}

/// Why nothing could be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no secret.
    #[error("playback.secret_file is empty: everyone may watch, and no token is needed")]
    Free,
    /// No URL tells so late a moment.
    #[error("--for is too long: a URL can be good until the year 33658")]
    TooLong,
    /// The secrets cannot be used.
    #[error(transparent)]
    Keys(#[from] playback::Error),
}

/// Twelve digits.
const MAX_EXPIRES: u64 = 999_999_999_999;

impl SignCommand {
    /// The URLs, one in each line.
    pub(super) fn run(&self, config: &Config, now: UtcTime) -> Result<String, Error> {
        let file = config.playback.secret_file.as_deref().ok_or(Error::Free)?;
        let keys = Keys::load(file)?;
        let micros = now.plus_micros(i64::try_from(self.lifetime.as_micros()).unwrap_or(i64::MAX));
        let expires = u64::try_from(micros.as_unix_micros()).unwrap_or(0) / 1_000_000;
        let web = &config.urls.web;
        if expires > MAX_EXPIRES {
            return Err(Error::TooLong);
        }
        let mut urls = String::new();
        let mut tokens = Vec::new();
        for (output, files) in [
            ("cmaf", &["master.m3u8", "index.mpd"][..]),
            ("mpegts", &["master_mpegts.m3u8"][..]),
        ] {
            let prefix = format!("/{output}/{}", self.stream);
            let Some(signed) = Signed::new(&keys, &prefix, expires, self.address) else {
                continue;
            };
            for file in files {
                // Writing to a string cannot fail; the result carries nothing.
                _ = writeln!(urls, "{web}{prefix}/{signed}/{file}");
            }
            tokens.push(format!("{output}={signed}"));
        }
        let tokens = tokens.join("&");
        _ = writeln!(urls, "{web}/streams/{}?{tokens}", self.stream);
        Ok(urls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::Folder;

    #[test]
    fn the_urls_of_a_stream_are_signed_for_a_while() {
        let folder = Folder::new();
        let mut config = Config::default();
        let command = SignCommand {
            stream: stream("1_17").unwrap(),
            lifetime: Duration::from_secs(60),
            address: None,
        };
        let now = UtcTime::from_unix_micros(1_800_000_000_000_000);
        assert!(matches!(command.run(&config, now), Err(Error::Free)));
        let file = folder.path().join("secrets");
        std::fs::write(&file, "correct horse battery staple\n").unwrap();
        config.playback.secret_file = Some(file);
        let urls = command.run(&config, now).unwrap();
        let lines: Vec<_> = urls.lines().collect();
        let token = "7r35M79zGNMGLBNbsA-ebBxaLy3GZUan32--u_K5Gj0";
        let base = format!("http://127.0.0.1:8080/cmaf/1_17/{token}/1800000060");
        assert_eq!(lines[0], format!("{base}/master.m3u8"));
        assert_eq!(lines[1], format!("{base}/index.mpd"));
        assert!(lines[2].ends_with("/1800000060/master_mpegts.m3u8"));
        assert!(!lines[2].contains(token), "another prefix, another token");
        let player = format!("http://127.0.0.1:8080/streams/1_17?cmaf={token}/1800000060&mpegts=");
        assert!(lines[3].starts_with(&player), "{}", lines[3]);
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        assert!(stream("17").is_err() && stream("1_x").is_err());
    }
}
