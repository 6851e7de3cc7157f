//! Timers over HTTP and `/ws`: set, told to every client, rung, stopped, put off, kept.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::Client;
use crate::house::{House, Setup};

fn house(data: &Path) -> House {
    let mut setup = Setup::at(data);
    setup.settings.stt.provider = String::from("none");
    setup.settings.tts.provider = String::from("none");
    House::start(setup)
}

fn create(house: &House, body: &Value) -> Value {
    let (status, answer) = house.post("/api/v1/timers", body);
    assert_eq!(status, 201, "{answer}");
    answer["data"].clone()
}

fn id(timer: &Value) -> &str {
    timer["id"].as_str().expect("an id")
}

fn call(house: &House, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    house.request(method, path, "application/json", body.as_bytes())
}

fn hello(client: &mut Client) {
    client.send(&json!({"type": "hello", "proto": 2}));
    client.until("hello");
}

/// Told of this timer in this state.
fn told(client: &mut Client, timer: &Value, state: &str) -> Value {
    loop {
        let event = client.until("timer");
        if event["id"] == timer["id"] && event["state"] == state {
            return event;
        }
    }
}

#[test]
fn a_timer_rings_on_every_client_until_one_of_them_stops_it() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let (mut phone, mut kitchen) = (Client::connect(&house), Client::connect(&house));
    hello(&mut phone);
    hello(&mut kitchen);
    let timer = create(
        &house,
        &json!({"duration": 0.2, "label": "turn off the stove"}),
    );
    assert_eq!(timer["state"], "pending");
    assert_eq!(timer["kind"], "timer");
    let ringing = told(&mut phone, &timer, "ringing");
    assert_eq!(ringing["label"], "turn off the stove");
    told(&mut kitchen, &timer, "ringing");
    assert_eq!(house.get("/api/v1/device").1["data"]["ringing"], true);
    kitchen.send(&json!({"type": "timer_ack", "id": timer["id"]}));
    told(&mut phone, &timer, "done");
    let (_, list) = house.get("/api/v1/timers?state=done");
    assert_eq!(list["data"]["timers"][0]["id"], timer["id"], "{list}");
    assert_eq!(house.get("/api/v1/device").1["data"]["ringing"], false);
}

#[test]
fn what_rings_is_stopped_by_the_word_and_by_the_devices_stop_and_put_off_by_snooze() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut phone = Client::connect(&house);
    hello(&mut phone);
    let by_word = create(&house, &json!({"duration": 0.1}));
    told(&mut phone, &by_word, "ringing");
    phone.send(&json!({"type": "text", "text": "stop"}));
    told(&mut phone, &by_word, "done");

    let by_stop = create(&house, &json!({"duration": 0.1}));
    told(&mut phone, &by_stop, "ringing");
    house.done("/api/v1/device/stop", &json!({}));
    told(&mut phone, &by_stop, "done");

    let by_patch = create(&house, &json!({"duration": 0.1}));
    told(&mut phone, &by_patch, "ringing");
    let path = format!("/api/v1/timers/{}", id(&by_patch));
    assert_eq!(
        call(&house, "PATCH", &path, &json!({"state": "done"})).0,
        200
    );
    told(&mut phone, &by_patch, "done");

    let late = create(&house, &json!({"duration": 0.1, "kind": "alarm"}));
    told(&mut phone, &late, "ringing");
    let snoozed = house.done(
        &format!("/api/v1/timers/{}/snooze", id(&late)),
        &json!({"duration": 0.2}),
    );
    assert_eq!(
        (&snoozed["state"], &snoozed["snoozes"]),
        (&json!("pending"), &json!(1))
    );
    told(&mut phone, &late, "ringing");
    phone
        .send(&json!({"type": "timer_ack", "id": late["id"], "action": "snooze", "duration": 600}));
    let again = told(&mut phone, &late, "pending");
    assert!(
        again["remaining"].as_f64().expect("seconds") > 590.0,
        "{again}"
    );
}

#[test]
fn timers_are_set_changed_listed_and_cancelled() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let alarm = create(
        &house,
        &json!({"due_at": "2031-01-01T07:00:00Z", "repeat": "FREQ=WEEKLY;BYDAY=MO,WE"}),
    );
    assert_eq!(alarm["kind"], "alarm");
    assert_eq!(alarm["repeat"], "FREQ=WEEKLY;BYDAY=MO,WE");
    let reminder = create(
        &house,
        &json!({"due_at": "2031-01-01T07:00:00Z", "label": "给妈妈打电话"}),
    );
    assert_eq!(reminder["kind"], "reminder");
    let soon = create(&house, &json!({"duration": 3600}));
    let (_, list) = house.get("/api/v1/timers");
    assert_eq!(list["data"]["total"], 3);
    assert_eq!(list["data"]["timers"][0]["id"], soon["id"], "soonest first");

    let path = format!("/api/v1/timers/{}", id(&soon));
    let (status, changed) = call(
        &house,
        "PATCH",
        &path,
        &json!({"label": "tea", "duration": 60}),
    );
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["data"]["label"], "tea");
    assert!(changed["data"]["remaining"].as_f64() < Some(60.1));
    let path = format!("/api/v1/timers/{}", id(&alarm));
    let (_, once) = call(&house, "PATCH", &path, &json!({"repeat": ""}));
    assert!(once["data"]["repeat"].is_null(), "{once}");

    for timer in [&soon, &reminder] {
        let path = format!("/api/v1/timers/{}", id(timer));
        assert_eq!(call(&house, "DELETE", &path, &json!({})).0, 200);
    }
    drop(house);
    let house = self::house(data.path());
    let (_, list) = house.get("/api/v1/timers?state=pending");
    assert_eq!(list["data"]["total"], 1, "{list}");
    assert_eq!(
        house.get("/api/v1/timers?state=cancelled").1["data"]["total"],
        2
    );
    let path = format!("/api/v1/timers/{}", id(&soon));
    assert_eq!(call(&house, "DELETE", &path, &json!({})).0, 200, "for good");
    assert_eq!(call(&house, "DELETE", &path, &json!({})).0, 404);
}

#[test]
fn what_makes_no_sense_is_refused_and_named() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    for (body, word) in [
        (json!({}), "due_at"),
        (json!({"duration": 0}), "duration"),
        (json!({"duration": -1}), "duration"),
        (json!({"duration": "ten"}), "duration"),
        (json!({"duration": 1e8}), "duration"),
        (json!({"due_at": "2001-01-01T00:00:00Z"}), "due_at"),
        (json!({"due_at": "2301-01-01T00:00:00Z"}), "due_at"),
        (json!({"due_at": "tomorrow"}), "due_at"),
        (
            json!({"duration": 5, "due_at": "2031-01-01T00:00:00Z"}),
            "not both",
        ),
        (json!({"duration": 5, "kind": "egg"}), "kind"),
        (json!({"duration": 5, "repeat": "FREQ=DAILY"}), "repeat"),
        (
            json!({"due_at": "2031-01-01T00:00:00Z", "repeat": "FREQ=HOURLY"}),
            "FREQ",
        ),
        (json!({"duration": 5, "label": "x".repeat(201)}), "label"),
        (json!({"duration": 5, "label": "a\nb"}), "label"),
    ] {
        let (status, answer) = house.post("/api/v1/timers", &body);
        assert_eq!(status, 400, "{body}: {answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(word), "{body}: {message}");
    }
    for path in ["/api/v1/timers/tmr_0000000000000000", "/api/v1/timers/x"] {
        let (status, _) = call(&house, "PATCH", path, &json!({"label": "x"}));
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    for _ in 0..200 {
        create(&house, &json!({"duration": 3600}));
    }
    let (status, answer) = house.post("/api/v1/timers", &json!({"duration": 3600}));
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (409, Some("CONFLICT"))
    );
}

#[test]
fn a_native_client_that_asks_for_what_is_not_there_is_told() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let mut phone = Client::connect(&house);
    hello(&mut phone);
    for (command, word) in [
        (
            json!({"type": "subscribe", "events": ["weather"]}),
            "weather",
        ),
        (json!({"type": "volume", "percent": 101}), "percent"),
        (
            json!({"type": "timer_ack", "id": "tmr_0000000000000000"}),
            "timer",
        ),
    ] {
        phone.send(&command);
        let error = phone.until("error");
        assert!(
            error["message"].as_str().expect("text").contains(word),
            "{error}"
        );
    }
    phone.send(&json!({"type": "subscribe", "events": ["device", "timers", "jobs", "memories"]}));
    phone.send(&json!({"type": "volume", "percent": 30}));
    phone.rest();
    house.post(
        "/api/v1/memories",
        &json!({"content": "the key is under the pot"}),
    );
    let notice = phone.until("notice");
    assert_eq!(notice["source"], "memories", "{notice}");
}

#[test]
fn timers_are_set_asked_for_and_cancelled_in_words() {
    let data = tempfile::tempdir().expect("a folder");
    let house = house(data.path());
    let say = |text: &str| {
        let answer = house.done("/api/v1/chat", &json!({"message": text}));
        answer["content"].as_str().expect("words").to_string()
    };
    assert_eq!(
        say("set a timer for ten minutes"),
        "Timer set for 10 minutes."
    );
    assert_eq!(
        say("how long is left on the timer"),
        "A timer, 10 minutes left."
    );
    assert_eq!(say("十分钟后提醒我关火"), "好的，10分钟后提醒您：关火。");
    assert_eq!(say("set a pasta timer"), "For how long?");
    assert_eq!(say("eight minutes"), "Timer set for 8 minutes: pasta.");
    assert!(say("remind me tomorrow at seven to call mum").contains("morning or in the evening?"));
    let told = say("in the evening");
    assert_eq!(told, "I will remind you at 7:00 pm tomorrow: call mum.");
    let (_, list) = house.get("/api/v1/timers?state=pending");
    assert_eq!(list["data"]["total"], 4, "{list}");
    assert!(say("cancel the timer").starts_with("Which one?"));
    assert_eq!(say("pasta"), "Cancelled: pasta.");
    assert_eq!(say("取消所有的提醒"), "2个都取消了。");
    assert_eq!(
        say("cancel the timer"),
        "Cancelled: the timer of 10 minutes."
    );
    assert_eq!(
        say("what timers are set"),
        "No timer, alarm or reminder is set."
    );
    assert_eq!(say("snooze"), "Nothing rings.");
}
