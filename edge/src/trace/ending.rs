//! Why a session ended, in words for its presenter.

use inlet_common::{reason::ReasonCode, roq::control::CloseReason};

/// What a presenter is told at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The reason code that a new offer would be refused with; `None` where it
    /// would not be for this reason.
    pub code: Option<ReasonCode>,
    /// In words.
    pub message: &'static str,
    /// Whether to try again makes sense.
    pub may_retry: bool,
}

/// What `reason` means to the presenter.
pub const fn of(reason: CloseReason) -> Ending {
    let (code, message, may_retry) = match reason {
        CloseReason::Deleted => (None, "You have ended the stream.", false),
        CloseReason::DtlsClosed => (None, "Your side has closed the connection.", false),
        CloseReason::Timeout => (None, "Nothing came from you any more.", true),
        CloseReason::NeverConnected => (
            None,
            "No connection for media came up: your network may pass neither UDP nor TCP to here.",
            true,
        ),
        CloseReason::Replaced => (
            None,
            "A newer session of this stream has taken its place.",
            false,
        ),
        CloseReason::TokenReset => (
            Some(ReasonCode::WrongToken),
            "The stream's token was reset: ask for the new address.",
            false,
        ),
        CloseReason::Deactivated => (
            Some(ReasonCode::NotActive),
            "The stream was switched off.",
            false,
        ),
        CloseReason::StreamDeleted => (
            Some(ReasonCode::StreamNotFound),
            "The stream was deleted.",
            false,
        ),
        CloseReason::Draining => (
            Some(ReasonCode::Draining),
            "This server is about to stop: another one will take you.",
            true,
        ),
        CloseReason::LinkLost => (
            Some(ReasonCode::NoOrigin),
            "This server has lost its way to the origin.",
            true,
        ),
        CloseReason::Internal | CloseReason::Other => {
            (None, "Something went wrong on this server.", true)
        }
    };
    Ending {
        code,
        message,
        may_retry,
    }
}
