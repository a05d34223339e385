//! Why a client is sent where it is sent, for the operator who asks.
//!
//! A slow way to the same list: it asks each database anew, and shares with the table
//! what decides, [`Plan::rule`], [`Centres`](super::whereabouts) and [`Plan::rank`].

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    database::{Database, network},
    embedded::Embedded,
    facts::Facts,
    plan::{ListId, Plan, Rule},
    ranking::PopId,
    table::{Found, Table},
    trie::Family,
    whereabouts::Whereabouts,
};

/// What a database says about a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The database's type, such as `GeoLite2-City`.
    pub database: String,
    /// The network that this is said of; neighbours of which the same is said are one.
    pub network: IpNet,
    /// What is said.
    pub facts: Facts,
}

/// A point of presence of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Which one.
    pub pop: PopId,
    /// How far it is from where the client is taken to be, without its bias, in km;
    /// `None` if that is not known.
    pub distance_km: Option<f64>,
}

/// Why a client is sent where it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The address that was asked for.
    pub address: IpAddr,
    /// Which way an IPv4 address is inside, which was looked up in its place.
    pub embedded: Option<Embedded>,
    /// The network that the list holds for, in the family that was asked.
    pub network: IpNet,
    /// Which override put its list in front.
    pub rule: Rule,
    /// How it is known where the client is: what the rest of the list is by.
    pub whereabouts: Whereabouts,
    /// What each database says, in the order in which they are asked.
    pub said: Vec<Said>,
    /// What all of them say together.
    pub facts: Facts,
    /// The list, the best first.
    pub choices: Vec<Choice>,
}

impl Table {
    /// Explains the list of a client whose whole address is known. The plan and the
    /// databases are those that the table was compiled of.
    pub fn explain(
        &self,
        plan: &Plan,
        databases: &[Arc<Database>],
        address: IpAddr,
    ) -> Explanation {
        let (family, bits) = Family::bits(address);
        let embedded = Some(bits)
            .filter(|_| family == Family::V6)
            .and_then(Embedded::of);
        let looked_up = match embedded {
            Some(kind) => network(Family::V4, kind.take_out(bits), 32).addr(),
            None => address,
        };
        let said: Vec<Said> = databases
            .iter()
            .map(|database| say(database, looked_up))
            .collect();
        let facts = said
            .iter()
            .fold(Facts::default(), |facts, said| facts.or(&said.facts));
        let (in_family, in_bits) = Family::bits(looked_up);
        let (list, _) = plan.network_lists().find(in_family, in_bits);
        let (rule, _) = plan.rule(ListId(list), &facts);
        let whereabouts = self.centres().whereabouts(&facts);
        let Found { ranked, depth } = self.find(address);
        let choice = |&pop: &PopId| Choice {
            pop,
            distance_km: whereabouts
                .place()
                .and_then(|place| plan.distance_km(place, pop)),
        };
        Explanation {
            address,
            embedded,
            network: network(family, bits, depth),
            rule,
            whereabouts,
            said,
            facts,
            choices: ranked.as_slice().iter().map(choice).collect(),
        }
    }
}

fn say(database: &Database, address: IpAddr) -> Said {
    let (network, facts) = database.find(address);
    Said {
        database: database.kind().to_owned(),
        network,
        facts,
    }
}

#[cfg(test)]
mod tests;
