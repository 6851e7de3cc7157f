//! How much room the card has.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that this user may still write where the folder is or, when it is not there yet, its
/// parent; `None` when the system does not say.
pub fn free(folder: &Path) -> Option<u64> {
    let folder = if folder.exists() {
        folder
    } else {
        folder.parent()?
    };
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut room = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: a terminated string, and a place that the call fills when it answers 0.
    let room = unsafe {
        (libc::statvfs(path.as_ptr(), room.as_mut_ptr()) == 0).then(|| room.assume_init())?
    };
    Some(room.f_bavail as u64 * room.f_frsize as u64)
}
