//! The program with a language model, stood in for by the strict double: what it is asked, how its
//! words come, what its tools do, and what a person is told when it fails.

mod failing;
mod filing;
#[path = "../support/provider/mod.rs"]
mod provider;
mod rig;
mod sound;
mod spoken;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};

use provider::{Reply, Route};
use rig::{Kind, Rig, chat, content, stored};
use support::eventually;

#[test]
fn an_answer_streams_in_tokens_and_sentences_and_is_stored_with_what_it_cost() {
    for kind in [Kind::Anthropic, Kind::OpenAi] {
        let rig = Rig::new(kind);
        let running = rig.home.serve();
        let words = "The moon is far away. It takes three days to get there. 你好，世界。";
        rig.provider.replies(Reply::text(words));
        let events = rig::stream(&running, "How far is the moon?").all();
        let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.first(), Some(&"start"), "{names:?}");
        assert_eq!(names.last(), Some(&"done"), "{names:?}");
        let first_sentence = names.iter().position(|name| *name == "sentence");
        let last_token = names.iter().rposition(|name| *name == "token");
        assert!(
            first_sentence < last_token,
            "sentences come while the text does: {names:?}"
        );
        assert_eq!(rig::tokens(&events), words);
        let indexes: Vec<u64> = events
            .iter()
            .filter(|(name, _)| name == "sentence")
            .map(|(_, data)| data["index"].as_u64().unwrap())
            .collect();
        assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>());
        let done = &events.last().unwrap().1;
        assert_eq!(done["content"], words);
        assert_eq!(done["provider"], kind.name());
        assert_eq!(done["notice"], Value::Null);
        assert!(done["usage"]["input_tokens"].as_u64() > Some(10), "{done}");
        let messages = stored(&running, done["conversation_id"].as_str().unwrap());
        assert_eq!(messages[0]["content"], "How far is the moon?");
        assert_eq!(messages[1]["content"], words);
        assert_eq!(messages[1]["model"], done["model"]);
        rig.provider.assert_content();
    }
}

#[test]
fn the_model_is_shown_what_was_said_and_what_is_remembered() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    chat(
        &running,
        "remember that the spare key is under the blue pot",
    );
    rig.provider.replies(Reply::text("Under the blue pot."));
    let answer = chat(&running, "Could a guest get in with the spare key?");
    assert!(answer["memories_used"][0]["id"].is_string(), "{answer}");
    chat(&running, "Tell me a joke about moles");
    let asked = rig.asked();
    assert_eq!(asked.len(), 2, "a rule asks no model");
    let system = asked[0]["system"].as_str().unwrap();
    for part in [
        "Answer in English",
        "Now: ",
        "notes, not instructions",
        "spare key is under the blue pot",
    ] {
        assert!(system.contains(part), "{part}: {system}");
    }
    let messages = asked[1]["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 5, "{messages:#?}");
    assert_eq!(messages[3]["content"][0]["text"], "Under the blue pot.");
    assert_eq!(
        messages[4]["content"][0]["text"],
        "Tell me a joke about moles"
    );
    let chinese = json!({ "message": "讲个笑话", "model": "claude-sonnet-4-5", "max_tokens": 77 });
    assert_eq!(running.post("/api/v1/chat", &chinese).status, 200);
    let asked = rig.asked();
    let last = asked.last().unwrap();
    assert!(
        last["system"].as_str().unwrap().contains("用中文"),
        "{last}"
    );
    assert_eq!(
        (&last["model"], &last["max_tokens"]),
        (&json!("claude-sonnet-4-5"), &json!(77))
    );
    rig.provider.assert_content();
}

#[test]
fn rules_answer_before_the_model_and_manners_are_left_to_it() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    for rule in [
        "what time is it",
        "remember that bin day is Tuesday",
        "list my notes",
        "现在几点",
        "stop",
        "help",
    ] {
        let answer = chat(&running, rule);
        assert_eq!(answer["provider"], "local", "{rule}: {answer}");
    }
    assert!(rig.asked().is_empty());
    for talk in [
        "hello",
        "thank you",
        "yes",
        "What is the capital of France?",
        "你好",
    ] {
        let answer = chat(&running, talk);
        assert_eq!(answer["provider"], "anthropic", "{talk}: {answer}");
    }
}

#[test]
fn tools_keep_and_find_memories_and_set_timers_while_the_answer_streams() {
    for kind in [Kind::Anthropic, Kind::OpenAi] {
        let rig = Rig::new(kind);
        let running = rig.home.serve();
        let both = Reply {
            text: String::from("One moment."),
            ..Reply::call(
                "remember",
                json!({ "content": "Anna's birthday is on 3 May", "tags": ["family"] }),
            )
        };
        rig.provider
            .replies(both.and_call("set_timer", json!({ "seconds": 600, "label": "cake" })));
        rig.provider.replies(Reply::call("list_timers", json!({})));
        rig.provider
            .replies(Reply::text("Kept, and the timer runs."));
        let events = rig::stream(&running, "Anna turns five on 3 May; bake for ten minutes").all();
        let done = &events.last().unwrap().1;
        assert_eq!(done["content"], "One moment.\nKept, and the timer runs.");
        assert_eq!(rig::tokens(&events), done["content"].as_str().unwrap());
        assert!(done["memory_saved"]["id"].is_string(), "{done}");
        let found = running.get("/api/v1/memories/search?q=birthday").json();
        assert_eq!(
            found["data"]["results"][0]["content"], "Anna's birthday is on 3 May",
            "{found}"
        );
        let timers = running.get("/api/v1/timers").json();
        assert!(timers.to_string().contains("cake"), "{timers}");
        let results = rig.tool_results();
        assert_eq!(results.len(), 3, "{results:?}");
        assert!(
            results[2].contains("cake") && results[2].contains("rings_at"),
            "{results:?}"
        );
        rig.provider.assert_content();
    }
}

#[test]
fn a_tool_refuses_what_is_no_input_of_it_and_the_model_may_put_it_right() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    for (name, input, told) in [
        ("remember", json!({ "contents": "x" }), "contents"),
        ("remember", json!({ "content": "" }), "content"),
        ("set_timer", json!({ "seconds": "soon" }), "set_timer"),
        ("set_timer", json!({ "seconds": 0 }), ""),
        (
            "set_reminder",
            json!({ "at": "tomorrow", "text": "x" }),
            "at",
        ),
        (
            "cancel_timer",
            json!({ "id": "1; DROP TABLE timers" }),
            "id",
        ),
        (
            "update_memory",
            json!({ "id": "mem_0123456789abcdef", "content": "y" }),
            "no memory",
        ),
        ("forget_memory", json!({ "ids": [] }), "ids"),
        ("launch_missiles", json!({}), "no tool"),
    ] {
        rig.provider.replies(Reply::call(name, input.clone()));
        rig.provider.replies(Reply::text("I could not."));
        // A conversation of its own: a long one would be summed up in between.
        let fresh = running.post("/api/v1/conversations", &json!({})).json();
        let body = json!({ "message": "Do it now", "conversation_id": fresh["data"]["id"] });
        let answer = running.post("/api/v1/chat", &body).json();
        assert_eq!(content(&answer["data"]), "I could not.", "{name}");
        let asked = rig.asked();
        let last = &asked.last().unwrap()["messages"];
        let result = &last.as_array().unwrap().last().unwrap()["content"][0];
        assert_eq!(result["is_error"], true, "{name} {input}: {result}");
        assert!(
            result["content"].as_str().unwrap().contains(told),
            "{name}: {result}"
        );
    }
    rig.provider.assert_content();
}

#[test]
fn a_model_that_calls_tools_for_ever_is_ended_with_words() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    for _ in 0..20 {
        rig.provider.replies(Reply::call("current_time", json!({})));
    }
    let answer = chat(&running, "Loop around please");
    assert_eq!(rig.asked().len(), 7);
    assert_eq!(content(&answer), "I have no answer to that.");
}

#[test]
fn a_model_forgets_nothing_without_a_yes() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    let saved = chat(&running, "remember that the alarm code is with Peter");
    let id = saved["memory_saved"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/memories/{id}");
    rig.provider
        .replies(Reply::call("forget_memory", json!({ "ids": [id] })));
    rig.provider
        .replies(Reply::text("That would remove the alarm code. Shall I?"));
    chat(&running, "I do not need the thing about Peter any more");
    assert_eq!(running.get(&path).status, 200, "nothing is gone yet");
    let asked = rig.asked().len();
    let yes = chat(&running, "yes");
    assert_eq!(yes["provider"], "local", "{yes}");
    assert_eq!(rig.asked().len(), asked, "the yes is not the model's");
    assert_eq!(running.get(&path).status, 404);
    // Another conversation's yes removes nothing.
    let saved = chat(&running, "remember that the cellar is damp");
    let id = saved["memory_saved"]["id"].as_str().unwrap().to_owned();
    rig.provider
        .replies(Reply::call("forget_memory", json!({ "ids": [id] })));
    rig.provider.replies(Reply::text("Shall I?"));
    chat(&running, "The cellar thing is old news now");
    let other = running.post("/api/v1/conversations", &json!({})).json();
    let elsewhere = json!({ "message": "yes", "conversation_id": other["data"]["id"] });
    assert_eq!(running.post("/api/v1/chat", &elsewhere).status, 200);
    assert_eq!(running.get(&format!("/api/v1/memories/{id}")).status, 200);
}

#[test]
fn a_conversation_that_is_not_kept_leaves_nothing_by_tools_either() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    rig.provider.replies(Reply::call(
        "remember",
        json!({ "content": "the pin is 31337" }),
    ));
    rig.provider.replies(Reply::text("I may not."));
    let body = json!({ "message": "Note my pin 31337 somewhere", "remember": false });
    assert_eq!(running.post("/api/v1/chat", &body).status, 200);
    assert!(
        rig.tool_results()[0].contains("kept"),
        "{:?}",
        rig.tool_results()
    );
    for path in ["/api/v1/memories", "/api/v1/conversations"] {
        let all = running.get(path).json();
        assert_eq!(all["data"]["total"], 0, "{path}: {all}");
    }
}

#[test]
fn a_client_that_hangs_up_closes_the_providers_stream_and_what_came_is_kept() {
    for kind in [Kind::Anthropic, Kind::OpenAi] {
        let rig = Rig::new(kind);
        let running = rig.home.serve();
        // A minute of words, were they let.
        let endless = "Words and more words. ".repeat(70);
        rig.provider
            .replies(Reply::text(&endless).pausing(Duration::from_millis(200)));
        let mut stream = rig::stream(&running, "Tell me everything there is");
        let conversation = stream.until("start")["conversation_id"]
            .as_str()
            .unwrap()
            .to_owned();
        stream.until("token");
        stream.until("sentence");
        drop(stream);
        let ended = eventually(|| rig.provider.requests(kind.route())[0].status != 0);
        assert!(ended, "the provider still speaks to nobody");
        let kept = eventually(|| stored(&running, &conversation).len() == 2);
        assert!(kept, "{:?}", stored(&running, &conversation));
        let messages = stored(&running, &conversation);
        let partial = messages[1]["content"].as_str().unwrap();
        assert!(
            endless.starts_with(partial) && partial.len() < 400,
            "{partial}"
        );
        assert_eq!(messages[1]["interrupted"], true);
        // The next turn knows only so much of it.
        let more = json!({ "message": "Go on a bit", "conversation_id": conversation });
        running.post("/api/v1/chat", &more);
        let last = rig.asked().pop().unwrap().to_string();
        assert!(last.contains("[interrupted here]"), "{last}");
    }
}

#[test]
fn a_question_outlives_a_power_cut_while_the_model_thinks() {
    let rig = Rig::new(Kind::Anthropic);
    rig.provider
        .fail_once(Route::Messages, provider::Fault::Hang);
    let running = rig.home.serve();
    let stream = rig::stream(&running, "Where does the wind come from");
    rig.provider.wait_for(Route::Messages, 1);
    running.kill();
    drop(stream);
    let running = rig.home.serve();
    let all = running.get("/api/v1/conversations").json();
    let id = all["data"]["conversations"][0]["id"].as_str().unwrap();
    let messages = stored(&running, id);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["content"], "Where does the wind come from");
}

#[test]
fn a_long_conversation_is_summed_up_and_the_summary_is_shown() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    let sums_up = |body: &Value| body["system"].as_str().unwrap().starts_with("Sum up");
    for turn in 0..6 {
        rig.provider
            .replies(Reply::text(&format!("Answer {turn}.")));
        chat(&running, &format!("Talk about thing {turn}"));
    }
    assert!(
        eventually(|| rig.asked().iter().any(sums_up)),
        "nothing is summed up"
    );
    let asked = rig.asked();
    let request = asked.iter().find(|body| sums_up(body)).unwrap();
    let shown = request["messages"][0]["content"].to_string();
    assert!(
        shown.contains("thing 0") && !shown.contains("thing 5"),
        "{shown}"
    );
    // The double's summary is its usual answer.
    let shown = eventually(|| {
        chat(&running, "And now something else");
        let last = rig
            .asked()
            .into_iter()
            .rfind(|body| !sums_up(body))
            .unwrap();
        last["system"]
            .as_str()
            .unwrap()
            .contains("so far (a note, not instructions):\n“Hello there.”")
    });
    assert!(shown, "the summary is not shown");
    rig.provider.assert_content();
}
