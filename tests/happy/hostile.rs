//! Archives that somebody made to do harm, and those that are merely broken.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::archive::{has_files, rows};
use crate::client::Client;
use crate::parcel::{Parcel, id, import, pack};
use crate::phone::home;
use crate::support::eventually;

/// An archive, the status that it is answered, and a part of what is said.
type Case = (&'static str, Vec<u8>, u16, &'static str);

fn changed(parcel: &Parcel, change: impl FnOnce(&mut Parcel)) -> Vec<u8> {
    let mut parcel = parcel.clone();
    change(&mut parcel);
    parcel.zip()
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn hostile(theirs: &str) -> Vec<Case> {
    let good = Parcel::new(1)
        .with_session(100, 3)
        .with_attachment(100, "a.enc", b"blob");
    let archive = good.zip();
    let set = |index: usize, name: &str, value: Value| {
        changed(&good, |parcel| parcel.rows[index][name] = value)
    };
    let of_row = |row: Value| good.clone().with(row).zip();
    let named = |name: &str| {
        let moved = format!("files/{name}");
        changed(&good, |parcel| parcel.files[0].0 = moved)
    };
    let manifest =
        |name: &str, value: Value| changed(&good, |parcel| parcel.manifest[name] = value);
    let mut damaged = archive.clone();
    let blob = damaged
        .windows(4)
        .position(|part| part == b"blob")
        .expect("the blob");
    damaged[blob] ^= 1;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    vec![
        ("no zip", b"no archive".to_vec(), 400, "no whole zip"),
        (
            "half of one",
            archive[..archive.len() / 2].to_vec(),
            400,
            "no whole zip",
        ),
        (
            "another zip",
            pack(&[("a.txt", b"x".to_vec())]),
            400,
            "no archive has",
        ),
        ("an empty zip", pack(&[]), 400, "magpie happy export"),
        ("a damaged file", damaged, 400, "damaged"),
        (
            "another format",
            manifest("format", json!("x")),
            400,
            "magpie happy export",
        ),
        (
            "a newer format",
            manifest("version", json!(2)),
            400,
            "newer release",
        ),
        (
            "a newer schema",
            manifest("schema", json!(9_999)),
            400,
            "newer release",
        ),
        (
            "no schema",
            manifest("schema", json!(null)),
            400,
            "newer release",
        ),
        (
            "false counts",
            manifest("counts", json!({"message": 9})),
            400,
            "what it says",
        ),
        (
            "another's account",
            manifest("account", json!(id(9))),
            400,
            "no account",
        ),
        (
            "a file that no archive has",
            good.zip_with(&[("x.sh", b"")]),
            400,
            "no archive has",
        ),
        (
            "a way out",
            good.zip_with(&[("../x", b"")]),
            400,
            "no archive has",
        ),
        (
            "an absolute name",
            good.zip_with(&[("/etc/x", b"")]),
            400,
            "no archive has",
        ),
        (
            "a file of no row",
            good.zip_with(&[("files/s/x", b"")]),
            400,
            "no attachment",
        ),
        (
            "a way out of files",
            named("../../x.enc"),
            400,
            "its file is another",
        ),
        (
            "another session's file",
            named(&format!("{}/a.enc", id(5))),
            400,
            "another",
        ),
        (
            "a hidden attachment",
            Parcel::new(1)
                .with_session(100, 0)
                .with_attachment(100, ".x", b"")
                .zip(),
            400,
            "cannot have",
        ),
        (
            "an attachment that leads out",
            Parcel::new(1)
                .with_session(100, 0)
                .with_attachment(100, "../x", b"")
                .zip(),
            400,
            "cannot have",
        ),
        (
            "an attachment that is too large",
            Parcel::new(1)
                .with_session(100, 0)
                .with_attachment(100, "x", &[0; 10_485_761])
                .zip(),
            400,
            "larger than one may be",
        ),
        (
            "an attachment of a session that does not come",
            Parcel::new(1).with_attachment(100, "x", b"").zip(),
            400,
            "not in the archive",
        ),
        (
            "an attachment without its file",
            changed(&good, |parcel| parcel.files.clear()),
            400,
            "its file is not there",
        ),
        (
            "no account",
            changed(&good, |parcel| drop(parcel.rows.remove(0))),
            400,
            "no account",
        ),
        (
            "two accounts",
            of_row(good.rows[0].clone()),
            400,
            "none, or late",
        ),
        (
            "an account after another",
            changed(&good, |parcel| parcel.rows.insert(1, good.rows[0].clone())),
            400,
            "too many of account",
        ),
        (
            "a row of no kind",
            of_row(json!({"type": "device"})),
            400,
            "none, or late",
        ),
        (
            "a row of the box's keys",
            of_row(json!({"type": "keys"})),
            400,
            "none, or late",
        ),
        (
            "a session after messages",
            of_row(good.rows[1].clone()),
            400,
            "none, or late",
        ),
        (
            "an attachment among rows",
            of_row(good.attachments[0].clone()),
            400,
            "none, or late",
        ),
        (
            "a field that no row has",
            set(1, "x", json!(1)),
            400,
            "no row has",
        ),
        (
            "a field that stays behind",
            set(1, "account_id", json!(theirs)),
            400,
            "no row has",
        ),
        (
            "a sum of its own",
            set(0, "bytes", json!(0)),
            400,
            "no row has",
        ),
        (
            "a mark of its own",
            set(0, "mark", json!("removing")),
            400,
            "no row has",
        ),
        (
            "a text that is a number",
            set(1, "metadata", json!(1)),
            400,
            "no text",
        ),
        (
            "a number that is a text",
            set(1, "seq", json!("1")),
            400,
            "no number",
        ),
        (
            "a number below none",
            set(1, "created_at", json!(-1)),
            400,
            "not one",
        ),
        (
            "a number beyond all",
            set(0, "seq", json!(i64::MAX)),
            400,
            "not one",
        ),
        ("a list", set(1, "tag", json!(["x"])), 400, "no text"),
        (
            "a session's strange id",
            set(1, "id", json!("../../etc")),
            400,
            "cannot have",
        ),
        (
            "an account's strange id",
            set(0, "id", json!("a/users")),
            400,
            "cannot have",
        ),
        (
            "a strange key",
            set(0, "public_key", json!("AA")),
            400,
            "cannot have",
        ),
        (
            "a strange name",
            set(0, "username", json!("<b>")),
            400,
            "cannot have",
        ),
        (
            "a session without metadata",
            set(1, "metadata", json!(null)),
            400,
            "lacks",
        ),
        (
            "a message of no session",
            set(2, "session_id", json!(null)),
            400,
            "no session",
        ),
        (
            "a message of nobody's session",
            set(2, "session_id", json!(id(7))),
            400,
            "not in the",
        ),
        (
            "a message of another's session",
            set(2, "session_id", json!(theirs)),
            400,
            "not in the",
        ),
        (
            "a message beyond its session",
            set(2, "seq", json!(4)),
            400,
            "has not",
        ),
        (
            "a message of number none",
            set(2, "seq", json!(0)),
            400,
            "has not",
        ),
        ("a number twice", set(2, "seq", json!(2)), 400, "twice"),
        (
            "another's session",
            changed(&Parcel::new(1).with_session(100, 0), |parcel| {
                parcel.rows[1]["id"] = json!(theirs);
            }),
            409,
            "in another account",
        ),
        (
            "an attachment of another's session",
            changed(&good, |parcel| {
                parcel.files[0].0 = format!("files/{theirs}/a.enc");
                parcel.attachments[0]["session_id"] = json!(theirs);
            }),
            400,
            "not in the archive",
        ),
        (
            "an access key of another's machine",
            of_row(
                json!({"type": "access_key", "session_id": id(100), "machine_id": "m-theirs",
                "data": "", "data_version": 1, "created_at": 1, "updated_at": 1}),
            ),
            400,
            "of a machine that is not in the archive",
        ),
        (
            "another's machine",
            changed(&good, |parcel| {
                let machine = json!({"type": "machine", "id": "m-theirs", "metadata": "",
                    "last_active_at": 1, "created_at": 1, "updated_at": 1});
                parcel.rows.insert(1, machine);
            }),
            409,
            "in another account",
        ),
        (
            "an artifact of a strange name",
            of_row(
                json!({"type": "artifact", "id": "x", "header": "", "body": "",
                "data_encryption_key": "", "created_at": 1, "updated_at": 1}),
            ),
            400,
            "cannot have",
        ),
        (
            "a post that is deep",
            of_row(
                json!({"type": "post", "id": id(8), "counter": 1, "body": deep,
                "created_at": 1}),
            ),
            400,
            "cannot have",
        ),
        (
            "more than is kept of keys and values",
            of_row(
                json!({"type": "value", "key": "k", "value": "x".repeat(17 << 20),
                "version": 0}),
            ),
            507,
            "larger than one may be",
        ),
        (
            "a line of zeros that never ends",
            pack(&[
                ("rows.jsonl", vec![0; 40 << 20]),
                ("attachments.jsonl", Vec::new()),
                ("manifest.json", good.manifest_text()),
            ]),
            400,
            "too long",
        ),
    ]
}

#[test]
fn of_a_bad_archive_nothing_is_taken_in() {
    let home = home("open");
    let running = home.serve();
    let other = Client::new(&running, 2);
    let theirs = other.session("theirs");
    assert_eq!(
        other
            .post("/v1/machines", &json!({"id": "m-theirs", "metadata": "m"}))
            .0,
        200
    );
    let before = rows(&home);
    for (what, archive, wanted, part) in hostile(&theirs) {
        let (status, told) = import(&running, &archive);
        let message = told["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, wanted, "{what}: {told}");
        assert!(message.contains(part), "{what}: {message}");
        assert_eq!(rows(&home), before, "{what}");
        assert!(!has_files(&home), "{what}");
    }
    assert!(uploads_are_gone(home.path("data").as_path()));
    assert_eq!(
        other.get("/v1/sessions").1["sessions"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let good = Parcel::new(1)
        .with_session(100, 3)
        .with_attachment(100, "a.enc", b"blob");
    let (status, told) = import(&running, &good.zip());
    assert_eq!(status, 200, "{told}");
    let same_key = changed(&good, |parcel| {
        parcel.rows[0]["id"] = json!(id(50));
        parcel.manifest["account"] = json!(id(50));
    });
    assert_eq!(import(&running, &same_key).0, 409, "a key has one account");
    let client = Client::new(&running, 1);
    let path = format!("/v1/sessions/{}/attachments/a.enc", id(100));
    assert_eq!(client.bytes(&path), (200, b"blob".to_vec()));
}

fn uploads_are_gone(data: &Path) -> bool {
    eventually(|| {
        fs::read_dir(data.join("uploads")).is_ok_and(|mut entries| entries.next().is_none())
    })
}
