//! A model's answer by voice over `/ws`, made sound by flite: heard while it is written, and
//! known afterwards only as far as it was heard.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::provider::Reply;
use crate::rig::{Kind, Rig, stored};
use crate::support::{Running, eventually};

const WORDS: &str = "Whales are the largest animals of the sea. They breathe air as we do. \
    They sing to each other over hundreds of miles.";

struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(running: &Running<'_>) -> Client {
        let address = running.address("http").expect("plain HTTP is on");
        let tcp = TcpStream::connect(address).expect("connects");
        let patience = Some(Duration::from_secs(30));
        tcp.set_read_timeout(patience).expect("a timeout");
        let (socket, _) = tungstenite::client("ws://localhost/ws", tcp).expect("upgrades");
        let mut client = Client(socket);
        let caps = json!({ "play": ["pcm16_24000"] });
        client.send(&json!({ "type": "hello", "proto": 2, "role": "client", "caps": caps }));
        client.until("hello");
        client
    }

    fn send(&mut self, value: &Value) {
        let text = Message::text(value.to_string());
        self.0.send(text).expect("sends");
    }

    /// The next message; sound as `{"type":"sound"}`.
    fn next(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message in time") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Binary(_) => return json!({ "type": "sound" }),
                _ => {}
            }
        }
    }

    fn until(&mut self, kind: &str) -> Value {
        loop {
            let value = self.next();
            assert_ne!(value["type"], "error", "{value}");
            if value["type"] == kind {
                return value;
            }
        }
    }
}

#[test]
fn the_first_sentence_is_heard_before_the_last_is_written() {
    let rig = Rig::new(Kind::Anthropic).set("TTS_PROVIDER", "flite");
    let running = rig.home.serve();
    let mut client = Client::connect(&running);
    let slow = Reply::text(WORDS).pausing(Duration::from_millis(150));
    rig.provider.replies(slow);
    client.send(&json!({ "type": "text", "text": "Tell me of whales", "speak": true }));
    let (mut text, mut sentences, mut kinds) = (String::new(), Vec::new(), Vec::new());
    loop {
        let value = client.next();
        let kind = value["type"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "token" => text.push_str(value["text"].as_str().unwrap()),
            "sentence" => sentences.push(value["index"].as_u64().unwrap()),
            "error" => panic!("{value}"),
            "turn_done" => {
                assert_eq!(value["interrupted"], false, "{value}");
                assert!(value["timing_ms"]["llm_first"].is_u64(), "{value}");
                break;
            }
            _ => {}
        }
        kinds.push(kind);
    }
    assert_eq!(text, WORDS);
    assert!(sentences.len() >= 3 && sentences.iter().copied().eq(0..sentences.len() as u64));
    let first_sound = kinds
        .iter()
        .position(|kind| kind == "sound")
        .expect("sound");
    let last_token = kinds
        .iter()
        .rposition(|kind| kind == "token")
        .expect("text");
    assert!(first_sound < last_token, "{kinds:?}");
    let system = rig.asked()[0]["system"].as_str().unwrap().to_owned();
    assert!(system.contains("spoken aloud"), "{system}");
    rig.provider.assert_content();
}

#[test]
fn an_answer_that_was_spoken_into_is_known_only_as_far_as_it_was_heard() {
    let rig = Rig::new(Kind::Anthropic).set("TTS_PROVIDER", "flite");
    let running = rig.home.serve();
    let mut client = Client::connect(&running);
    // A minute of words, were they let.
    let endless = format!("{WORDS} ").repeat(10);
    rig.provider
        .replies(Reply::text(&endless).pausing(Duration::from_millis(150)));
    client.send(&json!({ "type": "text", "text": "Tell me of whales", "speak": true }));
    let turn = client.until("sentence")["turn"].clone();
    client.until("sound");
    client.send(&json!({ "type": "played", "turn": turn, "sentence": 0, "ms": 900 }));
    client.send(&json!({ "type": "interrupt", "reason": "bargein" }));
    let done = client.until("turn_done");
    assert_eq!(done["interrupted"], true, "{done}");
    let ended = eventually(|| rig.provider.requests(Kind::Anthropic.route())[0].status != 0);
    assert!(ended, "the provider still speaks to nobody");
    let all = running.get("/api/v1/conversations").json();
    let conversation = all["data"]["conversations"][0]["id"].as_str().unwrap();
    let noted = eventually(|| {
        let messages = stored(&running, conversation);
        messages.len() == 2 && messages[1]["spoken_chars"].as_u64() < Some(60)
    });
    let messages = stored(&running, conversation);
    assert!(noted, "{messages:#?}");
    let heard = messages[1]["spoken_chars"].as_u64().unwrap() as usize;
    let kept = messages[1]["content"].as_str().unwrap();
    assert!(endless.starts_with(kept), "{kept}");
    assert_eq!(messages[1]["interrupted"], true);
    assert!(heard > 0, "{messages:#?}");

    client.send(&json!({ "type": "text", "text": "Whales, you said", "speak": false }));
    client.until("turn_done");
    let shown = rig.asked().pop().unwrap()["messages"][1]["content"][0]["text"].clone();
    let shown = shown.as_str().unwrap();
    let expected: String = kept.chars().take(heard).collect();
    assert_eq!(
        shown,
        format!("{}… [interrupted here]", expected.trim_end())
    );
    rig.provider.assert_content();
}
