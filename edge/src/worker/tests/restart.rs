//! ICE restarts, over real sockets and the worker's table.

use super::*;

impl Bench {
    /// Hands a restart to the worker; what it answers, and the fragment.
    fn restart(&self, publisher: &mut Publisher, session: SessionId) -> (bool, String) {
        let remote = publisher.presenter.restart();
        let made = publisher.ice.restart(remote, &mut rand::rng());
        let (restart, fragment) = made.unwrap();
        let (reply, answer) = oneshot::channel();
        let command = Command::Restart {
            session,
            restart: Box::new(restart),
            reply,
        };
        self.handle.send(command).unwrap();
        (answer.blocking_recv().unwrap(), fragment)
    }
}

#[test]
fn media_reach_the_origin_whole_through_restarts() {
    let mut bench = Bench::new();
    let (mut publisher, id) = bench.publish();
    publisher.play(15);
    // One that the presenter never hears of, and one that it does.
    let (is_taken, _) = bench.restart(&mut publisher, id);
    assert!(is_taken);
    let (is_taken, fragment) = bench.restart(&mut publisher, id);
    assert!(is_taken);
    publisher.play(10);
    publisher.presenter.handle_fragment(&fragment);
    publisher.play(20);
    let (is_taken, fragment) = bench.restart(&mut publisher, id);
    assert!(is_taken);
    publisher.presenter.handle_fragment(&fragment);
    publisher.play(15);
    let mut seen = 0;
    let heard = bench.hear_until(|heard| {
        seen += usize::from(matches!(heard, Heard::Frame(..)));
        seen == 60
    });
    assert_eq!(frames(&heard), 60, "each with all its packets");
    assert_eq!(bench.handle.sessions(), 1);
    bench.stop();
}

#[test]
fn a_session_that_has_ended_cannot_be_restarted() {
    let bench = Bench::new();
    let (mut publisher, id) = bench.publish();
    let reason = CloseReason::Deleted;
    let close = Command::Close {
        session: id,
        reason,
    };
    bench.handle.send(close).unwrap();
    assert!(!bench.restart(&mut publisher, id).0);
    let (mut other, _) = bench.publish();
    other.play(3);
    bench.stop();
}
