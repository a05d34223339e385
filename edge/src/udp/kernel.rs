//! What the kernel drops before any socket of ours sees it.

use std::fs;

/// UDP datagrams that found a full receive buffer, over all sockets of this
/// network namespace and both families; `None` where the kernel does not tell.
pub fn receive_buffer_errors() -> Option<u64> {
    // Under ProcSubset=pid there is no /proc/net.
    let four = fs::read_to_string("/proc/self/net/snmp").ok()?;
    let six = fs::read_to_string("/proc/self/net/snmp6").unwrap_or_default();
    Some(of_ipv4(&four)? + of_ipv6(&six).unwrap_or(0))
}

/// A line of names, and one of numbers below it, both with `Udp:` in front.
fn of_ipv4(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(numbers.split_whitespace());
    let (_, number) = pairs.find(|(name, _)| *name == "RcvbufErrors")?;
    number.parse().ok()
}

fn of_ipv6(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("Udp6RcvbufErrors"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read() {
        let four = "Tcp: A\nTcp: 1\nUdp: InDatagrams NoPorts RcvbufErrors\nUdp: 9 8 7\n";
        assert_eq!(of_ipv4(four), Some(7));
        assert_eq!(of_ipv6("Udp6NoPorts  1\nUdp6RcvbufErrors   \t5\n"), Some(5));
        assert_eq!((of_ipv4("junk"), of_ipv6("junk")), (None, None));
    }

    #[test]
    fn this_kernel_tells() {
        assert!(receive_buffer_errors().is_some());
    }
}
