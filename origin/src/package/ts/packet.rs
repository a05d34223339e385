//! Transport packets (ISO/IEC 13818-1 §2.4.3.2).
//!
//! ```text
//!  0x47 · start of a unit, PID (13) · kind, continuity counter (4) · [adaptation field] · payload
//!
//!  adaptation field: its length · flags · [PCR (6)] · stuffing 0xff
//! ```

use bytes::Bytes;

/// Length of a packet.
pub(super) const SIZE: usize = 188;

/// What a packet carries at most.
pub(super) const CAPACITY: usize = SIZE - 4;

/// Packets of an elementary stream in a segment are a multiple of it, so that
/// the four bits of the continuity counter begin anew with each segment.
const COUNTERS: usize = 16;

/// What of a unit is kept in one packet: its PES header and a delimiter.
const HEAD: usize = 20;

/// Adaptation field flags (§2.4.3.4).
const RANDOM_ACCESS: u8 = 0x40;
const HAS_PCR: u8 = 0x10;

/// What the first packet of a picture tells a decoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The decoder's clock when the packet comes, in 90 kHz ticks.
    pub(super) reference: u64,
    /// Whether decoding can begin here.
    pub(super) is_random_access: bool,
}

/// Cuts units into packets.
#[derive(Debug)]
pub(super) struct Packetizer {
    out: Vec<u8>,
    /// Packets of each elementary stream so far.
    written: Vec<(u16, usize)>,
}

impl Packetizer {
    /// Expects so many packets.
    pub(super) fn new(packets: usize) -> Self {
        Self {
            out: Vec::with_capacity(packets * SIZE),
            written: Vec::new(),
        }
    }

    /// Writes a table's section, which fits in a packet.
    pub(super) fn write_section(&mut self, pid: u16, counter: u64, section: &[u8]) {
        let counter = u8::try_from(counter % 16).unwrap_or(0);
        self.header(pid, true, false, counter);
        // The pointer field: the section begins at once.
        self.out.push(0);
        self.out.extend_from_slice(section);
        self.out.resize(self.out.len().next_multiple_of(SIZE), 0xff);
    }

    /// Writes a unit; the last one of a stream in a segment is spread over as
    /// many packets as make the counter come out even.
    pub(super) fn write(&mut self, pid: u16, unit: &[u8], clock: Option<Clock>, is_last: bool) {
        let mut before = self.written_of(pid);
        let field = clock.map(field).unwrap_or_default();
        let mut packets = (unit.len() + field.len()).div_ceil(CAPACITY);
        if is_last {
            packets = (before + packets).next_multiple_of(COUNTERS) - before;
        }
        let mut rest = unit;
        for index in 0..packets {
            let field = if index == 0 { &field[..] } else { &[] };
            let share = match (is_last, index) {
                (false, _) => rest.len(),
                // The unit's header stays whole where every packet still gets a byte.
                (true, 0) => rest
                    .len()
                    .div_ceil(packets)
                    .max(HEAD.min(rest.len().saturating_sub(packets - 1))),
                (true, _) => rest.len().div_ceil(packets - index),
            };
            let (payload, tail) = rest.split_at(share.min(CAPACITY - field.len()));
            rest = tail;
            let counter = u8::try_from(before % COUNTERS).unwrap_or(0);
            self.packet(pid, index == 0, counter, field, payload);
            before += 1;
        }
        self.set_written(pid, before);
    }

    /// The packets.
    pub(super) fn finish(self) -> Bytes {
        self.out.into()
    }

    fn packet(&mut self, pid: u16, starts: bool, counter: u8, field: &[u8], payload: &[u8]) {
        let stuffing = CAPACITY - field.len() - payload.len();
        self.header(pid, starts, !field.is_empty() || stuffing > 0, counter);
        let (known, room) = (field.len(), field.len() + stuffing);
        match (field.split_first(), room) {
            (_, 0) => {}
            // A field of nothing but its length byte.
            (None, 1) => self.out.push(0),
            (None, _) => {
                self.out.extend([length(room), 0]);
                self.out.resize(self.out.len() + room - 2, 0xff);
            }
            (Some((_, rest)), _) => {
                self.out.push(length(room));
                self.out.extend_from_slice(rest);
                self.out.resize(self.out.len() + room - known, 0xff);
            }
        }
        self.out.extend_from_slice(payload);
    }

    fn header(&mut self, pid: u16, starts: bool, has_field: bool, counter: u8) {
        let [high, low] = pid.to_be_bytes();
        let kind = if has_field { 0x30 } else { 0x10 };
        self.out.extend([
            0x47,
            u8::from(starts) << 6 | high & 0x1f,
            low,
            kind | counter,
        ]);
    }

    fn written_of(&self, pid: u16) -> usize {
        let known = self.written.iter().find(|(known, _)| *known == pid);
        known.map_or(0, |(_, packets)| *packets)
    }

    fn set_written(&mut self, pid: u16, packets: usize) {
        match self.written.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, known)) => *known = packets,
            None => self.written.push((pid, packets)),
        }
    }
}

/// `adaptation_field_length`, which does not count itself.
fn length(room: usize) -> u8 {
    u8::try_from(room - 1).unwrap_or(u8::MAX)
}

/// An adaptation field with the PCR: its length, to be filled in, flags, 33
/// bits of 90 kHz, six reserved, nine of 27 MHz that are zero.
fn field(clock: Clock) -> Vec<u8> {
    let flags = if clock.is_random_access {
        RANDOM_ACCESS | HAS_PCR
    } else {
        HAS_PCR
    };
    let base = clock.reference & ((1 << 33) - 1);
    let bits = base << 15 | 0x3f << 9;
    let mut field = vec![0, flags];
    field.extend_from_slice(&bits.to_be_bytes()[2..]);
    field
}
