//! Our ufrag, which says whose session it is.
//!
//! A TCP connection that comes in at the port of HTTPS must find the worker that
//! has its session, without a table that workers share. So the first two
//! characters are the worker's number in base 62, and the rest is random. The
//! trap: what a stranger sends can name any worker, also one that there is not.

use rand::{Rng, RngExt as _};
use str0m::IceCreds;

/// Of the ice-chars `+` and `/` are left out: some clients escape them.
const CHARACTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Characters that name the worker; enough for 3,844 of them.
const WORKER_LEN: usize = 2;

/// Characters of our ufrag. The 14 random ones have 5.9 bits each: unguessable on
/// their own, since they lead datagrams to their session (RFC 8445 §5.3 asks for
/// 24 bits).
const UFRAG_LEN: usize = 16;

/// Characters of our pwd (RFC 8445 §5.3 asks for 128 bits).
const PWD_LEN: usize = 32;

/// Draws our credentials for a session of `worker`, for an answer or a restart.
pub(super) fn random_credentials(worker: u16, rng: &mut impl Rng) -> IceCreds {
    IceCreds {
        ufrag: random_ufrag(worker, rng),
        pass: draw(PWD_LEN, rng),
    }
}

/// Draws a ufrag for a session of `worker`.
fn random_ufrag(worker: u16, rng: &mut impl Rng) -> String {
    let worker = usize::from(worker);
    let digits = [worker / CHARACTERS.len(), worker % CHARACTERS.len()];
    let mut ufrag: String = digits
        .into_iter()
        .map(|digit| char::from(CHARACTERS[digit % CHARACTERS.len()]))
        .collect();
    ufrag.push_str(&draw(UFRAG_LEN - WORKER_LEN, rng));
    ufrag
}

/// The worker that a ufrag of ours names; `None` when it is none of ours.
pub fn worker_of(ufrag: &str) -> Option<u16> {
    let digits = ufrag.as_bytes().get(..WORKER_LEN)?;
    let worker = digits.iter().try_fold(0, |worker, character| {
        let digit = CHARACTERS.iter().position(|known| known == character)?;
        Some(worker * CHARACTERS.len() + digit)
    })?;
    u16::try_from(worker).ok()
}

fn draw(len: usize, rng: &mut impl Rng) -> String {
    let mut one = || char::from(CHARACTERS[rng.random_range(0..CHARACTERS.len())]);
    (0..len).map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufrag_names_its_worker() {
        for worker in [0, 1, 61, 62, 255, 3_843] {
            let ufrag = random_ufrag(worker, &mut rand::rng());
            assert_eq!((ufrag.len(), worker_of(&ufrag)), (UFRAG_LEN, Some(worker)));
        }
    }

    #[test]
    fn what_is_not_ours_names_nobody() {
        for foreign in ["", "A", "+/ab", "a:b", "é"] {
            assert_eq!(worker_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn the_rest_is_random() {
        let mut rng = rand::rng();
        assert_ne!(random_ufrag(7, &mut rng), random_ufrag(7, &mut rng));
        assert_eq!(random_credentials(7, &mut rng).pass.len(), PWD_LEN);
    }
}
