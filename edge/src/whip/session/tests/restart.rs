//! ICE restarts, with media going through them.

use str0m::IceCreds;

use super::*;

impl Pair {
    /// What a PATCH does: hands a restart to the session; returns the fragment.
    pub(super) fn restart(&mut self) -> String {
        let remote = self.presenter.restart();
        let (restart, fragment) = self.ice.restart(remote, &mut rand::rng()).unwrap();
        assert!(self.session.restart(Box::new(restart)));
        fragment
    }

    /// `frames` of media; all of them came, and in order.
    fn check_whole(&self, frames: usize) {
        let sequences: Vec<u16> = self.video().map(|rtp| rtp.header.sequence).collect();
        assert_eq!(sequences.len(), 4 * frames);
        let gaps = sequences.windows(2);
        let gaps = gaps.filter(|pair| pair[1] != pair[0].wrapping_add(1));
        assert_eq!(gaps.count(), 0);
        assert_eq!(self.rtp.len(), 5 * frames);
        assert_eq!(self.session.totals().lost, 0);
    }
}

fn ufrag(fragment: &str) -> &str {
    let mut lines = fragment.lines();
    lines
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap()
}

#[test]
fn media_go_through_a_restart_whole() {
    let mut pair = Pair::connected();
    pair.present(10);
    let former = pair.session.local_ufrag().to_owned();
    let fragment = pair.restart();
    // The presenter has not heard of it yet and uses what it has.
    pair.present(30);
    assert_eq!(
        (pair.session.local_ufrag(), pair.restarted),
        (former.as_str(), 0)
    );
    assert!(pair.session.awaits_restart());

    pair.presenter.handle_fragment(&fragment);
    pair.present(30);
    assert_eq!(
        (pair.session.local_ufrag(), pair.restarted),
        (ufrag(&fragment), 1)
    );
    assert!(!pair.session.awaits_restart());
    // Long enough for whatever of the former one would still time out.
    pair.present(1_000);
    pair.check_whole(1_070);
    assert_eq!((pair.ended, pair.session.counters().malformed), (None, 0));
    assert!(pair.session.is_connected() && pair.presenter.is_connected);
}

#[test]
fn a_presenter_may_come_back_from_another_address() {
    let mut pair = Pair::connected();
    pair.present(10);
    let fragment = pair.restart();
    let former = pair.presenter.address;
    let moved: SocketAddr = "198.51.100.9:60000".parse().unwrap();
    let candidate = str0m::Candidate::host(moved, "udp").unwrap();
    pair.presenter.rtc.add_local_candidate(candidate);
    let lost = str0m::Candidate::host(former, "udp").unwrap();
    pair.presenter.rtc.direct_api().invalidate_candidate(&lost);
    (pair.presenter.address, pair.former) = (moved, Some(former));
    pair.presenter.handle_fragment(&fragment);
    pair.run_until(|pair| pair.restarted == 1);
    pair.run_for(Duration::from_secs(1));
    // From here on `Pair` checks that everything goes to the new address.
    pair.former = None;
    let before = pair.rtp.len();
    pair.present(30);
    assert_eq!(pair.rtp.len() - before, 150);
    let requests = pair.presenter.keyframe_requests;
    pair.run_for(Duration::from_secs(1));
    pair.session.request_keyframe(pair.now);
    pair.drain_session();
    pair.run_for(Duration::from_secs(1));
    assert!(
        pair.presenter.keyframe_requests > requests,
        "feedback follows"
    );
}

#[test]
fn a_restart_that_nobody_uses_leaves_the_session_as_it_was() {
    let mut pair = Pair::connected();
    let former = pair.session.local_ufrag().to_owned();
    let remote = IceCreds {
        ufrag: "gone".to_owned(),
        pass: "x".repeat(24),
    };
    let (restart, _) = pair.ice.restart(remote, &mut rand::rng()).unwrap();
    assert!(pair.session.restart(Box::new(restart)));
    pair.present(1_000);
    pair.check_whole(1_000);
    assert_eq!(pair.session.local_ufrag(), former);
    assert_eq!((pair.ended, pair.restarted), (None, 0));
}

#[test]
fn restarts_may_follow_one_another() {
    let mut pair = Pair::connected();
    for round in 1..=5 {
        let unused = pair.restart();
        let fragment = pair.restart();
        assert_ne!(ufrag(&unused), ufrag(&fragment));
        pair.presenter.handle_fragment(&fragment);
        pair.present(20);
        assert_eq!(pair.restarted, round);
    }
    pair.check_whole(100);
}

#[test]
fn a_restart_takes_the_right_password() {
    let mut pair = Pair::connected();
    let fragment = pair.restart();
    let (source, edge) = (pair.presenter.address, EDGE.parse().unwrap());
    let wrong = "a=ice-pwd:0123456789012345678901";
    let forged: String = fragment
        .lines()
        .map(|line| match line.starts_with("a=ice-pwd:") {
            true => format!("{wrong}\r\n"),
            false => format!("{line}\r\n"),
        })
        .collect();
    pair.presenter.handle_fragment(&forged);
    let mut requests = 0;
    for _ in 0..200 {
        pair.presenter.handle_timeout(pair.now);
        for (_, datagram) in std::mem::take(&mut pair.presenter.outbox) {
            if demux::stun_local_ufrag(&datagram) == Some(ufrag(&fragment)) {
                requests += 1;
                // Neither from a stranger nor from the address in use.
                let stranger = "192.0.2.1:1".parse().unwrap();
                let by_stranger = by_udp(stranger, edge, &datagram);
                assert!(!pair.session.accepts(pair.now, &by_stranger));
                pair.session
                    .handle_datagram(pair.now, &by_udp(source, edge, &datagram));
                pair.drain_session();
            }
        }
        pair.now += STEP;
    }
    assert!(requests > 2, "{requests}");
    assert_eq!(pair.restarted, 0);
}

#[test]
fn the_fragment_says_what_the_answer_said() {
    let (_, answer) = accept(&CHROMIUM.replace('\n', "\r\n")).unwrap();
    let mut ice = answer.ice;
    assert_eq!(ice.remote().ufrag, "F7gI");
    let remote = IceCreds {
        ufrag: "u+/9".to_owned(),
        pass: "p".repeat(22),
    };
    let (restart, fragment) = ice.restart(remote.clone(), &mut rand::rng()).unwrap();
    assert_eq!(ice.remote(), &remote);
    let lines: Vec<&str> = fragment.split("\r\n").collect();
    let begins = [
        "a=ice-lite",
        "a=ice-options:",
        "a=group:BUNDLE 0 1",
        "m=audio ",
        "a=mid:0",
        "a=ice-ufrag:",
        "a=ice-pwd:",
        "a=candidate:",
        "a=candidate:",
        "a=end-of-candidates",
        "",
    ];
    assert_eq!(lines.len(), begins.len(), "{fragment}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    for line in &lines[..5] {
        assert!(answer.sdp.lines().any(|other| other == *line), "{line}");
    }
    assert_eq!(ufrag(&fragment), restart.ufrag());
    assert!(!fragment.contains(" ufrag "), "{fragment}");
}

#[test]
fn a_session_that_has_ended_is_not_restarted() {
    let mut pair = Pair::connected();
    pair.presenter.close();
    pair.deliver();
    let remote = IceCreds {
        ufrag: "late".to_owned(),
        pass: "x".repeat(24),
    };
    let (restart, _) = pair.ice.restart(remote, &mut rand::rng()).unwrap();
    assert!(!pair.session.restart(Box::new(restart)));
}

#[test]
fn credentials_of_every_length_and_sign_can_be_restarted_to() {
    let (_, answer) = accept(&CHROMIUM.replace('\n', "\r\n")).unwrap();
    for ufrag in ["abcd", "+/+/", "a=b\"c", &"u".repeat(256)] {
        let remote = IceCreds {
            ufrag: ufrag.to_owned(),
            pass: "+/".repeat(128),
        };
        let mut ice = answer.ice.clone();
        assert!(ice.restart(remote, &mut rand::rng()).is_ok(), "{ufrag}");
    }
}
