//! Why an order failed, and what the operator can do about it.
//!
//! What a CA says comes from outside: it is cut and cleaned before it is logged.

use std::time::Duration;

use instant_acme::{Error as AcmeError, Problem};

use super::{answers, client::ClientError, schedule::Kind, store};
use crate::config::acme::Challenge;

/// Most characters of what a CA says that are passed on.
const MAX_DETAIL: usize = 400;

/// Before each type of problem (RFC 8555 §6.7).
const PROBLEM_PREFIX: &str = "urn:ietf:params:acme:error:";

/// A failed order.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// What went wrong.
    pub(super) what: String,
    /// What to do.
    pub(super) advice: String,
    /// When the CA wants to be asked again.
    pub(super) retry_after: Option<Duration>,
    /// Whether the CA does not know the account (any more).
    pub(super) is_account_lost: bool,
}

impl Failure {
    pub(super) fn new(kind: Kind, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            advice: advice.into(),
            retry_after: None,
            is_account_lost: false,
        }
    }

    /// From what the library says, while `domain` was validated where one was.
    pub(super) fn of(error: AcmeError, challenge: Challenge, domain: Option<&str>) -> Self {
        match error {
            AcmeError::Api(problem) => Self::of_problem(&problem, challenge, domain),
            AcmeError::Timeout(_) => Self::new(
                Kind::Refused,
                "the CA has not come to a result in time",
                reach(challenge, domain),
            ),
            AcmeError::Json(error) => Self::new(
                Kind::Unreachable,
                format!("an answer of the CA cannot be understood: {error}"),
                "is acme.directory the URL of an ACME directory?",
            ),
            AcmeError::Crypto | AcmeError::KeyRejected => Self::new(
                Kind::Local,
                format!("the account's key cannot be used: {error}"),
                "move account.json out of acme.state_dir, so that a new account is made",
            ),
            error => Self::new(
                Kind::Unreachable,
                explain(&error),
                "is acme.directory right, may this machine connect there, and does \
                 acme.directory_ca (empty: this machine) trust it?",
            ),
        }
    }

    /// From the CA's own words.
    pub(super) fn of_problem(
        problem: &Problem,
        challenge: Challenge,
        domain: Option<&str>,
    ) -> Self {
        let kind = kind_of(problem);
        let detail = problem.detail.as_deref().unwrap_or("no reason given");
        let of = domain
            .map(|domain| format!("{domain}: "))
            .unwrap_or_default();
        let mut what = format!("{of}{} ({kind})", clean(detail));
        for sub in problem.subproblems.iter().take(3) {
            what = format!("{what}; {}", clean(&sub.to_string()));
        }
        let is_theirs = problem.status.is_some_and(|status| status >= 500);
        let class = match kind {
            "rateLimited" => Kind::RateLimited,
            "serverInternal" => Kind::Unreachable,
            _ if is_theirs => Kind::Unreachable,
            _ => Kind::Refused,
        };
        Self {
            is_account_lost: kind == "accountDoesNotExist",
            ..Self::new(class, what, advice(kind, challenge, domain))
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::new(
            Kind::Local,
            explain(&error),
            "no certificate is ordered that could not be kept",
        )
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(Kind::Local, explain(&error), "see acme.directory_ca")
    }
}

impl From<answers::Error> for Failure {
    fn from(error: answers::Error) -> Self {
        Self::new(
            Kind::Local,
            explain(&error),
            "this should not happen: report it",
        )
    }
}

/// The problem's type, without what is before each.
pub(super) fn kind_of(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or("unknown");
    kind.strip_prefix(PROBLEM_PREFIX).unwrap_or("unknown")
}

/// What to do about each type of problem, RFC 8555 §6.7.
fn advice(kind: &str, challenge: Challenge, domain: Option<&str>) -> String {
    let name = domain.unwrap_or("each of acme.domains");
    match kind {
        "dns" => format!(
            "DNS: give {name} an A or AAAA record of this machine, and wait until it is known"
        ),
        "connection" => reach(challenge, domain),
        "tls" | "unauthorized" | "incorrectResponse" => format!(
            "the CA did not find our answer: {name} must lead to this machine alone (no CDN, no \
             other server, no AAAA record of another), and its port {} to this process",
            challenge.port()
        ),
        "caa" => format!(
            "DNS: the CAA records of {name} (or of a parent) permit other CAs only: add one for \
             this CA, such as `0 issue \"letsencrypt.org\"`"
        ),
        "rateLimited" => "the CA's rate limit: wait, it is tried again by itself; for trials use \
                          the CA's staging directory"
            .to_owned(),
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            format!("this CA gives no certificate for {name}: mend acme.domains")
        }
        "externalAccountRequired" => {
            "this CA wants an account of its own: set acme.eab_kid and acme.eab_hmac_file"
                .to_owned()
        }
        "invalidContact" | "unsupportedContact" => {
            "mend acme.contact: addresses like \"mailto:ops@example.com\"".to_owned()
        }
        "userActionRequired" => {
            "the CA wants its account's owner to act: follow the link above".to_owned()
        }
        "serverInternal" => "the CA has trouble: it is tried again by itself".to_owned(),
        _ => "see what the CA says, and its documentation".to_owned(),
    }
}

fn reach(challenge: Challenge, domain: Option<&str>) -> String {
    let name = domain.unwrap_or("each of acme.domains");
    let port = challenge.port();
    format!(
        "the CA must reach port {port} of every address of {name} (A and AAAA) from the \
         internet: open it in the firewall, and forward it where this process listens elsewhere"
    )
}

/// An error and what caused it, in one line.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    clean(&text)
}

/// One line of bounded length.
fn clean(text: &str) -> String {
    let visible = text.chars().take(MAX_DETAIL);
    let visible = visible.map(|c| if c.is_control() { ' ' } else { c });
    visible.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_problem_has_its_class_and_says_what_to_do() {
        for (kind, status, class, expected) in [
            (
                "dns",
                400,
                Kind::Refused,
                "give a.example an A or AAAA record",
            ),
            (
                "connection",
                400,
                Kind::Refused,
                "port 80 of every address of a.example",
            ),
            (
                "unauthorized",
                403,
                Kind::Refused,
                "the CA did not find our answer",
            ),
            ("caa", 403, Kind::Refused, "CAA records of a.example"),
            ("rateLimited", 429, Kind::RateLimited, "staging"),
            (
                "serverInternal",
                500,
                Kind::Unreachable,
                "tried again by itself",
            ),
            (
                "externalAccountRequired",
                403,
                Kind::Refused,
                "acme.eab_kid",
            ),
            ("somethingNew", 400, Kind::Refused, "see what the CA says"),
            (
                "somethingNew",
                503,
                Kind::Unreachable,
                "see what the CA says",
            ),
        ] {
            let json = format!(
                "{{\"type\": \"{PROBLEM_PREFIX}{kind}\", \"detail\": \"why\", \"status\": {status}}}"
            );
            let failure =
                Failure::of_problem(&problem(&json), Challenge::Http01, Some("a.example"));
            assert_eq!(failure.kind, class, "{kind}");
            assert_eq!(failure.what, format!("a.example: why ({kind})"));
            assert!(failure.advice.contains(expected), "{}", failure.advice);
        }
    }

    #[test]
    fn what_a_ca_says_is_one_line_of_bounded_length() {
        let long = format!("a\\nb{}", "x".repeat(10_000));
        let json = format!("{{\"detail\": \"{long}\"}}");
        let failure = Failure::of_problem(&problem(&json), Challenge::TlsAlpn01, None);
        assert!(failure.what.starts_with("a b"), "{}", failure.what);
        assert!(failure.what.len() < MAX_DETAIL + 50);
        assert!(failure.what.ends_with("(unknown)"));
    }
}
