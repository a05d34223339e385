//! What the name server counts.
//!
//! Threads count in plain integers of their own ([`Tally`]) and add to the shared
//! handles about once a second.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Unit, counter, gauge};

use super::{
    answer::{Answered, Transport},
    fleet::{Fleet, Service},
    geo::{Database, PopId},
    limit::Verdict,
    steer::{Choice, Why},
    wire::{Kind, Rcode},
};
use crate::metrics::described::{self, Described};

/// How often a thread adds what it has counted.
pub(super) const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

const TRANSPORTS: [(Transport, &str); 3] = [
    (Transport::Udp, "udp"),
    (Transport::Tcp, "tcp"),
    (Transport::Tls, "tls"),
];

const RCODES: [(Rcode, &str); 7] = [
    (Rcode::NOERROR, "noerror"),
    (Rcode::FORMERR, "formerr"),
    (Rcode::NXDOMAIN, "nxdomain"),
    (Rcode::NOTIMP, "notimp"),
    (Rcode::REFUSED, "refused"),
    (Rcode::BADVERS, "badvers"),
    (Rcode::BADCOOKIE, "badcookie"),
];

const KINDS: [(Option<Kind>, &str); 13] = [
    (Some(Kind::A), "A"),
    (Some(Kind::AAAA), "AAAA"),
    (Some(Kind::HTTPS), "HTTPS"),
    (Some(Kind::SRV), "SRV"),
    (Some(Kind::NS), "NS"),
    (Some(Kind::SOA), "SOA"),
    (Some(Kind::TXT), "TXT"),
    (Some(Kind::CAA), "CAA"),
    (Some(Kind::CNAME), "CNAME"),
    (Some(Kind::MX), "MX"),
    (Some(Kind::ANY), "ANY"),
    (None, "none"),
    // Stands for all that are not above.
    (Some(Kind(0)), "other"),
];

/// Types whose answers are steered. SRV records name points of presence by the steered
/// name, and are the same for everybody.
const STEERED_TYPES: [(Kind, &str); 3] =
    [(Kind::A, "A"), (Kind::AAAA, "AAAA"), (Kind::HTTPS, "HTTPS")];

/// Kinds of GeoIP databases, by what is in them.
const DATABASES: [&str; 3] = ["city", "country", "asn"];

const SERVICES: usize = Service::ALL.len();
const TYPES: usize = STEERED_TYPES.len();
const WHYS: usize = Why::ALL.len();

/// Something for each service, record type and reason.
type PerAnswer<T> = [[[T; WHYS]; TYPES]; SERVICES];

/// What every thread shares.
#[derive(Clone, Debug)]
pub struct Metrics {
    queries: [Counter; TRANSPORTS.len()],
    with_subnet: Counter,
    silent: Counter,
    truncated: Counter,
    slipped: Counter,
    dropped: Counter,
    unsent: Counter,
    responses: Vec<[Counter; KINDS.len()]>,
    /// Connections that are open.
    pub(super) connections: [Gauge; TRANSPORTS.len()],
    /// Connections that were turned away.
    pub(super) connections_refused: Counter,
    /// Connections that idled, and had to make room for others.
    pub(super) connections_dropped: Counter,
}

impl Metrics {
    /// Registers with the process's recorder; call after that is installed.
    pub fn register() -> Self {
        describe();
        let limited = |result: &'static str| counter!("inlet_edge_dns_rate_limited_total", "result" => result);
        let responses = |code: &'static str| {
            KINDS.map(|(_, kind)| {
                counter!("inlet_edge_dns_responses_total", "code" => code, "type" => kind)
            })
        };
        Self {
            queries: TRANSPORTS
                .map(|(_, name)| counter!("inlet_edge_dns_queries_total", "transport" => name)),
            with_subnet: counter!("inlet_edge_dns_client_subnet_queries_total"),
            silent: counter!("inlet_edge_dns_unanswered_total"),
            truncated: counter!("inlet_edge_dns_truncated_total"),
            slipped: limited("truncated"),
            dropped: limited("dropped"),
            unsent: counter!("inlet_edge_dns_unsent_total"),
            responses: RCODES.iter().map(|(_, code)| responses(code)).collect(),
            connections: TRANSPORTS
                .map(|(_, name)| gauge!("inlet_edge_dns_connections", "transport" => name)),
            connections_refused: counter!("inlet_edge_dns_connections_refused_total"),
            connections_dropped: counter!("inlet_edge_dns_connections_dropped_total"),
        }
    }
}

/// Where clients of one fleet were sent.
#[derive(Clone, Debug)]
pub struct Steered {
    counters: Vec<PerAnswer<Counter>>,
}

impl Steered {
    /// Registers a counter for each point of presence.
    pub fn register(fleet: &Fleet) -> Self {
        let counters = |name: &str| {
            Service::ALL.map(|service| {
                STEERED_TYPES.map(|(_, kind)| Why::ALL.map(|why| steered(name, service, kind, why)))
            })
        };
        Self {
            counters: fleet.pops().iter().map(|pop| counters(&pop.name)).collect(),
        }
    }
}

fn steered(pop: &str, service: Service, kind: &'static str, why: Why) -> Counter {
    counter!(
        "inlet_edge_dns_steered_total",
        "pop" => pop.to_owned(),
        "kind" => service.as_str(),
        "type" => kind,
        "reason" => why.as_str()
    )
}

/// Shows of when the databases in use are: of a kind of which there are several, the
/// oldest; no number for one that there is none of.
pub fn show_databases(databases: &[Arc<Database>]) {
    for kind in DATABASES {
        let built = databases
            .iter()
            .filter(|database| kind_of(database) == kind);
        let built = built.map(|database| database.built().as_unix_seconds());
        let oldest = built.min().map_or(f64::NAN, |built| built as f64);
        gauge!("inlet_edge_geo_database_built_timestamp_seconds", "kind" => kind).set(oldest);
    }
}

/// What a file calls itself is no closed set.
fn kind_of(database: &Database) -> &'static str {
    let contents = database.contents();
    match (contents.places, contents.countries) {
        (1.., _) => "city",
        (0, 1..) => "country",
        (0, 0) => "asn",
    }
}

/// What one thread has counted since it last told.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    queries: [u64; TRANSPORTS.len()],
    with_subnet: u64,
    silent: u64,
    truncated: u64,
    slipped: u64,
    dropped: u64,
    unsent: u64,
    responses: [[u64; KINDS.len()]; RCODES.len()],
    steered: Vec<PerAnswer<u64>>,
}

impl Tally {
    /// Counts a query, and its response where there is one.
    pub(super) fn note(&mut self, transport: Transport, answered: Option<&Answered>) {
        self.queries[transport as usize] += 1;
        let Some(answered) = answered else {
            self.silent += 1;
            return;
        };
        self.with_subnet += u64::from(answered.has_subnet);
        self.truncated += u64::from(answered.is_cut);
        let code = RCODES.iter().position(|(code, _)| *code == answered.rcode);
        let kind = KINDS.iter().position(|(kind, _)| *kind == answered.kind);
        if let Some(kinds) = code.and_then(|code| self.responses.get_mut(code)) {
            kinds[kind.unwrap_or(KINDS.len() - 1)] += 1;
        }
        if let Some((service, choice)) = answered.choice {
            self.steer(service, answered.kind, choice);
        }
    }

    fn steer(&mut self, service: Service, kind: Option<Kind>, Choice { pop, why }: Choice) {
        let PopId(index) = pop;
        let mut types = STEERED_TYPES.iter();
        let Some(kind) = types.position(|(steered, _)| Some(*steered) == kind) else {
            return;
        };
        let index = usize::from(index);
        if self.steered.len() <= index {
            self.steered.resize(index + 1, Default::default());
        }
        self.steered[index][service as usize][kind][why as usize] += 1;
    }

    /// Counts what the limit did to a response.
    pub(super) const fn limited(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => {}
            Verdict::Slip => self.slipped += 1,
            Verdict::Drop => self.dropped += 1,
        }
    }

    /// Counts responses that the kernel did not take.
    pub(super) const fn unsent(&mut self, responses: usize) {
        self.unsent += responses as u64;
    }

    /// Adds all of it to the shared handles, and begins anew.
    pub(super) fn flush(&mut self, metrics: &Metrics, steered: &Steered) {
        let told = std::mem::take(self);
        let add = |counter: &Counter, count: u64| {
            if count > 0 {
                counter.increment(count);
            }
        };
        for (counter, count) in metrics.queries.iter().zip(told.queries) {
            add(counter, count);
        }
        add(&metrics.with_subnet, told.with_subnet);
        add(&metrics.silent, told.silent);
        add(&metrics.truncated, told.truncated);
        add(&metrics.slipped, told.slipped);
        add(&metrics.dropped, told.dropped);
        add(&metrics.unsent, told.unsent);
        let responses = metrics.responses.iter().flatten();
        for (counter, count) in responses.zip(told.responses.iter().flatten()) {
            add(counter, *count);
        }
        let counters = steered.counters.iter().flatten().flatten().flatten();
        let counts = told.steered.iter().flatten().flatten().flatten();
        for (counter, count) in counters.zip(counts) {
            add(counter, *count);
        }
    }
}

/// What only rises.
const COUNTERS: &[Described] = &[
    (
        "inlet_edge_dns_queries_total",
        Unit::Count,
        "DNS queries that came in",
    ),
    (
        "inlet_edge_dns_client_subnet_queries_total",
        Unit::Count,
        "DNS queries that told the client's network (EDNS Client Subnet)",
    ),
    (
        "inlet_edge_dns_unanswered_total",
        Unit::Count,
        "DNS messages that got no answer: too short, or answers themselves",
    ),
    (
        "inlet_edge_dns_truncated_total",
        Unit::Count,
        "DNS answers that did not fit, or were more than three times their query",
    ),
    (
        "inlet_edge_dns_rate_limited_total",
        Unit::Count,
        "DNS answers beyond a network's budget, by what became of them",
    ),
    (
        "inlet_edge_dns_unsent_total",
        Unit::Count,
        "DNS answers that the kernel did not take",
    ),
    (
        "inlet_edge_dns_responses_total",
        Unit::Count,
        "DNS answers by response code and the type that was asked for",
    ),
    (
        "inlet_edge_dns_steered_total",
        Unit::Count,
        "Steered DNS answers by point of presence, service, record type and why it was chosen",
    ),
    (
        "inlet_edge_dns_connections_refused_total",
        Unit::Count,
        "Connections of DNS clients that were turned away: too many of one source, or none of \
         the others idle",
    ),
    (
        "inlet_edge_dns_connections_dropped_total",
        Unit::Count,
        "Connections of DNS clients that had idled longest, and made room for others",
    ),
];

/// What goes up and down.
const GAUGES: &[Described] = &[
    (
        "inlet_edge_dns_connections",
        Unit::Count,
        "Connections of DNS clients",
    ),
    (
        "inlet_edge_geo_database_built_timestamp_seconds",
        Unit::Seconds,
        "Unix time at which the GeoIP database in use was built, by kind; NaN where there is none",
    ),
];

fn describe() {
    described::tell(COUNTERS, GAUGES, &[]);
}
