//! A reader of CMAF chunks and init segments (ISO/IEC 14496-12), on no library of the
//! origin's.
//!
//! It knows what a chunk of one track holds, and refuses what players could not make
//! sense of: offsets that miss their `mdat`, samples beyond its end, `traf` without
//! `tfdt`.

use anyhow::{Context as _, Result, bail, ensure};

/// Flags of a `tfhd` that make offsets count from the `moof` alone.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `sample_is_non_sync_sample` (§8.8.3.1).
const NON_SYNC: u32 = 0x01_0000;
/// Flags of a `prft` whose time is that of capture (§8.16.5).
const CAPTURED: u32 = 24;
/// Seconds from 1900 to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;
const NAL_IDR: u8 = 5;

/// One `moof` with its `mdat`, and what stands before them.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Major brand of its `styp`.
    pub brand: [u8; 4],
    /// Its `prft`, if it has one.
    pub produced: Option<Produced>,
    /// `sequence_number` of the `mfhd`.
    pub sequence: u32,
    /// `baseMediaDecodeTime`, in ticks.
    pub start: u64,
    /// Its samples, in their order.
    pub samples: Vec<Sample<'a>>,
}

/// A `prft`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// When it was captured, in microseconds of Unix time.
    pub captured: i64,
    /// The media time that was captured then, in ticks.
    pub media_time: u64,
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// In ticks.
    pub duration: u64,
    /// Whether its flags say that decoding can begin here.
    pub is_sync: bool,
    /// The coded bytes.
    pub data: &'a [u8],
}

impl Chunk<'_> {
    /// Sum of its samples' durations, in ticks.
    pub fn duration(&self) -> u64 {
        self.samples.iter().map(|sample| sample.duration).sum()
    }
}

impl Sample<'_> {
    /// Whether a NAL unit of an IDR picture is in it, each behind its length of four
    /// bytes.
    ///
    /// # Errors
    ///
    /// When a length does not fit.
    pub fn is_idr(&self) -> Result<bool> {
        let mut rest = self.data;
        let mut is_idr = false;
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk().context("half a length")?;
            let length = u32::from_be_bytes(*length) as usize;
            let (nal, after) = after.split_at_checked(length).context("half a NAL unit")?;
            is_idr |= nal.first().context("an empty NAL unit")? & 0x1F == NAL_IDR;
            rest = after;
        }
        Ok(is_idr)
    }
}

/// Reads a file of chunks: a part, or a segment.
///
/// # Errors
///
/// When it is not made of whole chunks.
pub fn chunks(file: &[u8]) -> Result<Vec<Chunk<'_>>> {
    let mut chunks = Vec::new();
    let mut rest = file;
    let (mut brand, mut produced, mut moof) = (None, None, None);
    while !rest.is_empty() {
        let (kind, body, after) = next_box(rest)?;
        match &kind {
            b"styp" => brand = Some(*body.first_chunk().context("styp")?),
            b"prft" => produced = Some(read_prft(body)?),
            b"moof" => moof = Some((read_moof(body)?, rest.len() - after.len())),
            b"mdat" => {
                let (moof, moof_size): (Moof, usize) = moof.take().context("mdat without moof")?;
                let header = rest.len() - after.len() - body.len();
                ensure!(
                    moof.data_offset == moof_size + header,
                    "the offset of a trun misses its mdat"
                );
                chunks.push(Chunk {
                    brand: brand.take().context("a chunk without styp")?,
                    produced: produced.take(),
                    sequence: moof.sequence,
                    start: moof.start.context("traf without tfdt")?,
                    samples: cut(&moof.entries, body)?,
                });
            }
            other => bail!("box {}", String::from_utf8_lossy(other)),
        }
        rest = after;
    }
    ensure!(moof.is_none(), "moof without mdat");
    Ok(chunks)
}

/// The slices of a picture in Annex B, each behind its length of four bytes, as a sample
/// has them.
pub fn slices(annex_b: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let starts = annex_b.windows(3).enumerate();
    let starts = starts.filter(|(_, bytes)| *bytes == [0, 0, 1]);
    let starts: Vec<usize> = starts.map(|(at, _)| at + 3).collect();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(annex_b.len(), |next| next - 3);
        let nal = &annex_b[*start..end];
        // A unit's last byte is none of zeros: those belong to the next start code.
        let length = nal
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        if nal
            .first()
            .is_some_and(|first| matches!(first & 0x1F, 1 | NAL_IDR))
        {
            out.extend((length as u32).to_be_bytes());
            out.extend(&nal[..length]);
        }
    }
    out
}

/// Ticks per second of the one track of an init segment.
///
/// # Errors
///
/// When it has no `mdhd`.
pub fn timescale(init: &[u8]) -> Result<u64> {
    let path = [b"moov", b"trak", b"mdia", b"mdhd"];
    let mut body = init;
    for kind in path {
        body = child(body, kind)?;
    }
    // Two moments of four bytes each, or of eight.
    let at = if body.first() == Some(&1) { 20 } else { 12 };
    Ok(u64::from(u32_at(body, at)?))
}

#[derive(Default)]
struct Moof {
    sequence: u32,
    start: Option<u64>,
    data_offset: usize,
    entries: Vec<Entry>,
    defaults: Entry,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    duration: u32,
    size: u32,
    flags: u32,
}

fn read_moof(body: &[u8]) -> Result<Moof> {
    let mut moof = Moof {
        sequence: u32_at(child(body, b"mfhd")?, 4)?,
        ..Moof::default()
    };
    let mut rest = child(body, b"traf")?;
    while !rest.is_empty() {
        let (kind, body, after) = next_box(rest)?;
        match &kind {
            b"tfhd" => moof.defaults = read_tfhd(body)?,
            b"tfdt" if body.first() == Some(&1) => moof.start = Some(u64_at(body, 4)?),
            b"tfdt" => moof.start = Some(u32_at(body, 4)?.into()),
            b"trun" => {
                ensure!(moof.entries.is_empty(), "a second trun");
                read_trun(body, &mut moof)?;
            }
            _ => {}
        }
        rest = after;
    }
    Ok(moof)
}

fn read_tfhd(body: &[u8]) -> Result<Entry> {
    let flags = u32_at(body, 0)? & 0xFF_FFFF;
    ensure!(flags & DEFAULT_BASE_IS_MOOF != 0 && flags & 1 == 0, "tfhd");
    let mut at = 8;
    let mut field = |bit: u32| {
        if flags & bit == 0 {
            return Ok(0);
        }
        at += 4;
        u32_at(body, at - 4)
    };
    field(0x02)?;
    Ok(Entry {
        duration: field(0x08)?,
        size: field(0x10)?,
        flags: field(0x20)?,
    })
}

fn read_trun(body: &[u8], moof: &mut Moof) -> Result<()> {
    let flags = u32_at(body, 0)? & 0xFF_FFFF;
    ensure!(flags & 0x01 != 0, "a trun without offset");
    moof.data_offset = u32_at(body, 8)? as usize;
    let mut at = 12;
    let mut field = |bit: u32, otherwise: u32| {
        if flags & bit == 0 {
            return Ok(otherwise);
        }
        at += 4;
        u32_at(body, at - 4)
    };
    let first = field(0x04, moof.defaults.flags)?;
    for index in 0..u32_at(body, 4)? {
        let ordinary = if index == 0 {
            first
        } else {
            moof.defaults.flags
        };
        moof.entries.push(Entry {
            duration: field(0x100, moof.defaults.duration)?,
            size: field(0x200, moof.defaults.size)?,
            flags: field(0x400, ordinary)?,
        });
        ensure!(field(0x800, 0)? == 0, "a frame is shown out of order");
    }
    Ok(())
}

fn read_prft(body: &[u8]) -> Result<Produced> {
    let flags = u32_at(body, 0)?;
    ensure!(flags & 0xFF_FFFF == CAPTURED, "prft of {flags:x}");
    let ntp = u64_at(body, 8)?;
    let seconds = (ntp >> 32).checked_sub(NTP_TO_UNIX).context("prft")?;
    let micros = ((ntp & 0xFFFF_FFFF) * 1_000_000) >> 32;
    let is_long = flags >> 24 == 1;
    Ok(Produced {
        captured: i64::try_from(seconds * 1_000_000 + micros)?,
        media_time: match is_long {
            true => u64_at(body, 16)?,
            false => u32_at(body, 16)?.into(),
        },
    })
}

fn cut<'a>(entries: &[Entry], mut data: &'a [u8]) -> Result<Vec<Sample<'a>>> {
    let mut samples = Vec::with_capacity(entries.len());
    for entry in entries {
        let cut = data.split_at_checked(entry.size as usize);
        let (sample, rest) = cut.context("a sample beyond the mdat")?;
        samples.push(Sample {
            duration: entry.duration.into(),
            is_sync: entry.flags & NON_SYNC == 0,
            data: sample,
        });
        data = rest;
    }
    ensure!(data.is_empty(), "bytes of no sample in an mdat");
    Ok(samples)
}

fn child<'a>(mut rest: &'a [u8], wanted: &[u8; 4]) -> Result<&'a [u8]> {
    while !rest.is_empty() {
        let (kind, body, after) = next_box(rest)?;
        if &kind == wanted {
            return Ok(body);
        }
        rest = after;
    }
    bail!("no {}", String::from_utf8_lossy(wanted))
}

/// Kind and body of the first box, and what follows it.
fn next_box(rest: &[u8]) -> Result<([u8; 4], &[u8], &[u8])> {
    let size = u32_at(rest, 0)? as usize;
    let kind = *rest.get(4..).and_then(<[u8]>::first_chunk).context("box")?;
    let cut = rest.split_at_checked(size).filter(|_| size >= 8);
    let (whole, after) = cut.with_context(|| format!("a box of {size} bytes"))?;
    Ok((kind, &whole[8..], after))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    Ok(u32::from_be_bytes(*field.context("a box ends early")?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    Ok(u64::from_be_bytes(*field.context("a box ends early")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes(), &kind[..], &body].concat()
    }

    /// A chunk of two samples, an IDR of five bytes and two others' bytes.
    fn chunk(offset: u32) -> Vec<u8> {
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let tfhd = of(b"tfhd", &[&words(&[0x02_0028, 1, 3000, 0x0101_0000])]);
        let tfdt = of(b"tfdt", &[&words(&[0x0100_0000, 1, 5])]);
        let run = [0x205, 2, offset, 0x0200_0000, 5, 2];
        let trun = of(b"trun", &[&words(&run)]);
        let traf = of(b"traf", &[&tfhd, &tfdt, &trun]);
        let moof = of(b"moof", &[&of(b"mfhd", &[&words(&[0, 9])]), &traf]);
        let mdat = of(b"mdat", &[&[0, 0, 0, 1, 0x65, 7, 7]]);
        [of(b"styp", &[b"cmfl"]), moof, mdat].concat()
    }

    #[test]
    fn a_chunk_is_cut_into_its_samples() {
        let offset = u32::try_from(chunk(0).len() - 12 - 7).unwrap();
        let file = chunk(offset);
        let read = chunks(&file).unwrap();
        let [chunk] = &read[..] else {
            panic!("{read:?}")
        };
        assert_eq!((chunk.sequence, chunk.start), (9, (1 << 32) + 5));
        assert_eq!((chunk.duration(), &chunk.brand), (6000, b"cmfl"));
        let sync: Vec<bool> = chunk.samples.iter().map(|it| it.is_sync).collect();
        assert_eq!(sync, [true, false]);
        assert!(chunk.samples[0].is_idr().unwrap());
        assert!(chunk.samples[1].is_idr().is_err());
    }

    #[test]
    fn an_offset_beside_the_samples_is_refused() {
        assert!(chunks(&chunk(0)).is_err());
        let offset = u32::try_from(chunk(0).len() - 12 - 7).unwrap();
        let whole = chunk(offset);
        assert!(chunks(&whole[..whole.len() - 1]).is_err());
    }
}
