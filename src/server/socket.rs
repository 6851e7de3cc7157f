//! Socket options that tokio does not offer, through libc.
//!
//! Each is set with best effort: a kernel that refuses one serves on without it.

use std::os::fd::RawFd;

use libc::{c_int, c_void};

use crate::limits;

/// What every accepted connection gets.
pub(super) fn prepare(fd: RawFd) {
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 60);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 15);
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4);
    set(
        fd,
        libc::IPPROTO_TCP,
        libc::TCP_USER_TIMEOUT,
        limits::WRITE_STALL_TIMEOUT.as_millis() as c_int,
    );
    set(
        fd,
        libc::IPPROTO_TCP,
        libc::TCP_NOTSENT_LOWAT,
        limits::UNSENT_BYTES_LOW as c_int,
    );
}

/// Bounds what the kernel holds for a realtime socket; resident memory does not show it.
pub(super) fn small_kernel_buffers(fd: RawFd) {
    let bytes = limits::REALTIME_KERNEL_BUFFER_BYTES as c_int;
    set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes);
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
}

/// Ends both directions; the task that owns the socket wakes and drops it.
pub(super) fn shutdown(fd: RawFd) {
    if fd >= 0 {
        // SAFETY: takes two integers; a descriptor that is no socket gives an error.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }
}

/// Makes the coming close a reset, so that unsent bytes are freed at once.
pub(super) fn reset_on_close(fd: RawFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set_value(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
}

/// Sends without waiting; `false` when not all of it left.
pub(super) fn send_now(fd: RawFd, bytes: &[u8]) -> bool {
    // SAFETY: pointer and length are those of one live slice.
    let sent = unsafe {
        libc::send(
            fd,
            bytes.as_ptr().cast::<c_void>(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent) == Ok(bytes.len())
}

/// Sends without waiting; how much left, 0 for a socket that takes nothing or is none.
pub(super) fn send_some(fd: RawFd, bytes: &[u8]) -> usize {
    if fd < 0 {
        return 0;
    }
    // SAFETY: pointer and length are those of one live slice.
    let sent = unsafe {
        libc::send(
            fd,
            bytes.as_ptr().cast::<c_void>(),
            bytes.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).unwrap_or(0)
}

fn set(fd: RawFd, level: c_int, option: c_int, value: c_int) {
    set_value(fd, level, option, &value);
}

fn set_value<T>(fd: RawFd, level: c_int, option: c_int, value: &T) {
    // SAFETY: pointer and length are those of one live value.
    unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            std::ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as libc::socklen_t,
        )
    };
}
