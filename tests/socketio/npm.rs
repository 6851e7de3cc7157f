//! The unmodified client from npm against our server.

use magpie::socketio::IoOptions;

use crate::hall::server;

#[test]
fn the_client_from_npm_talks_by_polling_and_comes_back() {
    talk("polling");
}

#[test]
fn the_client_from_npm_talks_by_websocket_and_comes_back() {
    talk("websocket");
}

#[test]
fn the_client_from_npm_moves_from_polling_to_websocket_and_comes_back() {
    talk("upgrade");
}

fn talk(mode: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/socketio/npm");
    if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
        return;
    }
    assert!(
        std::path::Path::new(folder)
            .join("node_modules/socket.io-client")
            .exists(),
        "run `npm ci` in tests/socketio/npm first, or set MAGPIE_SKIP_PAGES=1"
    );
    let (address, _ends) = server(IoOptions::default());
    let ran = std::process::Command::new("node")
        .current_dir(folder)
        .args(["client.mjs", &address.port().to_string(), mode])
        .output()
        .expect("node is installed");
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
