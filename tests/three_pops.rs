//! A fleet of three points of presence, all of them name servers: where clients are sent
//! by each of the ways in which it is known where they are, and what becomes of that, and
//! of presenters, when one drains, dies or is full.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use inlet_common::clock;
use ipnet::Ipv4Net;
use reqwest::{Client, Response, Url, header, redirect};
use tests::{
    publisher::{Options, Publisher, Tracks},
    rig::{
        Fleet, Stream, apart,
        fleet::{PLACES, TURN, WHIP, scenario},
        until,
    },
    stage,
};
use tokio::runtime::Runtime;

const OFFER: &str = include_str!("../edge/src/whip/offers/chromium.sdp");

/// What a machine that runs tests may be late by.
const SLACK: Duration = Duration::from_secs(3);
/// From what a point of presence says of itself to the others' answers: it reports every
/// two seconds, and they look once a second. A drain is told at once.
const TOLD: Duration = Duration::from_secs(1 + 2).saturating_add(SLACK);
/// From a death to the others' answers: three probes that fail, 2.2 s apart at most.
const FALL: Duration = Duration::from_millis(3 * 2_200 + 1_000).saturating_add(SLACK);
/// From a return: six that succeed.
const RISE: Duration = Duration::from_millis(6 * 2_200 + 1_000).saturating_add(SLACK);
/// How long the origin may take to believe that a presenter is gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Networks of MaxMind's test database, an address in each, and who is nearest.
const CLIENTS: [(&str, Ipv4Addr, &str); 3] = [
    ("81.2.69.160/27", Ipv4Addr::new(81, 2, 69, 161), "fra"),
    ("216.160.83.56/29", Ipv4Addr::new(216, 160, 83, 57), "iad"),
    ("175.16.199.0/24", Ipv4Addr::new(175, 16, 199, 1), "sin"),
];

/// Client networks that are looked at, whose own point of presence is `fra`.
const NETWORKS: u8 = 255;

fn network(number: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(10, number, 0, 0), 16)
}

#[test]
fn clients_are_told_apart_by_subnet_resolver_and_post() {
    if !apart::is_inside("clients_are_told_apart_by_subnet_resolver_and_post") {
        return;
    }
    for (_, address, _) in CLIENTS {
        apart::add_address(address).expect("an address of a client");
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(scenario(
        |_| {},
        async |fleet| {
            for (network, address, nearest) in CLIENTS {
                by_dns(fleet, network.parse()?, address, nearest).await?;
                by_post(fleet, address, nearest).await?;
            }
            Ok(())
        },
    ));
}

/// Every name server says the same, whether it sees the client or hears of it.
async fn by_dns(fleet: &Fleet, subnet: Ipv4Net, client: Ipv4Addr, nearest: &str) -> Result<()> {
    let expected = fleet.pop(nearest).place.address;
    let (_, elsewhere, _) = CLIENTS[usize::from(nearest == CLIENTS[0].2)];
    let nobody = Ipv4Net::default();
    for pop in &fleet.pops {
        let resolver = pop.resolver();
        for (name, ttl) in [(WHIP, 30), (TURN, 60)] {
            // The resolver's own place counts where it does not tell the client's.
            for (source, subnet, scope) in [
                (client, None, None),
                (client, Some(nobody), Some(0..=0)),
                (Ipv4Addr::LOCALHOST, Some(subnet), Some(16..=32)),
                (elsewhere, Some(subnet), Some(16..=32)),
            ] {
                let answer = resolver.at(source).ask(name, subnet).await?;
                let what = format!("{name} at {} for {source}, {subnet:?}", pop.place.name);
                ensure!(answer.rcode == 0, "{what}: {answer:?}");
                ensure!(answer.addresses == [expected], "{what}: {answer:?}");
                ensure!(answer.ttl == Some(ttl), "{what}: {answer:?}");
                let is_true = match (answer.scope, scope) {
                    (Some(told), Some(scope)) => scope.contains(&told),
                    (told, scope) => told.is_none() && scope.is_none(),
                };
                ensure!(is_true, "{what}: {answer:?}");
            }
        }
    }
    Ok(())
}

/// The POST shows who it really is: one who came to another is sent on, and taken there.
async fn by_post(fleet: &Fleet, client: Ipv4Addr, nearest: &str) -> Result<()> {
    let stream = fleet.api.create(nearest).await?;
    let home = fleet.pop(nearest).whip(&stream)?;
    let home = home.split_inclusive('/').take(3).collect::<String>();
    for pop in &fleet.pops {
        let answer = post(&pop.whip(&stream)?, client).await?;
        let taken = match pop.place.name == nearest {
            true => answer,
            false => {
                ensure!(answer.status() == 307, "{}", answer.status());
                let to = location(&answer)?;
                ensure!(to.as_str().starts_with(&home), "{to}");
                post(to.as_str(), client).await?
            }
        };
        ensure!(taken.status() == 201, "{}", taken.status());
        let session = location(&taken)?;
        ensure!(session.as_str().starts_with(&home), "{session}");
        let deleted = Client::new().delete(session).send().await?;
        ensure!(deleted.status() == 200, "{}", deleted.status());
    }
    Ok(())
}

/// Posts an offer from an address; redirects are looked at and not followed.
async fn post(url: &str, source: Ipv4Addr) -> Result<Response> {
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .local_address(Some(source.into()))
        .build()?;
    let request = client.post(url);
    let request = request.header(header::CONTENT_TYPE, "application/sdp");
    Ok(request.body(OFFER).send().await?)
}

fn location(response: &Response) -> Result<Url> {
    let value = response.headers().get(header::LOCATION);
    let value = value.context("no Location")?.to_str()?;
    Ok(response.url().join(value)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_one_leaves_every_answer_and_returns() {
    scenario(
        |_| {},
        async |fleet| {
            let stream = fleet.api.create("wanderer").await?;
            let (mut publisher, first) = go_live(fleet, &stream, "iad", network(0)).await?;
            ensure!(first == fleet.pop("fra").place.address, "{first}");

            fleet.pop("fra").drain().await?;
            let begin = clock::now();
            // It says so itself as well, as long as there is somebody to wait for.
            let own = fleet.pop("fra").resolver();
            until("its own word", TOLD, async || {
                let told = own.resolve(WHIP, Some(network(0))).await?;
                ensure!(told != first, "its own name server sends clients to it");
                Ok(())
            })
            .await?;
            leaves(fleet, "fra", &[WHIP, TURN], begin, TOLD).await?;
            let cut = tokio::time::timeout(PATIENCE, publisher.lost()).await;
            cut.context("the presenter stays")?;
            drop(publisher);
            let (publisher, second) = go_live(fleet, &stream, "sin", network(0)).await?;
            ensure!(second != first);
            publisher.stop().await?;

            let fra = fleet.pop_mut("fra");
            let status = fra.ended().await?;
            ensure!(status.success(), "{status}");
            fra.start().await?;
            returns(fleet, "fra", RISE).await?;
            let (publisher, third) = go_live(fleet, &stream, "sin", network(0)).await?;
            ensure!(third == first, "{third}");
            publisher.stop().await
        },
    )
    .await;
}

/// As the fleet's edges are set up: a second before `drain.timeout`, since resolvers keep
/// answers for longer than that.
const LINGERS: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_one_that_drains_stays_for_whoever_still_comes() {
    scenario(
        |_| {},
        async |fleet| {
            let stream = fleet.api.create("latecomer").await?;
            let fra = fleet.pop("fra").whip(&stream)?;
            let begin = clock::now();
            fleet.pop("fra").drain().await?;
            let sent_on = post(&fra, Ipv4Addr::LOCALHOST).await?;
            ensure!(sent_on.status() == 307, "{}", sent_on.status());
            let taken = post(location(&sent_on)?.as_str(), Ipv4Addr::LOCALHOST).await?;
            ensure!(taken.status() == 201, "{}", taken.status());

            let status = fleet.pop_mut("fra").ended().await?;
            let stayed = begin.elapsed();
            ensure!(status.success(), "{status}");
            ensure!(stayed >= LINGERS, "{stayed:?}");
            Client::new().delete(location(&taken)?).send().await?;
            Ok(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_one_leaves_every_answer_after_three_probes() {
    scenario(
        |_| {},
        async |fleet| {
            let stream = fleet.api.create("survivor").await?;
            let (publisher, first) = go_live(fleet, &stream, "sin", network(0)).await?;
            ensure!(first == fleet.pop("fra").place.address, "{first}");
            // Until it was probed once, its death would be no news.
            for name in ["iad", "sin"] {
                until("the first probes", TOLD, async || {
                    let metrics = fleet.pop(name).metrics().await?;
                    let labels = ["pop=\"fra\"", "result=\"ok\""];
                    let probes = metrics.sum("inlet_edge_probe_results_total", &labels);
                    ensure!(probes >= 5.0, "{probes}");
                    Ok(())
                })
                .await?;
            }

            fleet.pop_mut("fra").kill().await?;
            leaves(fleet, "fra", &[WHIP, TURN], clock::now(), FALL).await?;
            drop(publisher);
            for (name_server, client) in [("iad", 0), ("sin", 1)] {
                let (publisher, address) =
                    go_live(fleet, &stream, name_server, network(client)).await?;
                ensure!(address != first);
                publisher.stop().await?;
            }
            fleet.pop_mut("fra").start().await?;
            returns(fleet, "fra", RISE).await
        },
    )
    .await;
}

/// TURN by TLS shows the certificate of another, as one that has expired: whoever is at it
/// sees nothing of that, and the others tell it.
#[tokio::test(flavor = "multi_thread")]
async fn one_whose_turn_is_broken_leaves_its_own_answers_too() {
    scenario(
        |_| {},
        async |fleet| {
            let all = PLACES.map(|place| place.name);
            let fra = fleet.pop("fra").place.address;
            let certificates = fleet.folder().join("certificates");
            let sound = read_pair(&certificates, "fra")?;
            write_pair(&certificates, "fra", &read_pair(&certificates, "iad")?)?;
            fleet.reload(|text| text)?;
            let begin = clock::now();
            leaves(fleet, "fra", &[TURN], begin, FALL).await?;
            until("its own word", TOLD, async || {
                let answers = agreed(fleet, TURN, &all).await?;
                ensure!(
                    !answers.contains(&fra),
                    "its name server sends clients to it"
                );
                Ok(())
            })
            .await?;
            note(&format!(
                "fra left its own answers within {:?}",
                begin.elapsed()
            ));
            // Presenters are none the worse.
            let answers = agreed(fleet, WHIP, &all).await?;
            ensure!(answers.iter().all(|answer| *answer == fra));

            write_pair(&certificates, "fra", &sound)?;
            fleet.reload(|text| text)?;
            until("its return", RISE + TOLD, async || {
                let answers = agreed(fleet, TURN, &all).await?;
                ensure!(answers.iter().all(|answer| *answer == fra));
                Ok(())
            })
            .await
        },
    )
    .await;
}

/// A certificate and its key.
const PAIR: [&str; 2] = ["pem", "key"];

fn read_pair(folder: &Path, name: &str) -> Result<[Vec<u8>; 2]> {
    let read = |end| fs::read(folder.join(name).with_extension(end));
    Ok([read(PAIR[0])?, read(PAIR[1])?])
}

fn write_pair(folder: &Path, name: &str, pair: &[Vec<u8>; 2]) -> Result<()> {
    for (end, bytes) in PAIR.iter().zip(pair) {
        fs::write(folder.join(name).with_extension(end), bytes)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_one_sheds_a_share_of_its_clients_then_all() {
    scenario(
        // By sessions alone: how busy two cores are with all of this is another matter.
        |layout| layout.limits = "sessions_per_worker = 1\nworker_busy = 1.0".to_owned(),
        async |fleet| {
            // Half full is more than it should be, for this test.
            fleet.reload(|text| text.replacen("soft_limit = 0.7", "soft_limit = 0.3", 1))?;
            returns(fleet, "fra", TOLD).await?;
            let fra = fleet.pop("fra").place.address;
            let half = fleet.api.create("half").await?;
            let (half, address) = go_live(fleet, &half, "iad", network(0)).await?;
            ensure!(address == fra, "{address}");
            let shed = until("some to be shed", TOLD, async || {
                let kept = agreed(fleet, WHIP, &["iad", "sin"]).await?;
                let shed = kept.iter().filter(|address| **address != fra).count();
                // (0.9 − 0.5) / (0.9 − 0.3) are kept.
                ensure!((60..=110).contains(&shed), "{shed} of {NETWORKS} are shed");
                Ok(kept.iter().position(|address| *address == fra))
            })
            .await?;

            let keeps = u8::try_from(shed.context("nobody is kept")?)?;
            let full = fleet.api.create("full").await?;
            let (full, address) = go_live(fleet, &full, "sin", network(keeps)).await?;
            ensure!(address == fra, "{address}");
            leaves(fleet, "fra", &[WHIP], clock::now(), TOLD).await?;
            // Who comes all the same, by an answer of before, is sent on.
            let late = fleet.api.create("late").await?;
            let late = Publisher::start(options(&late, fra)).await?;
            let taken = Url::parse(late.session_url())?;
            let taken: Ipv4Addr = taken.host_str().context("a host")?.parse()?;
            ensure!(taken != fra && fleet.at(taken).is_ok(), "{taken}");
            late.stop().await?;

            for publisher in [half, full] {
                publisher.stop().await?;
            }
            returns(fleet, "fra", TOLD).await
        },
    )
    .await;
}

/// Sound alone, to an address that a name server has answered.
fn options(stream: &Stream, address: Ipv4Addr) -> Options {
    Options {
        tracks: Tracks::Audio,
        resolved: Some(address.into()),
        ..stage::options(stream)
    }
}

/// Goes live by whatever the name server of `name_server` answers for a client, and is
/// there, and stays there: its session has a URL that leads nowhere else.
async fn go_live(
    fleet: &Fleet,
    stream: &Stream,
    name_server: &str,
    client: Ipv4Net,
) -> Result<(Publisher, Ipv4Addr)> {
    let resolver = fleet.pop(name_server).resolver();
    let (publisher, address) = until("going live", PATIENCE, async || {
        let address = resolver.resolve(WHIP, Some(client)).await?;
        let publisher = Publisher::start(options(stream, address)).await?;
        Ok((publisher, address))
    })
    .await?;
    let session = publisher.session_url();
    let own = format!("http://{address}:");
    ensure!(session.starts_with(&own), "{session} is not at {address}");
    let pop = fleet.at(address)?.place.name;
    until("its region", PATIENCE, async || {
        let region = fleet.api.get(stream.id).await?.region;
        ensure!(region.as_deref() == Some(pop), "{region:?} and not {pop}");
        Ok(())
    })
    .await?;
    Ok((publisher, address))
}

/// Waits until the other two name servers send nobody to `name`, and its clients to both
/// of the others: within the limit from `begin` on.
async fn leaves(
    fleet: &Fleet,
    name: &str,
    services: &[&str],
    begin: Instant,
    limit: Duration,
) -> Result<()> {
    let others = PLACES.iter().filter(|place| place.name != name);
    let others: Vec<_> = others.collect();
    let names: Vec<_> = others.iter().map(|place| place.name).collect();
    until(
        "its leave",
        limit.saturating_sub(begin.elapsed()),
        async || {
            for service in services {
                let answers = agreed(fleet, service, &names).await?;
                for other in &others {
                    let address = other.address;
                    let share = answers.iter().filter(|answer| **answer == address).count();
                    // Three to two, by hash.
                    let is_fair = share > usize::from(NETWORKS) / 4;
                    ensure!(is_fair, "{} has {share} of {NETWORKS}", other.name);
                }
                let gone = fleet.pop(name).place.address;
                ensure!(!answers.contains(&gone), "{name} has clients");
            }
            Ok(())
        },
    )
    .await?;
    note(&format!("{name} left within {:?}", begin.elapsed()));
    Ok(())
}

/// Waits until all three name servers send its clients to `name` again.
async fn returns(fleet: &Fleet, name: &str, limit: Duration) -> Result<()> {
    let begin = clock::now();
    let address = fleet.pop(name).place.address;
    until("its return", limit, async || {
        let answers = agreed(fleet, WHIP, &PLACES.map(|place| place.name)).await?;
        let share = answers.iter().filter(|answer| **answer == address).count();
        ensure!(share == answers.len(), "{name} has {share} of {NETWORKS}");
        Ok(())
    })
    .await?;
    note(&format!("{name} was back within {:?}", begin.elapsed()));
    Ok(())
}

/// Where each client network is sent by a steered name, at these name servers, which
/// agree.
async fn agreed(fleet: &Fleet, service: &str, name_servers: &[&str]) -> Result<Vec<Ipv4Addr>> {
    let mut agreed = None;
    for name_server in name_servers {
        let resolver = fleet.pop(name_server).resolver();
        let mut answers = Vec::new();
        for number in 0..NETWORKS {
            answers.push(resolver.resolve(service, Some(network(number))).await?);
        }
        let before = agreed.get_or_insert_with(|| answers.clone());
        ensure!(*before == answers, "{name_server} says something else");
    }
    agreed.context("nobody was asked")
}

#[expect(clippy::print_stdout, reason = "the figures are asked for")]
fn note(text: &str) {
    println!("{text}");
}
