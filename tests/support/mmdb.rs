//! A writer of MaxMind DB files, for tests that need networks of their own.
//!
//! It writes what MaxMind's writers write: IPv4 at `::/96`, each different record once,
//! and nodes of 24, 28 or 32 bits a side. What it does not do by itself is share parts of
//! records by pointers. The unit tests of `inlet-edge` include this file too.
//!
//! Source: MaxMind DB File Format Specification 2.0.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A map.
    Map(Vec<(&'static str, Self)>),
    /// A string.
    Text(String),
    /// A double.
    Real(f64),
    /// An unsigned number of 16, 32 or 64 bits.
    Whole(u8, u64),
    /// An array.
    Array(Vec<Self>),
    /// A pointer to so many bytes behind the begin of the data, where records lie one
    /// after the other as they were inserted.
    Pointer(u32),
}

impl Value {
    /// A string.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A record of a City database.
    pub fn city(continent: &str, country: &str, place: Option<(f64, f64)>) -> Self {
        let code = |name, code: &str| Self::Map(vec![(name, Self::text(code))]);
        let mut fields = vec![
            ("continent", code("code", continent)),
            ("country", code("iso_code", country)),
        ];
        if let Some((latitude, longitude)) = place {
            let location = [("latitude", latitude), ("longitude", longitude)];
            let location = location.map(|(name, degrees)| (name, Self::Real(degrees)));
            fields.push(("location", Self::Map(location.to_vec())));
        }
        Self::Map(fields)
    }

    /// A record of an ASN database.
    pub fn asn(asn: u32) -> Self {
        let number = Self::Whole(32, asn.into());
        Self::Map(vec![("autonomous_system_number", number)])
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Map(fields) => {
                head(7, fields.len(), out);
                for (name, value) in fields {
                    Self::text(name).write(out);
                    value.write(out);
                }
            }
            Self::Text(text) => {
                head(2, text.len(), out);
                out.extend(text.as_bytes());
            }
            Self::Real(number) => {
                head(3, 8, out);
                out.extend(number.to_be_bytes());
            }
            Self::Whole(bits, number) => {
                let kind = match bits {
                    16 => 5,
                    32 => 6,
                    _ => 9,
                };
                let bytes = number.to_be_bytes();
                let bytes = &bytes[number.leading_zeros() as usize / 8..];
                head(kind, bytes.len(), out);
                out.extend(bytes);
            }
            Self::Array(elements) => {
                head(11, elements.len(), out);
                elements.iter().for_each(|element| element.write(out));
            }
            Self::Pointer(offset) => {
                out.push(1 << 5 | 3 << 3);
                out.extend(offset.to_be_bytes());
            }
        }
    }
}

fn head(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, more) = match size {
        0..29 => (size as u8, vec![]),
        29..285 => (29, vec![(size - 29) as u8]),
        285..65_821 => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
        _ => (31, ((size - 65_821) as u32).to_be_bytes()[1..].to_vec()),
    };
    match kind {
        8.. => out.extend([short, kind - 7]),
        _ => out.push(kind << 5 | short),
    }
    out.extend(more);
}

/// A half of a node, while the tree grows.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    Nothing,
    Node(u32),
    Data(u32),
}

/// A database in the making.
pub struct Writer {
    kind: String,
    built: u64,
    record_bits: u16,
    nodes: Vec<[Half; 2]>,
    data: Vec<u8>,
    records: HashMap<Vec<u8>, u32>,
}

impl Writer {
    /// An empty database of a type, built so many seconds after the epoch.
    pub fn new(kind: &str, built: u64) -> Self {
        Self {
            kind: kind.to_owned(),
            built,
            record_bits: 28,
            nodes: vec![[Half::Nothing; 2]],
            data: Vec::new(),
            records: HashMap::new(),
        }
    }

    /// Writes records of 24, 28 or 32 bits; 28 by default.
    pub fn record_bits(mut self, bits: u16) -> Self {
        self.record_bits = bits;
        self
    }

    /// Says something about a network. Shorter prefixes must come first, since what is
    /// said last goes before.
    pub fn insert(&mut self, network: IpNet, value: &Value) {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        let data = &mut self.data;
        let record = *self.records.entry(bytes).or_insert_with_key(|bytes| {
            let offset = data.len() as u32;
            data.extend(bytes);
            offset
        });
        let (bits, len) = match network.network() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), network.prefix_len() + 96),
            IpAddr::V6(v6) => (v6.to_bits(), network.prefix_len()),
        };
        self.set(bits, len, Half::Data(record));
    }

    /// Puts the tree of IPv4 at `::ffff:0:0/96` and `2002::/16` too, as MaxMind does.
    /// What is inserted later is there as well.
    pub fn alias_v4(&mut self) {
        let v4 = self.nodes.len() as u32;
        self.nodes.push([Half::Nothing; 2]);
        for (bits, len) in [(0, 96), (0xffff << 32, 96), (0x2002 << 112, 16)] {
            self.set(bits, len, Half::Node(v4));
        }
    }

    fn set(&mut self, bits: u128, len: u8, what: Half) {
        let bit = |depth: u8| usize::from(bits << depth >> 127 == 1);
        let mut node = 0;
        for depth in 0..len - 1 {
            let half = self.nodes[node][bit(depth)];
            node = match half {
                Half::Node(next) => next as usize,
                other => {
                    let next = self.nodes.len();
                    self.nodes.push([other; 2]);
                    self.nodes[node][bit(depth)] = Half::Node(next as u32);
                    next
                }
            };
        }
        self.nodes[node][bit(len - 1)] = what;
    }

    /// The file.
    pub fn finish(&self) -> Vec<u8> {
        let count = self.nodes.len() as u32;
        let mut file = Vec::new();
        for halves in &self.nodes {
            let [left, right] = halves.map(|half| match half {
                Half::Nothing => count,
                Half::Node(node) => node,
                Half::Data(offset) => count + 16 + offset,
            });
            let (a, b) = (left.to_be_bytes(), right.to_be_bytes());
            match self.record_bits {
                24 => file.extend([&a[1..], &b[1..]].concat()),
                28 => file.extend([&a[1..], &[a[0] << 4 | b[0]], &b[1..]].concat()),
                _ => file.extend([a, b].concat()),
            }
        }
        file.extend([0; 16]);
        file.extend(&self.data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        self.metadata(count).write(&mut file);
        file
    }

    fn metadata(&self, nodes: u32) -> Value {
        let description = Value::Map(vec![("en", Value::text("of a test"))]);
        Value::Map(vec![
            ("binary_format_major_version", Value::Whole(16, 2)),
            ("binary_format_minor_version", Value::Whole(16, 0)),
            ("build_epoch", Value::Whole(64, self.built)),
            ("database_type", Value::Text(self.kind.clone())),
            ("description", description),
            ("ip_version", Value::Whole(16, 6)),
            ("languages", Value::Array(vec![Value::text("en")])),
            ("node_count", Value::Whole(32, nodes.into())),
            ("record_size", Value::Whole(16, self.record_bits.into())),
        ])
    }
}
