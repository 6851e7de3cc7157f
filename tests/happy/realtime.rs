//! What goes over the socket: who is let in, who hears what, and what stays when the box is
//! killed.

use serde_json::{Value, json};

use crate::client::Client;
use crate::phone::home;
use crate::socket::Socket;
use crate::support::eventually;

fn message(session: &str, text: &str, local_id: &str) -> Value {
    json!({"sid": session, "message": text, "localId": local_id})
}

fn stored(client: &Client, session: &str) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    loop {
        let path = format!(
            "/v3/sessions/{session}/messages?after_seq={}&limit=500",
            all.len()
        );
        let (status, told) = client.get(&path);
        assert_eq!(status, 200, "{told}");
        for message in told["messages"].as_array().expect("messages") {
            let local_id = message["localId"].as_str().expect("a local id").to_owned();
            all.push((message["seq"].as_i64().expect("a number"), local_id));
        }
        if told["hasMore"] == false {
            return all;
        }
    }
}

#[test]
fn a_socket_is_let_in_by_its_token_and_told_why_not() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let token = client.bearer.strip_prefix("Bearer ").expect("a token");
    for (auth, refusal) in [
        (json!({}), "Missing authentication token"),
        (json!({"token": ""}), "Missing authentication token"),
        (json!({"token": 5}), "Invalid authentication token"),
        (
            json!({"token": format!("{token}x")}),
            "Invalid authentication token",
        ),
        (
            json!({"token": "x", "clientType": "session-scoped"}),
            "Session ID required for session-scoped clients",
        ),
        (
            json!({"token": token, "clientType": "machine-scoped", "machineId": ""}),
            "Machine ID required for machine-scoped clients",
        ),
    ] {
        let refused = Socket::open(&running, &auth).err();
        assert_eq!(refused.as_deref(), Some(refusal), "{auth}");
    }
    Socket::user(&client).hears_nothing();
}

#[test]
fn a_message_reaches_its_session_and_the_phones_but_not_its_sender_nor_strangers() {
    let home = home("open");
    let running = home.serve();
    let (client, stranger) = (Client::new(&running, 1), Client::new(&running, 2));
    let (session, other) = (client.session("a"), client.session("b"));
    let mut sender = Socket::session(&client, &session);
    let mut terminal = Socket::session(&client, &session);
    let mut phone = Socket::user(&client);
    let mut deaf = [
        Socket::session(&client, &other),
        Socket::session(&stranger, &session),
        Socket::user(&stranger),
    ];
    sender.emit("message", &message(&session, "Y2lwaGVy", "l1"));
    sender.emit("message", &message(&session, "again", "l1"));
    sender.emit("message", &message("unknown", "lost", "l2"));
    for hearer in [&mut terminal, &mut phone] {
        let update = hearer.hears_update();
        assert_eq!(update["id"].as_str().map(str::len), Some(12), "{update}");
        assert_eq!(update["seq"], 3, "after two new sessions: {update}");
        let body = &update["body"];
        assert_eq!(
            (&body["t"], &body["sid"]),
            (&json!("new-message"), &json!(session))
        );
        let content = json!({"t": "encrypted", "c": "Y2lwaGVy"});
        assert_eq!(body["message"]["content"], content);
        assert_eq!(body["message"]["localId"], "l1");
    }
    // An event that writes is answered after those that came before it.
    sender.ask(
        "update-state",
        &json!({"sid": session, "agentState": "s", "expectedVersion": 0}),
    );
    sender.hears_update();
    sender.hears_nothing();
    for hearer in &mut deaf {
        hearer.hears_nothing();
    }
    let mut theirs = Socket::user(&stranger);
    theirs.emit("message", &message(&session, "theirs", "l3"));
    let state = json!({"sid": session, "agentState": "x", "expectedVersion": 1});
    assert_eq!(
        theirs.ask("update-state", &state),
        json!({"result": "error"})
    );
    assert_eq!(stored(&client, &session), [(1, "l1".to_owned())]);
}

#[test]
fn a_burst_of_one_socket_is_stored_and_told_in_its_order() {
    const COUNT: i64 = 500;
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let mut phone = Socket::user(&client);
    let mut terminal = Socket::session(&client, &session);
    for number in 0..COUNT {
        terminal.emit("message", &message(&session, "c", &number.to_string()));
        // Whoever is not read meanwhile still sends heartbeats.
        terminal.emit("session-alive", &json!({"sid": "unknown", "time": 0}));
    }
    let mut before = 0;
    for number in 0..COUNT {
        let update = phone.hears_update();
        let message = &update["body"]["message"];
        assert_eq!(message["localId"], number.to_string());
        assert_eq!(message["seq"], number + 1);
        let seq = update["seq"].as_i64().expect("a number");
        assert!(seq > before, "{seq} after {before}");
        before = seq;
    }
}

#[test]
fn one_of_two_that_know_the_same_version_wins_and_the_other_hears_what_is_there() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let mut sockets = [Socket::user(&client), Socket::session(&client, &session)];
    for version in 0..20 {
        let begun: Vec<u64> = ["phone", "terminal"]
            .iter()
            .zip(&mut sockets)
            .map(|(who, socket)| {
                let metadata = format!("{who} {version}");
                let event =
                    json!({"sid": session, "metadata": metadata, "expectedVersion": version});
                socket.begin("update-metadata", &event)
            })
            .collect();
        let answers: Vec<Value> = begun
            .into_iter()
            .zip(&mut sockets)
            .map(|(id, socket)| socket.answer(id))
            .collect();
        let won = answers
            .iter()
            .filter(|answer| answer["result"] == "success");
        assert_eq!(won.count(), 1, "{answers:?}");
        for answer in &answers {
            assert_eq!(answer["version"], version + 1, "{answers:?}");
        }
        assert_eq!(
            answers[0]["metadata"], answers[1]["metadata"],
            "{answers:?}"
        );
        for socket in &mut sockets {
            let update = socket.hears_update();
            let told = json!({"value": answers[0]["metadata"], "version": version + 1});
            assert_eq!(update["body"]["metadata"], told);
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_a_resent_message_is_there_once() {
    const COUNT: usize = 60;
    let home = home("open");
    let mut running = home.serve();
    let session = Client::new(&running, 1).session("t");
    let mut version = 0;
    for killed_after in [1, 7, 20] {
        let client = Client::new(&running, 1);
        let mut terminal = Socket::session(&client, &session);
        for number in 0..COUNT {
            terminal.emit("message", &message(&session, "c", &number.to_string()));
        }
        for _ in 0..killed_after {
            let state = json!({"sid": session, "agentState": version.to_string(), "expectedVersion": version});
            let answer = terminal.ask("update-state", &state);
            version += 1;
            let expected = json!({"result": "success", "version": version, "agentState": (version - 1).to_string()});
            assert_eq!(answer, expected);
        }
        // Between an acknowledgement and whatever is left of the broadcasts.
        running.kill();
        running = home.serve();
        let client = Client::new(&running, 1);
        let (_, told) = client.get("/v1/sessions");
        let state = &told["sessions"][0]["agentState"];
        assert_eq!(*state, json!((version - 1).to_string()));
    }
    // Killed with messages under way, sent again by whoever cannot know.
    let more = COUNT * 3;
    let client = Client::new(&running, 1);
    let mut terminal = Socket::session(&client, &session);
    for number in COUNT..more {
        terminal.emit("message", &message(&session, "c", &number.to_string()));
    }
    running.kill();
    running = home.serve();
    let client = Client::new(&running, 1);
    let mut terminal = Socket::session(&client, &session);
    for number in 0..more {
        terminal.emit("message", &message(&session, "c", &number.to_string()));
    }
    assert!(eventually(|| stored(&client, &session).len() == more));
    let all = stored(&client, &session);
    let seqs: Vec<i64> = all.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..=more as i64).collect::<Vec<_>>());
    let mut names: Vec<usize> = all
        .iter()
        .map(|(_, name)| name.parse().expect("a number"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, (0..more).collect::<Vec<_>>());
}

#[test]
fn heartbeats_are_told_to_phones_and_do_not_wake_what_ended() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let session = client.session("t");
    let mut phone = Socket::user(&client);
    let mut terminal = Socket::session(&client, &session);
    // The future is now.
    let alive = json!({"sid": session, "time": 9e15, "thinking": true});
    terminal.emit("session-alive", &alive);
    let told = phone.hears_ephemeral();
    assert_eq!(told["type"], "activity");
    assert_eq!(
        (&told["id"], &told["active"], &told["thinking"]),
        (&json!(session), &json!(true), &json!(true))
    );
    for wrong in [
        json!(null),
        json!({"sid": session}),
        json!({"sid": session, "time": 1}),
    ] {
        terminal.emit("session-alive", &wrong);
    }
    terminal.hears_nothing();
    phone.hears_nothing();

    terminal.emit("session-end", &json!({"sid": session, "time": 9e15}));
    assert_eq!(phone.hears_ephemeral()["active"], false);
    terminal.emit("session-alive", &alive);
    terminal.hears_nothing();
    phone.hears_nothing();
    assert_eq!(client.get("/v1/sessions").1["sessions"][0]["active"], false);
    client.session("t");
    terminal.emit("session-alive", &alive);
    assert_eq!(phone.hears_ephemeral()["active"], true);
    let is_active = || client.get("/v1/sessions").1["sessions"][0]["active"] == true;
    assert!(eventually(is_active), "written within seconds");

    let machine = Socket::machine(&client, "m-1");
    let told = phone.hears_ephemeral();
    assert_eq!(
        (&told["type"], &told["active"]),
        (&json!("machine-activity"), &json!(true))
    );
    drop(machine);
    let told = phone.hears_ephemeral();
    assert_eq!(
        (&told["id"], &told["active"]),
        (&json!("m-1"), &json!(false))
    );
}

#[test]
fn a_daemon_tells_its_state_and_others_hear_of_it() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let made = client.post("/v1/machines", &json!({"id": "m-1", "metadata": "bQ=="}));
    assert_eq!(made.0, 200);
    let mut daemon = Socket::machine(&client, "m-1");
    let mut phone = Socket::user(&client);
    let mut other = Socket::machine(&client, "m-2");
    phone.hears_ephemeral();
    let state = |expected: i64| json!({"machineId": "m-1", "daemonState": "cw==", "expectedVersion": expected});
    let done = json!({"result": "success", "version": 1, "daemonState": "cw=="});
    assert_eq!(daemon.ask("machine-update-state", &state(0)), done);
    let stale = json!({"result": "version-mismatch", "version": 1, "daemonState": "cw=="});
    assert_eq!(daemon.ask("machine-update-state", &state(0)), stale);
    for hearer in [&mut daemon, &mut phone] {
        let body = hearer.hears_update()["body"].clone();
        let told = json!({"t": "update-machine", "machineId": "m-1", "daemonState": {"value": "cw==", "version": 1}});
        assert_eq!(body, told);
    }
    other.hears_nothing();
    assert_eq!(client.get("/v1/machines/m-1").1["machine"]["active"], true);
    let unknown = json!({"machineId": "none", "metadata": "x", "expectedVersion": 1});
    let missing = json!({"result": "error", "message": "Machine not found"});
    assert_eq!(daemon.ask("machine-update-metadata", &unknown), missing);
    let wrong = json!({"result": "error", "message": "Invalid parameters"});
    assert_eq!(daemon.ask("machine-update-metadata", &json!(null)), wrong);
}

#[test]
fn a_call_reaches_its_worker_and_a_slow_one_holds_no_other_up() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let mut phone = Socket::user(&client);
    let mut daemon = Socket::machine(&client, "m");
    phone.hears_ephemeral();
    for method in ["m:slow", "m:quick"] {
        daemon.emit("rpc-register", &json!({"method": method}));
        let registered = ("rpc-registered".to_owned(), json!({"method": method}));
        assert_eq!(daemon.hear(), registered);
    }
    let slow = phone.begin("rpc-call", &json!({"method": "m:slow", "params": "s"}));
    let quick = phone.begin(
        "rpc-call",
        &json!({"method": "m:quick", "params": {"a": [1]}}),
    );
    // The answer to the first comes only after the second's.
    let (first, second) = (daemon.hears_request(), daemon.hears_request());
    assert_eq!(
        (&first.1["params"], &second.1["params"]),
        (&json!("s"), &json!({"a": [1]}))
    );
    daemon.answers(&second.0, &json!("cXVpY2s="));
    assert_eq!(
        phone.answer(quick),
        json!({"ok": true, "result": "cXVpY2s="})
    );
    let long = "y".repeat(900_000);
    daemon.answers(&first.0, &json!(long));
    assert_eq!(phone.answer(slow), json!({"ok": true, "result": long}));

    let own = daemon.ask("rpc-call", &json!({"method": "m:quick"}));
    assert_eq!(
        own,
        json!({"ok": false, "error": "Cannot call RPC on the same socket"})
    );
    let nothing = phone.ask("rpc-call", &json!({}));
    assert_eq!(nothing["error"], "Invalid parameters: method is required");
    daemon.emit("rpc-register", &json!({"method": 5}));
    let told = json!({"type": "register", "error": "Invalid method name"});
    assert_eq!(daemon.hear(), ("rpc-error".to_owned(), told));

    let left = phone.begin("rpc-call", &json!({"method": "m:slow", "params": "s"}));
    daemon.hears_request();
    drop(daemon);
    assert_eq!(
        phone.answer(left),
        json!({"ok": false, "error": "RPC target disconnected"})
    );
}

#[test]
fn binary_parts_of_a_call_and_of_its_answer_are_handed_on_as_such() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let mut phone = Socket::user(&client);
    let mut daemon = Socket::machine(&client, "m");
    phone.hears_ephemeral();
    daemon.emit("rpc-register", &json!({"method": "m:file"}));
    assert_eq!(daemon.hear().0, "rpc-registered");

    let place = json!({"_placeholder": true, "num": 0});
    let call = json!(["rpc-call", {"method": "m:file", "params": {"data": place}}]);
    phone.say_binary(&format!("451-9{call}"), &[0, 255, 7]);
    let (asked, part) = daemon.hears_binary();
    let request = json!(["rpc-request", {"method": "m:file", "params": {"data": place}}]);
    assert_eq!((asked, part), (format!("451-0{request}"), vec![0, 255, 7]));

    daemon.say_binary(&format!("461-0[{place}]"), &[200, 0]);
    let (answered, part) = phone.hears_binary();
    let told = json!([{"ok": true, "result": place}]);
    assert_eq!((answered, part), (format!("461-9{told}"), vec![200, 0]));
}

#[test]
fn updates_of_many_writers_leave_in_the_order_of_their_numbers() {
    const WRITERS: usize = 8;
    const EACH: usize = 60;
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let mut phone = Socket::user(&client);
    let sessions: Vec<String> = (0..WRITERS)
        .map(|number| client.session(&number.to_string()))
        .collect();
    let mut terminals: Vec<Socket> = sessions
        .iter()
        .map(|session| Socket::session(&client, session))
        .collect();
    for number in 0..EACH {
        for (session, terminal) in sessions.iter().zip(&mut terminals) {
            terminal.emit("message", &message(session, "c", &number.to_string()));
        }
    }
    let mut before = 0;
    for _ in 0..WRITERS + WRITERS * EACH {
        let seq = phone.hears_update()["seq"].as_i64().expect("a number");
        assert_eq!(seq, before + 1);
        before = seq;
    }
}

#[test]
fn a_machine_that_was_deleted_is_heard_no_more() {
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let made = client.post("/v1/machines", &json!({"id": "m-1", "metadata": "bQ=="}));
    assert_eq!(made.0, 200);
    let mut phone = Socket::user(&client);
    let mut daemon = Socket::machine(&client, "m-1");
    phone.hears_ephemeral();
    let alive = json!({"machineId": "m-1", "time": i64::MAX});
    daemon.emit("machine-alive", &alive);
    assert_eq!(phone.hears_ephemeral()["type"], "machine-activity");
    assert_eq!(client.delete("/v1/machines/m-1").0, 200);
    assert_eq!(phone.hears_update()["body"]["t"], "delete-machine");
    daemon.emit("machine-alive", &alive);
    assert_eq!(daemon.ask("ping", &json!(null)), json!({}));
    phone.hears_nothing();
}

#[test]
fn a_call_waits_for_a_worker_that_comes_back_and_not_for_a_strangers() {
    let home = home("open");
    let running = home.serve();
    let (client, stranger) = (Client::new(&running, 1), Client::new(&running, 2));
    let mut phone = Socket::user(&client);
    let mut theirs = Socket::machine(&stranger, "m");
    theirs.emit("rpc-register", &json!({"method": "m:bash"}));
    theirs.hear();
    let waiting = phone.begin("rpc-call", &json!({"method": "m:bash", "params": "x"}));
    let hopeless = phone.begin("rpc-call", &json!({"method": "m:none", "params": "x"}));
    // The box has taken both calls.
    phone.hears_nothing();
    let mut daemon = Socket::machine(&client, "m");
    daemon.emit("rpc-register", &json!({"method": "m:bash"}));
    assert_eq!(daemon.hear().0, "rpc-registered");
    assert_eq!(daemon.works(&json!("back")), "x");
    assert_eq!(phone.answer(waiting), json!({"ok": true, "result": "back"}));
    let absent = json!({"ok": false, "error": "RPC method not available"});
    assert_eq!(phone.answer(hopeless), absent);
    theirs.hears_nothing();
}

#[test]
fn calls_that_wait_for_a_worker_hold_a_bounded_amount_and_are_asked_in_order() {
    const LONG: usize = 1_900_000;
    let home = home("open");
    let running = home.serve();
    let client = Client::new(&running, 1);
    let mut phone = Socket::user(&client);
    let call = |letter: &str| json!({"method": "m:bash", "params": letter.repeat(LONG)});
    let waiting: Vec<u64> = ["a", "b", "c", "d"]
        .iter()
        .map(|letter| phone.begin("rpc-call", &call(letter)))
        .collect();
    let full = json!({"ok": false, "error": "Too many calls wait for an answer"});
    assert_eq!(phone.ask("rpc-call", &call("e")), full);
    let mut daemon = Socket::machine(&client, "m");
    daemon.emit("rpc-register", &json!({"method": "m:bash"}));
    assert_eq!(daemon.hear().0, "rpc-registered");
    for letter in ["a", "b", "c", "d"] {
        assert_eq!(daemon.works(&json!(letter)), letter.repeat(LONG));
    }
    for (id, letter) in waiting.into_iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(phone.answer(id), json!({"ok": true, "result": letter}));
    }
    // With a worker there, nothing waits.
    let last = phone.begin("rpc-call", &call("e"));
    daemon.works(&json!("e"));
    assert_eq!(phone.answer(last), json!({"ok": true, "result": "e"}));
}
