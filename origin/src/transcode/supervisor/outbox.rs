//! What waits for the worker's socket.
//!
//! Pure. Ticks and set-up always pass: the ledger bounds them. Coded media has
//! a limit in bytes; at the limit video is dropped up to the next key frame,
//! because pictures after a hole decode to garbage.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Buf;

use crate::transcode::{
    Input,
    ipc::{Encoded, ToWorker},
    keyframe::is_key_frame,
    metrics::DropReason,
};

/// The queue in front of the socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Encoded>,
    bytes: usize,
    awaits_key: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Empties it for a new worker, which knows no picture before the next key
    /// frame.
    pub(super) fn restart(&mut self) {
        self.queue.clear();
        self.bytes = 0;
        self.awaits_key = true;
    }

    /// A coded picture was lost on the way here.
    pub(super) fn handle_loss(&mut self) {
        self.awaits_key = true;
    }

    /// Appends set-up or a tick.
    pub(super) fn push(&mut self, message: &ToWorker) {
        if let Some(encoded) = message.encode() {
            self.append(encoded);
        }
    }

    /// Appends coded media if there is room and use for it.
    pub(super) fn push_coded(&mut self, input: Input) -> Result<(), DropReason> {
        let limit = match &input {
            Input::Video { codec, data, .. } => {
                if self.awaits_key && !is_key_frame(*codec, data) {
                    return Err(DropReason::AwaitingKey);
                }
                MAX_BYTES
            }
            // A little sound has room beside a lot of picture.
            _ => MAX_BYTES + AUDIO_BYTES,
        };
        let is_video = matches!(input, Input::Video { .. });
        let encoded = ToWorker::Input(input).encode().ok_or(DropReason::Oversized);
        let fits = |encoded: Encoded| match self.bytes + encoded.size() {
            size if size > limit => Err(DropReason::QueueFull),
            _ => Ok(encoded),
        };
        let result = encoded.and_then(fits);
        if is_video {
            self.awaits_key = result.is_err();
        }
        result.map(|encoded| self.append(encoded))
    }

    /// The next bytes to write, as far as `slices` reach. Returns how many of
    /// them are filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self
            .queue
            .iter()
            .flat_map(|message| [&message.head, &message.payload]);
        let pieces = pieces.filter(|piece| !piece.is_empty());
        slices
            .iter_mut()
            .zip(pieces)
            .map(|(slice, piece)| *slice = IoSlice::new(piece))
            .count()
    }

    /// Forgets `written` bytes.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(first) = self.queue.front_mut() {
            for piece in [&mut first.head, &mut first.payload] {
                let part = written.min(piece.len());
                piece.advance(part);
                written -= part;
            }
            if first.size() > 0 {
                return;
            }
            self.queue.pop_front();
        }
    }

    fn append(&mut self, encoded: Encoded) {
        self.bytes += encoded.size();
        self.queue.push_back(encoded);
    }
}

/// Most bytes that wait when coded video is added: over a second of the
/// largest rate a browser sends, and room for the largest picture twice.
const MAX_BYTES: usize = 4 << 20;

/// What audio may add to it.
const AUDIO_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use proptest::prelude::*;

    use super::*;
    use crate::{timeline::MediaTime, transcode::VideoCodec, transcode::ipc};

    #[test]
    fn a_full_queue_drops_video_up_to_the_next_key_frame() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push_coded(video(true, 1000)), Ok(()));
        assert_eq!(
            outbox.push_coded(video(false, MAX_BYTES)),
            Err(DropReason::QueueFull)
        );
        assert_eq!(
            outbox.push_coded(video(false, 10)),
            Err(DropReason::AwaitingKey)
        );
        assert_eq!(outbox.push_coded(audio()), Ok(()));
        assert_eq!(outbox.push_coded(video(true, 10)), Ok(()));
        assert_eq!(outbox.push_coded(video(false, 10)), Ok(()));
    }

    #[test]
    fn an_oversized_picture_is_dropped_alone() {
        let mut outbox = Outbox::default();
        let big = video(true, ipc::MAX_MESSAGE);
        assert_eq!(outbox.push_coded(big), Err(DropReason::Oversized));
        assert!(outbox.is_empty());
        assert_eq!(outbox.push_coded(video(true, 10)), Ok(()));
    }

    #[test]
    fn after_a_restart_only_a_key_frame_passes() {
        let mut outbox = Outbox::default();
        outbox.push_coded(video(true, 10)).unwrap();
        outbox.restart();
        assert!(outbox.is_empty());
        assert_eq!(
            outbox.push_coded(video(false, 10)),
            Err(DropReason::AwaitingKey)
        );
        assert_eq!(outbox.push_coded(audio()), Ok(()));
        assert_eq!(outbox.push_coded(video(true, 10)), Ok(()));
    }

    proptest! {
        #[test]
        fn any_partial_writes_give_the_messages_whole(
            sizes in proptest::collection::vec(0usize..2000, 1..20),
            step in 1usize..700,
        ) {
            let mut outbox = Outbox::default();
            for size in &sizes {
                outbox.push(&ToWorker::SeedFrame { data: Bytes::from(vec![7; *size]) });
            }
            let mut wire = BytesMut::new();
            while !outbox.is_empty() {
                let mut slices = [IoSlice::new(&[]); 4];
                let count = outbox.slices(&mut slices);
                let bytes: Vec<u8> = slices[..count].iter().flat_map(|each| each.to_vec()).collect();
                let written = step.min(bytes.len());
                wire.extend_from_slice(&bytes[..written]);
                outbox.advance(written);
            }
            prop_assert_eq!(outbox.bytes, 0);
            for size in sizes {
                let message = ipc::next_message(&mut wire).unwrap().unwrap();
                prop_assert_eq!(message.len(), size + 1);
            }
        }
    }

    fn video(is_key: bool, size: usize) -> Input {
        let mut data = vec![0, 0, 0, 1, if is_key { 0x65 } else { 0x41 }];
        data.resize(size.max(5), 9);
        Input::Video {
            codec: VideoCodec::H264,
            capture: MediaTime::from_micros(0),
            quarter_turns: 0,
            data: data.into(),
        }
    }

    fn audio() -> Input {
        Input::Audio {
            capture: MediaTime::from_micros(0),
            data: Bytes::from_static(b"opus"),
        }
    }
}
