//! The native dialect of `/ws` with compressed sound, as a browser's recorder gives it.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::caller::{QUESTION, converted, home, spoken};
use crate::older::{Socket, connect, next, send, until};

const FRAME_BYTES: usize = 1_500;

fn refusal(socket: &mut Socket) -> Value {
    loop {
        let message = next(socket);
        if message["type"] == "error" {
            return message;
        }
    }
}

#[test]
fn recorded_sound_is_understood_as_it_comes() {
    let home = home();
    let running = home.serve();
    let mut socket = connect(&running, "/ws");
    send(
        &mut socket,
        &json!({"type": "hello", "proto": 2, "role": "client", "caps": {"play": []}}),
    );
    until(&mut socket, "hello");
    let source = spoken(home.folder.path(), QUESTION);
    for (stream, (name, format)) in [("n.opus", "ogg_opus"), ("n.wav", "wav")]
        .into_iter()
        .enumerate()
    {
        let bytes = std::fs::read(converted(&source, name)).expect("a file");
        send(
            &mut socket,
            &json!({"type": "audio_start", "stream": stream, "format": format, "endpoint": "client", "speak": false}),
        );
        for (seq, piece) in bytes.chunks(FRAME_BYTES).enumerate() {
            let mut frame = vec![1, 0];
            frame.extend((stream as u16).to_le_bytes());
            frame.extend((seq as u32).to_le_bytes());
            frame.extend(piece);
            socket.send(Message::binary(frame)).expect("sends");
        }
        send(&mut socket, &json!({"type": "audio_end", "stream": stream}));
        assert_eq!(
            until(&mut socket, "transcript")["text"],
            QUESTION,
            "{format}"
        );
        until(&mut socket, "turn_done");
    }
}

#[test]
fn recorded_sound_that_is_none_is_told() {
    let home = home();
    let running = home.serve();
    let mut socket = connect(&running, "/ws");
    send(
        &mut socket,
        &json!({"type": "hello", "proto": 2, "role": "client", "caps": {"play": []}}),
    );
    until(&mut socket, "hello");
    send(
        &mut socket,
        &json!({"type": "audio_start", "stream": 1, "format": "webm_opus", "endpoint": "client"}),
    );
    let mut frame = vec![1, 1, 1, 0, 0, 0, 0, 0];
    frame.extend(b"this is a text, and no sound of any kind, however long one listens to it");
    socket.send(Message::binary(frame)).expect("sends");
    let error = refusal(&mut socket);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("WebM")),
        "{error}"
    );
}

#[test]
fn what_came_before_a_lost_piece_is_answered() {
    let home = home();
    let running = home.serve();
    let mut socket = connect(&running, "/ws");
    send(
        &mut socket,
        &json!({"type": "hello", "proto": 2, "role": "client", "caps": {"play": []}}),
    );
    until(&mut socket, "hello");
    let source = spoken(home.folder.path(), "where is the spare key I am asking");
    let bytes = std::fs::read(converted(&source, "n.opus")).expect("a file");
    send(
        &mut socket,
        &json!({"type": "audio_start", "stream": 1, "format": "ogg_opus", "endpoint": "client", "speak": false}),
    );
    let pieces: Vec<&[u8]> = bytes.chunks(FRAME_BYTES).collect();
    let lost = pieces.len() - 2;
    for (seq, piece) in pieces
        .into_iter()
        .enumerate()
        .filter(|(seq, _)| *seq != lost)
    {
        let mut frame = vec![1, 0, 1, 0];
        frame.extend((seq as u32).to_le_bytes());
        frame.extend(piece);
        socket.send(Message::binary(frame)).expect("sends");
    }
    let error = refusal(&mut socket);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("seq")),
        "{error}"
    );
    let heard = until(&mut socket, "transcript");
    assert!(
        heard["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("where is the")),
        "{heard}"
    );
    assert_eq!(until(&mut socket, "turn_done")["interrupted"], false);
}
