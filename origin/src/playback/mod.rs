//! Playback tokens: who may watch, and until when.
//!
//! ```text
//!  /cmaf/1_17/{token}/{expires}/master.m3u8
//!  └ prefix ┘
//!  token = base64url(HMAC-SHA256(secret, "{prefix}/{expires}"))             anybody with the URL
//!  token = base64url(HMAC-SHA256(secret, "{prefix}/{expires}/{address}"))   from this address alone
//! ```
//!
//! The two lie in the path, before the file, so that every relative URI in a
//! playlist or manifest inherits them. `expires` is in Unix seconds; `address`
//! an IPv4 or IPv6 address in its canonical text. A token opens one prefix:
//! that of CMAF does not open the transport streams.
//!
//! Pure but for [`Keys::load`]: time and addresses go in.

mod keys;
mod token;

pub use keys::{Error, Keys};
pub use token::{Credentials, Denied, Grant, Signed};
