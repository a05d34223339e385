//! What anybody may ask a point of presence of the fleet, may answer to it, and may hand
//! to an operator as the report of one.
#![no_main]

use std::sync::LazyLock;

use inlet_common::{
    clock::UtcTime,
    roq::pop::{Load, Loads, Report},
};
use inlet_edge::{
    fleet::ask::Secrets,
    placement::{self, REGION_KM, Seen, seen::Wire},
};

const POP: &str = "fra";
const NOW: UtcTime = UtcTime::from_unix_micros(1_790_000_000_000_000);

/// One, so that no byte of a question is for another one.
static SECRETS: LazyLock<Secrets> = LazyLock::new(|| Secrets::new(["the whole fleet's secret"]));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((what, bytes)) = bytes.split_first() else {
        return;
    };
    match what % 3 {
        0 => ask(bytes),
        1 => answer(bytes),
        _ => hand_over(bytes),
    }
});

/// Nobody without the secret is told anything, whether the question is made up or changed.
fn ask(bytes: &[u8]) {
    let told = |question: &str| SECRETS.answer(POP, question, NOW, report);
    assert!(told(&String::from_utf8_lossy(bytes)).is_none());
    let question = SECRETS.ask(POP, NOW);
    let changed = changed(question.as_str().as_bytes(), bytes);
    let changed = String::from_utf8_lossy(&changed);
    assert!(told(&changed).is_some() == (changed == question.as_str()));
}

/// Nobody without it is believed.
fn answer(bytes: &[u8]) {
    let question = SECRETS.ask(POP, NOW);
    assert!(SECRETS.open(&question, bytes).is_none());
    let answer = SECRETS.answer(POP, question.as_str(), NOW, report);
    let answer = answer.expect("a question of the fleet's");
    let changed = changed(&answer, bytes);
    assert!(SECRETS.open(&question, &changed).is_some() == (changed == answer));
}

/// What is read can be written, read again, and advised from.
fn hand_over(bytes: &[u8]) {
    let Ok(seen) = Seen::read(bytes) else { return };
    let text = serde_json::to_vec(&Wire::from(&seen)).expect("JSON");
    Seen::read(&text).expect("what was read before");
    if let Ok(report) = placement::Report::of(&[seen], REGION_KM) {
        assert!(!report.to_string().is_empty());
    }
}

fn changed(text: &[u8], by: &[u8]) -> Vec<u8> {
    let by = by.iter().chain(std::iter::repeat(&0));
    text.iter()
        .zip(by)
        .map(|(one, other)| one ^ other)
        .collect()
}

fn report() -> Report {
    Report {
        made: NOW,
        is_draining: false,
        is_cut_off: false,
        down: Default::default(),
        loads: Loads {
            whip: Some(Load::IDLE),
            turn: None,
        },
    }
}
