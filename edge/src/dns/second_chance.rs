//! The second chance: where a presenter should have gone, now that its true address is
//! seen.
//!
//! DNS chooses by the resolver's word or the resolver's place; the POST of WHIP shows
//! who it really is. It is sent on only where that is clearly worth a round trip.

use std::net::IpAddr;

use super::{
    World,
    client::Client,
    fleet::{Family, Service},
    geo::{PopId, Rule},
    steer::{self, Board, Choice, Standing, Why},
};

/// Kilometres that must be saved: some 3 ms of light in glass there and back, and more
/// than databases err.
const MIN_GAIN_KM: f64 = 300.0;

/// Share of the way that must be saved: who is far from both gains little.
const MIN_GAIN_SHARE: f64 = 0.25;

/// The better point of presence for a presenter at `client` who came to `own`; `None`
/// when it is in the right place, or nobody knows a better one. One who `is_refused`
/// here goes to the best other one.
pub fn better(
    world: &World,
    board: &Board,
    own: PopId,
    client: IpAddr,
    is_refused: bool,
) -> Option<PopId> {
    let client = client.to_canonical();
    let family = Family::of(client);
    let near = world.near.explain(client);
    let Client { ranked, key, .. } = Client::whole(world, client);
    let list = ranked.as_slice();
    let mut seen = board.clone();
    if is_refused {
        seen.set(own, Service::Whip, family, Standing::Down);
    }
    let Choice { pop, why } = steer::choose(&world.fleet, &seen, list, Service::Whip, family, key)?;
    if pop == own || why == Why::Regardless {
        return None;
    }
    if is_refused {
        return Some(pop);
    }
    // Shed or failed over: the one that it came to is as good.
    if why != Why::First {
        return None;
    }
    if near.rule != Rule::Nearness {
        // An operator's word.
        return Some(pop);
    }
    let place = near.whereabouts.place()?;
    let km = |pop| Some(world.fleet.pop(pop)?.site.place.distance_km(place));
    let (here, there) = (km(own)?, km(pop)?);
    (here - there >= MIN_GAIN_KM.max(here * MIN_GAIN_SHARE)).then_some(pop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use inlet_common::clock::UtcTime;

    use super::*;
    use crate::dns::{
        geo::{Database, Loaded, Table},
        tests::world,
    };

    /// The fleet of the tests (Frankfurt, Washington, Singapore), with MaxMind's city
    /// database.
    fn with_places() -> (World, Board) {
        let mut world = world();
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/data/mmdb/GeoIP2-City-Test.mmdb"
        );
        let now = UtcTime::from_unix_micros(i64::MAX);
        let database = Arc::new(Database::open(path.as_ref(), now).unwrap());
        let plan = Arc::clone(&world.near.plan);
        let databases = vec![database];
        world.near = Loaded {
            table: Arc::new(Table::compile(&plan, &databases).unwrap()),
            plan,
            databases,
        };
        let board = Board::open(world.fleet.pops().len());
        (world, board)
    }

    const LONDON: &str = "81.2.69.160";
    const SEATTLE: &str = "216.160.83.56";

    fn sent(world: &World, board: &Board, own: &str, client: &str, is_refused: bool) -> String {
        let own = world.fleet.find(own).unwrap();
        let pop = better(world, board, own, client.parse().unwrap(), is_refused);
        let pop = pop.and_then(|pop| world.fleet.pop(pop));
        pop.map_or("stays", |pop| &pop.name).to_owned()
    }

    #[test]
    fn who_came_to_a_far_one_is_sent_to_a_near_one() {
        let (world, board) = with_places();
        assert_eq!(sent(&world, &board, "iad", LONDON, false), "fra");
        assert_eq!(sent(&world, &board, "fra", LONDON, false), "stays");
        assert_eq!(sent(&world, &board, "fra", SEATTLE, false), "iad");
        assert_eq!(
            sent(&world, &board, "sin", "::ffff:81.2.69.160", false),
            "fra"
        );
    }

    #[test]
    fn nobody_is_sent_to_one_that_is_ill() {
        let (world, mut board) = with_places();
        let fra = world.fleet.find("fra").unwrap();
        board.set(fra, Service::Whip, Family::V4, Standing::Down);
        assert_eq!(sent(&world, &board, "iad", LONDON, false), "stays");
    }

    #[test]
    fn who_cannot_be_taken_goes_to_the_next_best() {
        let (world, mut board) = with_places();
        assert_eq!(sent(&world, &board, "iad", LONDON, true), "fra");
        let elsewhere = sent(&world, &board, "fra", LONDON, true);
        assert_ne!(elsewhere, "stays");
        for id in world.fleet.ids() {
            board.set(id, Service::Whip, Family::V4, Standing::Down);
        }
        assert_eq!(sent(&world, &board, "fra", LONDON, true), "stays");
    }

    #[test]
    fn whose_place_is_unknown_stays_and_an_override_counts() {
        let (world, board) = with_places();
        assert_eq!(sent(&world, &board, "sin", "192.0.2.7", false), "stays");
        assert_eq!(sent(&world, &board, "iad", "10.2.0.1", false), "stays");
        assert_eq!(sent(&world, &board, "fra", "10.2.0.1", false), "iad");
    }
}
