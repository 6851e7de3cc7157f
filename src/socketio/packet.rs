//! Socket.IO 5 packets, as they lie in an Engine.IO message: `<type>[<n>-][<nsp>,][<ack>][<json>]`.

use serde_json::Value;

use crate::limits;

#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// With its slash; `/` is the default and is not written.
    pub namespace: String,
    pub ack: Option<u64>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// What the client shows to be let in.
    Connect(Option<Value>),
    Disconnect,
    /// Name and arguments; `attachments` binary messages follow.
    Event {
        args: Vec<Value>,
        attachments: usize,
    },
    Ack {
        args: Vec<Value>,
        attachments: usize,
    },
    ConnectError(Value),
}

/// Why what came is no packet; the transport is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Type,
    Attachments,
    Ack,
    Json,
    Body,
}

impl Packet {
    pub fn parse(text: &str) -> Result<Packet, Malformed> {
        let kind = *text.as_bytes().first().ok_or(Malformed::Type)?;
        if !(b'0'..=b'6').contains(&kind) {
            return Err(Malformed::Type);
        }
        let mut rest = &text[1..];
        let mut attachments = 0;
        if matches!(kind, b'5' | b'6') {
            let (count, after) = rest.split_once('-').ok_or(Malformed::Attachments)?;
            attachments = number(count)
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count <= limits::SOCKETIO_ATTACHMENTS_MAX)
                .ok_or(Malformed::Attachments)?;
            rest = after;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (ack, json) = rest.split_at(digits);
        let ack = match ack {
            "" => None,
            digits => Some(number(digits).ok_or(Malformed::Ack)?),
        };
        let value = match json {
            "" => None,
            json => Some(serde_json::from_str(json).map_err(|_| Malformed::Json)?),
        };
        let body = match (kind, value) {
            (b'0', auth @ (None | Some(Value::Object(_)))) => Body::Connect(auth),
            (b'1', None) => Body::Disconnect,
            (b'2' | b'5', Some(Value::Array(args)))
                if args.first().is_some_and(Value::is_string) =>
            {
                Body::Event { args, attachments }
            }
            (b'3' | b'6', Some(Value::Array(args))) if ack.is_some() => {
                Body::Ack { args, attachments }
            }
            (b'4', Some(error @ (Value::Object(_) | Value::String(_)))) => {
                Body::ConnectError(error)
            }
            _ => return Err(Malformed::Body),
        };
        Ok(Packet {
            namespace: namespace.to_owned(),
            ack,
            body,
        })
    }

    pub fn write(&self) -> String {
        let (kind, attachments, json) = match &self.body {
            Body::Connect(auth) => ('0', 0, auth.as_ref().map(Value::to_string)),
            Body::Disconnect => ('1', 0, None),
            Body::Event { args, attachments } => {
                let kind = if *attachments == 0 { '2' } else { '5' };
                (kind, *attachments, Some(array(args)))
            }
            Body::Ack { args, attachments } => {
                let kind = if *attachments == 0 { '3' } else { '6' };
                (kind, *attachments, Some(array(args)))
            }
            Body::ConnectError(error) => ('4', 0, Some(error.to_string())),
        };
        let mut out = String::from(kind);
        if attachments > 0 {
            out.push_str(&format!("{attachments}-"));
        }
        if self.namespace != "/" {
            out.push_str(&self.namespace);
            out.push(',');
        }
        if let Some(ack) = self.ack {
            out.push_str(&ack.to_string());
        }
        out.push_str(json.as_deref().unwrap_or(""));
        out
    }
}

fn array(args: &[Value]) -> String {
    let parts: Vec<String> = args.iter().map(Value::to_string).collect();
    format!("[{}]", parts.join(","))
}

/// Digits alone: `parse` would take a sign as well.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_of_the_protocol_document_survive_reading_and_writing() {
        for text in [
            "0",
            r#"0/admin,{"token":"a"}"#,
            "1",
            r#"2["foo"]"#,
            r#"2/admin,["bar",1]"#,
            r#"212["foo",{}]"#,
            "3/admin,13[]",
            r#"4{"message":"Not authorized"}"#,
            r#"51-["baz",{"_placeholder":true,"num":0}]"#,
            r#"61-/admin,456["x",{"_placeholder":true,"num":0}]"#,
        ] {
            assert_eq!(
                Packet::parse(text).map(|packet| packet.write()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for text in [
            "",
            "7",
            "x",
            "2",
            "2{}",
            "2[]",
            "2[1]",
            r#"2["a""#,
            "3[]",
            "31",
            "4",
            r#"0"a""#,
            "1{}",
            r#"5["a"]"#,
            r#"5-["a"]"#,
            r#"5+1-["a"]"#,
            r#"599-["a"]"#,
            r#"299999999999999999999["a"]"#,
        ] {
            assert!(Packet::parse(text).is_err(), "{text}");
        }
        let deep = format!("2[\"a\",{}", "[".repeat(100_000));
        assert_eq!(Packet::parse(&deep), Err(Malformed::Json));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-7]{0,2}-?/?[a-z]{0,3},?[0-9]{0,3}.{0,30}") {
            if let Ok(packet) = Packet::parse(&text) {
                prop_assert_eq!(Packet::parse(&packet.write()), Ok(packet));
            }
        }
    }
}
