//! Behaviour of the engine, one file each, under virtual time.
//!
//! `rig` holds the workers and plays their driver, `went` tells where data went,
//! `caller` is a client, and `model` is what `random` compares with.

mod allocate;
mod caller;
mod capacity;
mod channels;
mod connect;
mod connection_bind;
mod credentials;
mod data;
mod families;
mod hairpin;
mod model;
mod operations;
mod peers;
mod permissions;
mod port_wishes;
mod random;
mod refresh;
mod refusals;
mod rig;
mod strangers;
mod went;

use self::{
    caller::{Answer, Caller},
    rig::Rig,
    went::Went,
};
