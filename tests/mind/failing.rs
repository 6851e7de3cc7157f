//! Models that are down, slow, wrong, or break off: the person is told, nothing is lost.

use serde_json::json;

use crate::provider::{CLAUDE_KEY, Fault, Reply, Route};
use crate::rig::{self, Kind, Rig, chat, content, stored};

#[test]
fn a_failure_before_the_first_word_is_tried_once_more() {
    for (kind, fault) in [
        (Kind::Anthropic, Fault::Status(529, None)),
        (Kind::Anthropic, Fault::Cut(40)),
        (Kind::Anthropic, Fault::ErrorEvent(0, "overloaded_error")),
        (Kind::OpenAi, Fault::Status(500, None)),
        (Kind::OpenAi, Fault::Status(429, Some(0))),
    ] {
        let rig = Rig::new(kind);
        let running = rig.home.serve();
        rig.provider.fail_once(kind.route(), fault.clone());
        rig.provider.replies(Reply::text("Here I am."));
        // A fault within a stream uses its answer up.
        rig.provider.replies(Reply::text("Here I am."));
        let answer = chat(&running, "Are you there, my friend");
        assert_eq!(content(&answer), "Here I am.", "{fault:?}");
        assert_eq!(rig.asked().len(), 2, "{fault:?}");
        assert_eq!(answer["notice"], json!(null));
    }
}

#[test]
fn a_model_that_stays_away_is_told_and_the_question_is_kept() {
    for (fault, requests) in [
        (Fault::Status(500, None), 2),
        (Fault::Status(429, Some(60)), 1),
        (Fault::Status(529, None), 2),
        (Fault::Status(400, None), 1),
        (Fault::Garbage, 2),
    ] {
        let rig = Rig::new(Kind::Anthropic);
        let running = rig.home.serve();
        chat(&running, "remember that the ladder is in the shed");
        rig.provider.fail(Route::Messages, fault.clone());
        let events = rig::stream(&running, "Tell me of whales").all();
        let (last, done) = events.last().unwrap();
        assert_eq!(last, "done", "{fault:?}: {events:?}");
        let words = content(done);
        assert!(
            words.starts_with("I cannot reach the language model"),
            "{words}"
        );
        assert_eq!(rig::tokens(&events), words, "never silence");
        let error = events.iter().find(|(name, _)| name == "error").unwrap();
        assert_eq!(error.1["code"], "AI_ERROR", "{fault:?}: {error:?}");
        assert_eq!(done["notice"], error.1);
        assert_eq!(rig.asked().len(), requests, "{fault:?}");
        let messages = stored(&running, done["conversation_id"].as_str().unwrap());
        assert_eq!(messages[messages.len() - 2]["content"], "Tell me of whales");
        // What needs no model goes on.
        let found = chat(&running, "where is the ladder");
        assert!(content(&found).contains("shed"), "{found}");
        let health = running.get("/health").json();
        // Who refuses one question is there for the next.
        let refuses = fault == Fault::Status(400, None);
        assert_eq!(health["providers"]["llm"]["ok"], refuses, "{health}");
        rig.provider.heal(Route::Messages);
        let again = chat(&running, "Try again, please do");
        match fault {
            // It asked for a minute's peace.
            Fault::Status(429, _) => assert_eq!(rig.asked().len(), requests, "{again}"),
            _ => assert_eq!(content(&again), "Hello there.", "{fault:?}"),
        }
    }
}

#[test]
fn a_wrong_key_is_told_with_its_setting_and_never_shown() {
    let rig = Rig::new(Kind::Anthropic);
    let home = rig.home.set("CLAUDE_API_KEY", "sk-ant-wrong-key-0000");
    let running = home.serve();
    let answer = chat(&running, "Tell me of whales");
    let notice = answer["notice"]["message"].as_str().unwrap();
    assert!(notice.contains("CLAUDE_API_KEY"), "{notice}");
    for place in [answer.to_string(), running.log()] {
        assert!(!place.contains("sk-ant-wrong-key-0000"), "{place}");
        assert!(!place.contains(CLAUDE_KEY), "{place}");
    }
}

#[test]
fn a_provider_that_cannot_be_reached_is_told() {
    let rig = Rig::new(Kind::OpenAi);
    let running = rig.home.serve();
    rig.provider.refuse();
    let answer = chat(&running, "Tell me of whales");
    let notice = answer["notice"]["message"].as_str().unwrap();
    assert!(notice.contains("could not be reached"), "{notice}");
    rig.provider.reopen();
    assert_eq!(content(&chat(&running, "And now, whales?")), "Hello there.");
}

#[test]
fn an_answer_that_breaks_off_is_told_so_and_kept_as_far_as_it_came() {
    for (kind, fault) in [
        (Kind::Anthropic, Fault::ErrorEvent(3, "api_error")),
        (Kind::OpenAi, Fault::ErrorEvent(3, "server_error")),
    ] {
        let rig = Rig::new(kind);
        let running = rig.home.serve();
        rig.provider.fail_once(kind.route(), fault);
        rig.provider
            .replies(Reply::text("Whales are large animals of the sea."));
        let events = rig::stream(&running, "Tell me of whales").all();
        let done = &events.last().unwrap().1;
        let words = content(done);
        assert!(words.starts_with("Whales are"), "{words}");
        assert!(
            words.ends_with("the connection to the language model broke off."),
            "{words}"
        );
        assert!(events.iter().any(|(name, _)| name == "error"), "{events:?}");
        assert_eq!(rig.asked().len(), 1, "what was begun is not said twice");
        let conversation = done["conversation_id"].as_str().unwrap();
        let answer = stored(&running, conversation).pop().unwrap();
        assert_eq!(answer["interrupted"], true, "{answer}");
        let heard = answer["spoken_chars"].as_u64().unwrap() as usize;
        assert!(heard < words.chars().count() && heard > 0, "{answer}");
        chat(&running, "Go on then, whales");
        let last = rig.asked().pop().unwrap().to_string();
        assert!(
            last.contains("[interrupted here]") && !last.contains("broke off"),
            "{last}"
        );
    }
}

#[test]
fn an_answer_cut_anywhere_is_whole_or_told_and_never_lost() {
    let rig = Rig::new(Kind::Anthropic);
    let words = "Whales are large. They sing.";
    let (mut cuts, mut told, mut whole) = (0, 0, 0);
    for cut in (1..2_600).step_by(61) {
        // A box that has given the model up for a while would not ask.
        let running = rig.home.serve();
        // Both tries are cut at the same byte.
        for _ in 0..2 {
            rig.provider.fail_once(Route::Messages, Fault::Cut(cut));
            rig.provider.replies(Reply::text(words));
        }
        let answer = chat(&running, "Tell me of whales");
        let content = content(&answer);
        match answer["notice"].is_null() {
            true => {
                assert_eq!(content, words, "cut at {cut}");
                whole += 1;
            }
            false => {
                let begins = content.split('\n').next().unwrap();
                let partial = words.starts_with(begins) && content.contains("broke off");
                assert!(
                    partial || content.contains("cannot reach"),
                    "cut at {cut}: {content}"
                );
                told += 1;
            }
        }
        cuts += 1;
        // Nothing is left over for the next.
        rig.provider.heal(Route::Messages);
    }
    println!("cuts={cuts} told={told} whole={whole}");
    assert!(
        told > 10 && whole > 0,
        "cuts={cuts} told={told} whole={whole}"
    );
}

#[test]
fn what_a_tool_has_done_is_told_though_the_model_fails_afterwards() {
    let rig = Rig::new(Kind::Anthropic);
    let running = rig.home.serve();
    let keeps = json!({ "content": "The boiler was serviced in May" });
    rig.provider.replies(Reply::call("remember", keeps));
    for fault in [
        Fault::Delay(std::time::Duration::ZERO),
        Fault::Status(400, None),
    ] {
        rig.provider.fail_once(Route::Messages, fault);
    }
    let answer = chat(&running, "The boiler was serviced in May, just so you know");
    assert_eq!(answer["notice"]["code"], "AI_ERROR", "{answer}");
    assert!(answer["memory_saved"]["id"].is_string(), "{answer}");
    let found = running.get("/api/v1/memories/search?q=boiler").json();
    assert_eq!(found["data"]["total"], 1, "{found}");
}
