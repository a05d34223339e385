//! One measurement at one server, with the figures that come of it.

use std::time::Duration;

use anyhow::Result;

use super::{
    forwarder::Form,
    generator::Pace,
    growth::Growth,
    load::{Load, Route},
    server::{Kind, Stand},
};
use crate::figure::{Better, say};

const FLOOD: Duration = Duration::from_millis(1_500);
/// What queues of no server hold back.
const MODEST: Pace = Pace {
    rate: 20_000.0,
    lasts: Duration::from_secs(1),
};
/// What a rate that counts as carried may lose.
const LOSS: f64 = 0.001;

/// A measurement that gives a value for each of its figures.
#[derive(Debug)]
pub struct Case {
    /// The figures, in the order of the values.
    pub figures: Vec<Wanted>,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Flood(Load, f64),
    HighestRate(Load),
    Latency(Load),
    Growth,
}

/// A figure without its values.
#[derive(Debug)]
pub struct Wanted {
    /// What it says.
    pub name: String,
    /// In what.
    pub unit: &'static str,
    /// Which direction is good.
    pub better: Better,
    /// What the design asks for.
    pub target: Option<f64>,
}

impl Case {
    /// Offers more than a server can carry, in packets per second: the targets
    /// are µs of CPU per packet, and packets per second.
    pub fn flood(name: &str, load: Load, rate: f64, targets: [Option<f64>; 2]) -> Self {
        let [cost, packets] = targets;
        Self {
            figures: vec![
                Wanted::low(format!("{name}: CPU per packet"), "µs").target(cost),
                Wanted::high(format!("{name}: packets delivered"), "1/s").target(packets),
            ],
            what: What::Flood(load, rate),
        }
    }

    /// Looks for the highest rate that is carried.
    pub fn highest_rate(name: &str, load: Load) -> Self {
        let name = format!("{name}: highest rate under 0.1 % loss");
        Self {
            figures: vec![Wanted::high(name, "1/s")],
            what: What::HighestRate(load),
        }
    }

    /// Takes the time at a rate that no server finds hard.
    pub fn latency(name: &str, load: Load) -> Self {
        Self {
            figures: vec![
                Wanted::low(format!("{name}: one way at 20,000/s, p50"), "µs"),
                Wanted::low(format!("{name}: one way at 20,000/s, p99"), "µs"),
            ],
            what: What::Latency(load),
        }
    }

    /// Makes allocations.
    pub fn growth() -> Self {
        Self {
            figures: vec![
                Wanted::high("allocations", "1/s"),
                Wanted::low("CPU per allocation", "µs").target(Some(30.0)),
                Wanted::low("resident memory per allocation", "KiB").target(Some(2.0)),
            ],
            what: What::Growth,
        }
    }

    /// At which servers it is made. A forwarder has no allocations, so it takes
    /// the plainest loads alone.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Coturn, Kind::Ours];
        if let What::Flood(load, _) = self.what
            && load.route == Route::ToPeer
        {
            kinds.extend(Form::ALL.map(Kind::Forwarder));
        }
        kinds
    }

    /// Measures at the server with this process id.
    ///
    /// # Errors
    ///
    /// When the server does not do its part.
    pub fn measure(&self, stand: &Stand, kind: Kind, server: i32) -> Result<Vec<f64>> {
        match self.what {
            What::Flood(load, rate) => {
                let load = match kind {
                    Kind::Forwarder(_) => load.by(Route::Plain),
                    Kind::Coturn | Kind::Ours => load,
                };
                let lasts = FLOOD;
                let trial = load.set_up(stand, server)?.trial(Pace { rate, lasts })?;
                if trial.refused == 0 && trial.loss() < LOSS {
                    say(format!("{kind} carries all that was offered"));
                }
                Ok(vec![trial.cost(), trial.rate()])
            }
            What::HighestRate(load) => Ok(vec![load.set_up(stand, server)?.highest_rate(LOSS)?]),
            What::Latency(load) => {
                let trial = load.set_up(stand, server)?.trial(MODEST)?;
                Ok(vec![trial.latency(0.5), trial.latency(0.99)])
            }
            What::Growth => {
                let growth = Growth::measure(server)?;
                Ok(vec![growth.rate, growth.cost, growth.memory])
            }
        }
    }
}

impl Wanted {
    fn low(name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            unit,
            better: Better::Lower,
            target: None,
        }
    }

    fn high(name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            better: Better::Higher,
            ..Self::low(name, unit)
        }
    }

    fn target(self, target: Option<f64>) -> Self {
        Self { target, ..self }
    }
}
