//! Bodies made of pieces that exist, and of chunks that are still made.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_stream::{Stream as _, wrappers::WatchStream};

use crate::store::{Stream, Track};

/// A body of known length in several pieces.
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl Pieces {
    pub(super) fn new(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self {
            pieces: pieces.into(),
            left,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A segment that is sent while it grows: each chunk goes out when it is made.
pub(super) struct Growing {
    stream: Arc<Stream>,
    track: String,
    number: u64,
    /// Chunks sent so far.
    sent: usize,
    changes: WatchStream<()>,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

/// The segment will not be completed; ends the response as broken, so that no
/// cache keeps the half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment stopped growing")]
pub(super) struct Stalled;

impl Growing {
    pub(super) fn new(stream: Arc<Stream>, track: &Track, number: u64) -> Self {
        // Three target durations without a chunk: nothing is held longer.
        let patience = stream.layout().target_duration() * 3;
        Self {
            track: track.name().to_owned(),
            number,
            sent: 0,
            changes: WatchStream::from_changes(track.chunks()),
            patience,
            deadline: Box::pin(tokio::time::sleep(patience)),
            stream,
        }
    }

    /// The next chunk; `None` inside when it is still to come.
    fn next_chunk(&self) -> Result<Option<Bytes>, End> {
        let newest = self.stream.track(&self.track).map(|it| it.newest());
        let Some(newest) = newest.filter(|_| !self.stream.is_retired()) else {
            return Err(End::Stalled);
        };
        let segment = newest.segment(self.number).ok_or(End::Stalled)?;
        match segment.chunks.get(self.sent) {
            Some(chunk) => Ok(Some(chunk.clone())),
            None if segment.complete => Err(End::Complete),
            None => Ok(None),
        }
    }
}

enum End {
    Complete,
    Stalled,
}

impl Body for Growing {
    type Data = Bytes;
    type Error = Stalled;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stalled>>> {
        loop {
            match self.next_chunk() {
                Ok(Some(chunk)) => {
                    self.sent += 1;
                    let deadline = Instant::now() + self.patience;
                    self.deadline.as_mut().reset(deadline);
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                Ok(None) => {}
                Err(End::Complete) => return Poll::Ready(None),
                Err(End::Stalled) => return Poll::Ready(Some(Err(Stalled))),
            }
            if self.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(Stalled)));
            }
            // `None` would mean that the stream is gone, which we hold.
            if ready!(Pin::new(&mut self.changes).poll_next(cx)).is_none() {
                return Poll::Ready(Some(Err(Stalled)));
            }
        }
    }
}
