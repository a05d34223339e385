//! The data of single records.

use std::net::IpAddr;

use super::super::wire::{Kind, Name, Rdata};

/// Longest string of TXT (RFC 1035 §3.3).
const MAX_STRING: usize = 255;

/// Longest text of a TXT record here: what a TCP answer holds with ease.
const MAX_TEXT: usize = 4096;

/// Seconds that a zone's SOA record states for secondaries, which this server
/// does not have: refresh, retry, expire.
const SECONDARIES: [u32; 3] = [3600, 600, 604_800];

/// An address.
pub(super) fn address(ip: IpAddr) -> (Kind, Rdata) {
    match ip {
        IpAddr::V4(ip) => (Kind::A, Rdata::plain(ip.octets().to_vec())),
        IpAddr::V6(ip) => (Kind::AAAA, Rdata::plain(ip.octets().to_vec())),
    }
}

/// A zone's start (RFC 1035 §3.3.13).
pub(super) fn soa(
    apex: &Name,
    primary: &Name,
    contact: &Name,
    serial: u32,
    negative_ttl: u32,
) -> Rdata {
    let [refresh, retry, expire] = SECONDARIES;
    let mut data = Rdata::default()
        .with_name(primary, apex)
        .with_name(contact, apex);
    for number in [serial, refresh, retry, expire, negative_ttl] {
        data = data.with(&number.to_be_bytes());
    }
    data
}

/// Where a service is (RFC 2782). Its weight is of no use: there is one target.
pub(super) fn srv(target: &Name, port: u16) -> Rdata {
    const PRIORITY_AND_WEIGHT: [u8; 4] = [0; 4];
    Rdata::default()
        .with(&PRIORITY_AND_WEIGHT)
        .with(&port.to_be_bytes())
        .with_whole(target)
}

/// HTTPS (RFC 9460) for HTTP/2 at the name itself, up to its address hints.
pub(super) fn https(port: u16) -> Vec<u8> {
    const PRIORITY: u16 = 1;
    const ALPN: u16 = 1;
    const PORT: u16 = 3;
    const DEFAULT_PORT: u16 = 443;
    let mut data = PRIORITY.to_be_bytes().to_vec();
    // The target: the owner itself.
    data.push(0);
    data.extend_from_slice(&ALPN.to_be_bytes());
    data.extend_from_slice(&[0, 3, 2]);
    data.extend_from_slice(b"h2");
    if port != DEFAULT_PORT {
        data.extend_from_slice(&PORT.to_be_bytes());
        data.extend_from_slice(&[0, 2]);
        data.extend_from_slice(&port.to_be_bytes());
    }
    data
}

/// Reads a record's data as a person writes it, in the form of zone files
/// (RFC 1035 §5.1). `zone` completes names that do not end in a dot.
///
/// # Errors
///
/// What is wrong with it, to stand behind the record's name.
pub(super) fn read(kind: &str, text: &str, zone: &Name) -> Result<(Kind, Rdata), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let name = |text: &str| absolute(text, zone);
    match (kind, &*fields) {
        ("A", [ip]) => match ip.parse() {
            Ok(ip) => Ok(address(IpAddr::V4(ip))),
            Err(_) => Err(format!("{ip} is no IPv4 address")),
        },
        ("AAAA", [ip]) => match ip.parse() {
            Ok(ip) => Ok(address(IpAddr::V6(ip))),
            Err(_) => Err(format!("{ip} is no IPv6 address")),
        },
        ("NS", [target]) => Ok((Kind::NS, Rdata::default().with_name(&name(target)?, zone))),
        ("CNAME", [target]) => {
            let data = Rdata::default().with_name(&name(target)?, zone);
            Ok((Kind::CNAME, data))
        }
        ("MX", [preference, target]) => {
            let data = Rdata::plain(number(preference)?.to_be_bytes().to_vec());
            Ok((Kind::MX, data.with_name(&name(target)?, zone)))
        }
        ("SRV", [priority, weight, port, target]) => {
            let mut data = Rdata::default();
            for field in [priority, weight, port] {
                data = data.with(&number(field)?.to_be_bytes());
            }
            Ok((Kind::SRV, data.with_whole(&name(target)?)))
        }
        ("TXT", _) => Ok((Kind::TXT, txt(text)?)),
        ("CAA", [flags, tag, value]) => Ok((Kind::CAA, caa(flags, tag, value)?)),
        ("A" | "AAAA", _) => Err("needs one address".to_owned()),
        ("NS" | "CNAME", _) => Err("needs one name".to_owned()),
        ("MX", _) => Err("needs a preference and a name".to_owned()),
        ("SRV", _) => Err("needs priority, weight, port and a name".to_owned()),
        ("CAA", _) => Err("needs flags, a tag and a value without spaces".to_owned()),
        (other, _) => Err(format!(
            "type {other} is not known here: use A, AAAA, NS, CNAME, MX, SRV, TXT or CAA"
        )),
    }
}

/// A name as zone files have it: `@` is the zone itself, and what does not end in a
/// dot lies below it.
pub(super) fn absolute(text: &str, zone: &Name) -> Result<Name, String> {
    let complaint = |error| format!("{text} {error}");
    if text == "@" {
        return Ok(zone.clone());
    }
    let name: Name = text.parse().map_err(complaint)?;
    match text.ends_with('.') {
        true => Ok(name),
        false => name.under(zone).map_err(complaint),
    }
}

fn number(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("{text} is no number up to 65535"))
}

/// Text, in strings of at most 255 bytes.
fn txt(text: &str) -> Result<Rdata, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("is longer than {MAX_TEXT} bytes"));
    }
    if text.is_empty() {
        return Ok(Rdata::plain(vec![0]));
    }
    let mut data = Rdata::default();
    for string in text.as_bytes().chunks(MAX_STRING) {
        let length = u8::try_from(string.len()).unwrap_or(u8::MAX);
        data = data.with(&[length]).with(string);
    }
    Ok(data)
}

/// Which CAs may sign (RFC 8659 §4.1).
fn caa(flags: &str, tag: &str, value: &str) -> Result<Rdata, String> {
    let flags: u8 = flags
        .parse()
        .map_err(|_| format!("{flags} is no number up to 255"))?;
    let is_tag = (1..=MAX_STRING).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_tag {
        return Err(format!("{tag} is no tag: use issue, issuewild or iodef"));
    }
    let length = u8::try_from(tag.len()).unwrap_or(u8::MAX);
    let value = value.trim_matches('"');
    Ok(Rdata::plain(vec![flags, length])
        .with(tag.as_bytes())
        .with(value.as_bytes()))
}
