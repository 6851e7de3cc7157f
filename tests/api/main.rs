//! The voice room's HTTP API, row by row, against the running program.

mod house;
mod scenario;

use std::io::{Read, Write};
use std::net::TcpStream;

use house::House;
use scenario::{Scenario, row, run};

#[test]
fn chat_answers_and_refuses_as_its_contract_says() {
    run(&House::start().base(), CHAT);
}

#[test]
fn memories_are_made_found_changed_and_removed() {
    run(&House::start().base(), MEMORIES);
}

#[test]
fn conversations_are_made_read_changed_and_removed() {
    run(&House::start().base(), CONVERSATIONS);
}

#[test]
fn tags_are_made_renamed_and_taken_off() {
    run(&House::start().base(), TAGS);
}

#[test]
fn what_is_known_of_a_memory_is_kept_changed_and_replaced() {
    run(&House::start().base(), DETAILS);
}

#[test]
fn what_is_private_is_marked_and_a_person_decides() {
    run(&House::start().base(), PRIVACY);
}

#[test]
fn every_wrong_input_is_refused_with_the_name_of_the_field() {
    run(&House::start().base(), WRONG);
}

#[test]
fn a_streamed_answer_comes_as_start_token_sentences_and_done() {
    let house = House::start();
    let text = events(&house, r#"{"message":"你好","stream":true}"#);
    let order: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event:"))
        .map(str::trim)
        .collect();
    let expected = ["start", "token", "sentence", "sentence", "done"];
    assert_eq!(order, expected, "{text}");
    assert!(text.contains("喜鹊"), "{text}");
    assert!(text.contains("local-rules"), "{text}");
}

#[test]
fn what_a_chat_wants_of_the_box_reaches_it() {
    let house = House::with_speaker();
    run(
        &house.base(),
        &[
            row(
                "speak",
                CHAT_PATH,
                r#"{"message":"谢谢","speak":"device"}"#,
                200,
                &["不客气"],
            ),
            row(
                "silent",
                CHAT_PATH,
                r#"{"message":"thanks","speak":"none"}"#,
                200,
                &["welcome"],
            ),
            row(
                "volume",
                CHAT_PATH,
                r#"{"message":"volume 35"}"#,
                200,
                &[r#""action":{"volume":{"percent":35}}"#],
            ),
            row(
                "mute",
                CHAT_PATH,
                r#"{"message":"mute"}"#,
                200,
                &[r#""action":"mute""#],
            ),
            row(
                "stop",
                CHAT_PATH,
                r#"{"message":"停"}"#,
                200,
                &[r#""action":"stop""#],
            ),
        ],
    );
    assert_eq!(
        house.heard(),
        ["say 不客气。", "Volume { percent: 35 }", "Mute", "Stop"]
    );
}

#[test]
fn a_box_without_loudspeaker_says_so() {
    let mute = row(
        "speak",
        CHAT_PATH,
        r#"{"message":"hi","speak":"device"}"#,
        400,
        &["`speak`", "no loudspeaker"],
    );
    run(&House::start().base(), &[mute]);
}

#[test]
fn a_stream_is_refused_before_it_starts() {
    let house = House::start();
    let text = events(
        &house,
        r#"{"message":"hi","stream":true,"conversation_id":"conv_0123456789abcdef"}"#,
    );
    assert!(text.contains("404") && text.contains("NOT_FOUND"), "{text}");
}

#[test]
fn clients_that_hang_up_in_mid_stream_leave_the_box_well() {
    let house = House::start();
    for _ in 0..50 {
        let mut client = open(
            &house,
            r#"{"message":"remember that water is wet","stream":true}"#,
        );
        client.read_exact(&mut [0; 8]).unwrap();
        drop(client);
    }
    run(
        &house.base(),
        &[row(
            "still answers",
            "GET /api/v1/memories?limit=1",
            "",
            200,
            &["water"],
        )],
    );
}

/// The whole answer, head included.
fn events(house: &House, body: &str) -> String {
    let mut text = String::new();
    open(house, body).read_to_string(&mut text).unwrap();
    text
}

fn open(house: &House, body: &str) -> TcpStream {
    let mut client = TcpStream::connect(house.address).unwrap();
    client
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    write!(
        client,
        "POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    client
}

const CHAT_PATH: &str = "POST /api/v1/chat";

#[rustfmt::skip]
const CHAT: &[Scenario] = &[
    row("one field is enough, in Chinese", CHAT_PATH, r#"{"message":"你好"}"#, 200,
        &["\"success\":true", "喜鹊", "\"role\":\"assistant\"", "\"model\":\"local-rules\"", "\"usage\"", "\"input_tokens\"", "\"id\":\"msg_", "\"timing_ms\""])
        .keep("conversation", "/data/conversation_id"),
    row("all fields of the contract", CHAT_PATH,
        r#"{"message":"hello","model":"claude-3-opus","max_tokens":1024,"stream":false,"speak":"none","remember":true,"language":"en","unknown":[1]}"#, 200, &["Magpie"]),
    row("null counts as absent", CHAT_PATH, r#"{"message":"hello","model":null,"conversation_id":null}"#, 200, &["Magpie"]),
    row("an explicit memory", CHAT_PATH, r#"{"message":"remember that the spare key is under the blue flower pot"}"#, 200,
        &["\"memory_saved\":{", "mem_", "blue flower pot", "{conversation}"]),
    row("is found by a question", CHAT_PATH, r#"{"message":"where is the spare key"}"#, 200,
        &["You told me: the spare key is under the blue flower pot", "\"memories_used\":[{\"id\":\"mem_"]),
    row("in the conversation that is named", CHAT_PATH, r#"{"message":"hi","conversation_id":"{conversation}"}"#, 200, &["{conversation}"]),
    row("what is not known is said so", CHAT_PATH, r#"{"message":"where is the lawn mower"}"#, 200, &["do not know", "\"memories_used\":[]"]),
    row("nothing kept", CHAT_PATH, r#"{"message":"zebra","remember":false}"#, 200, &["msg_"]),
    row("so nothing found", "GET /api/v1/memories/search?q=zebra&scope=all", "", 200, &["\"results\":[]"]),
    row("unknown conversation", CHAT_PATH, r#"{"message":"hi","conversation_id":"conv_0123456789abcdef"}"#, 404, &["\"success\":false", "NOT_FOUND"]),
    row("a conversation id of no form", CHAT_PATH, r#"{"message":"hi","conversation_id":"' OR 1=1"}"#, 404, &["NOT_FOUND"]).lacks(&["1=1"]),
    row("both sides are in the conversation", "GET /api/v1/conversations/{conversation}", "", 200,
        &["你好", "where is the spare key", "\"role\":\"user\"", "\"role\":\"assistant\"", "\"summary\":\"你好\""]),
];

#[rustfmt::skip]
const MEMORIES: &[Scenario] = &[
    row("none yet", "GET /api/v1/memories", "", 200, &["\"memories\":[]", "\"total\":0", "\"limit\":50", "\"offset\":0"]),
    row("create", "POST /api/v1/memories", r#"{"content":"新系统架构图在白板上","metadata":{"room":7},"tags":["工作","work"],"category":"work","pinned":true,"importance":"high"}"#, 201,
        &["\"success\":true", "新系统架构图在白板上", "\"room\":7", "工作", "\"pinned\":true", "\"source\":\"manual\"", "\"created_at\":\"20"])
        .keep("memory", "/data/id"),
    row("create with content only", "POST /api/v1/memories", r#"{"content":"The ladder is in the shed"}"#, 201, &["\"title\":\"The ladder is in the shed\"", "\"category\":\"life\""])
        .keep("ladder", "/data/id"),
    row("get", "GET /api/v1/memories/{memory}", "", 200, &["{memory}", "架构", "\"updated_at\""]),
    row("head of a get", "GET /api/v1/memories/{ladder}", "", 200, &["ladder"]),
    row("list, newest first", "GET /api/v1/memories", "", 200, &["\"total\":2", "{memory}", "{ladder}"]),
    row("filter by category", "GET /api/v1/memories?category=work", "", 200, &["{memory}", "\"total\":1"]).lacks(&["{ladder}"]),
    row("filter by tag", "GET /api/v1/memories?tag=WORK", "", 200, &["{memory}"]).lacks(&["{ladder}"]),
    row("filter by importance", "GET /api/v1/memories?importance=high", "", 200, &["{memory}"]).lacks(&["{ladder}"]),
    row("filter by time", "GET /api/v1/memories?until=2001-01-01T00:00:00Z", "", 200, &["\"memories\":[]"]),
    row("a giant page is clamped", "GET /api/v1/memories?limit=999999", "", 200, &["\"limit\":200"]),
    row("a page beyond the end", "GET /api/v1/memories?offset=1000", "", 200, &["\"memories\":[]", "\"total\":2"]),
    row("search two characters", "GET /api/v1/memories/search?q=%E6%9E%B6%E6%9E%84", "", 200, &["{memory}", "\"score\":1.0", "\"why\":\"text\"", "\"snippet\"", "\"total\":1"]),
    row("search operators", "GET /api/v1/memories/search?q=%22%20OR%20*", "", 200, &["\"results\":[]"]),
    row("search by tag word", "GET /api/v1/memories/search?q=%E5%B7%A5%E4%BD%9C", "", 200, &["{memory}"]),
    row("change", "PATCH /api/v1/memories/{ladder}", r#"{"content":"The ladder is at Ben's","tags":["lent"],"archived":false}"#, 200, &["at Ben's", "lent"]),
    row("old words are gone", "GET /api/v1/memories/search?q=shed", "", 200, &["\"results\":[]"]),
    row("new words are there", "GET /api/v1/memories/search?q=ben", "", 200, &["{ladder}"]),
    row("tags", "GET /api/v1/tags", "", 200, &["\"name\":\"lent\"", "#3B82F6", "tag_"]),
    row("archive", "PATCH /api/v1/memories/{ladder}", r#"{"archived":true}"#, 200, &["\"is_archived\":true"]),
    row("archived keeps out of search", "GET /api/v1/memories/search?q=ladder", "", 200, &["\"results\":[]"]),
    row("archived on request", "GET /api/v1/memories?archived=true", "", 200, &["{ladder}"]).lacks(&["{memory}"]),
    row("forget, tried first", "POST /api/v1/memories/forget", r#"{"q":"架构","dry_run":true}"#, 200, &["\"count\":1", "{memory}"]),
    row("still there", "GET /api/v1/memories/{memory}", "", 200, &["{memory}"]),
    row("forget", "POST /api/v1/memories/forget", r#"{"q":"架构"}"#, 200, &["\"count\":1"]),
    row("gone", "GET /api/v1/memories/{memory}", "", 404, &["NOT_FOUND", "{memory}"]),
    row("delete", "DELETE /api/v1/memories/{ladder}", "", 200, &["{\"success\":true}"]),
    row("delete again", "DELETE /api/v1/memories/{ladder}", "", 404, &["NOT_FOUND"]),
    row("change what is gone", "PATCH /api/v1/memories/{ladder}", r#"{"pinned":true}"#, 404, &["NOT_FOUND"]),
    row("all gone", "GET /api/v1/memories", "", 200, &["\"total\":0"]),
];

#[rustfmt::skip]
const TAGS: &[Scenario] = &[
    row("make one", "POST /api/v1/tags", r#"{"name":" garage "}"#, 201, &["\"name\":\"garage\"", "\"color\":\"#3B82F6\"", "\"count\":0", "tag_"]).keep("tag", "/data/id"),
    row("not twice, whatever the case", "POST /api/v1/tags", r#"{"name":"Garage"}"#, 409, &["CONFLICT"]),
    row("a memory carries it", "POST /api/v1/memories", r#"{"content":"the ladder hangs on a hook","tags":["Garage","tools"]}"#, 201, &["\"garage\"", "tools"]).keep("memory", "/data/id"),
    row("and is counted", "GET /api/v1/tags", "", 200, &["\"count\":1", "\"total\":2"]),
    row("rename and recolour", "PATCH /api/v1/tags/{tag}", r##"{"name":"车库","color":"#22c55e"}"##, 200, &["车库", "#22C55E", "\"count\":1"]),
    row("the memory shows the new name", "GET /api/v1/memories/{memory}", "", 200, &["车库"]).lacks(&["garage"]),
    row("and is found by it", "GET /api/v1/memories/search?q=%E8%BD%A6%E5%BA%93", "", 200, &["{memory}"]),
    row("not by the old one", "GET /api/v1/memories/search?q=garage", "", 200, &["\"results\":[]"]),
    row("a name that is taken", "PATCH /api/v1/tags/{tag}", r#"{"name":"TOOLS"}"#, 409, &["CONFLICT"]),
    row("its own name again", "PATCH /api/v1/tags/{tag}", r#"{"name":"车库"}"#, 200, &["车库"]),
    row("no colour of this form", "PATCH /api/v1/tags/{tag}", r#"{"color":"red"}"#, 400, &["`color`"]),
    row("no change", "PATCH /api/v1/tags/{tag}", r#"{}"#, 400, &["Nothing to change"]),
    row("no name", "POST /api/v1/tags", r#"{"name":"  "}"#, 400, &["`name`"]),
    row("take it away", "DELETE /api/v1/tags/{tag}", "", 200, &["{\"success\":true}"]),
    row("the memory stays", "GET /api/v1/memories/{memory}", "", 200, &["ladder", "tools"]).lacks(&["车库"]),
    row("and is not found by it", "GET /api/v1/memories/search?q=%E8%BD%A6%E5%BA%93", "", 200, &["\"results\":[]"]),
    row("away is away", "DELETE /api/v1/tags/{tag}", "", 404, &["NOT_FOUND"]),
    row("and cannot be changed", "PATCH /api/v1/tags/{tag}", r#"{"name":"x"}"#, 404, &["NOT_FOUND"]),
];

#[rustfmt::skip]
const DETAILS: &[Scenario] = &[
    row("everything that is known", "POST /api/v1/memories", r#"{"content":"Ben moved to Berlin","category":"life.travel","recorded_at":"2026-01-02T03:04:05Z","key_points":["moved"],"entities":{"people":["Ben"],"locations":["Berlin"]},"relations":[{"type":"relates_to","target":"Anna","context":"sister"}],"observations":[{"category":"fact","content":"Ben lives in Berlin"}],"action_items":["send flowers"],"sentiment":"positive","facts":[{"subject":"Ben","predicate":"lives in","value":"Berlin","valid_from":"2025-12-01"}]}"#, 201,
        &["\"recorded_at\":\"2026-01-02T03:04:05.000Z\"", "\"people\":[\"Ben\"]", "\"type\":\"relates_to\"", "\"action_items\":[\"send flowers\"]", "\"sentiment\":\"positive\"", "\"subject\":\"ben\"", "\"valid_from\":\"2025-12-01T00:00:00.000Z\"", "\"recall_count\":0"]).keep("berlin", "/data/id"),
    row("edited", "PATCH /api/v1/memories/{berlin}", r#"{"key_points":["moved","for work"],"sentiment":"neutral","action_items":[]}"#, 200, &["for work", "\"sentiment\":\"neutral\"", "\"action_items\":[]", "Berlin"]),
    row("a category finds what lies below", "GET /api/v1/memories?category=life", "", 200, &["{berlin}"]),
    row("but not its neighbour", "GET /api/v1/memories?category=lif", "", 200, &["\"total\":0"]),
    row("searched with it too", "GET /api/v1/memories/search?q=berlin&category=life&source=manual&importance=normal", "", 200, &["{berlin}"]),
    row("and without where it does not fit", "GET /api/v1/memories/search?q=berlin&source=voice", "", 200, &["\"results\":[]"]),
    row("a newer fact", "POST /api/v1/memories", r#"{"content":"Ben moved to Rome","facts":[{"subject":"the Ben","predicate":"Lives in","value":"Rome","valid_from":"2026-02-01T00:00:00Z"}]}"#, 201, &["Rome"]).keep("rome", "/data/id"),
    row("takes the older one's place", "GET /api/v1/memories/{berlin}", "", 200, &["\"superseded_by\":\"{rome}\""]),
    row("which is still searched", "GET /api/v1/memories/search?q=berlin", "", 200, &["{berlin}", "\"superseded_by\":\"{rome}\""]),
    row("an older one told later", "POST /api/v1/memories", r#"{"content":"Ben lived in Oslo","facts":[{"subject":"Ben","predicate":"lives in","value":"Oslo","valid_from":"2019-01-01"}]}"#, 201, &["\"superseded_by\":\"{rome}\""]),
    row("gone, the one before holds again", "DELETE /api/v1/memories/{rome}", "", 200, &["success"]),
    row("as if nothing had been", "GET /api/v1/memories/{berlin}", "", 200, &["Berlin"]).lacks(&["superseded_by"]),
    row("a relation of no kind", "POST /api/v1/memories", r#"{"content":"x","relations":[{"type":"hates","target":"y"}]}"#, 400, &["`relations`"]),
    row("entities of no form", "POST /api/v1/memories", r#"{"content":"x","entities":["y"]}"#, 400, &["`entities`"]),
    row("a fact without a value", "POST /api/v1/memories", r#"{"content":"x","facts":[{"subject":"y","predicate":"z","value":" "}]}"#, 400, &["`facts`"]),
    row("a feeling of no name", "POST /api/v1/memories", r#"{"content":"x","sentiment":"blue"}"#, 400, &["`sentiment`"]),
    row("keep audio perhaps", "DELETE /api/v1/memories/{berlin}?keep_audio=perhaps", "", 400, &["`keep_audio`"]),
    row("and keep it", "DELETE /api/v1/memories/{berlin}?keep_audio=1", "", 200, &["success"]),
];

#[rustfmt::skip]
const PRIVACY: &[Scenario] = &[
    row("nothing is private", "GET /api/v1/private", "", 200, &["\"private\":false"]),
    row("said in Chinese", CHAT_PATH, r#"{"message":"不要记住这个"}"#, 200, &["隐私模式"]).keep("conversation", "/data/conversation_id"),
    row("is so", "GET /api/v1/private", "", 200, &["\"private\":true"]),
    row("what is said now", CHAT_PATH, r#"{"message":"the surprise party is on Friday"}"#, 200, &["msg_"]),
    row("is marked", "GET /api/v1/conversations/{conversation}", "", 200, &["surprise party", "\"private\":true"]),
    row("what is asked for is kept", CHAT_PATH, r#"{"message":"remember that the cake is at Anna's"}"#, 200, &["mem_"]),
    row("over again in English", CHAT_PATH, r#"{"message":"You can remember again."}"#, 200, &["again"]),
    row("so it is", "GET /api/v1/private", "", 200, &["\"private\":false"]),
    row("by hand", "PUT /api/v1/private", r#"{"private":true}"#, 200, &["\"private\":true"]),
    row("of a wrong type", "PUT /api/v1/private", r#"{"private":"yes"}"#, 400, &["`private`"]),
    row("no suggestions", "GET /api/v1/suggestions", "", 200, &["\"suggestions\":[]", "\"total\":0"]),
    row("none to accept", "POST /api/v1/suggestions/mem_0123456789abcdef/accept", "", 404, &["NOT_FOUND"]),
    row("none to refuse", "DELETE /api/v1/suggestions/mem_0123456789abcdef", "", 404, &["NOT_FOUND"]),
    row("a conversation as JSON", "GET /api/v1/conversations/{conversation}/export?format=json", "", 200, &["surprise party", "\"messages\":["]),
    row("of no format", "GET /api/v1/conversations/{conversation}/export?format=pdf", "", 400, &["`format`"]),
    row("of no conversation", "GET /api/v1/conversations/conv_0123456789abcdef/export", "", 404, &["NOT_FOUND"]),
];

#[rustfmt::skip]
const CONVERSATIONS: &[Scenario] = &[
    row("none yet", "GET /api/v1/conversations", "", 200, &["\"conversations\":[]", "\"total\":0"]),
    row("create", "POST /api/v1/conversations", r#"{"summary":"Plans"}"#, 201, &["\"summary\":\"Plans\"", "conv_", "\"message_count\":0"]).keep("plans", "/data/id"),
    row("empty", "GET /api/v1/conversations/{plans}", "", 200, &["\"messages\":[]"]),
    row("speak in it", CHAT_PATH, r#"{"message":"帮助","conversation_id":"{plans}"}"#, 200, &["{plans}", "喜鹊"]),
    row("its messages", "GET /api/v1/conversations/{plans}", "", 200, &["帮助", "\"total\":2", "\"timestamp\":\"20", "\"tokens\":"]),
    row("a page of them", "GET /api/v1/conversations/{plans}?limit=1&offset=1", "", 200, &["\"role\":\"assistant\""]).lacks(&["\"role\":\"user\""]),
    row("found by a word", "GET /api/v1/conversations?q=%E5%B8%AE%E5%8A%A9", "", 200, &["{plans}", "\"total\":1"]),
    row("not found by another", "GET /api/v1/conversations?q=nothing", "", 200, &["\"total\":0"]),
    row("not found by an operator", "GET /api/v1/conversations?q=*", "", 200, &["\"total\":0"]),
    row("messages are searched too", "GET /api/v1/memories/search?scope=messages&q=%E5%B8%AE%E5%8A%A9", "", 200, &["msg_", "{plans}"]),
    row("rename", "PATCH /api/v1/conversations/{plans}", r#"{"summary":"Old plans","archived":true}"#, 200, &["{plans}"]),
    row("archived ones are apart", "GET /api/v1/conversations", "", 200, &["\"total\":0"]),
    row("and listed on request", "GET /api/v1/conversations?archived=1", "", 200, &["Old plans"]),
    row("delete", "DELETE /api/v1/conversations/{plans}", "", 200, &["{\"success\":true}"]),
    row("gone", "GET /api/v1/conversations/{plans}", "", 404, &["NOT_FOUND"]),
    row("its messages too", "GET /api/v1/memories/search?scope=messages&q=%E5%B8%AE%E5%8A%A9", "", 200, &["\"results\":[]"]),
    row("delete again", "DELETE /api/v1/conversations/{plans}", "", 404, &["NOT_FOUND"]),
];

#[rustfmt::skip]
const WRONG: &[Scenario] = &[
    row("no message", CHAT_PATH, r#"{}"#, 400, &["INVALID_REQUEST", "`message` is missing"]),
    row("empty message", CHAT_PATH, r#"{"message":"  "}"#, 400, &["`message` must not be empty"]),
    row("message of a wrong type", CHAT_PATH, r#"{"message":["hi"]}"#, 400, &["`message` must be a string"]),
    row("no object", CHAT_PATH, r#"[1,2]"#, 400, &["object"]),
    row("no JSON", CHAT_PATH, r#"{"message":"#, 400, &["INVALID_REQUEST"]),
    row("half a surrogate", CHAT_PATH, r#"{"message":"\ud800"}"#, 400, &["INVALID_REQUEST"]),
    row("a NUL", CHAT_PATH, r#"{"message":"a\u0000b"}"#, 400, &["`message`"]),
    row("stream of a wrong type", CHAT_PATH, r#"{"message":"hi","stream":"yes"}"#, 400, &["`stream`"]),
    row("remember of a wrong type", CHAT_PATH, r#"{"message":"hi","remember":1}"#, 400, &["`remember`"]),
    row("negative tokens", CHAT_PATH, r#"{"message":"hi","max_tokens":-5}"#, 400, &["`max_tokens`"]),
    row("half a token", CHAT_PATH, r#"{"message":"hi","max_tokens":1.5}"#, 400, &["`max_tokens`"]),
    row("tokens beyond every number", CHAT_PATH, r#"{"message":"hi","max_tokens":1e400}"#, 400, &["INVALID_REQUEST"]),
    row("unknown way to speak", CHAT_PATH, r#"{"message":"hi","speak":"loudly"}"#, 400, &["`speak` must be one of"]),
    row("model of a wrong type", CHAT_PATH, r#"{"message":"hi","model":{}}"#, 400, &["`model`"]),
    row("conversation of a wrong type", CHAT_PATH, r#"{"message":"hi","conversation_id":7}"#, 400, &["`conversation_id`"]),
    row("no content", "POST /api/v1/memories", r#"{"metadata":{}}"#, 400, &["`content` is missing"]),
    row("empty content", "POST /api/v1/memories", r#"{"content":""}"#, 400, &["`content`"]),
    row("metadata is no object", "POST /api/v1/memories", r#"{"content":"x","metadata":"y"}"#, 400, &["`metadata`"]),
    row("tags are no list", "POST /api/v1/memories", r#"{"content":"x","tags":"y"}"#, 400, &["`tags`"]),
    row("an empty tag", "POST /api/v1/memories", r#"{"content":"x","tags":[""]}"#, 400, &["`tags`"]),
    row("unknown importance", "POST /api/v1/memories", r#"{"content":"x","importance":"huge"}"#, 400, &["`importance`", "high, normal, low"]),
    row("unknown source", "POST /api/v1/memories", r#"{"content":"x","source":"dream"}"#, 400, &["`source`"]),
    row("recorded at no time", "POST /api/v1/memories", r#"{"content":"x","recorded_at":"yesterday"}"#, 400, &["`recorded_at`"]),
    row("negative page", "GET /api/v1/memories?limit=-1", "", 400, &["`limit`"]),
    row("zero page", "GET /api/v1/memories?limit=0", "", 400, &["`limit`"]),
    row("page of a word", "GET /api/v1/memories?limit=many", "", 400, &["`limit`"]),
    row("offset beyond numbers", "GET /api/v1/memories?offset=99999999999999999999999", "", 400, &["`offset`"]),
    row("offset beyond reason", "GET /api/v1/memories?offset=4000000000", "", 400, &["`offset`"]),
    row("since no time", "GET /api/v1/memories?since=now", "", 400, &["`since`"]),
    row("archived perhaps", "GET /api/v1/memories?archived=perhaps", "", 400, &["`archived`"]),
    row("search for nothing", "GET /api/v1/memories/search", "", 400, &["`q` is missing"]),
    row("search for blanks", "GET /api/v1/memories/search?q=%20", "", 400, &["`q` must not be empty"]),
    row("search in no scope", "GET /api/v1/memories/search?q=x&scope=none", "", 400, &["`scope`"]),
    row("a memory of no id", "GET /api/v1/memories/mem_nothing", "", 404, &["NOT_FOUND"]),
    row("a memory by a path", "GET /api/v1/memories/..%2F..%2Fetc%2Fpasswd", "", 400, &["INVALID_REQUEST"]).lacks(&["root:"]),
    row("change nothing", "PATCH /api/v1/conversations/conv_0123456789abcdef", r#"{}"#, 400, &["Nothing to change"]),
    row("change no field", "PATCH /api/v1/memories/mem_0123456789abcdef", r#"{"colour":"red"}"#, 400, &["Nothing to change"]),
    row("change to nothing", "PATCH /api/v1/memories/mem_0123456789abcdef", r#"{"content":" "}"#, 400, &["`content`"]),
    row("forget what", "POST /api/v1/memories/forget", r#"{}"#, 400, &["`q`", "`since`"]),
    row("forget too much at once", "POST /api/v1/memories/forget", r#"{"q":"a","conversation_id":"b"}"#, 400, &["`conversation_id`"]),
    row("forget operators", "POST /api/v1/memories/forget", r#"{"q":"* OR"}"#, 200, &["\"count\":0"]),
    row("forget signs", "POST /api/v1/memories/forget", r#"{"q":"***"}"#, 400, &["`q`"]),
];

#[test]
fn a_message_over_its_bound_is_refused_and_one_below_it_is_answered() {
    let house = House::start();
    let post = |bytes: usize| {
        let body = format!(r#"{{"message":"{}"}}"#, "x".repeat(bytes));
        events(&house, &body)
    };
    let refused = post(32 * 1024 + 1);
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused:.300}");
    assert!(refused.contains("`message`"), "{refused:.600}");
    assert!(post(32 * 1024).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_query_over_its_bound_is_refused() {
    let house = House::start();
    let long = format!("GET /api/v1/memories/search?q={}", "x".repeat(257));
    let path: &'static str = Box::leak(long.into_boxed_str());
    run(
        &house.base(),
        &[row("long query", path, "", 400, &["`q` has at most 256"])],
    );
}
