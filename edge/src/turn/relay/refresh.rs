//! Refresh (RFC 8656 §8.2): a longer life, or the end.

use std::time::Instant;

use super::{Relay, answer::Reply};
use crate::turn::{
    auth::Identity,
    wire::{ErrorCode, Message},
};

impl Relay {
    /// A running allocation may be refreshed although its credential's time is
    /// over: a long broadcast must not end in the middle.
    pub(super) fn refresh(
        &mut self,
        now: Instant,
        reply: &Reply,
        message: &Message<'_>,
        identity: &Identity,
    ) {
        let said = &message.attributes;
        let key = match self.owned(&reply.client, &identity.username) {
            Ok(key) => key,
            // RFC 8656 §8.2: that there is none is what was asked for. A
            // retransmission must not see an error.
            Err(ErrorCode::AllocationMismatch) if said.lifetime == Some(0) => {
                return self.succeed(reply, |encoder| encoder.lifetime(0));
            }
            Err(code) => return self.refuse(reply, code),
        };
        let family = match said.requested_family {
            None => None,
            Some(Ok(family)) => Some(family),
            Some(Err(_)) => return self.refuse(reply, ErrorCode::PeerAddressFamilyMismatch),
        };
        let Some(allocation) = self.allocations.get_mut(key.0) else {
            return;
        };
        if family.is_some_and(|family| allocation.relayed(family).is_none()) {
            return self.refuse(reply, ErrorCode::PeerAddressFamilyMismatch);
        }
        if said.lifetime == Some(0) {
            let is_last = family.is_none() || allocation.families().count() == 1;
            match family {
                Some(family) if !is_last => self.end_family(key, family),
                _ => self.end(now, key),
            }
            return self.succeed(reply, |encoder| encoder.lifetime(0));
        }
        let lifetime = self.settings.lifetime(said.lifetime);
        allocation.expires = now + lifetime;
        let at = allocation.next_expiry();
        self.schedule.set(key.0, at);
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        self.succeed(reply, |encoder| encoder.lifetime(seconds));
    }
}
