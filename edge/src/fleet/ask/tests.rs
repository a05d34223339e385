//! Questions and answers, and whoever has no part in them.

use inlet_common::roq::pop::{Down, Load, Loads, Mark};
use proptest::prelude::*;

use super::*;

const SECRET: &str = "a secret of the whole fleet";
const NEWER: &str = "a newer secret of the fleet";

fn at(seconds: i64) -> UtcTime {
    UtcTime::from_unix_micros((1_800_000_000 + seconds) * 1_000_000)
}

fn report() -> Report {
    Report {
        made: at(0),
        is_draining: false,
        is_cut_off: true,
        down: Default::default(),
        loads: Loads {
            whip: Some(Load::new(0.25)),
            turn: None,
        },
    }
}

fn fleet() -> Secrets {
    Secrets::new([SECRET])
}

fn answer(secrets: &Secrets, own: &str, question: &str, now: UtcTime) -> Option<Vec<u8>> {
    secrets.answer(own, question, now, report)
}

#[test]
fn who_has_the_secret_is_told() {
    let question = fleet().ask("b", at(0));
    let told = answer(&fleet(), "b", question.as_str(), at(0)).unwrap();
    assert_eq!(fleet().open(&question, &told), Some(report()));
    let text = String::from_utf8_lossy(&told);
    assert!(!text.contains("loads"), "it can be read by the way");
}

#[test]
fn nobody_else_is_told_anything() {
    let question = fleet().ask("b", at(0));
    let text = question.as_str();
    assert_eq!(answer(&fleet(), "c", text, at(0)), None, "another is asked");
    let stranger = Secrets::new(["somebody else's secret, surely"]);
    assert_eq!(answer(&stranger, "b", text, at(0)), None);
    assert_eq!(answer(&Secrets::new([]), "b", text, at(0)), None);
    let unsigned = Secrets::new([]).ask("b", at(0));
    assert_eq!(answer(&fleet(), "b", unsigned.as_str(), at(0)), None);
}

#[test]
fn a_question_is_good_for_half_a_minute_either_way() {
    let question = fleet().ask("b", at(0));
    let is_told = |now| answer(&fleet(), "b", question.as_str(), at(now)).is_some();
    assert_eq!(
        [-31, -30, 0, 30, 31].map(is_told),
        [false, true, true, true, false]
    );
    let before_the_wrap = UtcTime::from_unix_micros(i64::from(u32::MAX) * 1_000_000);
    let question = fleet().ask("b", before_the_wrap);
    let after = before_the_wrap.plus_micros(2_000_000);
    assert!(answer(&fleet(), "b", question.as_str(), after).is_some());
}

#[test]
fn a_question_that_was_changed_is_none() {
    let question = Secrets::new([NEWER, SECRET]).ask("b", at(0));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(question.as_str()).unwrap();
    let head = TIME_LEN + QUESTION_NONCE_LEN;
    let only_new = Secrets::new([NEWER]);
    for at_byte in 0..head + MAC_LEN {
        let mut changed = bytes.clone();
        changed[at_byte] ^= 1;
        let changed = BASE64_URL_SAFE_NO_PAD.encode(changed);
        let told = answer(&only_new, "b", &changed, at(0));
        assert_eq!(told, None, "byte {at_byte}");
    }
    // Nor one that is longer or shorter than there is to say.
    for len in (0..bytes.len()).filter(|len| *len != head + MAC_LEN) {
        let cut = BASE64_URL_SAFE_NO_PAD.encode(&bytes[..len]);
        assert_eq!(answer(&only_new, "b", &cut, at(0)), None, "{len} bytes");
    }
    let longer = BASE64_URL_SAFE_NO_PAD.encode([&bytes[..], &[0; MAC_LEN]].concat());
    assert_eq!(answer(&only_new, "b", &longer, at(0)), None);
}

#[test]
fn an_answer_fits_its_own_question_alone() {
    let (first, second) = (fleet().ask("b", at(0)), fleet().ask("b", at(0)));
    let told = answer(&fleet(), "b", first.as_str(), at(0)).unwrap();
    assert_eq!(fleet().open(&second, &told), None, "it was said before");
    // The same question to another name has another answer.
    let other = Question {
        text: String::new(),
        nonce: first.nonce,
        pop: "c".to_owned(),
    };
    assert_eq!(fleet().open(&other, &told), None);
    for at_byte in 0..told.len() {
        let mut changed = told.clone();
        changed[at_byte] ^= 1;
        assert_eq!(fleet().open(&first, &changed), None, "byte {at_byte}");
    }
    for junk in [&told[..20], &[], &[0; MAX_ANSWER + 1]] {
        assert_eq!(fleet().open(&first, junk), None);
    }
}

#[test]
fn a_question_is_no_answer() {
    let question = fleet().ask("b", at(0));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(question.as_str()).unwrap();
    assert_eq!(fleet().open(&question, &bytes), None);
}

/// Whoever shares one secret understands the other, in whatever order they are taken up.
#[test]
fn secrets_change_while_all_go_on() {
    let ages = [&[SECRET][..], &[SECRET, NEWER], &[NEWER, SECRET], &[NEWER]];
    for asking in ages {
        for asked in ages {
            let shares = asking.iter().any(|secret| asked.contains(secret));
            let asker = Secrets::new(asking.iter().copied());
            let other = Secrets::new(asked.iter().copied());
            let question = asker.ask("b", at(0));
            let told = answer(&other, "b", question.as_str(), at(0));
            assert_eq!(told.is_some(), shares, "{asking:?} asks {asked:?}");
            let heard = told.and_then(|told| asker.open(&question, &told));
            assert_eq!(heard.is_some(), shares, "{asking:?} hears {asked:?}");
        }
    }
}

#[test]
fn the_longest_report_is_not_too_long() {
    let pops: Vec<_> = (0..64).map(|number| number.to_string()).collect();
    let longest = Report {
        made: UtcTime::from_unix_micros(i64::MIN),
        is_draining: false,
        is_cut_off: true,
        // As many as there may be.
        down: Down::new(pops.iter().map(|name| Mark::new(name, "whip", "ipv4"))),
        loads: Loads {
            whip: Some(Load::new(0.123)),
            turn: Some(Load::new(0.123)),
        },
    };
    let question = fleet().ask("b", at(0));
    let told = fleet().answer("b", question.as_str(), at(0), || longest);
    let told = told.unwrap();
    assert!(told.len() < MAX_ANSWER / 4, "{} bytes", told.len());
    assert_eq!(fleet().open(&question, &told), Some(longest));
}

proptest! {
    #[test]
    fn no_strangers_text_is_a_question(text in ".{0,160}", bytes: [u8; 52]) {
        prop_assert_eq!(answer(&fleet(), "b", &text, at(0)), None);
        let shaped = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        prop_assert_eq!(answer(&fleet(), "b", &shaped, at(0)), None);
    }
}
