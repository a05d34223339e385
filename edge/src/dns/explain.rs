//! Why a client is sent where it is sent: the slow way to the same answer, for the
//! operator who asks.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    World,
    client::Client,
    fleet::{Family, Pop, Service},
    geo::{Embedded, PopId, Rule, Whereabouts},
    steer::{self, Board, Choice},
    wire::{Name, NameBuf, NameError},
    zone::{Data, Found},
};

/// An explanation, in words and numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// The client.
    pub client: IpAddr,
    /// What its IPv6 address was taken for, when it has an IPv4 address inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_up_as: Option<String>,
    /// The network that the same holds for: the scope of an answer to it.
    pub network: String,
    /// What each database says.
    pub databases: Vec<Said>,
    /// Where the client is taken to be, and how that is known.
    pub whereabouts: String,
    /// Which rule made its list.
    pub rule: String,
    /// The list, the best first.
    pub ranked: Vec<Ranked>,
    /// Where it is sent, for each service and family.
    pub answers: Vec<Answer>,
}

/// What a database says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Said {
    /// Its kind.
    pub database: String,
    /// The network that it says something of.
    pub network: String,
    /// What it says.
    pub facts: String,
}

/// A point of presence of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Its name.
    pub pop: String,
    /// How far it is, without its bias; `None` where the client's place is unknown.
    pub distance_km: Option<u32>,
    /// How it does, for each service that it has.
    pub standing: Vec<String>,
}

/// Where a client is sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// For which service.
    pub service: &'static str,
    /// By which type of address record.
    pub family: &'static str,
    /// To which point of presence.
    pub pop: String,
    /// Why that one of the list.
    pub why: &'static str,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A name that nobody is steered by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no name at all.
    #[error("{0} {1}")]
    Name(String, NameError),
    /// It is the same for every client, or not there.
    #[error("{0} is no steered name of this fleet: every client is told the same of it")]
    NotSteered(String),
}

/// Explains where `client` is sent; `name` narrows that to what it asks for.
///
/// # Errors
///
/// [`Error`] for a name that is not steered.
pub fn explain(
    world: &World,
    board: &Board,
    client: IpAddr,
    name: Option<&str>,
) -> Result<Explained, Error> {
    let services = match name {
        Some(name) => vec![service_of(world, name)?],
        None => Service::ALL.to_vec(),
    };
    let near = world.near.explain(client);
    let seen = Client::whole(world, client);
    let network = IpNet::new(client, seen.scope).map_or(near.network, |network| network.trunc());
    let (list, key) = (seen.ranked.as_slice(), seen.key);
    let mut answers = Vec::new();
    for service in services {
        for family in Family::ALL {
            let choice = steer::choose(&world.fleet, board, list, service, family, key);
            answers.extend(choice.and_then(|choice| answer(world, service, family, choice)));
        }
    }
    let said = near.said.iter().map(|said| Said {
        database: said.database.clone(),
        network: said.network.to_string(),
        facts: facts(&said.facts),
    });
    let ranked = near.choices.iter().filter_map(|choice| {
        let pop = world.fleet.pop(choice.pop)?;
        let services = pop.services.iter();
        let standing = services.flat_map(|service| standings(board, choice.pop, pop, *service));
        Some(Ranked {
            pop: pop.name.clone(),
            // Distances on earth have five digits.
            distance_km: choice.distance_km.map(|km| km.round() as u32),
            standing: standing.collect(),
        })
    });
    Ok(Explained {
        client,
        looked_up_as: near.embedded.map(looked_up_as),
        network: network.to_string(),
        databases: said.collect(),
        whereabouts: whereabouts(near.whereabouts),
        rule: rule(near.rule, near.whereabouts),
        ranked: ranked.collect(),
        answers,
    })
}

/// How a service does: by each family that it has, where that differs.
fn standings(board: &Board, id: PopId, pop: &Pop, service: Service) -> Vec<String> {
    let families = Family::ALL.into_iter();
    let families = families.filter(|family| pop.has(service, *family));
    let families: Vec<_> = families
        .map(|family| (family, board.get(id, service, family)))
        .collect();
    let name = service.as_str();
    match &families[..] {
        [(_, one)] => vec![format!("{name} {one}")],
        [(_, one), (_, other)] if one == other => vec![format!("{name} {one}")],
        apart => apart
            .iter()
            .map(|(family, standing)| format!("{name} {} {standing}", family.record()))
            .collect(),
    }
}

fn service_of(world: &World, name: &str) -> Result<Service, Error> {
    let parsed: Name = name
        .parse()
        .map_err(|error| Error::Name(name.to_owned(), error))?;
    let steered = match world.zones.find(&NameBuf::from(&parsed)) {
        Found::Node(_, node) => node.sets().iter().find_map(|set| match set.data {
            Data::Steered(service) => Some(service),
            Data::Fixed(_) | Data::Https(..) => None,
        }),
        Found::NoName(_) | Found::Elsewhere => None,
    };
    steered.ok_or_else(|| Error::NotSteered(name.to_owned()))
}

fn answer(world: &World, service: Service, family: Family, choice: Choice) -> Option<Answer> {
    let pop = world.fleet.pop(choice.pop)?;
    let is_asked = |ip: &IpAddr| Family::of(*ip) == family;
    Some(Answer {
        service: service.as_str(),
        family: family.record(),
        pop: pop.name.clone(),
        why: choice.why.in_words(),
        addresses: pop.addresses().filter(is_asked).collect(),
    })
}

fn looked_up_as(embedded: Embedded) -> String {
    let way = match embedded {
        Embedded::Mapped => "IPv4-mapped",
        Embedded::Nat64 => "NAT64",
        Embedded::SixToFour => "6to4",
        Embedded::Teredo => "Teredo",
    };
    format!("the IPv4 address inside ({way})")
}

fn facts(facts: &super::geo::Facts) -> String {
    let parts = [
        facts.country.map(|code| format!("country {code}")),
        facts.continent.map(|code| format!("continent {code}")),
        facts.asn.map(|number| format!("AS{number}")),
        facts
            .place
            .map(|place| format!("{:.2}°, {:.2}°", place.latitude(), place.longitude())),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    }
}

fn whereabouts(whereabouts: Whereabouts) -> String {
    let how = match whereabouts {
        Whereabouts::Located(_) => "coordinates of its network",
        Whereabouts::AsnCentre(_) => "centre of its autonomous system's other networks",
        Whereabouts::CountryCentre(_) => "centre of its country",
        Whereabouts::Unknown => return "unknown".to_owned(),
    };
    let place = whereabouts.place();
    let place = place.map(|place| format!("{:.2}°, {:.2}°", place.latitude(), place.longitude()));
    format!("{} ({how})", place.unwrap_or_default())
}

fn rule(rule: Rule, whereabouts: Whereabouts) -> String {
    match (rule, whereabouts) {
        (Rule::Network, _) => "override for its network".to_owned(),
        (Rule::Asn(number), _) => format!("override for AS{number}"),
        (Rule::Country(code), _) => format!("override for country {code}"),
        (Rule::Continent(code), _) => format!("override for continent {code}"),
        (Rule::Nearness, Whereabouts::Unknown) => "default list".to_owned(),
        (Rule::Nearness, _) => "the nearest".to_owned(),
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "client       {}", self.client)?;
        if let Some(as_what) = &self.looked_up_as {
            writeln!(f, "looked up as {as_what}")?;
        }
        writeln!(f, "network      {}, which is told the same", self.network)?;
        for said in &self.databases {
            writeln!(f, "{}: {} of {}", said.database, said.facts, said.network)?;
        }
        writeln!(f, "whereabouts  {}", self.whereabouts)?;
        writeln!(f, "rule         {}", self.rule)?;
        for (place, ranked) in self.ranked.iter().enumerate() {
            let distance = ranked.distance_km;
            let distance = distance.map_or(String::new(), |km| format!(", {km} km"));
            let standing = ranked.standing.join(", ");
            writeln!(f, "{:>11}. {}{distance}: {standing}", place + 1, ranked.pop)?;
        }
        for answer in &self.answers {
            let addresses: Vec<String> = answer.addresses.iter().map(IpAddr::to_string).collect();
            writeln!(
                f,
                "{:<4} {:<4}    {} {}: {}",
                answer.service,
                answer.family,
                answer.pop,
                addresses.join(" "),
                answer.why
            )?;
        }
        Ok(())
    }
}
