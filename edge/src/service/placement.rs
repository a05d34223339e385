//! The fleet as the placement adviser sees it: where clients are, and where points of
//! presence stand.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use inlet_common::clock;

use super::fleet::Known;
use crate::{
    dns::{
        World,
        fleet::{Pop, Service},
        geo::Place,
    },
    placement::{Atlas, Seen, Spot, Tally},
};

/// An empty tally of this edge's presenters.
pub(super) fn tally(known: &Arc<Known>) -> Arc<Tally> {
    let atlas = Arc::clone(known) as Arc<dyn Atlas>;
    Arc::new(Tally::new(atlas, clock::utc()))
}

impl Atlas for Known {
    fn spot(&self, client: IpAddr) -> Spot {
        let near = self.world().near.explain(client);
        let place = near.whereabouts.place();
        Spot {
            country: near.facts.country,
            asn: near.facts.asn,
            place: place.map(Place::rounded),
        }
    }

    fn is_of_fleet(&self, address: IpAddr) -> bool {
        let world = self.world();
        let pops = world.fleet.pops().iter();
        pops.flat_map(Pop::addresses).any(|known| known == address)
    }
}

/// The fleet's file does not have this point of presence, so that nobody knows where it
/// stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fleet's file has no point of presence {0}: name it there as in pop.name")]
pub(super) struct Nowhere(Arc<str>);

/// What `tally` has seen up to now.
///
/// # Errors
///
/// [`Nowhere`].
pub(super) fn seen(known: &Known, tally: &Tally) -> Result<Seen, Nowhere> {
    let world = known.world();
    let pops = pops(&world);
    if !pops.contains_key(&*world.name) {
        return Err(Nowhere(Arc::clone(&world.name)));
    }
    Ok(Seen {
        pop: world.name.to_string(),
        since: tally.since(),
        at: clock::utc(),
        pops,
        rows: tally.rows(),
    })
}

/// Those that presenters can be steered to, and this one, which has them.
fn pops(world: &World) -> BTreeMap<String, Place> {
    let pops = world.fleet.pops().iter();
    let takes = |pop: &&Pop| pop.services.contains(&Service::Whip) || pop.name == *world.name;
    let pops = pops.filter(takes);
    pops.map(|pop| (pop.name.clone(), pop.site.place)).collect()
}
