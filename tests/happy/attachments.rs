//! Attachments: on the card when they are acknowledged, behind a token, gone with their session.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::Client;
use crate::phone::{home, send};
use crate::support::{Home, eventually};

const BYTES: &str = "application/octet-stream";

impl Client<'_> {
    fn upload(&self, path: &str, blob: &[u8]) -> (u16, Value) {
        send(self.running, "PUT", path, Some(&self.bearer), BYTES, blob)
    }
}

fn folder_of(home: &Home, session: &str) -> PathBuf {
    home.path("data")
        .join("files/sessions")
        .join(session)
        .join("attachments")
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let name = |entry: Result<fs::DirEntry, _>| {
        entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("a name")
    };
    entries.map(name).collect()
}

#[test]
fn a_blob_comes_back_as_it_went_also_after_kill_and_goes_with_its_session() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let path = format!("/v1/sessions/{session}/attachments");
    let asked = json!({"filename": "../../x.png", "size": 5});
    let (status, told) = client.post(&format!("{path}/request-upload"), &asked);
    assert_eq!((status, &told["method"]), (200, &json!("PUT")), "{told}");
    let reference = told["ref"].as_str().expect("a ref");
    let (_, file) = reference.rsplit_once('/').expect("a path");
    assert!(file.ends_with(".enc") && file.len() == 40, "{file}");
    let address = running.address("http").expect("a plain listener");
    let url = format!("http://{address}{path}/{file}");
    assert_eq!(told["uploadUrl"], json!(url));

    let at = format!("{path}/{file}");
    let first: Vec<u8> = (0..=255).collect();
    assert_eq!(client.upload(&at, &first), (200, json!({"ok": true})));
    let second: Vec<u8> = first.iter().rev().copied().cycle().take(300_000).collect();
    assert_eq!(client.upload(&at, &second), (200, json!({"ok": true})));
    drop(running); // kill -9

    let stray = folder_of(&home, "gone").join("stray.enc");
    fs::create_dir_all(stray.parent().expect("a folder")).expect("made");
    fs::write(&stray, b"of a session that is no more").expect("written");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60 * 86_400);
    let file_of_old = fs::File::options()
        .write(true)
        .open(&stray)
        .expect("a file");
    file_of_old.set_modified(long_ago).expect("a time");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let (_, told) = client.post(
        &format!("{path}/request-download"),
        &json!({"ref": reference}),
    );
    let told = told["downloadUrl"].as_str().expect("a URL").to_owned();
    assert!(told.ends_with(&at), "{told}");
    assert_eq!(client.bytes(&at), (200, second));
    assert!(eventually(|| !stray.exists()));
    assert_eq!(names(&folder_of(&home, &session)), [file]);

    let stranger = Client::new(&running, 2);
    let no_session = (404, json!({"error": "Session not found"}));
    assert_eq!(stranger.get(&at), no_session);
    assert_eq!(stranger.upload(&at, b"x"), no_session);
    let nobody = send(&running, "GET", &at, None, BYTES, b"");
    assert_eq!(
        nobody,
        (401, json!({"error": "Missing authorization header"}))
    );
    let old_way = format!("/files/{reference}");
    assert_eq!(client.get(&old_way), (404, json!("Not found")));

    assert_eq!(client.delete(&format!("/v1/sessions/{session}")).0, 200);
    assert_eq!(client.get(&at), no_session);
    let gone = home.path("data").join("files/sessions").join(&session);
    assert!(eventually(|| !gone.exists()));
}

#[test]
fn no_name_leads_out_of_the_session() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let other = client.session("o");
    let path = format!("/v1/sessions/{session}/attachments");
    let invalid = (404, json!({"error": "Invalid attachment file"}));
    for name in [
        "a%2Fb.enc",
        ".hidden",
        "a..b",
        "a~b",
        "%C3%A4",
        &"x".repeat(129),
    ] {
        let at = format!("{path}/{name}");
        assert_eq!(client.upload(&at, b"x"), invalid, "{name}");
        assert_eq!(client.get(&at), invalid, "{name}");
    }
    // The door refuses these before the room is asked.
    for name in [
        "..%2Fup.enc",
        "..%2f..%2fup.enc",
        "%2e%2e%2fup.enc",
        "%2e%2e",
        "a%00b",
        "..%5Cup.enc",
    ] {
        let at = format!("{path}/{name}");
        assert_eq!(client.upload(&at, b"x").0, 400, "{name}");
        assert_eq!(client.get(&at).0, 400, "{name}");
    }
    let files = home.path("data").join("files");
    assert!(!files.exists(), "{:?}", names(&files));

    let ask = format!("{path}/request-download");
    let own = format!("sessions/{session}/attachments/");
    for (reference, text) in [
        (
            format!("sessions/{other}/attachments/a.enc"),
            "Ref does not belong to this session",
        ),
        (format!("{own}../a.enc"), "Invalid attachment ref"),
        (format!("{own}a/b.enc"), "Invalid attachment ref"),
        (own.clone(), "Invalid attachment ref"),
    ] {
        let told = client.post(&ask, &json!({"ref": reference}));
        assert_eq!(told, (400, json!({"error": text})), "{reference}");
    }
    assert_eq!(
        client.post(&ask, &json!({})),
        (400, json!({"error": "Error"}))
    );
}

#[test]
fn what_is_too_large_or_no_blob_is_refused_and_leaves_nothing() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let path = format!("/v1/sessions/{session}/attachments");
    let most = 10 * 1024 * 1024;
    let ask = |size: Value| {
        let asked = json!({"filename": "f", "size": size});
        client.post(&format!("{path}/request-upload"), &asked).0
    };
    for (size, status) in [
        (json!(most), 200),
        (json!(0), 200),
        (json!(most + 1), 400),
        (json!("1"), 400),
        (json!(null), 400),
    ] {
        assert_eq!(ask(size.clone()), status, "{size}");
    }
    let large = (413, json!({"error": "File too large (max 10MB)"}));
    let at = format!("{path}/large.enc");
    assert_eq!(client.upload(&at, &vec![7; most + 1]), large);
    let absent = (404, json!({"error": "Attachment not found"}));
    assert_eq!(client.get(&at), absent);
    assert_eq!(client.upload(&at, &vec![7; most]).0, 200);
    assert_eq!(client.bytes(&at).1.len(), most);
    let bearer = Some(client.bearer.as_str());
    for kind in ["application/json", "text/plain", "image/png"] {
        assert_eq!(
            send(&running, "PUT", &at, bearer, kind, b"{}").0,
            415,
            "{kind}"
        );
    }
    assert_eq!(names(&folder_of(&home, &session)), ["large.enc"]);
    assert_eq!(client.upload(&format!("{path}/empty.enc"), b"").0, 200);
    assert_eq!(
        client.bytes(&format!("{path}/empty.enc")),
        (200, Vec::new())
    );
}
