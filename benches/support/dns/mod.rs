//! Name servers under load: `inlet-edge` and gdnsd with the same database, the same
//! points of presence and the same queries, each on one core.

use tests::rig::gdnsd::Datacentre;

mod load;
mod server;

pub use load::{Edns, Load, Run, amplification};
pub use server::{Kind, Stand};

/// The core that servers have.
pub const SERVER_CORE: usize = 1;
/// The core that queries come from.
pub const LOAD_CORE: usize = 0;

/// Points of presence: name, degrees north, degrees east, address.
pub const POPS: [Datacentre; 6] = [
    Datacentre::new("fra", 50.11, 8.68, [192, 0, 2, 1]),
    Datacentre::new("iad", 38.95, -77.45, [192, 0, 2, 2]),
    Datacentre::new("sea", 47.61, -122.33, [192, 0, 2, 3]),
    Datacentre::new("tyo", 35.68, 139.69, [192, 0, 2, 4]),
    Datacentre::new("sin", 1.35, 103.99, [192, 0, 2, 5]),
    Datacentre::new("gru", -23.55, -46.63, [192, 0, 2, 6]),
];

/// The zone, and the steered name in it.
pub const ZONE: &str = "inlet.test";
/// See [`ZONE`].
pub const NAME: &str = "whip.inlet.test";
