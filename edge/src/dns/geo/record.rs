//! Records of a MaxMind DB: what one says, read without following what it does not say.
//!
//! A reader of our own beside `maxminddb`, which bounds the work of one record: here what
//! is not asked for is skipped where it stands, each record is read once, and the steps of
//! a whole database are counted. (Up to 0.30 the crate followed each pointer that it
//! skipped, and records that point to the next twice took it for ever.)
//!
//! ```text
//!  control byte              then
//!  ttt sssss                 size < 29; 29, 30, 31: 1, 2, 3 more bytes of it
//!  000 sssss  tttttttt       an extended type, 7 + the second byte
//!  001 SSvvv                 a pointer, of 1 to 4 more bytes
//! ```
//!
//! Source: MaxMind DB File Format Specification 2.0, "Output Data Section".

#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::{
    facts::{Code, Facts},
    place::Place,
};

/// A record that is not as the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It goes on behind the end of the data.
    #[error("a record is cut off")]
    CutOff,
    /// It has a type or a size that the format does not know.
    #[error("a record is malformed: {0}")]
    Malformed(&'static str),
    /// Its coordinates are not on earth.
    #[error("a record has coordinates that are not on earth")]
    NotOnEarth,
    /// The records overlap, so that reading them would take very long.
    #[error("the records take more steps to read than {STEPS_PER_BYTE} for each byte")]
    TooManySteps,
}

/// Values that may be read or skipped for each byte of the data. Real databases
/// take about one, as maps of names are shared by pointers.
const STEPS_PER_BYTE: u64 = 32;

/// The data section of a database.
pub(super) struct Records<'a> {
    data: &'a [u8],
    steps: u64,
}

/// The head of a value: what follows is at the place.
#[derive(Clone, Copy)]
enum Value<'a> {
    Map(usize),
    Array(usize),
    Text(&'a [u8]),
    Whole(u64),
    Real(f64),
    Other,
}

/// Where reading goes on.
type At = usize;

impl<'a> Records<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        Self {
            data,
            steps: bytes.saturating_add(1).saturating_mul(STEPS_PER_BYTE),
        }
    }

    /// What the record at an offset says. A record that is no map says nothing.
    pub(super) fn facts(&mut self, offset: usize) -> Result<Facts, RecordError> {
        let (value, _, inside) = self.follow(offset)?;
        let Value::Map(fields) = value else {
            return Ok(Facts::default());
        };
        let mut found = Found::default();
        self.each(fields, inside, |records, key, at| {
            match key {
                b"location" => found.place = records.place(at)?,
                b"country" => found.country = records.code(at, b"iso_code")?,
                b"registered_country" => found.registered = records.code(at, b"iso_code")?,
                b"continent" => found.continent = records.code(at, b"code")?,
                // IPinfo's flat fields.
                b"country_code" => found.country_code = records.code(at, b"")?,
                b"continent_code" => found.continent_code = records.code(at, b"")?,
                b"autonomous_system_number" | b"asn" => found.asn = records.asn(at)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(found.facts())
    }

    /// Calls `field` with the key and the value's place for each field of a map.
    fn each(
        &mut self,
        fields: usize,
        mut at: At,
        mut field: impl FnMut(&mut Self, &[u8], At) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        for _ in 0..fields {
            let (key, value, _) = self.follow(at)?;
            let Value::Text(key) = key else {
                return Err(RecordError::Malformed("a key that is no string"));
            };
            field(self, key, value)?;
            at = self.skip(value)?;
        }
        Ok(())
    }

    fn place(&mut self, at: At) -> Result<Option<Place>, RecordError> {
        let (Value::Map(fields), _, inside) = self.follow(at)? else {
            return Ok(None);
        };
        let (mut latitude, mut longitude) = (None, None);
        self.each(fields, inside, |records, key, at| {
            match key {
                b"latitude" => latitude = records.real(at)?,
                b"longitude" => longitude = records.real(at)?,
                _ => {}
            }
            Ok(())
        })?;
        let (Some(latitude), Some(longitude)) = (latitude, longitude) else {
            return Ok(None);
        };
        let place = Place::new(latitude, longitude).ok_or(RecordError::NotOnEarth)?;
        Ok(Some(place))
    }

    /// A code that stands there, or in a field of the map that stands there.
    fn code(&mut self, at: At, name: &[u8]) -> Result<Option<Code>, RecordError> {
        match self.follow(at)? {
            (Value::Text(text), ..) => Ok(Code::of(text)),
            (Value::Map(fields), _, inside) => {
                let mut code = None;
                self.each(fields, inside, |records, key, at| {
                    if key == name
                        && let (Value::Text(text), ..) = records.follow(at)?
                    {
                        code = Code::of(text);
                    }
                    Ok(())
                })?;
                Ok(code)
            }
            _ => Ok(None),
        }
    }

    /// A number, or one behind the letters AS.
    fn asn(&mut self, at: At) -> Result<Option<u32>, RecordError> {
        Ok(match self.follow(at)?.0 {
            Value::Whole(number) => u32::try_from(number).ok(),
            Value::Text(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.strip_prefix("AS")?.parse().ok()),
            _ => None,
        }
        // AS 0 is nobody's (RFC 7607).
        .filter(|&asn| asn != 0))
    }

    fn real(&mut self, at: At) -> Result<Option<f64>, RecordError> {
        Ok(match self.follow(at)?.0 {
            Value::Real(number) => Some(number),
            _ => None,
        })
    }

    /// The value at a place, or behind the pointer there; what follows it there; and
    /// for a map or an array where its first element is.
    fn follow(&mut self, at: At) -> Result<(Value<'a>, At, At), RecordError> {
        let (pointer, after) = self.pointer(at)?;
        match pointer {
            None => {
                let (value, inside) = self.value(at)?;
                Ok((value, inside, inside))
            }
            // A pointer to a pointer is not allowed, and no type that is read here.
            Some(target) => {
                let (value, inside) = self.value(target)?;
                Ok((value, after, inside))
            }
        }
    }

    /// The place behind a value, with all that is inside it.
    fn skip(&mut self, mut at: At) -> Result<At, RecordError> {
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            let (pointer, after) = self.pointer(at)?;
            if pointer.is_some() {
                at = after;
                continue;
            }
            let (value, inside) = self.value(at)?;
            at = inside;
            left += match value {
                Value::Map(fields) => 2 * fields as u64,
                Value::Array(elements) => elements as u64,
                _ => 0,
            };
        }
        Ok(at)
    }

    /// The target if a pointer stands there, and the place behind it.
    fn pointer(&mut self, at: At) -> Result<(Option<At>, At), RecordError> {
        // Each value that is read or skipped comes by here first.
        self.steps = self.steps.checked_sub(1).ok_or(RecordError::TooManySteps)?;
        let control = usize::from(*self.data.get(at).ok_or(RecordError::CutOff)?);
        if control >> 5 != 1 {
            return Ok((None, at));
        }
        let more = (control >> 3 & 3) + 1;
        let low = self.bytes(at + 1, more)?;
        let low = low
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let high = control & 7;
        let target = match more {
            1 => high << 8 | low,
            2 => (high << 16 | low) + 2048,
            3 => (high << 24 | low) + 526_336,
            _ => low,
        };
        Ok((Some(target), at + 1 + more))
    }

    /// The value that stands there, and the place behind it; that of a map or an array
    /// is behind its head alone.
    fn value(&self, at: At) -> Result<(Value<'a>, At), RecordError> {
        let control = *self.data.get(at).ok_or(RecordError::CutOff)?;
        let (kind, at) = match control >> 5 {
            0 => {
                let extended = self.data.get(at + 1).ok_or(RecordError::CutOff)?;
                (usize::from(*extended) + 7, at + 2)
            }
            kind => (usize::from(kind), at + 1),
        };
        let (size, at) = self.size(usize::from(control & 31), at)?;
        Ok(match kind {
            2 => (Value::Text(self.bytes(at, size)?), at + size),
            3 if size == 8 => (Value::Real(f64::from_be_bytes(self.array(at)?)), at + 8),
            4 => (Value::Other, self.behind(at, size)?),
            5 if size <= 2 => (self.whole(at, size)?, at + size),
            6 if size <= 4 => (self.whole(at, size)?, at + size),
            7 => (Value::Map(size), at),
            8 if size <= 4 => (Value::Other, self.behind(at, size)?),
            9 if size <= 8 => (self.whole(at, size)?, at + size),
            10 if size <= 16 => (Value::Other, self.behind(at, size)?),
            11 => (Value::Array(size), at),
            14 if size <= 1 => (Value::Other, at),
            15 if size == 4 => (
                Value::Real(f32::from_be_bytes(self.array(at)?).into()),
                at + 4,
            ),
            1 => return Err(RecordError::Malformed("a pointer to a pointer")),
            _ => return Err(RecordError::Malformed("a type or a size")),
        })
    }

    fn size(&self, short: usize, at: At) -> Result<(usize, At), RecordError> {
        let (more, base) = match short {
            29 => (1, 29),
            30 => (2, 285),
            31 => (3, 65_821),
            size => return Ok((size, at)),
        };
        let bytes = self.bytes(at, more)?;
        let size = bytes
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        Ok((base + size, at + more))
    }

    fn whole(&self, at: At, size: usize) -> Result<Value<'a>, RecordError> {
        let bytes = self.bytes(at, size)?;
        Ok(Value::Whole(
            bytes
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
        ))
    }

    fn bytes(&self, at: At, size: usize) -> Result<&'a [u8], RecordError> {
        self.data.get(at..at + size).ok_or(RecordError::CutOff)
    }

    fn array<const N: usize>(&self, at: At) -> Result<[u8; N], RecordError> {
        self.bytes(at, N)?
            .try_into()
            .map_err(|_| RecordError::CutOff)
    }

    fn behind(&self, at: At, size: usize) -> Result<At, RecordError> {
        self.bytes(at, size).map(|bytes| at + bytes.len())
    }
}

/// What the fields of a record say, each for itself.
#[derive(Default)]
struct Found {
    place: Option<Place>,
    country: Option<Code>,
    country_code: Option<Code>,
    registered: Option<Code>,
    continent: Option<Code>,
    continent_code: Option<Code>,
    asn: Option<u32>,
}

impl Found {
    fn facts(&self) -> Facts {
        let continent = self.continent.or(self.continent_code);
        Facts {
            place: self.place,
            country: self.country.or(self.country_code).or(self.registered),
            continent: continent.filter(|code| code.is_continent()),
            asn: self.asn,
        }
    }
}

#[cfg(test)]
mod tests;
