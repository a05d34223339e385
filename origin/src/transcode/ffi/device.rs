//! Pictures in the memory of a device that encodes.

use std::{ffi::c_int, ptr};

use ffmpeg_next::{
    Error, encoder,
    ffi::{
        AVBufferRef, AVHWDeviceType, AVHWFramesContext, AVPixelFormat, av_buffer_ref,
        av_buffer_unref, av_hwdevice_ctx_create, av_hwframe_ctx_alloc, av_hwframe_ctx_init,
        av_hwframe_get_buffer, av_hwframe_transfer_data,
    },
    format::Pixel,
    frame,
};

use crate::transcode::ladder::Resolution;

/// A pool of pictures of one size in a device's memory. The device is open as
/// long as it lives.
#[derive(Debug)]
pub struct Frames(Buffer);

/// Pictures that are made at once: one that is uploaded, one that is encoded, and
/// as many again in case that the driver gives them back late.
const POOL: c_int = 4;

impl Frames {
    /// Opens the first device that has a VA-API driver, for pictures in NV12.
    ///
    /// # Errors
    ///
    /// FFmpeg's, which logs what is missing.
    pub fn vaapi(size: Resolution) -> Result<Self, Error> {
        let mut device = Buffer(ptr::null_mut());
        // SAFETY: the first argument is a place for a reference that becomes
        // `device`'s own; no name and no options are allowed by its contract.
        check(unsafe {
            av_hwdevice_ctx_create(
                &raw mut device.0,
                AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI,
                ptr::null(),
                ptr::null_mut(),
                0,
            )
        })?;
        let side = |length| c_int::try_from(length).map_err(|_| Error::InvalidData);
        let (width, height) = (side(size.width)?, side(size.height)?);
        // SAFETY: `device` is an open device; the result is null or a reference
        // of our own, whose data is an `AVHWFramesContext` that nobody else has.
        let frames = unsafe {
            let frames = Buffer(av_hwframe_ctx_alloc(device.0));
            if frames.0.is_null() {
                return Err(Error::Other {
                    errno: nix::libc::ENOMEM,
                });
            }
            let context = &mut *(*frames.0).data.cast::<AVHWFramesContext>();
            context.format = AVPixelFormat::AV_PIX_FMT_VAAPI;
            context.sw_format = AVPixelFormat::AV_PIX_FMT_NV12;
            (context.width, context.height) = (width, height);
            context.initial_pool_size = POOL;
            frames
        };
        // SAFETY: the context is filled in, and not yet initialised.
        check(unsafe { av_hwframe_ctx_init(frames.0) })?;
        Ok(Self(frames))
    }

    /// Makes an encoder that is not open yet take these pictures.
    ///
    /// # Errors
    ///
    /// When memory is out.
    pub fn attach(&self, encoder: &mut encoder::video::Video) -> Result<(), Error> {
        encoder.set_format(Pixel::VAAPI);
        // SAFETY: both are alive; the encoder owns the reference that it gets, and
        // had none before.
        unsafe {
            let own = av_buffer_ref(self.0.0);
            if own.is_null() {
                return Err(Error::Other {
                    errno: nix::libc::ENOMEM,
                });
            }
            (*encoder.as_mut_ptr()).hw_frames_ctx = own;
        }
        Ok(())
    }

    /// A copy of `picture`, which is NV12 of the pool's size, on the device.
    ///
    /// # Errors
    ///
    /// FFmpeg's, when the pool is exhausted or the device refuses.
    pub fn upload(&self, picture: &frame::Video) -> Result<frame::Video, Error> {
        let mut uploaded = frame::Video::empty();
        // SAFETY: `uploaded` is blank and becomes the owner of what it gets.
        check(unsafe { av_hwframe_get_buffer(self.0.0, uploaded.as_mut_ptr(), 0) })?;
        // SAFETY: both are allocated; sizes and formats are compared by FFmpeg.
        check(unsafe { av_hwframe_transfer_data(uploaded.as_mut_ptr(), picture.as_ptr(), 0) })?;
        Ok(uploaded)
    }
}

/// A counted reference of FFmpeg's, of our own; null is none.
#[derive(Debug)]
struct Buffer(*mut AVBufferRef);

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: null or a reference of our own, which is not used any more.
        unsafe { av_buffer_unref(&raw mut self.0) };
    }
}

// SAFETY: the count is atomic, and the device behind it belongs to one encoder
// and its pool, which are used by one thread at a time.
unsafe impl Send for Buffer {}

fn check(result: c_int) -> Result<(), Error> {
    if result < 0 {
        Err(Error::from(result))
    } else {
        Ok(())
    }
}
