//! Reading one TOML file into a typed configuration.
//!
//! Each binary has one file. It is read in two steps: [`load`] turns text into
//! a `ConfigFile` (one struct per section, `deny_unknown_fields`, defaults),
//! and the binary's own validation turns that into a `Config` in which every
//! value is sound, with a [`Check`] that gathers *all* problems, so that an
//! operator mends a file once and not ten times.
//!
//! Bare integers never carry a unit: rates are [`Bitrate`] (`"4 Mbps"`), sizes
//! [`Bytes`] (`"256 MiB"`), spans use `#[serde(with = "config::duration")]`
//! (`"30s"`). Secrets do not stand in the file: it names the files that hold
//! them, so that a parse error may quote the file.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub mod acme;
mod check;
mod quantity;

pub use check::{Check, Problem};
pub use quantity::{Bitrate, Bytes, InvalidQuantity};

/// Largest configuration file that is read, in bytes. Ours have some ten
/// kilobytes; a larger one is the wrong path, such as a device or a log.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Reads the TOML file at `path`.
///
/// # Errors
///
/// [`Error::Read`] when it cannot be read, [`Error::TooLarge`] when it is no
/// configuration by its size, and [`Error::Parse`] with line and column when
/// it is not TOML, has an unknown key, or a value of the wrong kind.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    parse(path, &text)
}

/// Reads TOML text; `path` is only named in the error.
///
/// # Errors
///
/// [`Error::Parse`], as [`load`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|source| Error::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Why a configuration was refused. The file it came from is always named.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is missing, unreadable or not UTF-8.
    #[error("cannot read {}: name a readable file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{} is over 1 MiB: this is not a configuration file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not TOML, or has a key or kind of value that we do not know.
    #[error("{} cannot be understood", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, and what was expected there.
        source: Box<toml::de::Error>,
    },
    /// The file can be read, but these values cannot be used.
    #[error("{} has unusable values:{}", path.display(), check::Bullets(problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong, in the order in which it was found.
        problems: Vec<Problem>,
    },
}

/// Spans of time as `"250ms"`, `"30s"` or `"2h 5m"`, for
/// `#[serde(with = "inlet_common::config::duration")]`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes a span in the largest units that are exact.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        humantime_serde::serialize(span, serializer)
    }

    /// Reads a span, which must carry its unit.
    ///
    /// # Errors
    ///
    /// When the value is not a string, or no span of time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime_serde::re::humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format_args!(
                "{text:?} is no span of time ({error}): write it like \"250ms\", \"30s\" or \"5m\""
            ))
        })
    }
}

/// The beginning of a URL: scheme, host, maybe a port and a path, and never a
/// slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The base as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, without port.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Whether it is `https`.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let invalid = || InvalidBaseUrl(text.to_owned());
        let uri: http::Uri = text.parse().map_err(|_| invalid())?;
        let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let has_user = uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
        if !has_scheme || !has_host || has_user || text.contains(['?', '#']) {
            return Err(invalid());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = InvalidBaseUrl;

    fn try_from(text: String) -> Result<Self, InvalidBaseUrl> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

/// The text cannot begin a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no base URL: write it like \"https://live.example.com\", without ? and #")]
pub struct InvalidBaseUrl(pub String);

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key; readable by the service's user alone.
    pub key: PathBuf,
}

/// Where a listener's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// From files, read anew at each reload.
    Files(TlsFiles),
    /// From a CA, by the `[acme]` section.
    Acme,
}

impl CertificateSource {
    /// The files, where it comes from files.
    pub const fn files(&self) -> Option<&TlsFiles> {
        match self {
            Self::Files(files) => Some(files),
            Self::Acme => None,
        }
    }
}

/// The `[log]` section, the same in both binaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Which events are written, in the syntax of `tracing`'s `EnvFilter`
    /// (`info`, `info,inlet_origin::roq=debug`). Default `info`. Raising it to
    /// `trace` writes one line per packet.
    pub filter: String,
    /// How they are written. Default `auto`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// How log events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `human` on a terminal, `json` elsewhere.
    #[default]
    Auto,
    /// One readable line per event.
    Human,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, time::Duration};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(with = "duration")]
        drain: Duration,
        rate: Bitrate,
        base: BaseUrl,
    }

    fn sample(text: &str) -> Result<Sample, Error> {
        parse(Path::new("sample.toml"), text)
    }

    #[test]
    fn units_stand_in_the_file() {
        let sample =
            sample("drain = \"1m 30s\"\nrate = \"4.05 Mbps\"\nbase = \"https://a.example/x/\"")
                .unwrap();
        assert_eq!(sample.drain, Duration::from_secs(90));
        assert_eq!(sample.rate, Bitrate::from_bps(4_050_000));
        assert_eq!(sample.base.as_str(), "https://a.example/x");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_line() {
        let error = sample("drian = \"5s\"").unwrap_err();
        assert_eq!(error.to_string(), "sample.toml cannot be understood");
        let detail = error.source().unwrap().to_string();
        assert!(
            detail.contains("drian") && detail.contains("line 1"),
            "{detail}"
        );
    }

    #[test]
    fn a_span_without_unit_is_refused_with_advice() {
        let error = sample("drain = \"90\"\nrate = \"1 Mbps\"\nbase = \"http://a\"").unwrap_err();
        let detail = error.source().unwrap().to_string();
        assert!(detail.contains("write it like"), "{detail}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Sample>(Path::new("/nowhere/origin.toml")).unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/origin.toml"),
            "{error}"
        );
    }

    #[test]
    fn a_device_is_not_read_for_ever() {
        let error = load::<Sample>(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }

    #[test]
    fn base_url_knows_its_host() {
        for (text, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("https://live.example.com/base/", "live.example.com"),
            ("http://[::1]:80/x", "[::1]"),
            ("http://[::1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap().host(), host, "{text}");
        }
    }

    #[test]
    fn base_url_refuses_what_cannot_be_extended() {
        for text in [
            "",
            "live.example.com",
            "ftp://a",
            "https://a?x=1",
            "https://a/#f",
            "http://u:p@a",
            "/x",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
