//! The whole script of `tests/happy/compare` against the box: whatever it answers otherwise than
//! the original did is listed with its reason, or is a fault.

use std::path::Path;
use std::process::Command;

use crate::phone::home;

#[test]
fn the_box_answers_as_the_original_did_but_for_what_is_meant() {
    if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/happy/compare");
    assert!(
        folder.join("node_modules/socket.io-client").exists(),
        "run `npm ci` in tests/happy/compare first, or set MAGPIE_SKIP_PAGES=1"
    );
    let home = home("open");
    let running = home.serve();
    let address = running.address("http").expect("a plain listener");
    let compared = Command::new("node")
        .current_dir(&folder)
        .args(["compare.js", "upstream.jsonl"])
        .arg(format!("http://{address}"))
        .output()
        .expect("node is installed");
    let told = String::from_utf8_lossy(&compared.stdout);
    let errors = String::from_utf8_lossy(&compared.stderr);
    assert!(compared.status.success(), "{told}\n{errors}");
    assert!(told.contains("797 exchanges expected, 797 made"), "{told}");
}
