//! Random operations, against the model and for the sake of their junk.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    Caller, Rig,
    caller::new_transaction,
    model::{CALLERS, NUMBERS, PEERS, Step, World},
};
use crate::turn::wire::Method;

fn steps() -> impl Strategy<Value = (usize, Step)> {
    let peer = 0..PEERS.len();
    let step = prop_oneof![
        3 => (0_u8..6).prop_map(|shape| Step::Allocate { shape }),
        1 => prop::option::of(0_u32..2_000).prop_map(|lifetime| Step::Refresh { lifetime }),
        1 => Just(Step::Refresh { lifetime: Some(0) }),
        3 => peer.clone().prop_map(|peer| Step::Permit { peer }),
        2 => (0..NUMBERS, peer.clone()).prop_map(|(number, peer)| Step::Bind { number, peer }),
        4 => peer.clone().prop_map(|peer| Step::Send { peer }),
        3 => (0..NUMBERS).prop_map(|number| Step::SendOn { number }),
        4 => peer.prop_map(|peer| Step::Arrive { peer }),
        2 => (0..CALLERS).prop_map(|to| Step::Hairpin { to }),
        3 => (0_u64..400_000).prop_map(|millis| Step::Pass { millis }),
        3 => (0_u64..700_000).prop_map(|millis| Step::Lag { millis }),
        1 => Just(Step::Close),
    ];
    (0..CALLERS, step)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_as_the_model(steps in prop::collection::vec(steps(), 1..120)) {
        let mut world = World::new();
        for (index, step) in &steps {
            world.step(*index, step);
            world.probe();
            if !matches!(step, Step::Lag { .. }) {
                world.check();
            }
        }
        world.rig.assert_all_comes_back();
    }
}

#[test]
fn random_messages_of_a_believed_client_never_panic() {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    let (mut rig, mut anna) = (Rig::new(), Caller::anna().by_tcp(1));
    let mut rng = StdRng::seed_from_u64(5);
    let methods = [
        Method::Allocate,
        Method::Refresh,
        Method::CreatePermission,
        Method::ChannelBind,
        Method::Connect,
        Method::ConnectionBind,
    ];
    rig.greet(&mut anna);
    for _ in 0..20_000 {
        let method = methods[rng.random_range(0..methods.len())];
        let count = rng.random_range(0..5);
        let request = anna.request(method, new_transaction(), |encoder| {
            (0..count).fold(encoder, |encoder, _| {
                let kind = match rng.random_range(0..8_u16) {
                    0 => 0x8000 + rng.random_range(0..6_u16),
                    _ => rng.random_range(0..0x2B_u16),
                };
                let mut value = [0; 20];
                rng.fill(&mut value);
                let len = rng.random_range(0..=20_usize);
                encoder.raw_attribute(kind, &value[..len])
            })
        });
        rig.feed(&anna, &request);
        rig.sent.clear();
        rig.told.clear();
        rig.pass(Duration::from_millis(rng.random_range(0..50)));
    }
    rig.assert_all_comes_back();
}
