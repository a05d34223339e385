//! What a systemd service needs around its engines; both binaries use all of
//! it, and nothing in here knows of media.
//!
//! | module | holds |
//! |---|---|
//! | [`tls`] | certificates that reload, rustls configurations for TCP and QUIC |
//! | [`listener`] | TCP and TLS in front of an axum router, of TURN, or of both |
//! | [`metrics`] | the Prometheus recorder, `/metrics`, process figures |
//! | [`admin`] | health, readiness, and what only an operator may call |
//! | [`signals`] | SIGTERM, SIGINT and SIGHUP |
//! | [`systemd`] | READY, STOPPING, STATUS, and a watchdog that tells the truth |
//! | [`logging`] | human on a terminal, JSON elsewhere |
//! | [`credential`] | secrets from files |

pub mod admin;
pub mod credential;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod signals;
pub mod systemd;
pub mod tls;
