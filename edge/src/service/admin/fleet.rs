//! What was heard of the points of presence, and how they are taken to do, for whoever
//! wonders where clients are sent and why.

use std::collections::BTreeMap;

use axum::{Json, Router, extract::State, routing::get};
use inlet_common::{clock, roq::pop::EXPIRY};
use serde::Serialize;

use super::Admin;
use crate::{dns::health::Forced, fleet::Heard, service::fleet::Judged};

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/fleet", get(fleet))
}

#[derive(Serialize)]
struct Listing {
    pops: Vec<Pop>,
}

/// `null` everywhere is what nothing was heard of.
#[derive(Default, Serialize)]
struct Pop {
    name: String,
    is_draining: Option<bool>,
    /// It has lost its origin, and can take no presenters.
    is_cut_off: Option<bool>,
    /// Share of what it can carry, from 0 to 1; `null` when it takes no presenters.
    whip: Option<f64>,
    /// The same of its TURN server.
    turn: Option<f64>,
    /// Since its report came to the origin, or it was asked.
    age_seconds: Option<f64>,
    /// What an operator says of it: `in` or `out`.
    forced: Option<&'static str>,
    /// How it is taken to do, by service and address family; `null` when it does not
    /// stand in the fleet's file.
    standing: Option<BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>>,
}

async fn fleet(State(admin): State<Admin>) -> Json<Listing> {
    let mut pops: BTreeMap<String, Pop> = BTreeMap::new();
    let judged = admin.fleet.iter().flat_map(|known| known.judged());
    for judged in judged {
        pops.insert(judged.name.clone(), Pop::of(judged));
    }
    let now = clock::now();
    for (name, heard) in &*admin.reports.heard() {
        if heard.age(now) <= EXPIRY {
            let pop = pops.entry(name.to_string()).or_default();
            pop.name = name.to_string();
            pop.hear(heard, heard.age(now).as_millis());
        }
    }
    Json(Listing {
        pops: pops.into_values().collect(),
    })
}

impl Pop {
    fn of(judged: Judged) -> Self {
        let mut standing = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (service, family, how) in judged.standings {
            let families = standing.entry(service.as_str()).or_default();
            families.insert(family.as_str(), how.as_str());
        }
        Self {
            name: judged.name,
            forced: judged.forced.map(|forced| match forced {
                Forced::In => "in",
                Forced::Out => "out",
            }),
            standing: Some(standing),
            ..Self::default()
        }
    }

    fn hear(&mut self, heard: &Heard, age_millis: u128) {
        let report = heard.report;
        self.is_draining = Some(report.is_draining);
        self.is_cut_off = Some(report.is_cut_off);
        self.whip = report.loads.whip.map(f64::from);
        self.turn = report.loads.turn.map(f64::from);
        // Milliseconds are more than the way to the origin leaves exact.
        self.age_seconds = Some(age_millis as f64 / 1e3);
    }
}
