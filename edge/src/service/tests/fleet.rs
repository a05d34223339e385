//! What is known of the fleet: its files, and what is heard while they change.

use inlet_common::{
    ids::{PushToken, StreamId},
    roq::pop,
};

use super::*;
use crate::{
    dns::{
        fleet::{Family, Fleet, Service},
        geo::PopId,
        health::{Probed, Report},
        steer::Standing,
    },
    fleet::ask::Secrets,
    probe::NoRoots,
    service::keyring,
    whip::pass::Passes,
};

/// Points of presence of these names, each by IPv4 and some by IPv6.
fn file(names: &[(&str, &str)]) -> String {
    let pop = |(name, ipv6): &(&str, &str)| {
        format!(
            "[[pop]]\nname = \"{name}\"\nhost = \"{name}.example\"\nlatitude = 1.0\n\
             longitude = 1.0\nipv4 = [\"192.0.2.1\"]\nipv6 = [{ipv6}]\n"
        )
    };
    names.iter().map(pop).collect()
}

impl Folder {
    /// Of a fleet, with a secret, that is probed as clients of the tests' authority do.
    fn fleet_config(&self) -> Config {
        self.write("fleet.toml", &file(&[("a", ""), ("b", "")]));
        self.write("secret", "a secret of the whole fleet\n");
        self.write("turn", "a secret of the relays\n");
        let folder = self.0.display();
        self.config_with(&format!(
            "[fleet]\nfile = \"{folder}/fleet.toml\"\nsecret_file = \"{folder}/secret\"\n\
             turn_secret_file = \"{folder}/turn\"\nca = \"{folder}/ca.pem\"\n"
        ))
    }
}

fn known(config: &Config) -> Arc<Known> {
    Known::load(config).unwrap().unwrap()
}

fn standing(known: &Known, name: &str) -> Standing {
    let id = known.world().fleet.find(name).unwrap();
    known.look(clock::now()).get(id, Service::Whip, Family::V4)
}

/// Their numbers may be others' by then.
#[test]
fn what_is_heard_of_another_fleet_is_passed_over() {
    let folder = Folder::new();
    let config = folder.fleet_config();
    let known = known(&config);
    let before = Arc::clone(&known.world().fleet);
    folder.write("fleet.toml", &file(&[("c", ""), ("a", "")]));
    known.reload(config.fleet.as_ref().unwrap()).unwrap();

    let draining = Report {
        load: [Some(0.5); 2],
        is_draining: [true; 2],
        ..Report::default()
    };
    let hear = |fleet: &Arc<Fleet>| {
        known.handle_report(fleet, PopId(0), draining, clock::now());
        let of = (Service::Whip, Family::V4);
        for _ in 0..3 {
            known.handle_probe(fleet, clock::now(), PopId(0), (of, Probed::Failed));
        }
    };
    hear(&before);
    assert_eq!(standing(&known, "c"), Standing::default(), "it was of a");
    assert_eq!(standing(&known, "a"), Standing::default());
    hear(&known.world().fleet);
    assert_eq!(standing(&known, "c"), Standing::Down);
    assert_eq!(standing(&known, "a"), Standing::default());
}

#[test]
fn one_that_is_steered_to_stays_until_it_is_forgotten() {
    const ZONE: &str = "[[zone]]\nname = \"example\"\nname_servers = [\"a\"]\n\
        [[zone.steered]]\nname = \"whip\"\nservice = \"whip\"\nttl = \"20s\"\n\
        [[zone.steered]]\nname = \"turn\"\nservice = \"turn\"\nttl = \"70s\"\n";
    let whip = |text: String| text.replace("longitude", "services = [\"whip\"]\nlongitude");
    let both = file(&[("a", ""), ("b", "")]);
    let folder = Folder::new();
    let config = folder.fleet_config();
    let known = known(&config);
    let lingers = |text: String, own: &str| {
        folder.write("fleet.toml", &text);
        known.reload(config.fleet.as_ref().unwrap()).unwrap();
        known.lingers(own).as_secs()
    };
    let zoned = |pops: String| pops + ZONE;
    assert_eq!(lingers(zoned(both.clone()), "a"), 73, "the longer of both");
    assert_eq!(lingers(zoned(both.clone()), "stranger"), 0);
    assert_eq!(lingers(zoned(whip(both.clone())), "a"), 23);
    let alone = file(&[("a", "")]);
    assert_eq!(lingers(zoned(alone.clone()), "a"), 0, "to nobody else");
    let other = whip(file(&[("b", "")]));
    assert_eq!(
        lingers(zoned(alone + &other), "a"),
        23,
        "TURN is here alone"
    );
    assert_eq!(lingers(both, "a"), 0, "no name leads here");
}

#[test]
fn two_secrets_are_taken_and_no_more() {
    let folder = Folder::new();
    let config = folder.fleet_config();
    let secrets = ["a secret of the whole fleet", "a newer secret of the fleet"];
    folder.write("secret", &secrets.join("\n"));
    assert!(Known::load(&config).is_ok());
    folder.write("secret", &[&secrets[..], &secrets[..1]].concat().join("\n"));
    let refused = Known::load(&config);
    assert!(matches!(
        refused,
        Err(FleetError::Secret(keyring::Error::Many(_)))
    ));
    let problems = Findings::of(&config, clock::utc()).problems.join("\n");
    assert!(problems.contains("more than two secrets"), "{problems}");
    folder.write("secret", "short");
    assert!(matches!(
        Known::load(&config),
        Err(FleetError::Secret(keyring::Error::Short(_)))
    ));
}

/// Whoever holds them, as the WHIP routes and probes do, has the new ones after a reload.
#[test]
fn another_secret_comes_with_a_reload() {
    const STREAM: StreamId = StreamId(17);
    let folder = Folder::new();
    let config = folder.fleet_config();
    let known = known(&config);
    let (passes, asks) = (known.passes().unwrap(), known.secrets().unwrap());
    let cookies = known.world().cookies.clone();
    let own = workers::pop_name(&config);
    let newer = "a newer secret of the fleet";
    let others = Passes::new([newer], &own);
    let token = PushToken::new("a-token-of-a-stream");
    let now = clock::utc();
    let opened = |passes: &Passes, by: &Passes| {
        let mark = by.seal(STREAM, &own, &token, now).unwrap();
        passes.open(&mark, STREAM, now).is_some()
    };
    assert!(!opened(&passes, &others));

    folder.write("secret", &format!("a secret of the whole fleet\n{newer}\n"));
    known.reload(config.fleet.as_ref().unwrap()).unwrap();
    assert!(opened(&passes, &others), "what comes is accepted first");
    folder.write("secret", newer);
    known.reload(config.fleet.as_ref().unwrap()).unwrap();
    assert!(opened(&others, &passes), "then it seals");
    let stranger = Secrets::new(["a secret of the whole fleet"]);
    let asked = |by: &Secrets| {
        let question = by.ask("edge", now);
        asks.answer("edge", question.as_str(), now, report)
            .is_some()
    };
    assert!(asked(&Secrets::new([newer])) && !asked(&stranger));
    assert!(known.world().cookies != cookies);

    // One that cannot be used changes nothing.
    folder.write("secret", "short");
    assert!(known.reload(config.fleet.as_ref().unwrap()).is_err());
    assert!(asked(&Secrets::new([newer])));
}

fn report() -> pop::Report {
    pop::Report {
        made: clock::utc(),
        is_draining: false,
        is_cut_off: false,
        down: pop::Down::default(),
        loads: pop::Loads {
            whip: None,
            turn: None,
        },
    }
}

#[test]
fn a_check_tells_what_probes_lack() {
    let folder = Folder::new();
    let config = folder.fleet_config();
    let problems = || Findings::of(&config, clock::utc()).problems;
    assert_eq!(problems(), Vec::<String>::new());
    folder.write("turn", "\n");
    assert!(problems().join("\n").contains("turn: "), "{:?}", problems());
    fs::remove_file(folder.0.join("turn")).unwrap();
    assert!(problems().join("\n").contains("cannot read the secret"));
    folder.write("turn", "a secret of the relays\n");
    folder.write("ca.pem", "nothing");
    let text = problems().join("\n");
    assert!(text.contains("no authority in"), "{text}");
    // Nobody is probed: nothing is needed.
    let mut quiet = config.clone();
    quiet.fleet.as_mut().unwrap().is_probing = false;
    let text = Findings::of(&quiet, clock::utc()).problems.join("\n");
    assert!(!text.contains("cannot probe"), "{text}");
    let refused = crate::service::fleet::prober(&config, None);
    assert!(matches!(refused, Err(FleetError::Probe(NoRoots::Empty(_)))));
}

#[test]
fn a_check_advises_who_lacks_a_family() {
    let folder = Folder::new();
    let config = folder.fleet_config();
    let advice = || Findings::of(&config, clock::utc()).advice.join("\n");
    assert!(
        !advice().contains("address and others have"),
        "none has IPv6"
    );
    let both = file(&[("a", "\"2001:db8::1\""), ("b", "")]);
    folder.write("fleet.toml", &both);
    let text = advice();
    assert!(
        text.contains("b has no ipv6 address and others have"),
        "{text}"
    );
    assert!(!text.contains("a has no"), "{text}");
}
