//! Streams as the providers send them, and as they break.

use proptest::prelude::*;
use serde_json::json;

use super::super::EngineError;
use super::*;

pub const ANTHROPIC: &str = include_str!("../../../../fuzz/seeds/llm_stream/anthropic");
pub const OPENAI: &str = include_str!("../../../../fuzz/seeds/llm_stream/openai");

type Read =
    fn(&mut dyn Iterator<Item = &[u8]>, &mut dyn FnMut(&str)) -> Result<ChatReply, EngineError>;

const READERS: [(&str, &str, Read); 2] = [
    ("anthropic", ANTHROPIC, |pieces, on_text| {
        read_anthropic(pieces, on_text)
    }),
    ("openai", OPENAI, |pieces, on_text| {
        read_openai(pieces, on_text)
    }),
];

fn read_whole(read: Read, bytes: &[u8]) -> (String, Result<ChatReply, EngineError>) {
    let mut told = String::new();
    let reply = read(&mut std::iter::once(bytes), &mut |text| told.push_str(text));
    (told, reply)
}

fn openai(chunks: &[serde_json::Value], done: bool) -> Result<ChatReply, EngineError> {
    let mut stream: String = chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect();
    if done {
        stream.push_str("data: [DONE]\n\n");
    }
    read_whole(READERS[1].2, stream.as_bytes()).1
}

#[test]
fn a_recorded_stream_gives_text_calls_and_usage() {
    for (name, stream, reader) in READERS {
        let (told, reply) = read_whole(reader, stream.as_bytes());
        let reply = reply.unwrap();
        assert_eq!(reply.text, "好的，I will keep that. “Naïve” ☕", "{name}");
        assert_eq!(told, reply.text, "{name}: told as it came");
        assert_eq!(reply.stop, Stop::Tools, "{name}");
        assert_eq!(
            reply.usage,
            Usage {
                input_tokens: 472,
                output_tokens: 89
            },
            "{name}"
        );
        let calls: Vec<(&str, serde_json::Value)> = reply
            .calls
            .iter()
            .map(|call| {
                (
                    call.name.as_str(),
                    serde_json::from_str(&call.input).unwrap(),
                )
            })
            .collect();
        let wanted = [
            (
                "remember",
                json!({ "content": "The spare key is under the 蓝色 pot" }),
            ),
            ("set_timer", json!({ "seconds": 300, "label": "tea" })),
        ];
        assert_eq!(calls, wanted, "{name}");
        assert!(reply.calls.iter().all(|call| !call.id.is_empty()), "{name}");
    }
}

#[test]
fn a_stream_that_is_cut_at_any_byte_is_an_error_and_never_half_an_answer() {
    for (name, stream, reader) in READERS {
        let (whole_told, whole) = read_whole(reader, stream.as_bytes());
        let whole = whole.unwrap();
        let (mut broken, mut complete) = (0, 0);
        for end in 0..stream.len() {
            let (told, reply) = read_whole(reader, &stream.as_bytes()[..end]);
            assert!(whole_told.starts_with(&told), "{name} at {end}: {told}");
            match reply {
                Ok(reply) => {
                    assert_eq!(
                        (&reply.text, &reply.calls),
                        (&whole.text, &whole.calls),
                        "{name} at {end}"
                    );
                    complete += 1;
                }
                Err(error) => {
                    assert!(
                        matches!(error, EngineError::Broken(_)),
                        "{name} at {end}: {error:?}"
                    );
                    broken += 1;
                }
            }
        }
        assert!(
            broken > 1_000 && complete < 300,
            "{name}: {broken} {complete}"
        );
    }
}

#[test]
fn errors_within_a_stream_have_their_class() {
    for (kind, limited) in [
        ("overloaded_error", true),
        ("rate_limit_error", true),
        ("api_error", false),
    ] {
        let stream = format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"why\"}}}}\n\n"
        );
        let error = read_whole(READERS[0].2, stream.as_bytes()).1.unwrap_err();
        assert_eq!(
            matches!(error, EngineError::Limited { .. }),
            limited,
            "{error:?}"
        );
        assert!(
            error.is_retryable() && error.to_string().contains("why"),
            "{error}"
        );
    }
    let error = openai(
        &[json!({ "error": { "message": "bad", "type": "invalid_request_error" } })],
        false,
    );
    assert!(matches!(error, Err(EngineError::Rejected(_))), "{error:?}");
    let error = openai(&[json!({ "error": "out of memory" })], false).unwrap_err();
    assert!(
        matches!(&error, EngineError::Broken(what) if what.contains("out of memory")),
        "{error:?}"
    );
}

#[test]
fn what_is_not_known_is_passed_over() {
    let stream = "event: new_thing\ndata: not json\n\n\
        event: content_block_start\ndata: {\"index\":0,\"content_block\":{\"type\":\"hologram\"}}\n\n\
        event: content_block_delta\ndata: {\"index\":0,\"delta\":{\"type\":\"light_delta\",\"x\":1}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n\
        event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"a_new_one\"}}\n\n\
        event: message_stop\ndata: {}\n\n";
    let reply = read_whole(READERS[0].2, stream.as_bytes()).1.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("ok", Stop::End));
    assert!(reply.usage.output_tokens > 0, "estimated");
}

#[test]
fn the_ways_of_compatible_servers_are_understood() {
    let text = |text: &str| json!({ "choices": [{ "delta": { "content": text }, "finish_reason": null }] });
    // No role, no usage, `[DONE]` without a reason.
    let reply = openai(&[text("Hello")], true).unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("Hello", Stop::End));
    // A reason without `[DONE]`, usage with every piece, content null.
    let end = json!({ "choices": [{ "delta": { "content": null }, "finish_reason": "length" }], "usage": { "prompt_tokens": 5, "completion_tokens": 2 } });
    let reply = openai(&[text("Hi"), end], false).unwrap();
    assert_eq!((reply.stop, reply.usage.input_tokens), (Stop::Length, 5));
    // Tool calls whole, without index, as an object, under "stop".
    let calls = json!({ "choices": [{ "delta": { "tool_calls": [
        { "id": "a", "function": { "name": "one", "arguments": "{}" } },
        { "id": "b", "function": { "name": "two", "arguments": { "x": 1 } } },
    ] }, "finish_reason": "stop" }] });
    let reply = openai(&[calls], true).unwrap();
    assert_eq!(reply.stop, Stop::Tools);
    let names: Vec<_> = reply
        .calls
        .iter()
        .map(|call| (call.name.as_str(), call.input.as_str()))
        .collect();
    assert_eq!(names, [("one", "{}"), ("two", "{\"x\":1}")]);
    // No stream at all.
    let body = json!({ "model": "m", "choices": [{ "message": { "role": "assistant", "content": "Whole" }, "finish_reason": "stop" }] });
    let reply = openai::Completion::document(body.to_string().as_bytes()).unwrap();
    assert_eq!((reply.text.as_str(), reply.model.as_str()), ("Whole", "m"));
    // Neither a reason nor an end: the answer broke off.
    assert!(openai(&[text("Hel")], false).is_err());
}

#[test]
fn thoughts_before_an_answer_are_nobodys_to_hear() {
    for (text, wanted) in [
        (
            "<think>Let me see. </ think</think>\n\nIt is <b>four</b>.",
            "It is <b>four</b>.",
        ),
        ("\n <think>\n</think>Yes", "Yes"),
        ("<thinking> is a word", "<thinking> is a word"),
        ("a <think>b</think>", "a <think>b</think>"),
        ("  <", "<"),
        ("<think>for ever", ""),
        ("  Plain.", "Plain."),
    ] {
        let mut told = String::new();
        let pieces: Vec<String> = text
            .chars()
            .map(|c| json!({ "choices": [{ "delta": { "content": c.to_string() } }] }))
            .map(|chunk| format!("data: {chunk}\n\n"))
            .chain([String::from("data: [DONE]\n\n")])
            .collect();
        let pieces = pieces.iter().map(|piece| piece.as_bytes());
        let reply = read_openai(pieces, &mut |piece| told.push_str(piece)).unwrap();
        assert_eq!(reply.text, wanted, "{text}");
        assert!(wanted.starts_with(&told), "{text}: {told}");
    }
}

#[test]
fn endless_answers_and_calls_are_bounded() {
    let piece = json!({ "choices": [{ "delta": { "content": "x".repeat(10_000) } }] });
    let reply = openai(&vec![piece; 100], false).unwrap();
    assert_eq!(reply.stop, Stop::Length);
    assert!(reply.text.len() < crate::limits::LLM_ANSWER_BYTES_MAX + 20_000);
    let calls: Vec<_> = (0..40)
        .map(|index| json!({ "choices": [{ "delta": { "tool_calls": [{ "index": index, "id": "x" }] } }] }))
        .collect();
    assert!(openai(&calls, true).is_err());
    let input = json!({ "choices": [{ "delta": { "tool_calls": [{ "index": 0, "function": { "arguments": "y".repeat(10_000) } }] } }] });
    assert!(openai(&vec![input; 10], true).is_err());
}

proptest! {
    #[test]
    fn how_the_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(0..4_000usize, 0..12)) {
        for (_, stream, reader) in READERS {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % stream.len()).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut told = String::new();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
            let reply = reader(&mut pieces.into_iter(), &mut |text| told.push_str(text));
            let whole = read_whole(reader, stream.as_bytes());
            prop_assert_eq!((told, reply), whole);
        }
    }

    #[test]
    fn no_bytes_break_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, _, reader) in READERS {
            let _ = read_whole(reader, &bytes);
        }
    }
}
