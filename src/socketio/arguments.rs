//! Arguments of events and answers, and the packets that carry them.

use bytes::Bytes;
use serde_json::Value;

use crate::server::websocket::Frame;

/// `values` hold `{"_placeholder":true,"num":N}` where `attachments[N]` belongs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments {
    pub values: Vec<Value>,
    pub attachments: Vec<Bytes>,
}

impl Arguments {
    /// One value, with those of `parts` that it names and in the order in which it names them.
    pub fn of(mut value: Value, parts: &[Bytes]) -> Arguments {
        let mut named = Vec::new();
        if !parts.is_empty() {
            number_anew(&mut value, parts.len(), &mut named);
        }
        Arguments {
            values: vec![value],
            attachments: named.into_iter().map(|at| parts[at].clone()).collect(),
        }
    }

    /// Whether every placeholder names a part that is there.
    pub(super) fn are_whole(&self) -> bool {
        let count = self.attachments.len();
        self.values.iter().all(|value| is_whole(value, count))
    }
}

fn is_whole(value: &Value, attachments: usize) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| is_whole(value, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num").and_then(Value::as_u64);
            number.is_some_and(|number| number < attachments as u64)
        }
        Value::Object(fields) => fields.values().all(|value| is_whole(value, attachments)),
        _ => true,
    }
}

/// `named` gets each part once.
fn number_anew(value: &mut Value, count: usize, named: &mut Vec<usize>) {
    match value {
        Value::Array(values) => {
            let values = values.iter_mut();
            values.for_each(|value| number_anew(value, count, named));
        }
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num").and_then(Value::as_u64);
            let part = number.and_then(|number| usize::try_from(number).ok());
            let Some(part) = part.filter(|part| *part < count) else {
                return;
            };
            let known = named.iter().position(|known| *known == part);
            let at = known.unwrap_or_else(|| {
                named.push(part);
                named.len() - 1
            });
            fields.insert(String::from("num"), Value::from(at));
        }
        Value::Object(fields) => {
            let values = fields.values_mut();
            values.for_each(|value| number_anew(value, count, named));
        }
        _ => {}
    }
}

/// An event as Engine.IO messages: its text and what is attached.
pub(super) fn event(
    namespace: &str,
    ack: Option<u64>,
    name: &str,
    values: &[Value],
    attachments: &[Bytes],
) -> Frame {
    let kind = if attachments.is_empty() { '2' } else { '5' };
    let mut text = head(kind, namespace, ack, attachments);
    text.push('[');
    text.push_str(&Value::from(name).to_string());
    for value in values {
        text.push(',');
        text.push_str(&value.to_string());
    }
    text.push(']');
    frame(&text, attachments)
}

pub(super) fn answer(namespace: &str, id: u64, values: &[Value], attachments: &[Bytes]) -> Frame {
    let kind = if attachments.is_empty() { '3' } else { '6' };
    let mut text = head(kind, namespace, Some(id), attachments);
    text.push_str(&Value::Array(values.to_vec()).to_string());
    frame(&text, attachments)
}

/// A packet without arguments, or with one value that is none.
pub(super) fn plain(kind: char, namespace: &str, value: Option<&Value>) -> Frame {
    let mut text = head(kind, namespace, None, &[]);
    if let Some(value) = value {
        text.push_str(&value.to_string());
    }
    Frame::text(&text)
}

fn head(kind: char, namespace: &str, ack: Option<u64>, attachments: &[Bytes]) -> String {
    let mut text = String::from('4');
    text.push(kind);
    if !attachments.is_empty() {
        text.push_str(&format!("{}-", attachments.len()));
    }
    if namespace != "/" {
        text.push_str(namespace);
        text.push(',');
    }
    if let Some(ack) = ack {
        text.push_str(&ack.to_string());
    }
    text
}

fn frame(text: &str, attachments: &[Bytes]) -> Frame {
    if attachments.is_empty() {
        return Frame::text(text);
    }
    let mut frames = vec![Frame::text(text)];
    frames.extend(attachments.iter().map(|part| Frame::binary(&[part])));
    Frame::joined(&frames)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::websocket::Message;

    #[test]
    fn a_packet_with_parts_is_its_text_and_each_part() {
        let place = json!({"_placeholder": true, "num": 0});
        let parts = [Bytes::from_static(&[1, 2, 3])];
        let frame = event("/custom", Some(7), "ev", &[json!(1), place], &parts);
        assert_eq!(
            frame.messages(),
            [
                Message::Text(r#"451-/custom,7["ev",1,{"_placeholder":true,"num":0}]"#),
                Message::Binary(&[1, 2, 3]),
            ]
        );
        let frame = answer("/", 3, &[json!("ä")], &[]);
        assert_eq!(frame.messages(), [Message::Text(r#"433["ä"]"#)]);
    }

    #[test]
    fn a_value_takes_along_the_parts_that_it_names_and_no_others() {
        let parts = ["a", "b", "c"].map(Bytes::from);
        let place = |num: u64| json!({"_placeholder": true, "num": num});
        let found = Arguments::of(json!({"x": [place(2), {"y": place(0)}, place(2)]}), &parts);
        assert_eq!(
            found.values,
            [json!({"x": [place(0), {"y": place(1)}, place(0)]})]
        );
        assert_eq!(found.attachments, ["c", "a"]);
        assert!(found.are_whole());
        let text = json!({"_placeholder": true, "num": 7, "of": "a client's own"});
        assert_eq!(Arguments::of(text.clone(), &[]).values, [text]);
    }

    #[test]
    fn a_placeholder_without_its_part_is_seen_at_any_depth() {
        let whole = |value: Value, count: usize| {
            let arguments = Arguments {
                values: vec![value],
                attachments: vec![Bytes::new(); count],
            };
            arguments.are_whole()
        };
        let place = |num: Value| json!({"a": [{"_placeholder": true, "num": num}]});
        assert!(whole(place(json!(1)), 2));
        assert!(!whole(place(json!(2)), 2));
        assert!(!whole(place(json!(-1)), 2));
        assert!(!whole(place(json!("0")), 2));
        assert!(!whole(json!({"_placeholder": true}), 2));
        assert!(whole(json!({"_placeholder": false}), 0));
    }
}
