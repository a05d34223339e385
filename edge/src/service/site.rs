//! What this point of presence is to presenters: its name, its ICE servers, and
//! where they go when there is no room.

use std::{sync::Arc, time::Duration};

use inlet_common::ids::StreamId;

use super::{
    appliance::Appliance,
    fleet::Known,
    reporter::{Reporter, Telling},
    workers,
};
use crate::{
    config::Config,
    fleet::ask::Teller,
    whip::{
        link::{IceServer, IceServers},
        routes::Site,
        steer::{Asked, Elsewhere, Home, Overflow, Steering},
    },
};

/// How long a presenter's credential is good for: longer than most streams, since a
/// page asks for another only when it connects anew.
const CREDENTIAL_TTL: Duration = Duration::from_secs(24 * 3600);

/// Makes it of the configuration. `shared_port` is the port that HTTP shares with
/// TURN, and whether it has TLS.
pub(super) fn site(
    config: &Config,
    fleet: Option<Arc<Known>>,
    appliance: Option<Arc<Appliance>>,
    reporter: Option<Reporter>,
    shared_port: Option<(u16, bool)>,
) -> Site {
    let servers = |appliance| {
        Arc::new(Servers {
            appliance,
            shared_port,
        }) as Arc<dyn IceServers>
    };
    let secrets = fleet.as_ref().and_then(|known| known.secrets());
    let teller = secrets.zip(reporter).map(|(secrets, reporter)| {
        Arc::new(Telling {
            secrets,
            own: workers::pop_name(config),
            reporter,
        }) as Arc<dyn Teller>
    });
    let http = &config.http;
    let home = |known| {
        let own = workers::pop_name(config);
        Arc::new(Listed { known, own }) as Arc<dyn Home>
    };
    Site {
        public_url: http.public_url.clone(),
        is_https: http.tls.is_some(),
        ice_servers: appliance.map(servers),
        passes: fleet.as_ref().and_then(|known| known.passes()),
        home: fleet.clone().map(home),
        steering: steering(config, fleet),
        teller,
    }
}

/// This point of presence, as the fleet's file has it.
#[derive(Debug)]
struct Listed {
    known: Arc<Known>,
    own: String,
}

impl Home for Listed {
    fn base(&self) -> Option<String> {
        self.known.base(&self.own)
    }
}

fn steering(config: &Config, fleet: Option<Arc<Known>>) -> Option<Arc<dyn Steering>> {
    let overflow = config.http.redirect_to.clone().map(Overflow);
    let is_steering = config.fleet.as_ref().is_some_and(|fleet| fleet.is_steering);
    match fleet.filter(|_| is_steering) {
        Some(known) => Some(Arc::new(Nearest {
            known,
            own: workers::pop_name(config),
            overflow,
        })),
        None => overflow.map(|overflow| Arc::new(overflow) as Arc<dyn Steering>),
    }
}

/// Sends presenters to the point of presence that is nearest to them, where that is
/// clearly another.
#[derive(Debug)]
struct Nearest {
    known: Arc<Known>,
    own: String,
    overflow: Option<Overflow>,
}

impl Steering for Nearest {
    fn elsewhere(&self, asked: &Asked) -> Option<Elsewhere> {
        let better = self.known.better(&self.own, asked);
        better.or_else(|| self.overflow.as_ref()?.elsewhere(asked))
    }
}

/// The appliance's servers.
#[derive(Debug)]
struct Servers {
    appliance: Arc<Appliance>,
    shared_port: Option<(u16, bool)>,
}

impl IceServers for Servers {
    fn servers(&self, stream: Option<StreamId>, host: Option<&str>) -> Vec<IceServer> {
        let (stun, turn) = self.appliance.urls(host, self.shared_port);
        let plain = |url| IceServer {
            url,
            credential: None,
        };
        let mut servers: Vec<IceServer> = stun.into_iter().map(plain).collect();
        let credential =
            stream.and_then(|stream| self.appliance.issue(CREDENTIAL_TTL, &stream.to_string()));
        if let Some(credential) = credential {
            servers.extend(turn.into_iter().map(|url| IceServer {
                url,
                credential: Some(credential.clone()),
            }));
        }
        servers
    }
}
