//! A measured figure beside its peer and its target, as a table and as JSON.
//!
//! The JSON goes to `target/bench/{name}.json` of the checkout, wherever cargo
//! builds. Times are in µs or ms.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde::Serialize;

/// Less than this apart is a tie: the noise of a shared machine.
const TIE: f64 = 0.2;

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Such as a time.
    Lower,
    /// Such as a rate.
    Higher,
}

/// One line of a benchmark's result.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub figure: String,
    /// In what.
    pub unit: String,
    /// What Inlet gets.
    pub ours: f64,
    /// What the peer gets in the same run, where there is one.
    pub peer: Option<f64>,
    /// What the design asks for.
    pub target: Option<f64>,
    /// Which direction is good.
    pub better: Better,
}

impl Figure {
    /// A figure that is good when it is low, without a peer or a target.
    pub fn new(figure: impl Into<String>, unit: impl Into<String>, ours: f64) -> Self {
        Self {
            figure: figure.into(),
            unit: unit.into(),
            ours,
            peer: None,
            target: None,
            better: Better::Lower,
        }
    }

    /// The same with a peer's figure of the same run.
    #[must_use]
    pub fn against(mut self, peer: f64) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The same with a target.
    #[must_use]
    pub fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// What the figure means, in words.
    pub fn verdict(&self) -> String {
        let is_good = |ours: f64, other: f64| match self.better {
            Better::Lower => ours <= other,
            Better::Higher => ours >= other,
        };
        let against_peer = self.peer.map(|peer| {
            if (self.ours - peer).abs() < TIE * peer.abs() {
                "tie"
            } else if is_good(self.ours, peer) {
                "better"
            } else {
                "worse"
            }
        });
        let against_target = self.target.map(|target| {
            if is_good(self.ours, target) {
                "target met"
            } else {
                "target missed"
            }
        });
        let words: Vec<&str> = against_peer.into_iter().chain(against_target).collect();
        words.join(", ")
    }
}

/// Prints the table and writes the JSON.
///
/// # Errors
///
/// When the file cannot be written.
#[expect(clippy::print_stdout, reason = "the table is the benchmark's output")]
pub fn report(name: &str, figures: &[Figure]) -> Result<()> {
    let width = figures.iter().map(|f| f.figure.chars().count()).max();
    let width = width.unwrap_or(0).max(6);
    println!(
        "\n{:width$}  {:>8}  {:>10}  {:>10}  {:>8}  verdict",
        name, "unit", "ours", "peer", "target"
    );
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    for figure in figures {
        println!(
            "{:width$}  {:>8}  {:>10}  {:>10}  {:>8}  {}",
            figure.figure,
            figure.unit,
            number(figure.ours),
            cell(figure.peer),
            cell(figure.target),
            figure.verdict()
        );
    }
    let folder = results();
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    fs::write(&path, serde_json::to_string_pretty(figures)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        at_least if at_least >= 100.0 => 0,
        at_least if at_least >= 10.0 => 1,
        at_least if at_least >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Prints what is going on, or an aside to the table.
#[expect(clippy::print_stdout, reason = "the benchmark's output")]
pub fn say(what: impl AsRef<str>) {
    println!("{}", what.as_ref());
}

/// The middle of some samples; 0 of none.
pub fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = samples.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}
