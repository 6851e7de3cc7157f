//! Button, switch and lamp of the real program: a GPIO chip made of files is preloaded into it, so
//! that everything above the kernel's own calls is what runs on a board.
#![allow(dead_code)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use magpie::voice::hardware::gpio::{EVENT_FALLING, EVENT_RISING, LineEvent};

use crate::support::{Home, machine};

const BUTTON: u32 = 17;
const SWITCH: u32 = 22;
const LAMP: u32 = 5;

pub struct Chip(PathBuf);

/// The far end of a line.
pub struct Contact {
    line: File,
    level: PathBuf,
}

impl Chip {
    /// Its files lie in `folder`, which must outlive the program.
    pub fn new(folder: &Path) -> Chip {
        fs::write(folder.join("gpiochip"), "").expect("a file");
        for line in [BUTTON, SWITCH] {
            let path = folder.join(format!("line-{line}"));
            let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
            // SAFETY: a path that ends in zero, and a mode.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        }
        Chip(folder.to_path_buf())
    }

    pub fn wire(&self, home: Home) -> Home {
        home.set("LD_PRELOAD", &library().display().to_string())
            .set("GPIO_CHIP", &self.0.join("gpiochip").display().to_string())
            .set("GPIO_BUTTON", &BUTTON.to_string())
            .set("GPIO_MUTE_IN", &SWITCH.to_string())
            .set("GPIO_LED", &LAMP.to_string())
    }

    pub fn button(&self) -> Contact {
        self.contact(BUTTON)
    }

    pub fn switch(&self) -> Contact {
        self.contact(SWITCH)
    }

    fn contact(&self, line: u32) -> Contact {
        let fifo = self.0.join(format!("line-{line}"));
        Contact {
            // Both ways, so that opening waits for nobody.
            line: OpenOptions::new()
                .read(true)
                .write(true)
                .open(fifo)
                .expect("a line"),
            level: self.0.join(format!("level-{line}")),
        }
    }

    /// What the lamp was last set to.
    pub fn lamp(&self) -> Option<u64> {
        let told = fs::read_to_string(self.0.join(format!("lamp-{LAMP}"))).ok()?;
        told.lines().last()?.parse().ok()
    }
}

impl Contact {
    pub fn set(&mut self, active: bool) {
        fs::write(&self.level, if active { "1" } else { "0" }).expect("a file");
        let event = LineEvent {
            id: if active { EVENT_RISING } else { EVENT_FALLING },
            ..LineEvent::default()
        };
        // SAFETY: the event is plain integers without gaps.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                std::ptr::from_ref(&event).cast::<u8>(),
                size_of::<LineEvent>(),
            )
        };
        self.line.write_all(bytes).expect("the program reads");
    }
}

/// Built once a test program.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("chip.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/gpio/chip.c");
        machine::library(&source, &library, &["-ldl"]);
        (folder, library)
    });
    library
}
