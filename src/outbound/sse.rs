//! Event streams of other servers, read as they come (WHATWG HTML section 9.2.6).

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Empty: `message`.
    pub name: String,
    /// Several `data` lines are joined by line feeds.
    pub data: String,
    pub id: Option<String>,
}

/// An event is longer than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Holds at most one unfinished line and one unfinished event.
pub struct Reader {
    bytes_max: usize,
    line: Vec<u8>,
    /// The last byte was CR: a line feed that follows belongs to it.
    after_cr: bool,
    begun: bool,
    event: Event,
    has_data: bool,
}

impl Reader {
    pub fn new(bytes_max: usize) -> Reader {
        Reader {
            bytes_max,
            line: Vec::new(),
            after_cr: false,
            begun: false,
            event: Event::default(),
            has_data: false,
        }
    }

    /// Takes the next bytes and appends the events that are complete.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        for &byte in bytes {
            let was_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if was_cr => {}
                b'\n' | b'\r' => self.end_line(events),
                byte => self.line.push(byte),
            }
            if self.line.len() + self.event.data.len() > self.bytes_max {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let mut line = &line[..];
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            return;
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            // Comments, `retry`, and what nobody knows.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = Reader::new(10_000);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece, &mut events).unwrap();
        }
        events
    }

    fn message(data: &str) -> Event {
        Event {
            data: data.into(),
            ..Event::default()
        }
    }

    #[test]
    fn all_line_ends_and_comments_are_understood() {
        let bytes = b"\xef\xbb\xbfdata: a\n\n: comment\r\ndata:b\rdata: c\r\n\r\nevent: x\nid: 7\ndata\n\nevent: none\n\n";
        let named = Event {
            name: "x".into(),
            data: String::new(),
            id: Some("7".into()),
        };
        assert_eq!(read(&[bytes]), [message("a"), message("b\nc"), named]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut reader = Reader::new(100);
        let refused = reader.push(&[b'x'; 200], &mut Vec::new());
        assert_eq!(refused, Err(TooLong));
        let mut reader = Reader::new(100);
        let refused = reader.push("data: 123456789\n".repeat(50).as_bytes(), &mut Vec::new());
        assert_eq!(refused, Err(TooLong));
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(text in "(data: [a-z你]{0,9}|event: e|:|)(\r\n|\n|\r)".prop_map(|t| t), more in prop::collection::vec("(data: [a-z你]{0,9}|id: 1|)(\r\n|\n|\r)", 0..20), step in 1..7usize) {
            let whole = format!("{text}{}", more.concat());
            let pieces: Vec<&[u8]> = whole.as_bytes().chunks(step).collect();
            prop_assert_eq!(read(&[whole.as_bytes()]), read(&pieces));
        }
    }
}
