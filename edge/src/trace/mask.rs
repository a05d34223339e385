//! Taking out of SDP and addresses what nobody may see.

use std::net::IpAddr;

/// Longest SDP that is kept; what is beyond is cut off.
const MAX_SDP: usize = 16 * 1024;

const HIDDEN: &str = "***";

/// An address without its last octet, or without the last 64 bits of an IPv6 one.
pub fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.x")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}:x")
        }
    }
}

/// SDP without passwords and fingerprints, its addresses masked.
pub fn sdp(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_SDP));
    for line in text.lines().map(str::trim_end) {
        if out.len() + line.len() > MAX_SDP {
            break;
        }
        out.push_str(&masked(line));
        out.push_str("\r\n");
    }
    out
}

fn masked(line: &str) -> String {
    for secret in ["a=ice-ufrag:", "a=ice-pwd:", "a=crypto:"] {
        if line.starts_with(secret) {
            return format!("{secret}{HIDDEN}");
        }
    }
    if let Some(value) = line.strip_prefix("a=fingerprint:") {
        let hash = value.split(' ').next().unwrap_or_default();
        return format!("a=fingerprint:{hash} {HIDDEN}");
    }
    let has_address = ["a=candidate:", "a=rtcp:", "c=", "o="];
    if !has_address.iter().any(|start| line.starts_with(start)) {
        return line.to_owned();
    }
    let mut follows_ufrag = false;
    let words = line.split(' ').map(|word| {
        let hide = std::mem::replace(&mut follows_ufrag, word == "ufrag");
        match word.parse() {
            _ if hide => HIDDEN.to_owned(),
            Ok(ip) => address(ip),
            Err(_) => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_names_one_machine() {
        assert_eq!(address("198.51.100.7".parse().unwrap()), "198.51.100.x");
        let v6 = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        assert_eq!(address(v6), "2001:db8:1:2:x");
        assert_eq!(address("::ffff:192.0.2.9".parse().unwrap()), "192.0.2.x");
    }

    #[test]
    fn sdp_keeps_its_lines_and_no_secret() {
        let text = "v=0\r\no=- 1 2 IN IP4 198.51.100.7\r\na=ice-ufrag:abcd\r\n\
            a=ice-pwd:secretsecretsecret\r\na=fingerprint:sha-256 AA:BB\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
            a=candidate:1 1 udp 1 198.51.100.7 5000 typ host ufrag abcd\r\n";
        assert_eq!(
            sdp(text),
            "v=0\r\no=- 1 2 IN IP4 198.51.100.x\r\na=ice-ufrag:***\r\na=ice-pwd:***\r\n\
             a=fingerprint:sha-256 ***\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
             a=candidate:1 1 udp 1 198.51.100.x 5000 typ host ufrag ***\r\n"
        );
    }

    #[test]
    fn endless_sdp_is_cut() {
        assert!(sdp(&"a=x\r\n".repeat(100_000)).len() <= 2 * MAX_SDP);
    }
}
