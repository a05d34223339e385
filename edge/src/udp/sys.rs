//! The system calls of the data plane that no kept crate makes.
//!
//! `quinn-udp` sets the DF bit on every socket, as QUIC needs it. A relay must
//! clear it (RFC 8656 §15), and neither `nix` nor `socket2` sets
//! IP_MTU_DISCOVER on Linux.
#![expect(
    unsafe_code,
    reason = "setsockopt(2) with an option that no crate wraps"
)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::libc;

/// Sets whether datagrams that are too large for the path are fragmented.
///
/// # Errors
///
/// When the kernel refuses.
pub(super) fn set_may_fragment(
    socket: &impl AsFd,
    is_ipv6: bool,
    may_fragment: bool,
) -> io::Result<()> {
    if is_ipv6 {
        let discover = match may_fragment {
            true => libc::IPV6_PMTUDISC_DONT,
            false => libc::IPV6_PMTUDISC_DO,
        };
        set(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            discover,
        )?;
        let dont_fragment = libc::c_int::from(!may_fragment);
        return set(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_DONTFRAG,
            dont_fragment,
        );
    }
    let discover = match may_fragment {
        true => libc::IP_PMTUDISC_DONT,
        false => libc::IP_PMTUDISC_DO,
    };
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discover)
}

fn set(
    socket: &impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let descriptor = socket.as_fd().as_raw_fd();
    let value: *const libc::c_int = &raw const value;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the
    // kernel reads the size of one `c_int` at `value`, which lives until then.
    let result = unsafe {
        libc::setsockopt(
            descriptor,
            level,
            option,
            value.cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
