//! Samples back out of a chunk, for containers that are made on request.
//!
//! It reads what [`chunk`](super::chunk()) wrote and nothing else: one `moof`
//! with one run, and an `mdat` with the samples back to back.

use bytes::Bytes;
use mp4_atom::{Atom, Decode, FourCC, Header, Moof, Tfdt, Tfhd, Traf, Trun};

use super::{Error, NON_SYNC_SAMPLE, Sample};

/// The samples of a chunk, which share its memory, and when the first of them
/// begins, in ticks.
///
/// # Errors
///
/// [`Error::Foreign`] for bytes that no chunk of ours has.
pub(crate) fn samples(chunk: &Bytes) -> Result<(u64, Vec<Sample>), Error> {
    let moof = find(chunk, Moof::KIND)?;
    let traf = find(&moof, Traf::KIND)?;
    let head: Tfhd = read(&traf)?;
    let start: Tfdt = read(&traf)?;
    let run: Trun = read(&traf)?;
    let samples = cut(&head, &run, find(chunk, FourCC::new(b"mdat"))?)?;
    Ok((start.base_media_decode_time, samples))
}

/// The only boxes that are decoded are those that say where samples lie. Others,
/// which a library may find room for without end, are stepped over.
fn read<A: Atom>(boxes: &Bytes) -> Result<A, Error> {
    Ok(A::decode_body(&mut find(boxes, A::KIND)?.as_ref())?)
}

/// What the first box of a kind holds.
fn find(boxes: &Bytes, kind: FourCC) -> Result<Bytes, Error> {
    let mut rest = boxes.clone();
    loop {
        let (found, body) = next_box(&mut rest)?;
        if found == kind {
            return Ok(body);
        }
    }
}

/// Takes a box off the front: its kind, and what follows its header.
fn next_box(rest: &mut Bytes) -> Result<(FourCC, Bytes), Error> {
    let mut tail = rest.as_ref();
    let header = Header::decode(&mut tail)?;
    let body = rest.len() - tail.len();
    let size = header.size.filter(|size| *size <= tail.len());
    let mut whole = rest.split_to(body + size.ok_or(Error::Foreign)?);
    Ok((header.kind, whole.split_off(body)))
}

fn cut(head: &Tfhd, run: &Trun, mut data: Bytes) -> Result<Vec<Sample>, Error> {
    let ordinary = head.default_sample_duration.unwrap_or(0);
    let flags = head.default_sample_flags.unwrap_or(NON_SYNC_SAMPLE);
    let mut samples = Vec::new();
    for entry in run.samples.iter() {
        let size = usize::try_from(entry.size.ok_or(Error::Foreign)?);
        let size = size.ok().filter(|size| *size <= data.len());
        samples.push(Sample {
            data: data.split_to(size.ok_or(Error::Foreign)?),
            duration: u64::from(entry.duration.unwrap_or(ordinary)),
            sync: entry.flags.unwrap_or(flags) != NON_SYNC_SAMPLE,
        });
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::fmp4::{Header, chunk};

    fn sample(byte: u8, size: usize, duration: u64, sync: bool) -> Sample {
        Sample {
            data: vec![byte; size].into(),
            duration,
            sync,
        }
    }

    #[test]
    fn samples_come_back_as_they_were_written() {
        let written = [
            sample(1, 10, 3000, true),
            sample(2, 1, 9000, false),
            sample(3, 0, 3000, true),
        ];
        let header = Header {
            sequence: 1,
            start: 1 << 40,
            unit_ticks: 3000,
            all_sync: false,
            opens: Some(inlet_common::clock::UtcTime::from_unix_micros(0)),
        };
        let (start, read) = samples(&chunk(&header, &written).unwrap()).unwrap();
        assert_eq!(start, 1 << 40);
        let plain = |samples: &[Sample]| -> Vec<_> {
            let plain = |s: &Sample| (s.data.clone(), s.duration, s.sync);
            samples.iter().map(plain).collect()
        };
        assert_eq!(plain(&read), plain(&written));
    }

    #[test]
    fn bytes_that_are_no_chunk_are_refused() {
        let header = Header {
            sequence: 1,
            start: 0,
            unit_ticks: 1024,
            all_sync: true,
            opens: None,
        };
        let whole = chunk(&header, &[sample(1, 10, 1024, true)]).unwrap();
        for length in 0..whole.len() {
            assert!(samples(&whole.slice(..length)).is_err(), "{length}");
        }
    }

    #[test]
    fn a_box_that_is_not_needed_takes_no_room() {
        let boxed = |kind: &[u8; 4], body: &[u8]| {
            let size = u32::try_from(8 + body.len()).unwrap();
            [&size.to_be_bytes()[..], kind, body].concat()
        };
        // Four billion descriptions without a byte each.
        let descriptions = boxed(b"sgpd", b"\0\0\0\0none\xFF\xFF\xFF\xFF");
        let moof = boxed(b"moof", &boxed(b"traf", &descriptions));
        assert!(samples(&moof.into()).is_err());
    }
}
