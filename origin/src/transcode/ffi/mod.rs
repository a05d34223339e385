//! The few FFmpeg and kernel calls that need `unsafe`.
//!
//! Only what `ffmpeg-next` and `nix` have no safe call for. Each function is
//! safe to call as it stands: it takes what makes it sound by type.
#![expect(
    unsafe_code,
    reason = "the one room for calls into C without a safe wrapper"
)]

use bytes::Bytes;
use ffmpeg_next::{Error, codec, ffi, frame};
use nix::libc;

pub mod device;

/// A second owner of the picture in `frame`: the pixels are shared, while time
/// and picture type are its own.
///
/// # Errors
///
/// FFmpeg's error when memory is out or `frame` is empty.
pub fn share(frame: &frame::Video) -> Result<frame::Video, Error> {
    let mut shared = frame::Video::empty();
    // SAFETY: both point to allocated frames, `shared` is blank, and
    // `av_frame_ref` counts references to the buffers atomically.
    let result = unsafe { ffi::av_frame_ref(shared.as_mut_ptr(), frame.as_ptr()) };
    if result < 0 {
        Err(Error::from(result))
    } else {
        Ok(shared)
    }
}

/// A codec's global header: parameter sets or AudioSpecificConfig. Empty when
/// it has none.
pub fn extradata(context: &codec::Context) -> Bytes {
    // SAFETY: the context is allocated; `extradata` is null or points to
    // `extradata_size` bytes that it owns, and they are copied here.
    unsafe {
        let context = &*context.as_ptr();
        match usize::try_from(context.extradata_size) {
            Ok(size) if size > 0 && !context.extradata.is_null() => {
                Bytes::copy_from_slice(std::slice::from_raw_parts(context.extradata, size))
            }
            _ => Bytes::new(),
        }
    }
}

/// Closes every file descriptor from 3 on. Only for a process that has opened
/// nothing yet: descriptors held by live objects would be gone behind their
/// backs, which is why this is for [`super::worker`] alone.
pub(super) fn close_inherited_descriptors() {
    // SAFETY: takes no pointer. The caller has nothing open from 3 on; a
    // kernel before 5.9 answers ENOSYS, and close-on-exec has done the work.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// Lowers the scheduling priority of the calling thread and of the threads it
/// will start by `nice` steps.
pub fn lower_priority(nice: i32) {
    // SAFETY: takes no pointer; failure leaves the priority as it is.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// Ends the process at once. Other threads are in the middle of C code, so
/// running exit handlers under them would be a race.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}
