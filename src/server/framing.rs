//! Finds requests that state their length twice.
//!
//! hyper lets `Transfer-Encoding` win over `Content-Length` and hides that the latter was there.
//! A proxy before us may decide the other way and then see a second request where we see a
//! body (RFC 9112 section 11.2), so such a request has to be refused.

/// Longest name of interest.
const NAME_BYTES: usize = 17;

/// Reads along while the head of a request passes by.
#[derive(Default)]
pub struct HeadScan {
    place: Place,
    name: [u8; NAME_BYTES],
    name_length: usize,
    content_length: bool,
    transfer_encoding: bool,
    /// Bytes seen behind the head.
    beyond: u64,
    /// A later request began unseen inside what was read for an earlier one.
    blind: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the request line.
    #[default]
    Start,
    RequestLine,
    /// At the first byte of a line.
    LineStart,
    Name,
    Value,
    /// Behind the empty line.
    Done,
}

/// What the head that hyper just parsed says of the body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Plain,
    /// Both length headers.
    Contradictory,
    /// The head was read together with an earlier request's bytes and was not looked at.
    Unseen,
}

impl HeadScan {
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes.iter();
        while self.place != Place::Done {
            let Some(&byte) = rest.next() else { return };
            self.step(byte);
        }
        self.beyond += rest.len() as u64;
    }

    pub fn framing(&self) -> Framing {
        if self.blind || self.place != Place::Done {
            Framing::Unseen
        } else if self.content_length && self.transfer_encoding {
            Framing::Contradictory
        } else {
            Framing::Plain
        }
    }

    /// The request is over; its body had `length` bytes, where that is known.
    pub fn next_request(&mut self, length: Option<u64>) {
        let blind = self.blind || length != Some(self.beyond);
        *self = HeadScan {
            blind,
            ..HeadScan::default()
        };
    }

    fn step(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            // Empty lines before a request line are skipped, as hyper does.
            (Place::Start, b'\r' | b'\n') => Place::Start,
            (Place::RequestLine, b'\n') => Place::LineStart,
            (Place::Start | Place::RequestLine, _) => Place::RequestLine,
            (Place::LineStart, b'\n') => Place::Done,
            (Place::LineStart, b'\r') => Place::LineStart,
            (Place::LineStart, byte) => {
                self.name_length = 0;
                self.push(byte);
                Place::Name
            }
            (Place::Name, b':') => {
                self.note_name();
                Place::Value
            }
            (Place::Name, byte) if byte != b'\n' => {
                self.push(byte);
                Place::Name
            }
            (Place::Name | Place::Value, b'\n') => Place::LineStart,
            (place, _) => place,
        };
    }

    fn push(&mut self, byte: u8) {
        if self.name_length < NAME_BYTES {
            self.name[self.name_length] = byte.to_ascii_lowercase();
        }
        self.name_length += 1;
    }

    fn note_name(&mut self) {
        match self.name.get(..self.name_length) {
            Some(b"content-length") => self.content_length = true,
            Some(b"transfer-encoding") => self.transfer_encoding = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing(head: &str) -> Framing {
        let mut scan = HeadScan::default();
        scan.feed(head.as_bytes());
        scan.framing()
    }

    #[test]
    fn both_length_headers_are_seen_in_either_order_and_any_case() {
        for (head, expected) in [
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Contradictory,
            ),
            (
                "POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\ncontent-length:5\r\n\r\n",
                Framing::Contradictory,
            ),
            (
                "POST / HTTP/1.1\nContent-Length: 5\nTransfer-Encoding: chunked\n\n",
                Framing::Contradictory,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nTransfer-Encoding: chunked",
                Framing::Plain,
            ),
            (
                "POST / HTTP/1.1\r\nX-Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Plain,
            ),
            (
                "POST / HTTP/1.1\r\nA: content-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Plain,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                Framing::Unseen,
            ),
        ] {
            assert_eq!(framing(head), expected, "{head:?}");
        }
    }

    #[test]
    fn a_request_read_together_with_an_earlier_one_is_called_unseen() {
        let mut scan = HeadScan::default();
        scan.feed(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n");
        scan.next_request(Some(0));
        scan.feed(b"\r\n");
        assert_eq!(scan.framing(), Framing::Unseen);
    }

    #[test]
    fn a_request_after_a_body_of_known_length_is_seen() {
        let mut scan = HeadScan::default();
        scan.feed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab");
        scan.feed(b"c");
        scan.next_request(Some(3));
        scan.feed(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(scan.framing(), Framing::Plain);
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_answer(cuts in prop::collection::vec(1usize..20, 1..40)) {
            let head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut scan = HeadScan::default();
            let mut rest = &head[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                scan.feed(now);
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(scan.framing(), Framing::Contradictory);
        }
    }
}
