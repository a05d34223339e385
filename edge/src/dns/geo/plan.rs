//! What the operator says: where the points of presence are, and what goes before
//! nearness.
//!
//! A client's list is made in two steps. The most specific override that fits puts its
//! points of presence in front: a network goes before an autonomous system, that before
//! a country, and that before a continent; of networks the longest. Then the rest is
//! filled by nearness to where the client is, as far as that is known, else by the
//! default list.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

use super::{
    embedded::Embedded,
    facts::{Code, Facts},
    place::Place,
    ranking::{MAX_POPS, PopId, Ranked, Site, Sites},
    trie::{Family, Full, Prefix, Trie},
};

/// Overrides of all kinds that there may be together.
pub const MAX_OVERRIDES: usize = 65_536;

/// The largest bias, in km: half of the earth's circumference.
pub const MAX_BIAS_KM: f64 = 20_000.0;

/// Lists that go before nearness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// By client network; the longest counts.
    pub networks: Vec<(IpNet, Vec<PopId>)>,
    /// By the number of the client's autonomous system.
    pub asns: BTreeMap<u32, Vec<PopId>>,
    /// By country.
    pub countries: BTreeMap<Code, Vec<PopId>>,
    /// By continent.
    pub continents: BTreeMap<Code, Vec<PopId>>,
}

/// What is wrong with what the operator says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// There is nowhere to send anybody.
    #[error("there is no point of presence; name one at least")]
    NoSite,
    /// There are too many.
    #[error("there are more than {MAX_POPS} points of presence")]
    TooManySites,
    /// A bias is no number or too large.
    #[error("the bias of point of presence {0} is not from -{MAX_BIAS_KM} to {MAX_BIAS_KM} km")]
    Bias(PopId),
    /// A list names what does not exist.
    #[error("a list names point of presence {0}, which does not exist")]
    UnknownPop(PopId),
    /// An override changes nothing.
    #[error("the override for {0} names no point of presence; name one, or remove it")]
    EmptyList(String),
    /// A network has two lists.
    #[error("the network {0} has two overrides; remove one")]
    Twice(IpNet),
    /// Clients in there are looked up by their IPv4 address.
    #[error("clients in {0} are looked up by the IPv4 address inside; name the IPv4 network")]
    Embedded(IpNet),
    /// A continent that databases do not know.
    #[error("{0} is no continent; they are AF, AN, AS, EU, NA, OC and SA")]
    NoContinent(Code),
    /// There are too many.
    #[error("there are more than {MAX_OVERRIDES} overrides")]
    TooManyOverrides,
    /// They need too many nodes.
    #[error(transparent)]
    Full(#[from] Full),
}

/// Which override put a list in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// That of the client's network.
    Network,
    /// That of its autonomous system.
    Asn(u32),
    /// That of its country.
    Country(Code),
    /// That of its continent.
    Continent(Code),
    /// None.
    Nearness,
}

/// A list of an override, as a place in the plan; [`ListId::NONE`] is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ListId(pub(super) u32);

impl ListId {
    pub(super) const NONE: Self = Self(0);
}

/// What the operator says, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    sites: Sites,
    default: Vec<PopId>,
    lists: Vec<Vec<PopId>>,
    networks: Trie,
    asns: HashMap<u32, ListId>,
    countries: HashMap<Code, ListId>,
    continents: HashMap<Code, ListId>,
}

impl Plan {
    /// Checks what the operator says. `sites` has a place for each point of presence,
    /// in the order of their ids. `default` is for clients of whom nothing is known;
    /// what it leaves open is filled in the order of the ids.
    pub fn new(
        sites: &[Site],
        overrides: &Overrides,
        default: &[PopId],
    ) -> Result<Self, PlanError> {
        check_sites(sites)?;
        check_overrides(overrides)?;
        let mut plan = Self {
            sites: Sites::new(sites),
            default: Vec::new(),
            lists: vec![Vec::new()],
            networks: Trie::of(0),
            asns: HashMap::new(),
            countries: HashMap::new(),
            continents: HashMap::new(),
        };
        plan.check_list(default)?;
        plan.default = default.to_vec();
        plan.networks = plan.networks(&overrides.networks)?;
        plan.asns = plan.lists_of(&overrides.asns)?;
        plan.countries = plan.lists_of(&overrides.countries)?;
        plan.continents = plan.lists_of(&overrides.continents)?;
        Ok(plan)
    }

    /// The points of presence.
    pub fn pops(&self) -> impl Iterator<Item = PopId> {
        self.sites.ids()
    }

    /// Which list goes in front for a client whose network has the list `network`.
    pub(super) fn rule(&self, network: ListId, facts: &Facts) -> (Rule, ListId) {
        if network != ListId::NONE {
            return (Rule::Network, network);
        }
        let asn = facts
            .asn
            .and_then(|asn| Some((Rule::Asn(asn), *self.asns.get(&asn)?)));
        let country = || {
            let code = facts.country?;
            Some((Rule::Country(code), *self.countries.get(&code)?))
        };
        let continent = || {
            let code = facts.continent?;
            Some((Rule::Continent(code), *self.continents.get(&code)?))
        };
        asn.or_else(country)
            .or_else(continent)
            .unwrap_or((Rule::Nearness, ListId::NONE))
    }

    /// The list of a client: what goes in front, then the nearest to `place`, or, where
    /// that is not known, the default list.
    pub(super) fn rank(&self, front: ListId, place: Option<Place>) -> Ranked {
        let mut ranked = Ranked::default();
        let front = self.lists.get(front.0 as usize).into_iter().flatten();
        front.for_each(|&pop| ranked.push(pop));
        if let Some(place) = place {
            self.sites.fill_with_nearest(&mut ranked, place);
        } else {
            self.default.iter().for_each(|&pop| ranked.push(pop));
            self.sites.ids().for_each(|pop| ranked.push(pop));
        }
        ranked
    }

    /// The way from a place to a point of presence, without its bias, in km.
    pub(super) fn distance_km(&self, place: Place, pop: PopId) -> Option<f64> {
        self.sites.distance_km(place, pop)
    }

    /// The overrides by network; a leaf's value is a [`ListId`].
    pub(super) fn network_lists(&self) -> &Trie {
        &self.networks
    }

    fn networks(&mut self, networks: &[(IpNet, Vec<PopId>)]) -> Result<Trie, PlanError> {
        let mut prefixes = [Vec::new(), Vec::new()];
        for (net, list) in networks {
            let net = net.trunc();
            let (family, bits) = Family::bits(net.network());
            let len = net.prefix_len();
            if family == Family::V6 && Embedded::contains(bits, len).is_some() {
                return Err(PlanError::Embedded(net));
            }
            let ListId(value) = self.keep(net, list)?;
            prefixes[family as usize].push(Prefix { bits, len, value });
        }
        let [v4, v6] = prefixes;
        Ok(Trie::of_prefixes(v4, v6)?)
    }

    fn lists_of<K: Copy + Eq + std::hash::Hash + ToString>(
        &mut self,
        overrides: &BTreeMap<K, Vec<PopId>>,
    ) -> Result<HashMap<K, ListId>, PlanError> {
        let each = overrides.iter();
        each.map(|(&key, list)| Ok((key, self.keep(key, list)?)))
            .collect()
    }

    fn keep(&mut self, of: impl ToString, list: &[PopId]) -> Result<ListId, PlanError> {
        self.check_list(list)?;
        if list.is_empty() {
            return Err(PlanError::EmptyList(of.to_string()));
        }
        let id = u32::try_from(self.lists.len()).map_err(|_| PlanError::TooManyOverrides)?;
        self.lists.push(list.to_vec());
        Ok(ListId(id))
    }

    fn check_list(&self, list: &[PopId]) -> Result<(), PlanError> {
        let unknown = list
            .iter()
            .find(|pop| usize::from(pop.0) >= self.sites.len());
        unknown.map_or(Ok(()), |&pop| Err(PlanError::UnknownPop(pop)))
    }
}

fn check_sites(sites: &[Site]) -> Result<(), PlanError> {
    if sites.is_empty() {
        return Err(PlanError::NoSite);
    }
    if sites.len() > MAX_POPS {
        return Err(PlanError::TooManySites);
    }
    let sane = |site: &Site| (-MAX_BIAS_KM..=MAX_BIAS_KM).contains(&site.bias_km);
    let odd = (0..=u8::MAX).zip(sites).find(|(_, site)| !sane(site));
    odd.map_or(Ok(()), |(id, _)| Err(PlanError::Bias(PopId(id))))
}

fn check_overrides(overrides: &Overrides) -> Result<(), PlanError> {
    let all = overrides.networks.len()
        + overrides.asns.len()
        + overrides.countries.len()
        + overrides.continents.len();
    if all > MAX_OVERRIDES {
        return Err(PlanError::TooManyOverrides);
    }
    let mut networks: Vec<IpNet> = overrides
        .networks
        .iter()
        .map(|(net, _)| net.trunc())
        .collect();
    networks.sort_unstable();
    if let Some(pair) = networks.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(PlanError::Twice(pair[0]));
    }
    let odd = overrides
        .continents
        .keys()
        .find(|code| !code.is_continent());
    odd.map_or(Ok(()), |&code| Err(PlanError::NoContinent(code)))
}

#[cfg(test)]
mod tests;
