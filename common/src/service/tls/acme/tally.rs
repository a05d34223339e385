//! What ordering certificates counts.

use metrics::{Counter, counter, describe_counter};

use super::schedule::Kind;

/// Orders by their result.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    issued: Counter,
    refused: Counter,
    rate_limited: Counter,
    unreachable: Counter,
    local: Counter,
}

impl Orders {
    /// Registers `{program}_acme_orders_total`.
    pub(super) fn new(program: &'static str) -> Self {
        let name = format!("{program}_acme_orders_total");
        describe_counter!(name.clone(), "certificates ordered by ACME, by result");
        let orders = |result: &'static str| counter!(name.clone(), "result" => result);
        Self {
            issued: orders("issued"),
            refused: orders("refused"),
            rate_limited: orders("rate_limited"),
            unreachable: orders("unreachable"),
            local: orders("local"),
        }
    }

    pub(super) fn issued(&self) {
        self.issued.increment(1);
    }

    pub(super) fn failed(&self, kind: Kind) {
        let counter = match kind {
            Kind::Local => &self.local,
            Kind::Unreachable => &self.unreachable,
            Kind::Refused => &self.refused,
            Kind::RateLimited => &self.rate_limited,
        };
        counter.increment(1);
    }
}
