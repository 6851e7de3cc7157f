//! From bytes to messages: RFC 6455 section 5 for the server's side, without I/O.
//!
//! A whole unfragmented frame is unmasked where it lies and handed on in place; only a frame or
//! message whose end has not come yet is copied, and the copy is freed with its end. Text is
//! checked byte by byte as it comes, so that a broken message fails at its first wrong byte.

use std::io::Cursor;
use std::ops::ControlFlow;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Message;

/// The longest header a client sends: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
/// RFC 6455 section 5.5.
const CONTROL_BYTES_MAX: u64 = 125;

#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Message(Message<'a>),
    Ping(&'a [u8]),
    Pong,
    /// The peer's code, 1005 when it gave none. Nothing after it is read.
    Close(u16),
}

/// Why the connection is failed, with the close code to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u16,
    pub reason: &'static str,
}

pub struct Parser {
    /// May change between two feeds.
    pub message_bytes_max: usize,
    fragments_max: u32,
    /// What has begun and not ended; nothing while the socket is idle.
    partial: Option<Box<Partial>>,
}

#[derive(Default)]
struct Partial {
    /// First bytes of a header that came in pieces.
    head: Vec<u8>,
    frame: Option<OpenFrame>,
    /// Payload of a control frame that came in pieces.
    control: Vec<u8>,
    message: Option<OpenMessage>,
}

/// A frame whose header was read and whose payload is not all there.
struct OpenFrame {
    kind: Kind,
    is_final: bool,
    mask: [u8; 4],
    left: usize,
}

struct OpenMessage {
    is_text: bool,
    payload: Vec<u8>,
    /// How much of `payload` is known to be whole characters.
    checked: usize,
    fragments: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
    Continue,
    Close,
    Ping,
    Pong,
}

impl Parser {
    pub fn new(message_bytes_max: usize, fragments_max: usize) -> Parser {
        Parser {
            message_bytes_max,
            fragments_max: u32::try_from(fragments_max).unwrap_or(u32::MAX),
            partial: None,
        }
    }

    /// Reads what came, which is unmasked in place, and hands on each event. Stops after an
    /// event that `each` answers with `Break` and after a close; returns how much was read.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut at = 0;
        loop {
            let open = self
                .partial
                .as_mut()
                .and_then(|partial| partial.frame.take());
            let frame = match open {
                Some(frame) => frame,
                None => match self.header(input, &mut at)? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            let take = frame.left.min(input.len() - at);
            let payload = &mut input[at..at + take];
            at += take;
            unmask(payload, frame.mask);
            let flow = self.payload(frame, payload, each)?;
            self.release();
            match flow {
                Some(ControlFlow::Break(())) => return Ok(at),
                Some(ControlFlow::Continue(())) => {}
                None => break,
            }
        }
        Ok(at)
    }

    /// Whether a frame or message has begun and not ended.
    pub fn is_between_messages(&self) -> bool {
        self.partial.is_none()
    }

    /// The next header; `None` when its end has not come, what there is of it is kept.
    fn header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<OpenFrame>, Violation> {
        let kept = self
            .partial
            .as_ref()
            .map_or(0, |partial| partial.head.len());
        let mut pieces = [0; HEADER_BYTES_MAX];
        let rest = &input[*at..];
        let bytes = if kept == 0 {
            rest
        } else {
            let fresh = rest.len().min(HEADER_BYTES_MAX - kept);
            let head = self
                .partial
                .as_ref()
                .map_or(&[][..], |partial| &partial.head);
            pieces[..kept].copy_from_slice(head);
            pieces[kept..kept + fresh].copy_from_slice(&rest[..fresh]);
            &pieces[..kept + fresh]
        };
        self.check_first_bytes(bytes)?;
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor)
            .map_err(|_| violation(1002, "malformed frame header"))?;
        let Some((header, length)) = parsed else {
            if !bytes.is_empty() {
                let bytes = bytes.to_vec();
                *at = input.len();
                self.partial.get_or_insert_default().head = bytes;
            }
            return Ok(None);
        };
        let used = cursor.position() as usize;
        if used != header.len(length) {
            return Err(violation(1002, "length not in its shortest form"));
        }
        *at += used - kept;
        if let Some(partial) = &mut self.partial {
            partial.head = Vec::new();
        }
        self.admit(&header, length).map(Some)
    }

    /// What two bytes already show to be wrong need not wait for more.
    fn check_first_bytes(&self, bytes: &[u8]) -> Result<(), Violation> {
        let Some(first) = bytes.first() else {
            return Ok(());
        };
        if first & 0x70 != 0 {
            return Err(violation(1002, "reserved bit set"));
        }
        if matches!(first & 0x0f, 3..=7 | 11..=15) {
            return Err(violation(1002, "reserved opcode"));
        }
        let is_control = first & 0x08 != 0;
        if is_control && first & 0x80 == 0 {
            return Err(violation(1002, "fragmented control frame"));
        }
        let Some(second) = bytes.get(1) else {
            return Ok(());
        };
        if second & 0x80 == 0 {
            return Err(violation(1002, "frame not masked"));
        }
        if is_control && second & 0x7f > CONTROL_BYTES_MAX as u8 {
            return Err(violation(1002, "control frame too long"));
        }
        Ok(())
    }

    /// Holds a header against the message in progress and the limits.
    fn admit(&mut self, header: &FrameHeader, length: u64) -> Result<OpenFrame, Violation> {
        let kind = match header.opcode {
            OpCode::Data(Data::Text) => Kind::Text,
            OpCode::Data(Data::Binary) => Kind::Binary,
            OpCode::Data(Data::Continue) => Kind::Continue,
            OpCode::Control(Control::Close) => Kind::Close,
            OpCode::Control(Control::Ping) => Kind::Ping,
            OpCode::Control(Control::Pong) => Kind::Pong,
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
                return Err(violation(1002, "reserved opcode"));
            }
        };
        let message = self
            .partial
            .as_mut()
            .and_then(|partial| partial.message.as_mut());
        let before = match (kind, message) {
            (Kind::Text | Kind::Binary, Some(_)) => {
                return Err(violation(1002, "message begun before the last one ended"));
            }
            (Kind::Continue, None) => {
                return Err(violation(1002, "continuation of nothing"));
            }
            (Kind::Continue, Some(message)) => {
                message.fragments += 1;
                if message.fragments > self.fragments_max {
                    return Err(violation(1009, "too many fragments"));
                }
                message.payload.len()
            }
            _ => 0,
        };
        let fits = usize::try_from(length)
            .ok()
            .filter(|length| before.saturating_add(*length) <= self.message_bytes_max);
        let Some(left) = fits else {
            return Err(violation(1009, "message too long"));
        };
        Ok(OpenFrame {
            kind,
            is_final: header.is_final,
            mask: header.mask.ok_or(violation(1002, "frame not masked"))?,
            left,
        })
    }

    /// Takes a piece of a frame's payload; `None` when more of it is to come.
    fn payload(
        &mut self,
        mut frame: OpenFrame,
        piece: &[u8],
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<ControlFlow<()>>, Violation> {
        frame.left -= piece.len();
        let ended = frame.left == 0;
        match frame.kind {
            Kind::Text | Kind::Binary | Kind::Continue => self.data(frame, piece, ended, each),
            Kind::Close | Kind::Ping | Kind::Pong => self.control(frame, piece, ended, each),
        }
    }

    fn data(
        &mut self,
        mut frame: OpenFrame,
        piece: &[u8],
        ended: bool,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<ControlFlow<()>>, Violation> {
        let in_progress = self
            .partial
            .as_ref()
            .is_some_and(|partial| partial.message.is_some());
        if ended && frame.is_final && !in_progress {
            let message = match frame.kind {
                Kind::Text => Message::Text(std::str::from_utf8(piece).map_err(|_| NOT_UTF8)?),
                _ => Message::Binary(piece),
            };
            return Ok(Some(each(Event::Message(message))));
        }
        let partial = self.partial.get_or_insert_default();
        let message = partial.message.get_or_insert_with(|| OpenMessage {
            is_text: frame.kind == Kind::Text,
            payload: Vec::new(),
            checked: 0,
            fragments: 1,
        });
        message.payload.extend_from_slice(piece);
        message.check()?;
        if !ended {
            rotate_mask(&mut frame.mask, piece.len());
            partial.frame = Some(frame);
            return Ok(None);
        }
        if !frame.is_final {
            return Ok(Some(ControlFlow::Continue(())));
        }
        let Some(message) = partial.message.take() else {
            return Ok(None);
        };
        let event = if message.is_text {
            Message::Text(std::str::from_utf8(&message.payload).map_err(|_| NOT_UTF8)?)
        } else {
            Message::Binary(&message.payload)
        };
        Ok(Some(each(Event::Message(event))))
    }

    fn control(
        &mut self,
        mut frame: OpenFrame,
        piece: &[u8],
        ended: bool,
        each: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<ControlFlow<()>>, Violation> {
        if !ended {
            rotate_mask(&mut frame.mask, piece.len());
            let partial = self.partial.get_or_insert_default();
            partial.control.extend_from_slice(piece);
            partial.frame = Some(frame);
            return Ok(None);
        }
        let kept = self
            .partial
            .as_mut()
            .map(|partial| std::mem::take(&mut partial.control))
            .unwrap_or_default();
        let joined;
        let payload = if kept.is_empty() {
            piece
        } else {
            joined = [&kept, piece].concat();
            &joined
        };
        Ok(Some(match frame.kind {
            Kind::Ping => each(Event::Ping(payload)),
            Kind::Pong => each(Event::Pong),
            _ => {
                let code = close_code(payload)?;
                let _ = each(Event::Close(code));
                ControlFlow::Break(())
            }
        }))
    }

    /// Frees the memory of what has ended.
    fn release(&mut self) {
        let idle = self.partial.as_ref().is_some_and(|partial| {
            partial.head.is_empty()
                && partial.frame.is_none()
                && partial.control.is_empty()
                && partial.message.is_none()
        });
        if idle {
            self.partial = None;
        }
    }
}

impl OpenMessage {
    /// Fails as soon as the text so far cannot become valid UTF-8.
    fn check(&mut self) -> Result<(), Violation> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

const NOT_UTF8: Violation = violation(1007, "text is not UTF-8");

const fn violation(code: u16, reason: &'static str) -> Violation {
    Violation { code, reason }
}

/// RFC 6455 section 7.4: which codes may stand in a close frame.
pub(super) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn close_code(payload: &[u8]) -> Result<u16, Violation> {
    match payload {
        [] => Ok(1005),
        [_] => Err(violation(1002, "close code cut off")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(violation(1002, "close code not allowed"));
            }
            std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
            Ok(code)
        }
    }
}

/// RFC 6455 section 5.3, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// The mask as it goes on after `by` bytes.
fn rotate_mask(mask: &mut [u8; 4], by: usize) {
    mask.rotate_left(by % 4);
}

#[cfg(test)]
mod tests;
