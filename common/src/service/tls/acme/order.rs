//! One order, from the account to the chain
//! ([RFC 8555 §7.4](https://www.rfc-editor.org/rfc/rfc8555#section-7.4)).
//!
//! ```text
//!  new order ─▶ each authorization that is not valid yet: put the answer up, say
//!    ready ─▶ wait ─▶ finalize with a fresh key ─▶ wait ─▶ chain
//! ```
//!
//! Nothing here touches what is served.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error as AcmeError,
    Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;

use super::{
    answers::Resolver,
    failure::{Failure, kind_of},
    schedule::Kind,
};
use crate::config::acme::Challenge;

/// How long the CA may take to validate, and again to sign. It looks from several
/// places, and may take its time.
const WAIT: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.6)
    .timeout(Duration::from_secs(120));

/// What is ordered.
pub(super) struct Wish<'a> {
    pub(super) domains: &'a [String],
    pub(super) challenge: Challenge,
    /// The certificate that this one is for, where one shares a name.
    pub(super) replaces: Option<&'a CertificateDer<'a>>,
    pub(super) resolver: &'a Resolver,
}

/// Orders; the answer is chain and key as one PEM text.
pub(super) async fn place(account: &Account, wish: &Wish<'_>) -> Result<String, Failure> {
    let _answers = Forget(wish.resolver);
    let failure = |error| Failure::of(error, wish.challenge, None);
    let mut order = begin(account, wish).await.map_err(failure)?;
    if order.state().status == OrderStatus::Pending {
        answer(&mut order, wish).await?;
        let polled = order.poll_ready(&WAIT).await;
        if !matches!(polled, Ok(OrderStatus::Ready)) {
            return Err(reason(&mut order, wish, polled).await);
        }
    }
    let key = KeyPair::generate().map_err(unsigned)?;
    let mut params = CertificateParams::new(wish.domains.to_vec()).map_err(unsigned)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(unsigned)?;
    order.finalize_csr(request.der()).await.map_err(failure)?;
    let chain = order.poll_certificate(&WAIT).await.map_err(failure)?;
    Ok(format!("{}\n{}", chain.trim_end(), key.serialize_pem()))
}

/// Answers are up for as long as the order runs, however it ends.
struct Forget<'a>(&'a Resolver);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

/// Begins an order, telling the CA which certificate it replaces where the CA
/// understands that (RFC 9773 §5); that is a favour to it, never a condition.
async fn begin(account: &Account, wish: &Wish<'_>) -> Result<Order, AcmeError> {
    let names = wish.domains.iter().cloned().map(Identifier::Dns);
    let names: Vec<Identifier> = names.collect();
    let replaced = wish.replaces.map(CertificateIdentifier::try_from);
    if let Some(Ok(replaced)) = replaced {
        match account
            .new_order(&NewOrder::new(&names).replaces(replaced))
            .await
        {
            Ok(order) => return Ok(order),
            Err(AcmeError::Unsupported(_)) => {}
            Err(AcmeError::Api(problem))
                if matches!(kind_of(&problem), "alreadyReplaced" | "malformed") =>
            {
                tracing::debug!(%problem, "the CA does not take this for a renewal");
            }
            Err(error) => return Err(error),
        }
    }
    account.new_order(&NewOrder::new(&names)).await
}

/// Puts an answer up for each name that is not validated yet.
async fn answer(order: &mut Order, wish: &Wish<'_>) -> Result<(), Failure> {
    let failure = |error, domain: Option<&str>| Failure::of(error, wish.challenge, domain);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|error| failure(error, None))?;
        let domain = authorization.identifier().to_string();
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(kind(wish.challenge)) else {
            return Err(Failure::new(
                Kind::Refused,
                format!(
                    "{domain}: the CA does not offer {}",
                    wish.challenge.as_str()
                ),
                "choose another acme.challenge",
            ));
        };
        let key_authorization = challenge.key_authorization();
        let answer = key_authorization.as_str();
        match wish.challenge {
            Challenge::TlsAlpn01 => wish.resolver.answer_tls_alpn(&domain, answer)?,
            Challenge::Http01 => wish.resolver.answer_http(&challenge.token, answer),
        }
        let ready = challenge.set_ready().await;
        ready.map_err(|error| failure(error, Some(&domain)))?;
    }
    Ok(())
}

/// Why the order did not become ready: the CA says it at the challenge.
async fn reason(
    order: &mut Order,
    wish: &Wish<'_>,
    polled: Result<OrderStatus, AcmeError>,
) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut problems = state.challenges.iter().filter_map(|at| at.error.as_ref());
        if let Some(problem) = problems.next() {
            return Failure::of_problem(problem, wish.challenge, Some(&domain));
        }
    }
    match polled {
        Err(error) => Failure::of(error, wish.challenge, None),
        Ok(status) => Failure::new(
            Kind::Refused,
            format!("the order became {status:?}, without a reason"),
            "see the CA's documentation",
        ),
    }
}

const fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
    }
}

fn unsigned(error: rcgen::Error) -> Failure {
    Failure::new(
        Kind::Local,
        format!("the request for a certificate cannot be made: {error}"),
        "mend acme.domains",
    )
}
