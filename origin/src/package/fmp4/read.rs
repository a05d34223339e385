//! Samples back out of a chunk, for containers that are made on request.
//!
//! It reads what [`chunk`](super::chunk()) wrote and nothing else: one `moof`
//! with one run, and an `mdat` with the samples back to back.

use bytes::Bytes;
use mp4_atom::{Atom, Decode, FourCC, Header, Moof};

use super::{Error, NON_SYNC_SAMPLE, Sample};

/// The samples of a chunk, which share its memory, and when the first of them
/// begins, in ticks.
///
/// # Errors
///
/// [`Error::Foreign`] for bytes that no chunk of ours has.
pub(crate) fn samples(chunk: &Bytes) -> Result<(u64, Vec<Sample>), Error> {
    let mut rest = chunk.clone();
    let mut moof = None;
    loop {
        let (kind, body) = next_box(&mut rest)?;
        if kind == FourCC::new(b"moof") {
            moof = Some(Moof::decode_body(&mut body.as_ref())?);
        } else if kind == FourCC::new(b"mdat") {
            return cut(&moof.ok_or(Error::Foreign)?, body);
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

fn cut(moof: &Moof, mut data: Bytes) -> Result<(u64, Vec<Sample>), Error> {
    let traf = moof.traf.first().ok_or(Error::Foreign)?;
    let start = traf.tfdt.as_ref().ok_or(Error::Foreign)?;
    let run = traf.trun.first().ok_or(Error::Foreign)?;
    let ordinary = traf.tfhd.default_sample_duration.unwrap_or(0);
    let flags = traf.tfhd.default_sample_flags.unwrap_or(NON_SYNC_SAMPLE);
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
    Ok((start.base_media_decode_time, samples))
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
}
