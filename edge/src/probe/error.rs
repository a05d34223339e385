//! What a probe finds wrong.

use std::io;

use nix::errno::Errno;

use crate::turn::wire::ErrorCode;

/// Why a probe has failed; a closed set, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Error {
    /// No answer in time, or none that could be believed.
    #[error("no answer in time")]
    Timeout,
    /// There is no way there from here: no route, no address of this family, or this
    /// machine has no descriptor, no memory or no leave for a socket.
    #[error("there is no way there from here")]
    Unreachable,
    /// A router or a firewall on the way, or the target's own, says that nothing gets there.
    #[error("the network says that nothing gets there")]
    Rejected,
    /// Nobody listens at the port.
    #[error("nobody listens")]
    Refused,
    /// The connection broke off.
    #[error("the connection broke off")]
    Closed,
    /// TLS did not come about, for another reason than the certificate.
    #[error("no TLS")]
    Tls,
    /// The certificate is not valid, not for this name, or of nobody who is trusted.
    #[error("the certificate is not to be trusted")]
    Certificate,
    /// What came makes no sense in this protocol.
    #[error("an answer that makes no sense")]
    Protocol,
    /// An answer that ought to be signed was not, or with another key (RFC 8489
    /// §9.2.5).
    #[error("an answer that is not signed as it must be")]
    Integrity,
    /// The credential is refused: 401, 441.
    #[error("the credential is refused")]
    Unauthorized,
    /// 403: the server's policy.
    #[error("forbidden")]
    Forbidden,
    /// Its nonces are stale as soon as they are made: 438 twice.
    #[error("no nonce is ever fresh")]
    StaleNonce,
    /// 437: the server thinks that this client has an allocation.
    #[error("the port has an allocation already")]
    Mismatch,
    /// 500.
    #[error("the server has failed")]
    Server,
    /// 300: it sends clients elsewhere, since it drains or is full.
    #[error("it sends clients elsewhere")]
    Elsewhere,
    /// 486: too many allocations of this credential.
    #[error("too many allocations of this credential")]
    Quota,
    /// 508: it has no room, or drains.
    #[error("it has no room")]
    Capacity,
    /// It allocates, and nothing that is sent arrives.
    #[error("it does not relay")]
    Relay,
    /// HTTP says that it takes nobody now: 429, 503.
    #[error("it takes nobody now")]
    Unavailable,
    /// HTTP answers with another status than one of success.
    #[error("another status than one of success")]
    Status,
}

impl Error {
    /// Every error.
    pub const ALL: [Self; 20] = [
        Self::Timeout,
        Self::Unreachable,
        Self::Rejected,
        Self::Refused,
        Self::Closed,
        Self::Tls,
        Self::Certificate,
        Self::Protocol,
        Self::Integrity,
        Self::Unauthorized,
        Self::Forbidden,
        Self::StaleNonce,
        Self::Mismatch,
        Self::Server,
        Self::Elsewhere,
        Self::Quota,
        Self::Capacity,
        Self::Relay,
        Self::Unavailable,
        Self::Status,
    ];

    /// Its label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Integrity => "integrity",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::StaleNonce => "stale_nonce",
            Self::Mismatch => "mismatch",
            Self::Server => "server",
            Self::Elsewhere => "elsewhere",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::Relay => "relay",
            Self::Unavailable => "unavailable",
            Self::Status => "status",
        }
    }

    /// Whether it is alive and says itself that it takes nobody more: it drains, is full,
    /// or has no origin.
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::Elsewhere | Self::Capacity | Self::Unavailable)
    }

    /// Whether it tells of this end alone, and nothing of the target: there is no way, or
    /// the probes' own credential has all that it may have.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Unreachable | Self::Quota)
    }

    /// What a STUN or TURN error code means to a probe, which sends nothing that a
    /// sound server could find fault with.
    pub(super) const fn of_code(code: u16) -> Self {
        const fn is(code: u16, known: ErrorCode) -> bool {
            code == known.number()
        }
        match code {
            _ if is(code, ErrorCode::TryAlternate) => Self::Elsewhere,
            _ if is(code, ErrorCode::Unauthenticated) => Self::Unauthorized,
            _ if is(code, ErrorCode::WrongCredentials) => Self::Unauthorized,
            _ if is(code, ErrorCode::Forbidden) => Self::Forbidden,
            _ if is(code, ErrorCode::AllocationMismatch) => Self::Mismatch,
            _ if is(code, ErrorCode::StaleNonce) => Self::StaleNonce,
            _ if is(code, ErrorCode::AllocationQuotaReached) => Self::Quota,
            _ if is(code, ErrorCode::ServerError) => Self::Server,
            _ if is(code, ErrorCode::InsufficientCapacity) => Self::Capacity,
            _ => Self::Protocol,
        }
    }

    /// What a socket's error means, where there is a route: it was asked for before, so
    /// that "unreachable" comes from farther away.
    pub(super) fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        if is_of_this_machine(error) {
            return Self::Unreachable;
        }
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut => Self::Timeout,
            Kind::NetworkUnreachable | Kind::HostUnreachable => Self::Rejected,
            Kind::NetworkDown | Kind::AddrNotAvailable | Kind::Unsupported => Self::Unreachable,
            _ => Self::Closed,
        }
    }

    /// What an error of a handshake means.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::Certificate
            }
            _ if is_of_this_machine(error) => Self::Unreachable,
            _ => Self::Tls,
        }
    }
}

/// Whether this machine has not let a message out, or has no socket for it: descriptors,
/// buffers and memory run out here, and EPERM is a packet filter of our own.
fn is_of_this_machine(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EPERM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_differ() {
        let mut labels = Error::ALL.map(Error::as_str).to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Error::ALL.len());
    }

    /// A firewall in front of one port of a sound server must not pass for our own fault.
    #[test]
    fn what_the_network_says_of_the_target_counts_against_it() {
        for kind in [
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::NetworkUnreachable,
        ] {
            assert!(!Error::of_io(&kind.into()).is_local(), "{kind}");
        }
        for kind in [io::ErrorKind::AddrNotAvailable, io::ErrorKind::NetworkDown] {
            assert!(Error::of_io(&kind.into()).is_local(), "{kind}");
        }
    }

    /// Whoever has no descriptor left must not take the whole fleet out.
    #[test]
    fn what_this_machine_lacks_counts_against_nobody() {
        let lacks = [
            Errno::EMFILE,
            Errno::ENFILE,
            Errno::ENOBUFS,
            Errno::ENOMEM,
            Errno::EPERM,
        ];
        for errno in lacks {
            let error = || io::Error::from_raw_os_error(errno as i32);
            assert!(Error::of_io(&error()).is_local(), "{errno}");
            assert!(Error::of_tls(&error()).is_local(), "{errno}");
        }
        let reset = io::Error::from_raw_os_error(Errno::ECONNRESET as i32);
        assert_eq!(Error::of_io(&reset), Error::Closed);
        assert_eq!(Error::of_tls(&reset), Error::Tls);
    }

    #[test]
    fn who_drains_or_is_full_is_busy_and_not_broken() {
        for code in [300, 508] {
            assert!(Error::of_code(code).is_busy(), "{code}");
        }
        for code in [400, 401, 403, 437, 438, 441, 486, 500, 0] {
            assert!(!Error::of_code(code).is_busy(), "{code}");
        }
        assert!(Error::of_code(486).is_local(), "others have room");
    }
}
