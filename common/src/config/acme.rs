//! The `[acme]` section: certificates that a CA hands out by ACME
//! ([RFC 8555](https://www.rfc-editor.org/rfc/rfc8555)), as written and as
//! checked.
//!
//! Without domains the section is of no effect. Which listener uses it is for
//! the binary to say; that one has certificate files *or* ACME, never both.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Check, duration};

/// Most names in one certificate, as public CAs have it.
const MAX_DOMAINS: usize = 100;

/// Longest DNS name, in bytes, written without the dot at its end.
const MAX_DOMAIN: usize = 253;

/// Longest label of a DNS name, in bytes (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// Most contacts of an account.
const MAX_CONTACTS: usize = 10;

/// Longest span that may be asked for as `renew_before`.
const MAX_RENEW_BEFORE: Duration = Duration::from_secs(365 * 24 * 3600);

/// `[acme]` as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// Names in the certificate. Empty, the default, means no ACME. Naming one
    /// is agreeing to the CA's terms of service. Reload.
    pub domains: Vec<String>,
    /// URL of the CA's directory. Default Let's Encrypt's production.
    pub directory: String,
    /// PEM authorities that sign the directory's own HTTPS. Empty, the default,
    /// means those that this machine trusts.
    pub directory_ca: PathBuf,
    /// Where the CA may write to, such as `mailto:ops@example.com`. Default
    /// nobody.
    pub contact: Vec<String>,
    /// How the CA sees that the names are ours. Default `tls-alpn-01`.
    pub challenge: Challenge,
    /// Where HTTP-01 is answered; of no effect with another challenge. Default
    /// `0.0.0.0:80`.
    pub http_listen: SocketAddr,
    /// Directory for the account's key and the certificate. Default
    /// `/var/lib/inlet-edge/acme`.
    pub state_dir: PathBuf,
    /// How long before its end a certificate is renewed, up to a year. 0, the
    /// default, means a third of its lifetime, or when the CA says so.
    #[serde(with = "duration")]
    pub renew_before: Duration,
    /// Key identifier of the account that the CA knows already (external account
    /// binding). Empty, the default, means none.
    pub eab_kid: String,
    /// File with that account's HMAC key in base64url; empty exactly when
    /// `eab_kid` is.
    pub eab_hmac_file: PathBuf,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            directory_ca: PathBuf::new(),
            contact: Vec::new(),
            challenge: Challenge::TlsAlpn01,
            http_listen: SocketAddr::from(([0, 0, 0, 0], 80)),
            state_dir: "/var/lib/inlet-edge/acme".into(),
            renew_before: Duration::ZERO,
            eab_kid: String::new(),
            eab_hmac_file: PathBuf::new(),
        }
    }
}

/// How a CA sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// A TLS handshake at port 443, [RFC 8737](https://www.rfc-editor.org/rfc/rfc8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A request to port 80, [RFC 8555 §8.3](https://www.rfc-editor.org/rfc/rfc8555#section-8.3).
    #[serde(rename = "http-01")]
    Http01,
}

impl Challenge {
    /// Its name in ACME.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }

    /// The port that the CA connects to, which nobody can choose.
    pub const fn port(self) -> u16 {
        match self {
            Self::TlsAlpn01 => 443,
            Self::Http01 => 80,
        }
    }
}

/// A sound `[acme]` with at least one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Names in the certificate, in lower case.
    pub domains: Vec<String>,
    /// URL of the CA's directory.
    pub directory: String,
    /// PEM authorities that sign the directory's HTTPS; `None` means the
    /// machine's.
    pub directory_ca: Option<PathBuf>,
    /// Where the CA may write to.
    pub contact: Vec<String>,
    /// How the CA sees that the names are ours.
    pub challenge: Challenge,
    /// Where HTTP-01 is answered.
    pub http_listen: SocketAddr,
    /// Directory for the account's key and the certificate.
    pub state_dir: PathBuf,
    /// How long before its end a certificate is renewed; `None` leaves it to
    /// its lifetime and to the CA.
    pub renew_before: Option<Duration>,
    /// The account that the CA knows already.
    pub external_account: Option<ExternalAccount>,
}

/// An account that a CA knows already
/// ([RFC 8555 §7.3.4](https://www.rfc-editor.org/rfc/rfc8555#section-7.3.4)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its key identifier.
    pub kid: String,
    /// File with its HMAC key in base64url.
    pub hmac_file: PathBuf,
}

impl Acme {
    /// Whether there is a domain, and so a certificate to get.
    pub fn is_on(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Whether `host` is among the domains.
    pub fn has(&self, host: &str) -> bool {
        let mut domains = self.domains.iter();
        domains.any(|domain| domain.eq_ignore_ascii_case(host))
    }

    /// Notes all that is wrong.
    pub fn check(&self, check: &mut Check) {
        if !self.is_on() {
            return;
        }
        check.require(
            self.domains.len() <= MAX_DOMAINS,
            "acme.domains",
            "has more than 100 names: a certificate holds no more",
        );
        for domain in self.domains.iter().take(MAX_DOMAINS) {
            if let Err(what) = is_domain(domain) {
                check.require(false, "acme.domains", format!("{domain:?} {what}"));
            }
        }
        let directory: Result<http::Uri, _> = self.directory.parse();
        let is_https = directory.is_ok_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        });
        check.require(
            is_https,
            "acme.directory",
            "is no URL of an ACME directory: write it like \
             \"https://acme-v02.api.letsencrypt.org/directory\"",
        );
        check.require(
            self.contact.len() <= MAX_CONTACTS
                && self.contact.iter().all(|contact| is_contact(contact)),
            "acme.contact",
            "must be at most ten addresses like \"mailto:ops@example.com\"",
        );
        check.require(
            self.state_dir.is_absolute(),
            "acme.state_dir",
            "must be an absolute path: keys and certificates are kept there",
        );
        let longest = Duration::ZERO..=MAX_RENEW_BEFORE;
        check.span("acme.renew_before", self.renew_before, longest);
        check.require(
            self.eab_kid.is_empty() == self.eab_hmac_file.as_os_str().is_empty(),
            "acme.eab_hmac_file",
            "goes together with acme.eab_kid: give both, or leave both empty",
        );
    }

    /// Puts checked values in their final form; `None` without domains.
    pub fn build(self) -> Option<Settings> {
        if !self.is_on() {
            return None;
        }
        let mut domains: Vec<String> = self.domains;
        for domain in &mut domains {
            domain.make_ascii_lowercase();
        }
        let mut seen = std::collections::BTreeSet::new();
        domains.retain(|domain| seen.insert(domain.clone()));
        let file = |path: PathBuf| (!path.as_os_str().is_empty()).then_some(path);
        let external_account = file(self.eab_hmac_file).map(|hmac_file| ExternalAccount {
            kid: self.eab_kid,
            hmac_file,
        });
        Some(Settings {
            domains,
            directory: self.directory,
            directory_ca: file(self.directory_ca),
            contact: self.contact,
            challenge: self.challenge,
            http_listen: self.http_listen,
            state_dir: self.state_dir,
            renew_before: (!self.renew_before.is_zero()).then_some(self.renew_before),
            external_account,
        })
    }
}

/// Whether a CA could be asked for this name by the challenges that we have.
fn is_domain(name: &str) -> Result<(), &'static str> {
    if name.starts_with("*.") {
        return Err("is a wildcard, which takes a challenge by DNS: name each host");
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Err("is an address: name hosts");
    }
    let is_label = |label: &str| {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(is_sign)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > MAX_DOMAIN || !name.split('.').all(is_label) {
        return Err(
            "is no host name: write it like \"whip.example.com\", without scheme and \
                    port, and names with other letters in their xn-- form",
        );
    }
    Ok(())
}

fn is_contact(text: &str) -> bool {
    let has_rest = |(scheme, rest): (&str, &str)| !scheme.is_empty() && !rest.is_empty();
    text.is_ascii()
        && !text.contains(char::is_whitespace)
        && text.split_once(':').is_some_and(has_rest)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Error, parse};

    fn settings(text: &str) -> Result<Option<Settings>, Error> {
        let path = Path::new("edge.toml");
        let file: Acme = parse(path, text)?;
        let mut check = Check::new();
        file.check(&mut check);
        check.finish(path)?;
        Ok(file.build())
    }

    #[test]
    fn without_domains_there_is_no_acme() {
        assert_eq!(settings("directory = \"nonsense\"").unwrap(), None);
    }

    #[test]
    fn names_are_told_once_and_in_lower_case() {
        let text = "domains = [\"Whip.Example\", \"whip.example\", \"b.example\"]\n\
                    challenge = \"http-01\"\nrenew_before = \"10days\"";
        let settings = settings(text).unwrap().unwrap();
        assert_eq!(settings.domains, ["whip.example", "b.example"]);
        assert_eq!(settings.challenge, Challenge::Http01);
        assert_eq!(settings.renew_before, Some(Duration::from_secs(864_000)));
        assert_eq!(settings.external_account, None);
    }

    #[test]
    fn each_fault_is_told_by_its_key() {
        for (text, begin) in [
            (
                "domains = [\"*.a.example\"]",
                "acme.domains: \"*.a.example\" is a wildcard",
            ),
            (
                "domains = [\"192.0.2.1\"]",
                "acme.domains: \"192.0.2.1\" is an address",
            ),
            (
                "domains = [\"https://a\"]",
                "acme.domains: \"https://a\" is no host name",
            ),
            (
                "domains = [\"a..b\"]",
                "acme.domains: \"a..b\" is no host name",
            ),
            ("domains = [\"a.\"]", "acme.domains: \"a.\" is no host name"),
            (
                "domains = [\"-a.b\"]",
                "acme.domains: \"-a.b\" is no host name",
            ),
            (
                "domains = [\"é.b\"]",
                "acme.domains: \"é.b\" is no host name",
            ),
            (
                "domains = [\"a\"]\ndirectory = \"http://ca\"",
                "acme.directory: is no URL",
            ),
            (
                "domains = [\"a\"]\ncontact = [\"ops@a\"]",
                "acme.contact: must be",
            ),
            (
                "domains = [\"a\"]\nstate_dir = \"state\"",
                "acme.state_dir: must be",
            ),
            (
                "domains = [\"a\"]\nrenew_before = \"2years\"",
                "acme.renew_before: 2years is out",
            ),
            (
                "domains = [\"a\"]\neab_kid = \"k\"",
                "acme.eab_hmac_file: goes together",
            ),
        ] {
            let Err(Error::Invalid { problems, .. }) = settings(text) else {
                panic!("{text} was taken");
            };
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            let problem = problems[0].to_string();
            assert!(problem.starts_with(begin), "{problem}");
        }
    }
}
