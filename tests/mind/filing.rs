//! What a model makes of memories afterwards, and search by meaning, through the whole program.

use serde_json::{Value, json};

use crate::provider::{Fault, Reply, Route};
use crate::rig::{Kind, Rig};
use crate::support::{Running, eventually};

fn keep(running: &Running<'_>, content: &str) -> String {
    let answer = running.post("/api/v1/memories", &json!({ "content": content }));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["data"]["id"].as_str().unwrap().to_owned()
}

fn memory(running: &Running<'_>, id: &str) -> Value {
    running.get(&format!("/api/v1/memories/{id}")).json()["data"].clone()
}

fn search(running: &Running<'_>, query: &str) -> Vec<Value> {
    let answer = running.get(&format!("/api/v1/memories/search?q={query}"));
    answer.json()["data"]["results"].as_array().unwrap().clone()
}

#[test]
fn a_kept_memory_is_organised_in_the_background_and_the_work_survives_a_restart() {
    let rig = Rig::new(Kind::OpenAi).set("AUTO_MEMORY", "on");
    let id = {
        let running = rig.home.serve();
        rig.provider.fail(Route::Chat, Fault::Status(503, None));
        let id = keep(&running, "Anna brings the projector on Friday");
        rig.provider.wait_for(Route::Chat, 1);
        assert!(memory(&running, &id)["organized_at"].is_null());
        id
    };
    rig.provider.heal(Route::Chat);
    rig.provider.replies(Reply::text(
        &json!({
            "title": "Projector", "summary": "Anna brings it on Friday.", "category": "work.meeting",
            "tags": ["projector"], "importance": "normal", "sentiment": "neutral", "key_points": ["Friday"],
            "entities": {"people": ["Anna"], "products": [], "companies": [], "locations": [], "concepts": []},
            "relations": [], "observations": [], "action_items": [], "facts": []
        })
        .to_string(),
    ));
    let running = rig.home.serve();
    assert!(
        eventually(|| { memory(&running, &id)["organized_at"].is_string() }),
        "the memory is organised"
    );
    let organised = memory(&running, &id);
    assert_eq!(organised["category"], "work.meeting");
    assert_eq!(organised["entities"]["people"], json!(["Anna"]));
    assert_eq!(organised["content"], "Anna brings the projector on Friday");
    assert_eq!(
        search(&running, "meeting").len(),
        0,
        "a category is no word"
    );
    assert_eq!(search(&running, "projector")[0]["id"], id.as_str());

    let asked = rig.asked().len();
    keep(&running, "the wifi password is magpie2026");
    assert!(
        eventually(|| {
            let jobs = running.get("/api/v1/jobs").json();
            let all = jobs["data"]["jobs"].as_array().unwrap().clone();
            all.len() == 2 && all.iter().all(|job| job["state"] == "done")
        }),
        "the secret is passed over"
    );
    assert_eq!(rig.asked().len(), asked, "a secret is not sent");
    rig.provider.assert_content();
}

#[test]
fn memories_are_found_by_meaning_and_forgotten_by_it_too() {
    let rig = Rig::new(Kind::OpenAi).set("EMBED_PROVIDER", "openai");
    let url = rig.provider.openai_url();
    let rig = rig.set("EMBED_BASE_URL", &url);
    let running = rig.home.serve();
    let mower = keep(&running, "the lawn mower stands in the shed");
    keep(&running, "my card is 4111 1111 1111 1111");
    assert!(
        eventually(|| {
            search(&running, "lawn%20mower")
                .first()
                .is_some_and(|hit| hit["why"] == "both")
        }),
        "the memory has a vector"
    );
    let sent = format!("{:?}", rig.provider.requests(Route::Embeddings));
    assert!(
        sent.contains("lawn mower") && !sent.contains("4111"),
        "{sent}"
    );

    rig.provider
        .fail(Route::Embeddings, Fault::Status(500, None));
    assert_eq!(
        search(&running, "lawn%20mower")[0]["why"],
        "text",
        "words alone in an outage"
    );
    rig.provider.heal(Route::Embeddings);
    let gone = running.post("/api/v1/memories/forget", &json!({ "q": "mower" }));
    assert_eq!(gone.json()["data"]["count"], 1);
    assert!(search(&running, "lawn%20mower").is_empty());
    assert!(memory(&running, &mower).is_null());
    rig.provider.assert_content();
}

#[test]
fn the_day_is_summed_up_when_somebody_asks() {
    let rig = Rig::new(Kind::OpenAi);
    let running = rig.home.serve();
    keep(&running, "Otto fixed the fence");
    let day = running.get("/api/v1/summary?language=en").json()["data"].clone();
    assert_eq!(day["model"], "local-rules");
    assert_eq!(day["counts"]["memories"], 1);
    assert!(day["text"].as_str().unwrap().contains("fence"), "{day}");
    let told = crate::rig::chat(&running, "what did I do today");
    assert!(crate::rig::content(&told).contains("fence"), "{told}");
    let told = crate::rig::chat(&running, "今天的总结");
    assert!(crate::rig::content(&told).contains("fence"), "{told}");
    assert!(rig.asked().is_empty(), "without asking a model");

    let id = told["conversation_id"].as_str().unwrap().to_owned();
    rig.provider
        .replies(Reply::text("A question about the day."));
    let path = format!("/api/v1/conversations/{id}/summarize");
    let summed = running.post(&path, &json!({})).json()["data"].clone();
    assert_eq!(summed["summary"], "A question about the day.");
    let listed = running.get("/api/v1/conversations").json();
    assert_eq!(
        listed["data"]["conversations"][0]["summary"],
        "A question about the day."
    );
    let export = running.get(&format!("/api/v1/conversations/{id}/export"));
    assert!(
        export.body.starts_with("# A question about the day."),
        "{}",
        export.body
    );
    rig.provider.assert_content();
}
