//! What databases say about a network.

use std::fmt;

use super::place::Place;

/// Two letters: a country of ISO 3166-1, or a continent as databases write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code([u8; 2]);

impl Code {
    /// The code, in capitals; `None` if it is not two letters of ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of(text.as_bytes())
    }

    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let code: [u8; 2] = text.try_into().ok()?;
        let letters = code.iter().all(u8::is_ascii_alphabetic);
        letters.then(|| Self(code.map(|letter| letter.to_ascii_uppercase())))
    }

    /// Whether it is one of the seven continents: AF, AN, AS, EU, NA, OC, SA.
    pub fn is_continent(self) -> bool {
        [b"AF", b"AN", b"AS", b"EU", b"NA", b"OC", b"SA"].contains(&&self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .into_iter()
            .try_for_each(|letter| write!(f, "{}", char::from(letter)))
    }
}

/// What is known about a network. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Where it is.
    pub place: Option<Place>,
    /// Which country it is in, or else was registered for.
    pub country: Option<Code>,
    /// Which continent.
    pub continent: Option<Code>,
    /// Whose it is, by the number of the autonomous system.
    pub asn: Option<u32>,
}

impl Facts {
    /// These, and what `other` knows beyond them.
    pub(super) fn or(self, other: &Self) -> Self {
        Self {
            place: self.place.or(other.place),
            country: self.country.or(other.country),
            continent: self.continent.or(other.continent),
            asn: self.asn.or(other.asn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_two_letters() {
        assert_eq!(Code::parse("de").unwrap().to_string(), "DE");
        for text in ["", "D", "DEU", "D1", "Germany", "ß"] {
            assert_eq!(Code::parse(text), None, "{text}");
        }
        assert!(Code::parse("eu").unwrap().is_continent());
        assert!(!Code::parse("DE").unwrap().is_continent());
    }

    #[test]
    fn the_first_that_knows_something_counts() {
        let first = Facts {
            country: Code::parse("DE"),
            ..Facts::default()
        };
        let second = Facts {
            country: Code::parse("FR"),
            asn: Some(64_496),
            ..Facts::default()
        };
        let both = first.or(&second);
        assert_eq!(both.country, Code::parse("DE"));
        assert_eq!(both.asn, Some(64_496));
    }
}
