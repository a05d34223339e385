//! How points of presence do: told to the origin, and heard from it.

use inlet_common::roq::pop::{Fleet, Heard, Load, Loads, Name, Report};

use super::*;

fn report() -> Report {
    Report {
        made: UtcTime::from_unix_micros(5),
        is_draining: true,
        is_cut_off: false,
        down: Default::default(),
        loads: Loads {
            whip: Some(Load::new(0.5)),
            turn: None,
        },
    }
}

#[test]
fn a_report_goes_to_the_origin_once_it_is_there() {
    let mut net = Net::new();
    net.link.report(net.now, report());
    net.run_until(|net| net.link.is_up());
    net.run_for(Duration::from_millis(100));
    let is_report = |message: &&Message| matches!(message, Message::Report(_));
    assert_eq!(net.origin.messages.iter().find(is_report), None);
    net.link.report(net.now, report());
    net.run_until(|net| net.origin.messages.contains(&Message::Report(report())));
}

#[test]
fn what_the_origin_tells_of_others_is_handed_on() {
    let mut net = Net::up();
    let heard = Heard {
        name: Name::new("ams").unwrap(),
        age: Duration::from_millis(7),
        report: report(),
    };
    let fleet = Fleet::new([heard]);
    net.origin.tell(&Message::Fleet(fleet.clone()));
    net.run_until(|net| net.outputs.contains(&Output::Fleet(fleet.clone())));
    net.origin.tell(&Message::Report(report()));
    net.run_until(|net| net.link.counters().unreadable == 1);
    assert!(net.link.is_up(), "the link goes on");
}
