//! What ends, and giving back what it held.

use std::time::Instant;

use inlet_common::clock::UtcTime;

use super::{Output, Relay, TELL_INTERVAL};
use crate::turn::{
    allocation::{Key, RelayId},
    client::Client,
    wire::Family,
};

impl Relay {
    /// Does what is due. `utc` is what usernames' expiries are compared with.
    pub fn handle_timeout(&mut self, now: Instant, utc: UtcTime) {
        self.utc = utc;
        while let Some(key) = self.schedule.pop_due(now) {
            self.expire(now, Key(key));
        }
        self.expire_connections(now);
        if now >= self.next_tell {
            self.next_tell = now + TELL_INTERVAL;
            self.shared.expire_reservations(now);
            self.tally.tell(&self.metrics, &self.shared);
        }
    }

    fn expire(&mut self, now: Instant, key: Key) {
        let Some(allocation) = self.allocations.get_mut(key.0) else {
            return;
        };
        if allocation.expires <= now {
            return self.end(now, key);
        }
        allocation.permissions.expire(now);
        allocation.channels.expire(now);
        let at = allocation.next_expiry();
        self.schedule.set(key.0, at);
    }

    /// Ends a client's allocation if its time is over: a request may come before
    /// [`Relay::handle_timeout`].
    pub(super) fn end_if_over(&mut self, now: Instant, client: &Client) {
        if let Some(key) = self.by_client.get(client).copied()
            && self.allocation(key).is_some_and(|it| it.expires <= now)
        {
            self.end(now, key);
        }
    }

    /// A client's connection has ended, and its allocation with it.
    pub fn handle_client_closed(&mut self, now: Instant, client: &Client) {
        if let Some(key) = self.by_client.get(client).copied() {
            self.end(now, key);
        }
    }

    /// Whether a client has an allocation.
    pub fn has_allocation(&self, client: &Client) -> bool {
        self.by_client.contains_key(client)
    }

    /// Ends an allocation.
    pub(super) fn end(&mut self, now: Instant, key: Key) {
        let Some(allocation) = self.allocation(key) else {
            return;
        };
        let (via, families) = (allocation.client.via, allocation.families());
        let age = now.saturating_duration_since(allocation.created);
        if !self.pending.contains_key(&key) {
            let told = allocation.allotted(Some((age, allocation.traffic)));
            self.outputs.extend(told.map(Output::Tell));
            for family in families {
                self.tally.note_ended(&self.metrics, via, family);
            }
            self.metrics.lifetime.record(age.as_secs_f64());
        }
        self.remove(key);
    }

    /// Takes an allocation out, and gives back all that it held.
    pub(super) fn remove(&mut self, key: Key) {
        self.disconnect_all(key);
        let families: Vec<Family> = self
            .allocation(key)
            .map(|allocation| allocation.families().collect())
            .unwrap_or_default();
        for family in families {
            self.close_relay(key, family);
        }
        self.forget_pending(key);
        self.schedule.remove(key.0);
        if let Some(allocation) = self.allocations.try_remove(key.0) {
            self.by_client.remove(&allocation.client);
        }
    }

    /// Ends one of an allocation's two relayed addresses.
    pub(super) fn end_family(&mut self, key: Key, family: Family) {
        if let Some(allocation) = self.allocation(key) {
            let via = allocation.client.via;
            self.tally.note_ended(&self.metrics, via, family);
        }
        self.disconnect(key, family);
        self.close_relay(key, family);
    }

    fn close_relay(&mut self, key: Key, family: Family) {
        let relayed = self
            .allocations
            .get_mut(key.0)
            .and_then(|allocation| allocation.relayed_mut(family))
            .and_then(Option::take);
        let Some(relayed) = relayed else {
            return;
        };
        self.by_port.remove(&(family, relayed.port));
        self.shared.ports.give_back(family, relayed.port);
        self.outputs.push_back(Output::Unbind {
            relay: RelayId {
                allocation: key,
                family,
            },
        });
    }
}
