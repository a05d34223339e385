//! Domain names in wire form: each label behind its length, a zero at the end.
//!
//! Names are compared without regard to case (RFC 4343), so both kinds here are
//! lower case; what a query spelled stays in the query, which is echoed byte for
//! byte.

use std::{borrow::Borrow, fmt, str::FromStr};

/// Longest name in wire form (RFC 1035 §2.3.4).
pub const MAX_NAME: usize = 255;

/// Longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A name that was read, on the stack.
#[derive(Clone, Copy)]
pub struct NameBuf {
    bytes: [u8; MAX_NAME],
    len: usize,
}

/// A name that is kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A label is empty or has more than 63 characters.
    #[error("has a label that is empty or longer than 63 characters")]
    Label,
    /// Too long as a whole.
    #[error("is longer than 253 characters")]
    Length,
    /// A character that names of servers do not have.
    #[error("has a character other than letters, digits, - and _")]
    Character,
}

impl NameBuf {
    pub(super) const fn root() -> Self {
        Self {
            bytes: [0; MAX_NAME],
            len: 1,
        }
    }

    /// Adds a label before the root; `false` when the name would get too long.
    pub(super) fn push(&mut self, label: &[u8]) -> bool {
        let start = self.len - 1;
        let end = start + 1 + label.len();
        let Some(room) = self.bytes.get_mut(start..=end) else {
            return false;
        };
        let Some((length, rest)) = room.split_first_mut() else {
            return false;
        };
        // A label's length has six bits.
        *length = u8::try_from(label.len()).unwrap_or_default();
        for (to, from) in rest.iter_mut().zip(label) {
            *to = from.to_ascii_lowercase();
        }
        // The root; what lies behind a name is zero as it was.
        self.len = end + 1;
        true
    }

    /// The name in wire form, lower case.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, self.as_bytes())
    }
}

impl Name {
    /// The name in wire form, lower case.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has in wire form.
    pub fn wire_len(&self) -> usize {
        self.0.len()
    }

    /// Keeps a name that is in wire form and lower case already.
    pub fn from_wire(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// This name under `parent`, such as `_turn._udp` under `turn.example`.
    ///
    /// # Errors
    ///
    /// [`NameError::Length`].
    pub fn under(&self, parent: &Self) -> Result<Self, NameError> {
        let own = self.0.split_last().map_or(&[][..], |(_, labels)| labels);
        if own.len() + parent.0.len() > MAX_NAME {
            return Err(NameError::Length);
        }
        Ok(Self([own, &*parent.0].concat().into()))
    }

    /// A mail address as SOA has it: its user is the first label, dots and all
    /// (RFC 1035 §8).
    ///
    /// # Errors
    ///
    /// [`NameError`] for users and hosts that are none.
    pub fn mailbox(user: &str, host: &str) -> Result<Self, NameError> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.+".contains(&c);
        if !(1..=MAX_LABEL).contains(&user.len()) {
            return Err(NameError::Label);
        }
        if !user.bytes().all(is_plain) {
            return Err(NameError::Character);
        }
        let mut label = NameBuf::root();
        label.push(user.as_bytes());
        Self::from(&label).under(&host.parse()?)
    }

    /// What stands before `apex`, without its end; `None` when this name is not
    /// `apex` or below it.
    pub fn labels_before(&self, apex: &Self) -> Option<&[u8]> {
        suffixes(&self.0)
            .any(|suffix| suffix == &*apex.0)
            .then(|| self.0.get(..self.0.len() - apex.0.len()))?
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Name> for NameBuf {
    fn from(name: &Name) -> Self {
        let mut copy = Self::root();
        copy.len = name.0.len();
        for (to, from) in copy.bytes.iter_mut().zip(&name.0) {
            *to = *from;
        }
        copy
    }
}

impl From<&NameBuf> for Name {
    fn from(name: &NameBuf) -> Self {
        Self(name.as_bytes().into())
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = NameBuf::root();
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return Err(NameError::Label);
            }
            let is_plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
            if !label.bytes().all(is_plain) {
                return Err(NameError::Character);
            }
            if !name.push(label.as_bytes()) {
                return Err(NameError::Length);
            }
        }
        Ok(Self::from(&name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, &self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, &self.0)
    }
}

/// The name itself, its parent, and so on to the root.
pub fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let now = rest?;
        rest = match now.split_first() {
            Some((0, _)) | None => None,
            Some((length, labels)) => labels.get(usize::from(*length)..),
        };
        Some(now)
    })
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &[u8]) -> fmt::Result {
    for suffix in suffixes(name) {
        let Some((length, rest)) = suffix.split_first().filter(|(length, _)| **length > 0) else {
            break;
        };
        let label = rest.get(..usize::from(*length)).unwrap_or_default();
        write!(f, "{}.", label.escape_ascii())?;
    }
    if name == [0] {
        f.write_str(".")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_wire_form_in_lower_case() {
        let name: Name = "Whip.Example.".parse().unwrap();
        assert_eq!(name.as_bytes(), b"\x04whip\x07example\x00");
        assert_eq!(name.to_string(), "whip.example.");
    }

    #[test]
    fn the_dots_of_a_mailbox_stay_in_its_label() {
        let name = Name::mailbox("First.Last", "other.example.").unwrap();
        assert_eq!(name.as_bytes(), b"\x0afirst.last\x05other\x07example\0");
        let long = "x".repeat(MAX_LABEL + 1);
        for (user, error) in [
            ("", NameError::Label),
            (&long, NameError::Label),
            ("a b", NameError::Character),
        ] {
            assert_eq!(Name::mailbox(user, "other.example"), Err(error));
        }
    }

    #[test]
    fn what_is_no_name_is_said_to_be_none() {
        let error = |text: &str| text.parse::<Name>().unwrap_err();
        assert_eq!(error(""), NameError::Label);
        assert_eq!(error("a..b"), NameError::Label);
        assert_eq!(error(&"a".repeat(64)), NameError::Label);
        assert_eq!(error("a b.c"), NameError::Character);
        assert_eq!(error(&["abcdefg"; 32].join(".")), NameError::Length);
        assert!(["abcdefg"; 31].join(".").parse::<Name>().is_ok());
    }

    #[test]
    fn names_know_what_stands_before_their_zone() {
        let name = |text: &str| text.parse::<Name>().unwrap();
        let apex = name("example.net");
        let before = |text| name(text).labels_before(&apex).map(<[u8]>::to_vec);
        assert_eq!(before("a.example.net"), Some(b"\x01a".to_vec()));
        assert_eq!(before("example.net"), Some(Vec::new()));
        assert_eq!(before("badexample.net"), None);
        assert_eq!(before("net"), None);
        assert_eq!(
            name("_turn._udp").under(&apex),
            Ok(name("_turn._udp.example.net"))
        );
    }
}
