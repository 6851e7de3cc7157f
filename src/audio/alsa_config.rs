//! Looks into ALSA's configuration for devices that must not or should not be used.
//!
//! ALSA's `null` and `file` devices keep no time: a program that plays on them spins a core. Its
//! `pulse` plug-in was seen to busy-poll. cpal does not tell what a name stands for, so the
//! definition is read from libasound itself.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::Once;

use super::AudioError;
use super::backend::Direction;

/// Definitions may stand on others; a longer chain is not followed.
const DEPTH_MAX: usize = 8;

/// Refuses what keeps no time; `Some` is a warning.
pub(super) fn judge(direction: Direction, device: &str) -> Result<Option<String>, AudioError> {
    let kinds = kinds(direction, device);
    let name = direction.name();
    if let Some(kind) = kinds
        .iter()
        .find(|kind| ["null", "file"].contains(&kind.as_str()))
    {
        return Err(AudioError::Refused(format!(
            "the {name} {device:?} is ALSA's {kind:?} device, which keeps no time and would spin a core; set {} to a real card or to off",
            direction.setting()
        )));
    }
    if kinds.iter().any(|kind| kind == "pulse") {
        return Ok(Some(format!(
            "the {name} {device:?} goes through ALSA's pulse plug-in, which was seen to busy-poll and to lose sound; \
             set {} to a card's own name when that happens",
            direction.setting()
        )));
    }
    Ok(None)
}

/// The outermost ALSA type of a device, e.g. `hw`, `plug`, `dmix`.
pub(super) fn kind(device: &str) -> Option<String> {
    kinds(Direction::Output, device).into_iter().next()
}

/// Stops libasound from writing to stderr; its errors reach the log in our own words.
pub(super) fn hush() {
    unsafe extern "C" fn quiet(
        _file: *const c_char,
        _line: c_int,
        _function: *const c_char,
        _error: c_int,
        _format: *const c_char,
    ) {
    }
    unsafe extern "C" {
        // The real handler takes more arguments after these; a callee that ignores them is
        // allowed to by the C calling conventions of all Linux targets.
        fn snd_lib_error_set_handler(
            handler: unsafe extern "C" fn(
                *const c_char,
                c_int,
                *const c_char,
                c_int,
                *const c_char,
            ),
        ) -> c_int;
    }
    static ONCE: Once = Once::new();
    // SAFETY: the handler is a plain function that lives as long as the program.
    ONCE.call_once(|| unsafe {
        snd_lib_error_set_handler(quiet);
    });
}

/// Types of the device and of all it stands on, outermost first.
fn kinds(direction: Direction, device: &str) -> Vec<String> {
    let mut kinds = Vec::new();
    let Some(top) = Node::top() else { return kinds };
    let mut name = Some(device.to_string());
    while let Some(device) = name.take() {
        let Some(definition) = top.definition(&device) else {
            break;
        };
        let mut node = definition.borrow();
        for _ in 0..DEPTH_MAX {
            let Some(kind) = node.text(c"type") else {
                break;
            };
            kinds.push(kind);
            if kinds.len() >= DEPTH_MAX {
                return kinds;
            }
            match node.below(direction) {
                Some(Below::Name(below)) => {
                    name = Some(below);
                    break;
                }
                Some(Below::Inline(below)) => node = below,
                None => break,
            }
        }
    }
    kinds
}

enum Below<'a> {
    Name(String),
    Inline(Borrowed<'a>),
}

/// A configuration tree that is given back when dropped.
struct Node {
    raw: *mut alsa_sys::snd_config_t,
    release: unsafe extern "C" fn(*mut alsa_sys::snd_config_t),
}

#[derive(Clone, Copy)]
struct Borrowed<'a> {
    raw: *mut alsa_sys::snd_config_t,
    _tree: std::marker::PhantomData<&'a Node>,
}

unsafe extern "C" fn delete(raw: *mut alsa_sys::snd_config_t) {
    // SAFETY: called once, by the drop of the `Node` that owns the tree.
    unsafe { alsa_sys::snd_config_delete(raw) };
}

impl Node {
    fn top() -> Option<Node> {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` is a valid place; on success it holds a counted reference.
        let error = unsafe { alsa_sys::snd_config_update_ref(&mut raw) };
        (error >= 0 && !raw.is_null()).then(|| Node {
            raw,
            release: alsa_sys::snd_config_unref,
        })
    }

    /// The expanded definition of a PCM, with the arguments of its name filled in.
    fn definition(&self, device: &str) -> Option<Node> {
        let name = CString::new(device).ok()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the tree is alive, both strings end in NUL, `raw` is a valid place.
        let error = unsafe {
            alsa_sys::snd_config_search_definition(
                self.raw,
                c"pcm".as_ptr(),
                name.as_ptr(),
                &mut raw,
            )
        };
        (error >= 0 && !raw.is_null()).then(|| Node {
            raw,
            release: delete,
        })
    }

    fn borrow(&self) -> Borrowed<'_> {
        Borrowed {
            raw: self.raw,
            _tree: std::marker::PhantomData,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: `raw` came from the call whose counterpart `release` is.
        unsafe { (self.release)(self.raw) };
    }
}

impl<'a> Borrowed<'a> {
    fn find(self, key: &CStr) -> Option<Borrowed<'a>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the tree is alive by lifetime, the key ends in NUL, `raw` is a valid place.
        let error = unsafe { alsa_sys::snd_config_search(self.raw, key.as_ptr(), &mut raw) };
        (error >= 0 && !raw.is_null()).then_some(Borrowed {
            raw,
            _tree: std::marker::PhantomData,
        })
    }

    fn text(self, key: &CStr) -> Option<String> {
        self.find(key)?.string()
    }

    fn string(self) -> Option<String> {
        let mut text = ptr::null();
        // SAFETY: the node is alive; on success `text` points into it.
        let error = unsafe { alsa_sys::snd_config_get_string(self.raw, &mut text) };
        if error < 0 || text.is_null() {
            return None;
        }
        // SAFETY: libasound keeps it NUL-terminated, and it is copied before the tree goes.
        Some(
            unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// What a plug-in stands on: `slave.pcm`, or a side of an `asym`.
    fn below(self, direction: Direction) -> Option<Below<'a>> {
        let side = match direction {
            Direction::Input => c"capture.pcm",
            Direction::Output => c"playback.pcm",
        };
        let node = self.find(c"slave.pcm").or_else(|| self.find(side))?;
        Some(match node.string() {
            Some(name) => Below::Name(name),
            None => Below::Inline(node),
        })
    }
}
