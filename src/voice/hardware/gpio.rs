//! Lines of a GPIO chip through the kernel's character device, version 2 of its interface.
//!
//! The whole of it is three requests of `linux/gpio.h`; a test compiles that header and compares
//! sizes, offsets and numbers. A line that was requested is given back when its descriptor closes.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub const LINES_MAX: usize = 64;
pub const NAME_BYTES: usize = 32;
const ATTRS_MAX: usize = 10;

pub const FLAG_ACTIVE_LOW: u64 = 1 << 1;
pub const FLAG_INPUT: u64 = 1 << 2;
pub const FLAG_OUTPUT: u64 = 1 << 3;
pub const FLAG_EDGE_RISING: u64 = 1 << 4;
pub const FLAG_EDGE_FALLING: u64 = 1 << 5;
pub const FLAG_BIAS_PULL_UP: u64 = 1 << 8;

pub const ATTR_DEBOUNCE: u32 = 3;
pub const EVENT_RISING: u32 = 1;
pub const EVENT_FALLING: u32 = 2;

pub const GET_LINE: u64 = iowr(0x07, size_of::<LineRequest>());
pub const GET_VALUES: u64 = iowr(0x0E, size_of::<LineValues>());
pub const SET_VALUES: u64 = iowr(0x0F, size_of::<LineValues>());

/// `_IOWR(0xB4, number, size)`.
const fn iowr(number: u64, size: usize) -> u64 {
    3 << 30 | (size as u64) << 16 | 0xB4 << 8 | number
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct LineValues {
    pub bits: u64,
    pub mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct LineAttribute {
    pub id: u32,
    pub padding: u32,
    /// A union of flags, values and, in its first four bytes, a debounce time.
    pub value: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct ConfigAttribute {
    pub attr: LineAttribute,
    pub mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct LineConfig {
    pub flags: u64,
    pub num_attrs: u32,
    pub padding: [u32; 5],
    pub attrs: [ConfigAttribute; ATTRS_MAX],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct LineRequest {
    pub offsets: [u32; LINES_MAX],
    pub consumer: [u8; NAME_BYTES],
    pub config: LineConfig,
    pub num_lines: u32,
    pub event_buffer_size: u32,
    pub padding: [u32; 5],
    pub fd: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineEvent {
    pub timestamp_ns: u64,
    pub id: u32,
    pub offset: u32,
    pub seqno: u32,
    pub line_seqno: u32,
    pub padding: [u32; 6],
}

/// A line whose edges come as events: active is pressed, or switched on.
pub struct Input {
    fd: AsyncFd<OwnedFd>,
}

/// Lines that are driven together; bit 0 is the first.
pub trait Output {
    fn set(&self, bits: u64);
}

struct Lines(OwnedFd);

/// A button or switch between the line and ground: pulled up, active when low.
pub fn input(chip: &Path, line: u32, debounce: Duration) -> io::Result<Input> {
    let edges = FLAG_EDGE_RISING | FLAG_EDGE_FALLING;
    let flags = FLAG_INPUT | FLAG_ACTIVE_LOW | FLAG_BIAS_PULL_UP | edges;
    let debounced = request(chip, &[line], flags, Some(debounce));
    // Not every chip can; the waiting side counts a press by its length anyway.
    let fd = debounced.or_else(|_| request(chip, &[line], flags, None))?;
    Input::of(fd)
}

pub fn output(chip: &Path, lines: &[u32]) -> io::Result<Box<dyn Output>> {
    let fd = request(chip, lines, FLAG_OUTPUT, None)?;
    Ok(Box::new(Lines(fd)))
}

fn request(
    chip: &Path,
    lines: &[u32],
    flags: u64,
    debounce: Option<Duration>,
) -> io::Result<OwnedFd> {
    let chip = OpenOptions::new().read(true).write(true).open(chip)?;
    let mut wanted = LineRequest::of(lines, flags, debounce)?;
    ioctl(chip.as_raw_fd(), GET_LINE, &mut wanted)?;
    if wanted.fd < 0 {
        return Err(io::Error::other("the kernel gave no line"));
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(wanted.fd) };
    set_nonblocking(fd.as_raw_fd())?;
    Ok(fd)
}

impl LineRequest {
    pub fn of(lines: &[u32], flags: u64, debounce: Option<Duration>) -> io::Result<LineRequest> {
        if lines.is_empty() || lines.len() > LINES_MAX {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut request = LineRequest {
            offsets: [0; LINES_MAX],
            consumer: [0; NAME_BYTES],
            config: LineConfig {
                flags,
                num_attrs: 0,
                padding: [0; 5],
                attrs: [ConfigAttribute::default(); ATTRS_MAX],
            },
            num_lines: lines.len() as u32,
            event_buffer_size: 0,
            padding: [0; 5],
            fd: -1,
        };
        request.offsets[..lines.len()].copy_from_slice(lines);
        request.consumer[..6].copy_from_slice(b"magpie");
        if let Some(time) = debounce {
            let [a, b, c, d] = (time.as_micros() as u32).to_ne_bytes();
            request.config.num_attrs = 1;
            request.config.attrs[0] = ConfigAttribute {
                attr: LineAttribute {
                    id: ATTR_DEBOUNCE,
                    padding: 0,
                    value: u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]),
                },
                mask: 1,
            };
        }
        Ok(request)
    }
}

impl Input {
    /// Of a descriptor that gives [`LineEvent`]s; must be called on the loop.
    pub fn of(fd: OwnedFd) -> io::Result<Input> {
        set_nonblocking(fd.as_raw_fd())?;
        // SAFETY: an owned descriptor stays the same file until it is dropped, after its registration.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Input { fd })
    }

    /// Whether it is active now; `None` when that cannot be asked.
    pub fn is_active(&self) -> Option<bool> {
        let mut values = LineValues { bits: 0, mask: 1 };
        ioctl(self.fd.as_raw_fd(), GET_VALUES, &mut values).ok()?;
        Some(values.bits & 1 == 1)
    }

    /// Waits for the next edge: active, or not any more. `Err` ends the line.
    pub async fn edge(&self) -> io::Result<bool> {
        loop {
            let mut ready = self.fd.readable().await?;
            let read = ready.try_io(|fd| read_event(fd.as_raw_fd()));
            match read {
                Ok(Ok(event)) => match event.id {
                    EVENT_RISING => return Ok(true),
                    EVENT_FALLING => return Ok(false),
                    _ => {}
                },
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

impl Output for Lines {
    fn set(&self, bits: u64) {
        let mut values = LineValues {
            bits,
            mask: u64::MAX,
        };
        // A lamp that cannot be lit is nothing to stop for.
        let _ = ioctl(self.0.as_raw_fd(), SET_VALUES, &mut values);
    }
}

fn read_event(fd: RawFd) -> io::Result<LineEvent> {
    let mut event = LineEvent::default();
    let size = size_of::<LineEvent>();
    // SAFETY: as many writable bytes as the event has; any bytes make a valid event.
    let read = unsafe { libc::read(fd, std::ptr::from_mut(&mut event).cast(), size) };
    match usize::try_from(read) {
        Ok(read) if read == size => Ok(event),
        Ok(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

fn ioctl<T>(fd: RawFd, request: u64, value: &mut T) -> io::Result<()> {
    // SAFETY: the request's number names the size of `value`, which is live and writable.
    let result = unsafe { libc::ioctl(fd, request as _, std::ptr::from_mut(value)) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: two calls that take an open descriptor and integers.
    let result = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;
    use std::process::Command;

    /// The kernel's own header says how large everything is; a C compiler reads it.
    #[test]
    fn sizes_offsets_and_numbers_are_those_of_the_kernels_header() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("gpio.c");
        let program = folder.path().join("gpio");
        let asked: &[(&str, u64)] = &[
            (
                "sizeof(struct gpio_v2_line_request)",
                size_of::<LineRequest>() as u64,
            ),
            (
                "sizeof(struct gpio_v2_line_config)",
                size_of::<LineConfig>() as u64,
            ),
            (
                "sizeof(struct gpio_v2_line_config_attribute)",
                size_of::<ConfigAttribute>() as u64,
            ),
            (
                "sizeof(struct gpio_v2_line_values)",
                size_of::<LineValues>() as u64,
            ),
            (
                "sizeof(struct gpio_v2_line_event)",
                size_of::<LineEvent>() as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_request, consumer)",
                offset_of!(LineRequest, consumer) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_request, config)",
                offset_of!(LineRequest, config) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_request, num_lines)",
                offset_of!(LineRequest, num_lines) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_request, fd)",
                offset_of!(LineRequest, fd) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_config, attrs)",
                offset_of!(LineConfig, attrs) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_attribute, flags)",
                offset_of!(LineAttribute, value) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_attribute, debounce_period_us)",
                offset_of!(LineAttribute, value) as u64,
            ),
            (
                "offsetof(struct gpio_v2_line_event, id)",
                offset_of!(LineEvent, id) as u64,
            ),
            ("GPIO_V2_GET_LINE_IOCTL", GET_LINE),
            ("GPIO_V2_LINE_GET_VALUES_IOCTL", GET_VALUES),
            ("GPIO_V2_LINE_SET_VALUES_IOCTL", SET_VALUES),
            ("GPIO_V2_LINE_FLAG_ACTIVE_LOW", FLAG_ACTIVE_LOW),
            ("GPIO_V2_LINE_FLAG_INPUT", FLAG_INPUT),
            ("GPIO_V2_LINE_FLAG_OUTPUT", FLAG_OUTPUT),
            ("GPIO_V2_LINE_FLAG_EDGE_RISING", FLAG_EDGE_RISING),
            ("GPIO_V2_LINE_FLAG_EDGE_FALLING", FLAG_EDGE_FALLING),
            ("GPIO_V2_LINE_FLAG_BIAS_PULL_UP", FLAG_BIAS_PULL_UP),
            ("GPIO_V2_LINE_ATTR_ID_DEBOUNCE", ATTR_DEBOUNCE.into()),
            ("GPIO_V2_LINE_EVENT_RISING_EDGE", EVENT_RISING.into()),
            ("GPIO_V2_LINE_EVENT_FALLING_EDGE", EVENT_FALLING.into()),
            ("GPIO_V2_LINES_MAX", LINES_MAX as u64),
            ("GPIO_MAX_NAME_SIZE", NAME_BYTES as u64),
        ];
        let prints: String = asked
            .iter()
            .map(|(what, _)| format!("printf(\"%llu\\n\", (unsigned long long)({what}));\n"))
            .collect();
        let text = format!(
            "#include <stddef.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n\
             #include <linux/gpio.h>\nint main(void) {{ {prints} return 0; }}\n"
        );
        std::fs::write(&source, text).unwrap();
        let built = Command::new("cc")
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .status();
        assert!(built.expect("a C compiler").success());
        let out = Command::new(&program).output().expect("the program runs");
        let numbers: Vec<u64> = String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), asked.len());
        for ((what, ours), theirs) in asked.iter().zip(numbers) {
            assert_eq!(*ours, theirs, "{what}");
        }
    }

    #[test]
    fn a_debounce_is_asked_for_in_the_first_four_bytes_of_its_union() {
        let request = LineRequest::of(&[17], FLAG_INPUT, Some(Duration::from_millis(20))).unwrap();
        assert_eq!((request.num_lines, request.offsets[0]), (1, 17));
        let value = request.config.attrs[0].attr.value.to_ne_bytes();
        assert_eq!(
            u32::from_ne_bytes([value[0], value[1], value[2], value[3]]),
            20_000
        );
        assert!(LineRequest::of(&[], FLAG_INPUT, None).is_err());
        assert!(LineRequest::of(&[0; 65], FLAG_INPUT, None).is_err());
    }

    #[test]
    fn a_chip_that_is_not_there_is_an_error_and_no_more() {
        assert!(output(Path::new("/dev/no_such_chip"), &[1]).is_err());
        assert!(
            output(Path::new("/dev/null"), &[1]).is_err(),
            "no chip at all"
        );
    }
}
