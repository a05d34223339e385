//! From a query to its response: pure, and the same for every transport.
//!
//! What a client is told depends on the snapshot of the world that is handed in,
//! on the network it asks for (EDNS Client Subnet, or its own address), and on
//! nothing else. The scope of an answer is true: every address in it is told the
//! same (RFC 7871 §7.2.1), because the list is chosen by the leaf that the scope is
//! the depth of, and everything after that by a hash of that leaf's network.

use std::net::IpAddr;

use super::{
    World,
    client::Client,
    fleet::{Family, Pop, Service},
    geo::PopId,
    limit,
    steer::{self, Board, Choice},
    wire::{
        self, Class, ClientSubnet, Edns, Encoder, ExtendedError, Kind, OptionCode, Options, Owner,
        PAYLOAD, Query, Question, Rcode, Rdata, Reject, Section,
    },
    zone::{Data, Found, Node, RecordSet, Zone},
};

/// Shortest UDP response that every client takes (RFC 1035 §2.3.4).
const MIN_PAYLOAD: u16 = 512;

/// Longest response over TCP.
const MAX_MESSAGE: usize = 65_535;

/// A UDP response to somebody whose address is not shown to be its own has at most
/// so many times the size of its query: more would make this server worth abusing.
const MAX_AMPLIFICATION: usize = 3;

/// What a TCP connection may idle, told in 100 ms (RFC 7828 §3.1).
pub(super) const TCP_IDLE: std::time::Duration = std::time::Duration::from_secs(10);

/// What responses over TLS are padded to (RFC 8467 §4.1).
const PADDING_BLOCK: usize = 468;

/// How long "ask for what you want" may be kept: a day.
const ANY_TTL: u32 = 86_400;

/// The data of HINFO that answers ANY (RFC 8482 §4.2).
const ANY_DATA: &[u8] = b"\x07RFC8482\x00";

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Where the source may be somebody else.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// A query, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The message.
    pub message: &'a [u8],
    /// Where it came from.
    pub source: IpAddr,
    /// How it came.
    pub transport: Transport,
    /// Unix time, which wraps.
    pub now: u32,
}

/// What was answered, for whoever counts and limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answered {
    /// The response code.
    pub rcode: Rcode,
    /// The type that was asked for; `None` when there was no readable question.
    pub kind: Option<Kind>,
    /// What it is to the limit.
    pub limited_as: limit::Kind,
    /// The client has shown that answers reach it: by our cookie, or by TCP.
    pub is_proven: bool,
    /// The query told the client's network.
    pub has_subnet: bool,
    /// Where the client was sent; `None` when the name is not steered.
    pub choice: Option<(Service, Choice)>,
    /// It did not fit.
    pub is_cut: bool,
}

/// Answers; `None` means silence. `out` is cleared first.
pub fn answer(
    world: &World,
    board: &Board,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Option<Answered> {
    match wire::parse(request.message) {
        Ok(query) => Some(Answering::new(world, board, request, &query).finish(out)),
        Err(Reject::Silent) => None,
        Err(Reject::Error {
            head,
            question,
            rcode,
            is_dnssec_ok,
        }) => {
            let encoder = Encoder::new(out, head, question);
            match is_dnssec_ok {
                Some(is_dnssec_ok) => {
                    let opt = encoder.opt(rcode, is_dnssec_ok);
                    opt.finish(rcode, false, MAX_MESSAGE)
                }
                None => encoder.finish(rcode, false, MAX_MESSAGE),
            };
            Some(Answered::error(rcode, request.transport))
        }
    }
}

/// Cuts a response down to its question, its OPT and a flag: as long as the query,
/// so of no use for a flood. A client whose cookie is not ours yet is told
/// to come back with the one it gets here (RFC 7873 §5.2.3).
///
/// `false` when there is nothing to say: what could not be read is not worth a
/// second answer.
pub fn slip(world: &World, request: &Request<'_>, out: &mut Vec<u8>) -> bool {
    let Ok(query) = wire::parse(request.message) else {
        return false;
    };
    let cookie = query.edns.and_then(|edns| edns.cookie);
    let rcode = match cookie {
        Some(_) => Rcode::BADCOOKIE,
        None => Rcode::NOERROR,
    };
    let question = query.question.map(|question| question.raw);
    let encoder = Encoder::new(out, query.head, question);
    // A limit of nothing cuts everything.
    let limit = if cookie.is_some() { MAX_MESSAGE } else { 0 };
    let Some(edns) = &query.edns else {
        encoder.finish(rcode, false, limit);
        return true;
    };
    let mut options = encoder.opt(rcode, edns.is_dnssec_ok);
    add_cookie(&mut options, world, request, edns);
    options.finish(rcode, false, limit);
    true
}

impl Answered {
    const fn error(rcode: Rcode, transport: Transport) -> Self {
        Self {
            rcode,
            kind: None,
            limited_as: limit::Kind::Error,
            is_proven: !matches!(transport, Transport::Udp),
            has_subnet: false,
            choice: None,
            is_cut: false,
        }
    }
}

/// A query on its way to its response.
struct Answering<'a> {
    world: &'a World,
    board: &'a Board,
    request: &'a Request<'a>,
    query: &'a Query<'a>,
    is_proven: bool,
    rcode: Rcode,
    is_authoritative: bool,
    error: Option<ExtendedError>,
    limited_as: limit::Kind,
    /// The client's network, once a steered name asked for it.
    client: Option<Client>,
    choice: Option<(Service, Choice)>,
}

impl<'a> Answering<'a> {
    fn new(
        world: &'a World,
        board: &'a Board,
        request: &'a Request<'a>,
        query: &'a Query<'a>,
    ) -> Self {
        let cookie = query.edns.as_ref().and_then(|edns| edns.cookie.as_ref());
        let has_cookie =
            cookie.is_some_and(|cookie| world.cookies.is_ours(cookie, request.source, request.now));
        Self {
            world,
            board,
            request,
            query,
            is_proven: has_cookie || request.transport != Transport::Udp,
            rcode: Rcode::NOERROR,
            is_authoritative: false,
            error: None,
            limited_as: limit::Kind::Answer,
            client: None,
            choice: None,
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) -> Answered {
        let question = self.query.question;
        let mut encoder = Encoder::new(out, self.query.head, question.map(|asked| asked.raw));
        if let Some(question) = &question {
            self.answer(&mut encoder, question);
        }
        let limit = self.limit();
        let is_cut = match &self.query.edns {
            Some(edns) => self.options(encoder, edns, limit),
            None => encoder.finish(self.rcode, self.is_authoritative, limit),
        };
        Answered {
            rcode: self.rcode,
            kind: question.map(|question| question.kind),
            limited_as: self.limited_as,
            is_proven: self.is_proven,
            has_subnet: self.subnet().is_some(),
            choice: self.choice,
            is_cut,
        }
    }

    fn limit(&self) -> usize {
        if self.request.transport != Transport::Udp {
            return MAX_MESSAGE;
        }
        let payload = self.query.edns.map_or(MIN_PAYLOAD, |edns| edns.payload);
        let payload = usize::from(payload.clamp(MIN_PAYLOAD, PAYLOAD));
        match self.is_proven {
            true => payload,
            false => payload.min(self.request.message.len() * MAX_AMPLIFICATION),
        }
    }

    fn subnet(&self) -> Option<&'a ClientSubnet<'a>> {
        self.query.edns.as_ref()?.client_subnet.as_ref()
    }

    fn answer(&mut self, encoder: &mut Encoder<'_>, question: &Question<'_>) {
        if question.class != Class::IN {
            return self.refuse(ExtendedError::NOT_SUPPORTED);
        }
        let found = self.world.zones.find(&question.name);
        let zone = match found {
            Found::Node(zone, _) | Found::NoName(zone) => zone,
            Found::Elsewhere => return self.refuse(ExtendedError::NOT_AUTHORITATIVE),
        };
        if question.kind.is_transfer() {
            return self.refuse(ExtendedError::NOT_SUPPORTED);
        }
        self.is_authoritative = true;
        encoder.set_apex(question.name.as_bytes().len() - zone.apex.wire_len());
        match found {
            Found::Node(_, node) => self.node(encoder, question.kind, zone, node),
            _ => {
                self.rcode = Rcode::NXDOMAIN;
                self.negative(encoder, zone, limit::Kind::NoName);
            }
        }
    }

    fn refuse(&mut self, error: ExtendedError) {
        self.rcode = Rcode::REFUSED;
        self.error = Some(error);
        self.limited_as = limit::Kind::Error;
    }

    fn node(&mut self, encoder: &mut Encoder<'_>, kind: Kind, zone: &Zone, node: &Node) {
        if kind == Kind::ANY && !node.sets().is_empty() {
            return encoder.answer(Kind::HINFO, ANY_TTL, &[ANY_DATA]);
        }
        match node.set(kind).or_else(|| node.set(Kind::CNAME)) {
            Some(set) => self.set(encoder, zone, set),
            None => self.negative(encoder, zone, limit::Kind::NoData),
        }
    }

    fn negative(&mut self, encoder: &mut Encoder<'_>, zone: &Zone, kind: limit::Kind) {
        self.limited_as = kind;
        let ttl = zone.negative_ttl;
        encoder.record(Section::Authority, Owner::Apex, Kind::SOA, ttl, &zone.soa);
    }

    fn set(&mut self, encoder: &mut Encoder<'_>, zone: &Zone, set: &RecordSet) {
        match &set.data {
            Data::Fixed(records) => {
                for data in records {
                    encoder.record(Section::Answer, Owner::Question, set.kind, set.ttl, data);
                }
            }
            Data::Steered(service) => {
                let family = match set.kind {
                    Kind::A => Family::V4,
                    _ => Family::V6,
                };
                match self.steer(*service, family) {
                    Some(pop) => addresses(encoder, set, family, pop),
                    // Nobody has that family, whoever asks: the scope is everybody's.
                    None => {
                        self.client = None;
                        self.negative(encoder, zone, limit::Kind::NoData);
                    }
                }
            }
            Data::Https(service, head) => self.https(encoder, set, *service, head),
        }
    }

    /// HTTPS with the addresses that A and AAAA would have as hints.
    fn https(&mut self, encoder: &mut Encoder<'_>, set: &RecordSet, service: Service, head: &[u8]) {
        const IPV4_HINT: u16 = 4;
        const IPV6_HINT: u16 = 6;
        let mut data = Rdata::plain(head.to_vec());
        for (family, key) in [(Family::V4, IPV4_HINT), (Family::V6, IPV6_HINT)] {
            let Some(pop) = self.steer(service, family) else {
                continue;
            };
            let hints: Vec<u8> = match family {
                Family::V4 => pop.ipv4.iter().flat_map(|ip| ip.octets()).collect(),
                Family::V6 => pop.ipv6.iter().flat_map(|ip| ip.octets()).collect(),
            };
            let length = u16::try_from(hints.len()).unwrap_or_default();
            data = data.with(&key.to_be_bytes());
            data = data.with(&length.to_be_bytes()).with(&hints);
        }
        encoder.record(Section::Answer, Owner::Question, set.kind, set.ttl, &data);
    }

    fn steer(&mut self, service: Service, family: Family) -> Option<&'a Pop> {
        let world = self.world;
        let (subnet, source) = (self.subnet(), self.request.source);
        let found = || Client::of(world, subnet, source);
        let client = *self.client.get_or_insert_with(found);
        let ranked: &[PopId] = client.ranked.as_slice();
        let choice = steer::choose(
            &world.fleet,
            self.board,
            ranked,
            service,
            family,
            client.key,
        )?;
        self.choice = Some((service, choice));
        world.fleet.pop(choice.pop)
    }

    fn options(&self, encoder: Encoder<'_>, edns: &Edns<'_>, limit: usize) -> bool {
        let mut options = encoder.opt(self.rcode, edns.is_dnssec_ok);
        if let Some(subnet) = self.subnet() {
            // An address of the resolver's own is no network of the client's.
            let scope = match subnet.ip() {
                Some(_) => self.client.map_or(0, |client| client.scope),
                None => 0,
            };
            options.client_subnet(subnet, scope);
        }
        add_cookie(&mut options, self.world, self.request, edns);
        if edns.wants_keepalive && self.request.transport != Transport::Udp {
            let idle = u16::try_from(TCP_IDLE.as_millis() / 100).unwrap_or(u16::MAX);
            options.add(OptionCode::TCP_KEEPALIVE, &[&idle.to_be_bytes()]);
        }
        if let Some(error) = self.error {
            options.extended_error(error);
        }
        if edns.wants_nsid {
            // A long name makes no answer worth abusing, nor one that is cut.
            let name = self.world.name.as_bytes();
            options.add_if_it_fits(OptionCode::NSID, name, limit);
        }
        if edns.is_padded && self.request.transport == Transport::Tls {
            options.pad(PADDING_BLOCK);
        }
        options.finish(self.rcode, self.is_authoritative, limit)
    }
}

fn addresses(encoder: &mut Encoder<'_>, set: &RecordSet, family: Family, pop: &Pop) {
    match family {
        Family::V4 => {
            for ip in &pop.ipv4 {
                encoder.answer(set.kind, set.ttl, &[&ip.octets()]);
            }
        }
        Family::V6 => {
            for ip in &pop.ipv6 {
                encoder.answer(set.kind, set.ttl, &[&ip.octets()]);
            }
        }
    }
}

fn add_cookie(options: &mut Options<'_>, world: &World, request: &Request<'_>, edns: &Edns<'_>) {
    if let Some(cookie) = &edns.cookie {
        let server = world
            .cookies
            .make(&cookie.client, request.source, request.now);
        options.add(OptionCode::COOKIE, &[&cookie.client, &server]);
    }
}
