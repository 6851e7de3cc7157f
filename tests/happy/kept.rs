//! Access keys and artifacts over REST.

use serde_json::{Value, json};

use crate::client::Client;
use crate::phone::home;

const ID: &str = "0b0f0a3e-1111-4222-8333-444455556666";

fn refusal(status: u16, text: &str) -> (u16, Value) {
    (status, json!({"error": text}))
}

#[test]
fn an_access_key_belongs_to_a_session_on_a_machine_and_goes_with_either() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let stranger = Client::new(&running, 2);
    let session = client.session("t");
    let machine = |id: &str| {
        let made = client.post("/v1/machines", &json!({"id": id, "metadata": "m"}));
        assert_eq!(made.0, 200);
        format!("/v1/access-keys/{session}/{id}")
    };
    let (first, second) = (machine("m-1"), machine("m-2"));
    let nowhere = refusal(404, "Session or machine not found");
    let data = json!({"data": "ZA=="});

    assert_eq!(client.get(&first), (200, json!({"accessKey": null})));
    for path in [&first, &second] {
        let (status, told) = client.post(path, &data);
        assert_eq!(
            (status, &told["accessKey"]["dataVersion"]),
            (200, &json!(1))
        );
    }
    let known = refusal(409, "Access key already exists");
    assert_eq!(client.post(&first, &json!({"data": "eA=="})), known);
    assert_eq!(stranger.get(&first), nowhere);
    assert_eq!(stranger.post(&first, &data), nowhere);
    let change = json!({"data": "Mg==", "expectedVersion": 1});
    let absent = refusal(404, "Access key not found");
    assert_eq!(stranger.put(&first, &change), absent);

    let done = (200, json!({"success": true, "version": 2}));
    assert_eq!(client.put(&first, &change), done);
    let (_, told) = client.put(&first, &json!({"data": "Mw==", "expectedVersion": 1}));
    let stale = json!({
        "success": false,
        "error": "version-mismatch",
        "currentVersion": 2,
        "currentData": "Mg==",
    });
    assert_eq!(told, stale);
    for wrong in [json!({}), json!({"data": "x", "expectedVersion": -1})] {
        assert_eq!(client.put(&first, &wrong).0, 400);
    }
    drop(running); // kill -9

    let running = home.serve();
    let client = Client::new(&running, 1);
    assert_eq!(client.get(&first).1["accessKey"]["data"], "Mg==");
    assert_eq!(client.delete("/v1/machines/m-1").0, 200);
    assert_eq!(client.get(&first), nowhere);
    assert_eq!(client.get(&second).0, 200);
    assert_eq!(client.delete(&format!("/v1/sessions/{session}")).0, 200);
    assert_eq!(client.get(&second), nowhere);
}

#[test]
fn an_artifact_changes_whole_or_not_at_all() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let stranger = Client::new(&running, 2);
    let path = format!("/v1/artifacts/{ID}");
    let new = json!({"id": ID, "header": "aDE=", "body": "YjE=", "dataEncryptionKey": "AAECAw=="});
    let (status, made) = client.post("/v1/artifacts", &new);
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        (&made["headerVersion"], &made["seq"]),
        (&json!(1), &json!(0))
    );
    let mut other = new.clone();
    other["header"] = json!("b3RoZXI=");
    assert_eq!(client.post("/v1/artifacts", &other), (200, made.clone()));
    let taken = refusal(
        409,
        "Artifact with this ID already exists for another account",
    );
    assert_eq!(stranger.post("/v1/artifacts", &new), taken);
    let absent = refusal(404, "Artifact not found");
    assert_eq!(stranger.get(&path), absent);
    assert_eq!(stranger.post(&path, &json!({})), absent);
    assert_eq!(stranger.delete(&path), absent);
    assert_eq!(stranger.get("/v1/artifacts"), (200, json!([])));

    let change = |header: i64, body: i64| {
        let asked = json!({
            "header": "aDI=",
            "expectedHeaderVersion": header,
            "body": "YjI=",
            "expectedBodyVersion": body,
        });
        client.post(&path, &asked)
    };
    let stale = json!({
        "success": false,
        "error": "version-mismatch",
        "currentBodyVersion": 1,
        "currentBody": "YjE=",
    });
    assert_eq!(change(1, 9), (200, stale));
    assert_eq!(client.get(&path), (200, made.clone()));
    let done = json!({"success": true, "headerVersion": 2, "bodyVersion": 2});
    assert_eq!(change(1, 1), (200, done));
    let half = json!({"header": "aDM=", "body": "YjM=", "expectedBodyVersion": 2});
    let done = json!({"success": true, "bodyVersion": 3});
    assert_eq!(client.post(&path, &half), (200, done));
    drop(running); // kill -9

    let running = home.serve();
    let client = Client::new(&running, 1);
    let (_, found) = client.get(&path);
    assert_eq!(
        (&found["header"], &found["body"]),
        (&json!("aDI="), &json!("YjM="))
    );
    assert_eq!(
        (&found["bodyVersion"], &found["seq"]),
        (&json!(3), &json!(2))
    );
    let (_, listed) = client.get("/v1/artifacts");
    assert_eq!(listed[0]["header"], "aDI=");
    assert!(listed[0].get("body").is_none() && listed[0].get("bodyVersion").is_none());
    assert_eq!(client.delete(&path), (200, json!({"success": true})));
    assert_eq!(client.get(&path), absent);
}

#[test]
fn what_is_no_artifact_is_refused() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let good = json!({"id": ID, "header": "", "body": "", "dataEncryptionKey": ""});
    for (field, value) in [
        ("id", json!("no uuid")),
        ("id", json!(5)),
        ("header", json!("%%%")),
        ("body", json!("YQ")),
        ("dataEncryptionKey", json!(null)),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value;
        assert_eq!(client.post("/v1/artifacts", &wrong).0, 400, "{wrong}");
    }
    assert_eq!(client.post("/v1/artifacts", &good).0, 200);
    let path = format!("/v1/artifacts/{ID}");
    for wrong in [
        json!({"header": 1}),
        json!({"expectedHeaderVersion": -1}),
        json!({"expectedBodyVersion": 0.5}),
        json!({"header": "%%%", "expectedHeaderVersion": 1}),
    ] {
        assert_eq!(client.post(&path, &wrong).0, 400, "{wrong}");
    }
}
