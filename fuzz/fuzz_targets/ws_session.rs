//! `/ws` of a whole house in this process: any sequence of messages, in any of the dialects.
//! Nothing panics, every message out is one of the protocol, and the socket always closes.
//!
//! Messages are parted by 0xFF, which no UTF-8 has; one that is no text, or begins with 0xFE, is sent
//! as binary.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use magpie::app::App;
use magpie::config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

const MESSAGES_MAX: usize = 32;
const PATIENCE: Duration = Duration::from_secs(8);
const PING: &[u8] = b"{\"type\":\"ping\"}";

/// SQLite's one file has two tables of the same name in it.
#[unsafe(no_mangle)]
pub extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    c"detect_odr_violation=0".as_ptr()
}

struct House {
    runtime: Runtime,
    local: LocalSet,
    app: App,
}

thread_local! {
    static HOUSE: House = House::start();
}

fuzz_target!(|data: &[u8]| {
    HOUSE.with(|house| {
        house.local.block_on(&house.runtime, async {
            let spoken = tokio::time::timeout(PATIENCE, converse(&house.app, data));
            spoken.await.expect("the socket closes");
        });
    });
});

impl House {
    fn start() -> House {
        let folder = std::env::temp_dir().join(format!("magpie-fuzz-{}", std::process::id()));
        let settings = format!(
            "DATA_DIR={}\nAUDIO_INPUT=off\nAUDIO_OUTPUT=off\nOPS_LISTEN=off\nRATE_LIMIT=0\n\
             STT_PROVIDER=none\nTTS_PROVIDER=none\nLLM_PROVIDER=none\nQUEUE_MAX_MB=64\n",
            folder.display()
        );
        let config = config::resolve(Some(settings.as_bytes()), &[]);
        let config = config.expect("the settings are right").config;
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let local = LocalSet::new();
        let app = local.block_on(&runtime, App::start(&config, true));
        House {
            app: app.unwrap_or_else(|error| panic!("{error}")),
            runtime,
            local,
        }
    }
}

async fn converse(app: &App, data: &[u8]) {
    let address = app.server.http_address().expect("an address");
    let socket = TcpStream::connect(address).await.expect("a connection");
    let (mut from_house, mut to_house) = socket.into_split();
    let mut out = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .into_bytes();
    for message in data.split(|byte| *byte == 0xFF).take(MESSAGES_MAX) {
        match message.strip_prefix(&[0xFE]) {
            Some(bytes) => frame(&mut out, 2, bytes),
            None if std::str::from_utf8(message).is_ok() => frame(&mut out, 1, message),
            None => frame(&mut out, 2, message),
        }
    }
    frame(&mut out, 1, PING);
    frame(&mut out, 8, &1000_u16.to_be_bytes());
    let sending = async {
        // It may have closed already.
        let _ = to_house.write_all(&out).await;
    };
    let reading = async {
        let mut said = Vec::new();
        while !check(&said) {
            let count = from_house.read_buf(&mut said).await.unwrap_or(0);
            assert!(count > 0, "it says goodbye: {}", String::from_utf8_lossy(&said));
        }
    };
    tokio::join!(sending, reading);
    drop((from_house, to_house));
    while app.voice.sockets.open() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Of a client: masked, by zeros.
fn frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(0x80 | kind);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Checks what came so far; whether that was all.
fn check(said: &[u8]) -> bool {
    let Some(head) = said.windows(4).position(|end| end == b"\r\n\r\n") else {
        return false;
    };
    assert!(said.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(said));
    let mut rest = &said[head + 4..];
    while let [first, length, behind @ ..] = rest {
        let (bytes, behind) = match (length, behind) {
            (126, [high, low, behind @ ..]) => (usize::from(*high) << 8 | usize::from(*low), behind),
            (127, behind) => match behind.split_first_chunk::<8>() {
                Some((length, behind)) => (u64::from_be_bytes(*length) as usize, behind),
                None => return false,
            },
            (126, _) => return false,
            (short, behind) => (usize::from(*short), behind),
        };
        let Some((payload, behind)) = behind.split_at_checked(bytes) else {
            return false;
        };
        match first {
            0x81 => {
                let message: serde_json::Value =
                    serde_json::from_slice(payload).expect("a message is JSON");
                assert!(message["type"].is_string(), "{message}");
            }
            0x82 => assert!(payload.starts_with(b"RIFF") || (bytes >= 8 && payload[0] == 2)),
            0x88 => {
                assert!(behind.is_empty(), "nothing comes after the close");
                return true;
            }
            0x89 | 0x8A => {}
            other => panic!("a frame that begins with {other:#x}"),
        }
        rest = behind;
    }
    false
}
