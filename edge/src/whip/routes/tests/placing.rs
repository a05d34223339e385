//! Who is counted for the placement adviser, and by which address.

use std::net::IpAddr;

use inlet_common::{clock, roq::control::CloseReason};

use super::*;
use crate::{
    dns::geo::Code,
    placement::{Atlas, Spot, Tally},
    trace::Notice,
    whip::session::Path,
};

/// Knows where one address is.
#[derive(Debug)]
struct OneAddress;

impl Atlas for OneAddress {
    fn spot(&self, client: IpAddr) -> Spot {
        let is_known = client == IpAddr::from([192, 0, 2, 7]);
        Spot {
            country: Code::parse("DE").filter(|_| is_known),
            ..Spot::default()
        }
    }

    fn is_of_fleet(&self, _: IpAddr) -> bool {
        false
    }
}

/// What every edge of these tests counts in.
pub(super) fn tally() -> Arc<Tally> {
    Arc::new(Tally::new(Arc::new(OneAddress), clock::utc()))
}

/// Countries, presenters and relayed ones that were counted.
fn counted(edge: &Edge) -> Vec<(Option<String>, u64, u64)> {
    let rows = edge.gateway.tally().unwrap().rows();
    let rows = rows.by_spot.into_iter();
    let row = rows.map(|(spot, counts)| {
        let country = spot.country.map(|country| country.to_string());
        (country, counts.presenters, counts.relayed)
    });
    row.collect()
}

async fn hear(edge: &Edge, notices: &[Notice]) {
    let (events, receiver) = crate::worker::telling();
    let session = edge.gateway.places()[0].session;
    for notice in notices {
        let (at, notice) = (clock::utc(), notice.clone());
        events.tell(Event::Noticed {
            session,
            at,
            notice,
        });
    }
    let reason = CloseReason::DtlsClosed;
    events.tell(Event::Ended { session, reason });
    drop(events);
    edge.gateway.listen(receiver).await;
}

#[tokio::test]
async fn who_connects_is_counted_by_where_the_post_came_from() {
    let edge = Edge::open();
    assert_eq!(edge.publish().await.status(), 201);
    assert_eq!(counted(&edge), [], "it has not connected");
    let moved = Notice::Moved {
        path: Path::RelayTcp,
        remote: "198.51.100.9:5000".parse().unwrap(),
    };
    hear(&edge, &[moved, Notice::Connected]).await;
    assert_eq!(counted(&edge), [(Some("DE".to_owned()), 1, 1)]);
    let offer = post(&format!("/17_{TOKEN}/whip"), OFFER);
    assert_eq!(edge.send_from("198.51.100.7", offer).await.status(), 201);
    hear(&edge, &[Notice::Connected]).await;
    let expected = [(None, 1, 0), (Some("DE".to_owned()), 1, 1)];
    assert_eq!(counted(&edge), expected);
}

#[tokio::test]
async fn who_is_refused_or_never_connects_is_counted_nowhere() {
    let edge = Edge::refusing(ReasonCode::WrongToken, None);
    assert_eq!(edge.publish().await.status(), 403);
    assert_eq!(counted(&edge), []);
    let edge = Edge::open();
    assert_eq!(edge.publish().await.status(), 201);
    hear(&edge, &[Notice::IceUp]).await;
    assert_eq!(counted(&edge), []);
}
