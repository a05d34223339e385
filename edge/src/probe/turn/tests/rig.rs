//! An exchange and a server, with a wire between them that takes its time.

use std::time::{Duration, Instant};

use inlet_common::clock::{self, UtcTime};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    super::{
        super::{
            Credentials, Error, Patience,
            engine::{Engine as _, Output, Side},
            patience::Budget,
        },
        Exchange,
    },
    server::{Manners, SECRET, Server},
};

/// When the verdict must be there.
pub(super) const DEADLINE: Duration = Duration::from_millis(1_500);

pub(super) struct Rig {
    pub(super) server: Server,
    /// Which message on the wire is lost, counted from 0.
    pub(super) lose: Option<usize>,
    /// Which message is late, as one that a stream has lost and sends again, and by how
    /// much.
    pub(super) late: Option<(usize, Duration)>,
    /// With this seed, every third message to us has a few wrong bytes.
    pub(super) damage: Option<u64>,
    /// From one end of the wire to the other.
    pub(super) delay: Duration,
    patience: Patience,
    is_reliable: bool,
    credentials: Credentials,
    exchange: Option<Exchange>,
    begun: Instant,
    now: Instant,
    wire: Vec<Travelling>,
    carried: usize,
    verdict: Option<(Result<(), Error>, Duration)>,
}

struct Travelling {
    arrives: Instant,
    is_to_server: bool,
    side: Side,
    message: Vec<u8>,
}

impl Rig {
    pub(super) fn new(manners: Manners) -> Self {
        let now = clock::now();
        Self {
            server: Server::new(manners),
            lose: None,
            late: None,
            damage: None,
            delay: Duration::from_millis(20),
            patience: Patience {
                first: DEADLINE,
                step: DEADLINE,
                whole: DEADLINE,
            },
            is_reliable: false,
            credentials: Credentials::Secret(SECRET.to_owned()),
            exchange: None,
            begun: now,
            now,
            wire: Vec::new(),
            carried: 0,
            verdict: None,
        }
    }

    pub(super) fn by_stream(mut self) -> Self {
        self.is_reliable = true;
        self
    }

    pub(super) fn with(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn knowing(mut self, secret: &str) -> Self {
        self.credentials = Credentials::Secret(secret.to_owned());
        self
    }

    pub(super) fn knowing_nothing(mut self) -> Self {
        self.credentials = Credentials::None;
        self
    }

    /// Runs it to its end: the verdict, when it came, and the server.
    pub(super) fn run(mut self) -> ((Result<(), Error>, Duration), Server) {
        self.go();
        (self.verdict.expect("a verdict"), self.server)
    }

    /// The same, with when all was over.
    pub(super) fn run_to_its_end(mut self) -> (Duration, Server) {
        self.go();
        (self.now - self.begun, self.server)
    }

    /// A connection breaks before anything has come.
    pub(super) fn close(&mut self, error: Error) -> Option<Result<(), Error>> {
        self.verdict = None;
        let exchange = self.exchange();
        exchange.handle_closed(error);
        assert_eq!(self.drain(), None, "it is over");
        self.verdict.map(|(verdict, _)| verdict)
    }

    fn exchange(&mut self) -> &mut Exchange {
        let credential = self.credentials.at(UtcTime::from_unix_micros(0), "probe");
        let (now, is_reliable) = (self.now, self.is_reliable);
        let budget = Budget::new(now, self.patience);
        self.exchange.get_or_insert_with(|| {
            let rng = StdRng::seed_from_u64(7);
            Exchange::new(now, budget, is_reliable, credential.as_ref(), rng)
        })
    }

    fn go(&mut self) {
        while let Some(timeout) = self.drain() {
            let arrival = self.wire.iter().map(|it| it.arrives).min();
            self.now = arrival.into_iter().chain([timeout]).min().unwrap();
            let now = self.now;
            // In the order in which they were sent.
            let (arrived, rest) = std::mem::take(&mut self.wire)
                .into_iter()
                .partition(|it| it.arrives <= now);
            self.wire = rest;
            let arrived: Vec<Travelling> = arrived;
            for it in arrived {
                if it.is_to_server {
                    for (side, message) in self.server.handle(it.side, &it.message) {
                        self.carry(false, side, message);
                    }
                } else {
                    self.exchange().handle_message(now, it.side, &it.message);
                    self.drain();
                }
            }
            self.exchange().handle_timeout(now);
        }
        // What was on its way to the server when we went.
        for it in std::mem::take(&mut self.wire) {
            if it.is_to_server {
                self.server.handle(it.side, &it.message);
            }
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.exchange().poll_output() {
                Output::Transmit { side, message } => self.carry(true, side, message),
                Output::Verdict(verdict) => {
                    let told = self.verdict.replace((verdict, self.now - self.begun));
                    assert_eq!(told, None, "one verdict");
                }
                Output::Timeout(at) => return at,
            }
        }
    }

    fn carry(&mut self, is_to_server: bool, side: Side, mut message: Vec<u8>) {
        self.carried += 1;
        if self.lose == Some(self.carried - 1) {
            return;
        }
        if let Some(seed) = self.damage.filter(|_| !is_to_server) {
            damage(&mut message, seed + 1_000 * self.carried as u64);
        }
        let late = self.late.filter(|(number, _)| *number == self.carried - 1);
        self.wire.push(Travelling {
            arrives: self.now + self.delay + late.map_or(Duration::ZERO, |(_, by)| by),
            is_to_server,
            side,
            message,
        });
    }
}

fn damage(message: &mut [u8], seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    if rng.random_ratio(1, 3) {
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..message.len());
            message[at] = rng.random();
        }
    }
}
