//! Engine.IO 4 packets, as one WebSocket message each or joined in a payload of long polling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits;

/// Between the packets of one payload.
const SEPARATOR: char = '\u{1e}';

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Open(String),
    Close,
    /// With `probe` while a transport is tried out.
    Ping(String),
    Pong(String),
    Message(String),
    Binary(Vec<u8>),
    Upgrade,
    Noop,
}

/// Why what came is no packet; the transport is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Empty,
    Type,
    Base64,
    TooMany,
}

impl Packet {
    /// Reads a text message of a WebSocket.
    pub fn parse(text: &str) -> Result<Packet, Malformed> {
        let kind = text.chars().next().ok_or(Malformed::Empty)?;
        let rest = &text[kind.len_utf8()..];
        Ok(match kind {
            '0' => Packet::Open(rest.to_owned()),
            '1' => Packet::Close,
            '2' => Packet::Ping(rest.to_owned()),
            '3' => Packet::Pong(rest.to_owned()),
            '4' => Packet::Message(rest.to_owned()),
            '5' => Packet::Upgrade,
            '6' => Packet::Noop,
            _ => return Err(Malformed::Type),
        })
    }

    /// Appends the packet as text; binary as [`binary_text`].
    pub fn write(&self, out: &mut String) {
        let (kind, rest) = match self {
            Packet::Open(rest) => ('0', rest.as_str()),
            Packet::Close => ('1', ""),
            Packet::Ping(rest) => ('2', rest.as_str()),
            Packet::Pong(rest) => ('3', rest.as_str()),
            Packet::Message(rest) => ('4', rest.as_str()),
            Packet::Upgrade => ('5', ""),
            Packet::Noop => ('6', ""),
            Packet::Binary(bytes) => {
                out.push_str(&binary_text(bytes));
                return;
            }
        };
        out.push(kind);
        out.push_str(rest);
    }
}

/// Binary as text, as long polling wants it.
pub fn binary_text(bytes: &[u8]) -> String {
    let mut text = String::from('b');
    STANDARD.encode_string(bytes, &mut text);
    text
}

/// Reads the body of a POST of long polling, whose length the caller has bounded.
pub fn parse_payload(text: &str) -> Result<Vec<Packet>, Malformed> {
    let mut packets = Vec::new();
    for part in text.split(SEPARATOR) {
        if packets.len() == limits::ENGINE_PAYLOAD_PACKETS_MAX {
            return Err(Malformed::TooMany);
        }
        packets.push(match part.strip_prefix('b') {
            Some(encoded) => {
                Packet::Binary(STANDARD.decode(encoded).map_err(|_| Malformed::Base64)?)
            }
            None => Packet::parse(part)?,
        });
    }
    Ok(packets)
}

/// The answer to a GET of long polling.
pub fn write_payload(packets: &[Packet]) -> String {
    let mut out = String::new();
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            out.push(SEPARATOR);
        }
        packet.write(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_payload_of_the_protocol_document_is_read() {
        let payload = "4hello\u{1e}2\u{1e}4world\u{1e}bAQIDBA==";
        let packets = [
            Packet::Message("hello".into()),
            Packet::Ping(String::new()),
            Packet::Message("world".into()),
            Packet::Binary(vec![1, 2, 3, 4]),
        ];
        assert_eq!(parse_payload(payload).as_deref(), Ok(&packets[..]));
        assert_eq!(write_payload(&packets), payload);
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        assert_eq!(Packet::parse(""), Err(Malformed::Empty));
        assert_eq!(Packet::parse("7"), Err(Malformed::Type));
        assert_eq!(Packet::parse("é"), Err(Malformed::Type));
        assert_eq!(parse_payload("4a\u{1e}"), Err(Malformed::Empty));
        assert_eq!(parse_payload("b*"), Err(Malformed::Base64));
        let many = vec!["6"; limits::ENGINE_PAYLOAD_PACKETS_MAX + 1].join("\u{1e}");
        assert_eq!(parse_payload(&many), Err(Malformed::TooMany));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = parse_payload(&text);
        }

        #[test]
        fn messages_survive_the_way_through_a_payload(
            texts in proptest::collection::vec("[^\u{1e}]{0,20}", 1..8),
            bytes in any::<Vec<u8>>(),
        ) {
            let mut packets: Vec<Packet> = texts.into_iter().map(Packet::Message).collect();
            packets.push(Packet::Binary(bytes));
            prop_assert_eq!(parse_payload(&write_payload(&packets)), Ok(packets));
        }
    }
}
