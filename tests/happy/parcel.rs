//! Archives of accounts made by hand, good ones and others.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::phone::{Phone, agent, read, url};
use crate::support::Running;

const AT: i64 = 1_790_000_000_000;
const KINDS: &[&str] = &[
    "account",
    "machine",
    "session",
    "message",
    "access_key",
    "artifact",
    "value",
    "usage",
    "post",
    "push_token",
    "attachment",
];

#[derive(Clone)]
pub struct Parcel {
    pub rows: Vec<Value>,
    pub attachments: Vec<Value>,
    /// By name in the archive.
    pub files: Vec<(String, Vec<u8>)>,
    pub manifest: Value,
}

/// An id as the box gives them.
pub fn id(number: usize) -> String {
    format!("c{number:024}")
}

impl Parcel {
    /// Of the account of this phone, with nothing in it.
    pub fn new(seed: u8) -> Parcel {
        let account = id(usize::from(seed));
        let row = json!({"type": "account", "id": account, "public_key": Phone::new(seed).key(),
            "created_at": AT, "updated_at": AT, "seq": 40});
        Parcel {
            rows: vec![row],
            attachments: Vec::new(),
            files: Vec::new(),
            manifest: json!({"format": "magpie-happy-account", "version": 1, "program": "0.1.0",
                "schema": 1, "made_at": "2026-11-25T00:00:00Z", "account": account}),
        }
    }

    pub fn account(&self) -> String {
        self.rows[0]["id"].as_str().expect("an id").to_owned()
    }

    pub fn with(mut self, row: Value) -> Parcel {
        self.rows.push(row);
        self
    }

    /// One session with so many messages.
    pub fn with_session(mut self, number: usize, messages: usize) -> Parcel {
        let session = id(number);
        let row = json!({"type": "session", "id": session, "tag": format!("t{number}"),
            "metadata": "bQ==", "seq": messages, "active": 0, "last_active_at": AT,
            "created_at": AT, "updated_at": AT});
        self.put(row);
        for seq in 1..=messages {
            self.put(message(&session, number * 1_000_000 + seq, seq));
        }
        self
    }

    /// Behind the last of its kind: an archive has its kinds in order.
    fn put(&mut self, row: Value) {
        let place = |row: &Value| KINDS.iter().position(|kind| row["type"] == *kind);
        let earlier = |other: &Value| place(other) <= place(&row);
        let after = self.rows.iter().rposition(earlier).map_or(0, |at| at + 1);
        self.rows.insert(after, row);
    }

    pub fn with_attachment(mut self, session: usize, name: &str, blob: &[u8]) -> Parcel {
        let session = id(session);
        self.files
            .push((format!("files/{session}/{name}"), blob.to_vec()));
        self.attachments.push(
            json!({"type": "attachment", "session_id": session, "name": name,
            "created_at": AT}),
        );
        self
    }

    /// As the box writes it, with true counts unless the manifest has some.
    pub fn zip(&self) -> Vec<u8> {
        self.zip_with(&[])
    }

    pub fn manifest_text(&self) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        manifest["counts"] = json!({});
        manifest.to_string().into_bytes()
    }

    pub fn zip_with(&self, more: &[(&str, &[u8])]) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        if manifest.get("counts").is_none() {
            let mut counts: BTreeMap<&str, usize> = KINDS.iter().map(|kind| (*kind, 0)).collect();
            for row in self.rows.iter().chain(&self.attachments) {
                let kind = row["type"].as_str().unwrap_or_default();
                if let Some(count) = counts.get_mut(kind) {
                    *count += 1;
                }
            }
            manifest["counts"] = json!(counts);
        }
        let lines = |rows: &[Value]| {
            let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
            lines.concat().into_bytes()
        };
        let mut entries = vec![("rows.jsonl", lines(&self.rows))];
        let files = self
            .files
            .iter()
            .map(|(name, blob)| (name.as_str(), blob.clone()));
        entries.extend(files);
        entries.push(("attachments.jsonl", lines(&self.attachments)));
        entries.push(("manifest.json", manifest.to_string().into_bytes()));
        entries.extend(more.iter().map(|(name, bytes)| (*name, bytes.to_vec())));
        pack(&entries)
    }
}

pub fn message(session: &str, number: usize, seq: usize) -> Value {
    json!({"type": "message", "id": id(number), "session_id": session, "seq": seq,
        "local_id": format!("l{seq}"), "content": format!("sealed {seq} {}", "x".repeat(400)),
        "created_at": AT})
}

pub fn pack(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = ZipWriter::new(Cursor::new(&mut bytes));
    for (name, content) in entries {
        let method = match content.len() > 100_000 || name.ends_with("l") {
            true => CompressionMethod::Deflated,
            false => CompressionMethod::Stored,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).expect("begun");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("ended");
    bytes
}

/// What the box answers to an archive.
pub fn import(running: &Running, archive: &[u8]) -> (u16, Value) {
    let request = http::Request::builder()
        .method("POST")
        .uri(url(running, "/api/v1/happy/import"))
        .header("content-type", "application/zip");
    read(agent().run(request.body(archive).expect("a request")))
}
