//! From OpenSSL's errors to why a handshake failed.

use openssl::{
    error::ErrorStack,
    ssl::{Error, ErrorCode, SslAlert},
};

use crate::whip::session::dtls::Failure;

/// `ERR_LIB_SSL` of `err.h`: other parts count their reasons from 1 too.
const SSL: i32 = 20;

/// `sslerr.h`; stable, since applications compare them.
mod code {
    pub(super) const NO_SHARED_CIPHER: i32 = 193;
    pub(super) const NO_SHARED_GROUPS: i32 = 410;
    pub(super) const NO_SUITABLE_SIGNATURE: i32 = 118;
    pub(super) const WRONG_SIGNATURE_TYPE: i32 = 370;
    pub(super) const NO_SHARED_SIGNATURES: i32 = 376;
    pub(super) const UNSUPPORTED_PROTOCOL: i32 = 258;
    pub(super) const WRONG_VERSION: i32 = 267;
    pub(super) const VERSION_TOO_LOW: i32 = 396;
    pub(super) const NO_CERTIFICATE: i32 = 199;
    pub(super) const VERIFY_FAILED: i32 = 134;
    pub(super) const KEY_TOO_SMALL: i32 = 399;
    pub(super) const BAD_CERTIFICATE_TYPE: i32 = 247;
}

/// The first error that says more than that the protocol was broken.
pub(super) fn reason(error: &Error) -> Failure {
    if error.code() == ErrorCode::ZERO_RETURN {
        return Failure::PeerClosed;
    }
    let errors = error.ssl_error().map_or(&[][..], ErrorStack::errors);
    let of_ssl = errors.iter().filter(|error| error.library_code() == SSL);
    let codes = of_ssl.map(|error| error.reason_code());
    codes
        .map(|code| match code {
            code::NO_SHARED_CIPHER
            | code::NO_SHARED_GROUPS
            | code::NO_SUITABLE_SIGNATURE
            | code::WRONG_SIGNATURE_TYPE
            | code::NO_SHARED_SIGNATURES => Failure::Cipher,
            code::UNSUPPORTED_PROTOCOL | code::WRONG_VERSION | code::VERSION_TOO_LOW => {
                Failure::Version
            }
            code::NO_CERTIFICATE
            | code::VERIFY_FAILED
            | code::KEY_TOO_SMALL
            | code::BAD_CERTIFICATE_TYPE => Failure::Certificate,
            // 0 would be a close_notify.
            code if SslAlert::from_reason_code(code).is_some() => Failure::PeerAlert,
            _ => Failure::Protocol,
        })
        .find(|failure| *failure != Failure::Protocol)
        .unwrap_or(Failure::Protocol)
}
