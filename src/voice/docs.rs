//! What the voice room's routes take and answer; `crate::server::openapi` makes the document.
//!
//! A new route gets its item here, in the notation of `openapi::shape`, with at least one call
//! that the tests make.

use crate::server::openapi::{Doc, Shape, Try};

const JSON: &str = "application/json";
const STORE: &[&str] = &["DATABASE_ERROR", "STORAGE_FULL"];
const ONE: &[&str] = &["NOT_FOUND", "DATABASE_ERROR", "STORAGE_FULL"];
const DEVICE: &[&str] = &["AUDIO_DEVICE", "CONFLICT", "MUTED", "TTS_ERROR"];

#[rustfmt::skip]
pub const DOCS: &[Doc] = &[
    Doc::get("/ws", "The conversation as a WebSocket, in three dialects; see docs/ws.md")
        .status(101)
        .examples(&[Try("/ws").status(426)]),

    // Chat.
    Doc::post("/api/v1/chat", "One question, one answer, whole or as events")
        .details("With `stream` the answer is `text/event-stream`: `start{id,conversation_id}`, `token{text}`, `sentence{index,text,audio_url?}` (with `speak: return` its sound waits ten minutes at `audio_url`), then `done` with the whole answer, or `error{code,message}`. Closing the connection cancels the turn.")
        .takes(&[(JSON, "{ message: text # at most 32 kB
            model?: text|null, max_tokens?: int(1..)|null, stream?: bool|null, conversation_id?: id|null, speak?: 'none'|'device'|'return'|null
            remember?: bool|null # false: nothing of this is kept
            language?: text|null }")])
        .answers(&[(JSON, "data Answer"), ("text/event-stream", "")])
        .errors(&["NOT_FOUND", "AI_ERROR", "PROVIDER_TIMEOUT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[
            Try("/api/v1/chat").with(r#"{"message":"你好"}"#),
            Try("/api/v1/chat").with(r#"{"message":"remember that bin day is Tuesday","conversation_id":"conv_0000000000000001"}"#),
            Try("/api/v1/chat").with(r#"{"message":"hello","stream":true}"#),
            Try("/api/v1/chat").with("{}").status(400),
        ]),

    // Conversations.
    Doc::get("/api/v1/conversations", "Conversations, last used first")
        .query("limit?: int(1..200), offset?: int(0..), q?: text(..256) # words that a message holds\n archived?: bool")
        .answers(&[(JSON, "data { conversations: [Conversation], total: int, limit: int, offset: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/conversations?limit=2"), Try("/api/v1/conversations?q=spare"), Try("/api/v1/conversations?limit=x").status(400)]),
    Doc::post("/api/v1/conversations", "Begin a conversation")
        .takes(&[(JSON, "{ summary?: text|null }")]).status(201)
        .answers(&[(JSON, "data { id: id, summary: text, message_count: int, created_at: time, updated_at: time }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/conversations").with(r#"{"summary":"Shopping"}"#).status(201)]),
    Doc::get("/api/v1/conversations/{id}", "A conversation and what was said in it")
        .query("limit?: int(1..200), offset?: int(0..)")
        .answers(&[(JSON, "data { id: id, summary: text, created_at: time, updated_at: time, message_count: int, is_archived: bool, messages: [Message], total: int, limit: int, offset: int }")])
        .errors(ONE)
        .examples(&[Try("/api/v1/conversations/conv_0000000000000001"), Try("/api/v1/conversations/conv_ffffffffffffffff").status(404)]),
    Doc::patch("/api/v1/conversations/{id}", "Change a conversation's summary, or put it away")
        .takes(&[(JSON, "{ summary?: text|null, archived?: bool|null }")])
        .answers(&[(JSON, "data { id: id }")])
        .errors(ONE)
        .examples(&[Try("/api/v1/conversations/conv_0000000000000001").with(r#"{"summary":"Keys"}"#)]),
    Doc::post("/api/v1/conversations/{id}/summarize", "Sum up a conversation, by a model where there is one")
        .answers(&[(JSON, "data { id: id, summary: text, model: text }")])
        .errors(&["NOT_FOUND", "AI_ERROR", "PROVIDER_TIMEOUT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/conversations/conv_0000000000000001/summarize"), Try("/api/v1/conversations/conv_ffffffffffffffff/summarize").status(404)]),
    Doc::get("/api/v1/conversations/{id}/export", "A whole conversation as a file")
        .query("format?: 'md'|'json'")
        .answers(&[("text/markdown", ""), (JSON, "{ id: id, summary: text, messages: [Message], total: int, ... }")])
        .errors(ONE)
        .examples(&[Try("/api/v1/conversations/conv_0000000000000001/export?format=json"), Try("/api/v1/conversations/conv_ffffffffffffffff/export").status(404)]),
    Doc::delete("/api/v1/conversations/{id}", "Remove a conversation with its messages; memories made in it stay")
        .errors(ONE)
        .examples(&[Try("/api/v1/conversations/conv_0000000000000003")]),

    // Memories.
    Doc::get("/api/v1/memories", "Memories, newest first")
        .query("limit?: int(1..200), offset?: int(0..), category?: text, tag?: text, source?: 'chat'|'manual'|'import'|'voice', importance?: 'high'|'normal'|'low', since?: time, until?: time # exclusive\n archived?: bool, conversation_id?: id")
        .answers(&[(JSON, "data { memories: [Memory], total: int, limit: int, offset: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/memories?limit=50&offset=0"), Try("/api/v1/memories?tag=home&importance=high"), Try("/api/v1/memories?since=yesterday").status(400)]),
    Doc::post("/api/v1/memories", "Keep something, word for word")
        .takes(&[(JSON, "{ content: text # at most 64 kB
            title?: text|null, summary?: text|null, category?: text|null, tags?: [text]|null, importance?: 'high'|'normal'|'low'|null, pinned?: bool|null
            metadata?: object|null, source?: 'chat'|'manual'|'import'|'voice'|null, recorded_at?: time|null
            key_points?: [text]|null, entities?: Entities|null, relations?: [Relation]|null, observations?: [Observation]|null
            action_items?: [text]|null, sentiment?: 'positive'|'neutral'|'negative'|null, facts?: [Fact]|null
            organize?: bool|null # let a model file it, where there is one\n }")]).status(201)
        .answers(&[(JSON, "data Memory")])
        .errors(STORE)
        .examples(&[
            Try("/api/v1/memories").with(r#"{"content":"The spare key is under the blue flower pot","tags":["home"],"metadata":{"room":"garden"}}"#).status(201),
            Try("/api/v1/memories").with(r#"{"content":""}"#).status(400),
        ]),
    Doc::get("/api/v1/memories/search", "Search in English and Chinese, best first")
        .query("q: text(1..256), limit?: int(1..200), scope?: 'memories'|'messages'|'all', category?: text, tag?: text, source?: 'chat'|'manual'|'import'|'voice', importance?: 'high'|'normal'|'low', since?: time, until?: time\n archived?: bool, conversation_id?: id")
        .answers(&[(JSON, "data { results: [Hit], total: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/memories/search?q=key&limit=10"), Try("/api/v1/memories/search?q=%E9%92%A5%E5%8C%99&scope=all"), Try("/api/v1/memories/search").status(400)]),
    Doc::post("/api/v1/memories/forget", "Remove memories for good, by words, conversation, or time")
        .takes(&[(JSON, "{ q?: text|null, conversation_id?: id|null, since?: time|null, until?: time|null, dry_run?: bool|null # only tell what would go\n }")])
        .answers(&[(JSON, "data { dry_run: bool, count: int, ids?: [id], ... }")])
        .errors(STORE)
        .examples(&[
            Try("/api/v1/memories/forget").with(r#"{"q":"spare","dry_run":true}"#),
            Try("/api/v1/memories/forget").with(r#"{"q":"nothing of this kind"}"#),
            Try("/api/v1/memories/forget").with("{}").status(400),
        ]),
    Doc::get("/api/v1/memories/{id}", "One memory")
        .answers(&[(JSON, "data Memory")])
        .errors(ONE)
        .examples(&[Try("/api/v1/memories/mem_0000000000000001"), Try("/api/v1/memories/mem_ffffffffffffffff").status(404)]),
    Doc::patch("/api/v1/memories/{id}", "Change a memory")
        .takes(&[(JSON, "{ content?: text|null, title?: text|null, summary?: text|null, category?: text|null, tags?: [text]|null, importance?: 'high'|'normal'|'low'|null, pinned?: bool|null, archived?: bool|null, metadata?: object|null, recorded_at?: time|null
            key_points?: [text]|null, entities?: Entities|null, relations?: [Relation]|null, observations?: [Observation]|null
            action_items?: [text]|null, sentiment?: 'positive'|'neutral'|'negative'|null
            facts?: [Fact]|null # what replaces what follows from these
 }")])
        .answers(&[(JSON, "data Memory")])
        .errors(ONE)
        .examples(&[Try("/api/v1/memories/mem_0000000000000002").with(r#"{"pinned":true,"tags":["home","garden"]}"#)]),
    Doc::delete("/api/v1/memories/{id}", "Remove a memory for good")
        .query("keep_audio?: bool # keep the sound that it came from")
        .errors(ONE)
        .examples(&[Try("/api/v1/memories/mem_0000000000000003")]),
    Doc::get("/api/v1/tags", "Tags by name")
        .query("limit?: int(1..200), offset?: int(0..)")
        .answers(&[(JSON, "data { tags: [Tag], total: int, limit: int, offset: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/tags")]),
    Doc::post("/api/v1/tags", "Make a tag")
        .takes(&[(JSON, "{ name: text(1..64), color?: text|null # like #3B82F6\n }")]).status(201)
        .answers(&[(JSON, "data Tag")])
        .errors(&["CONFLICT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/tags").with(r##"{"name":"garage","color":"#22C55E"}"##).status(201), Try("/api/v1/tags").with(r#"{"name":"garage","color":"green"}"#).status(400)]),
    Doc::patch("/api/v1/tags/{id}", "Rename or recolour a tag, wherever it is carried")
        .takes(&[(JSON, "{ name?: text|null, color?: text|null }")])
        .answers(&[(JSON, "data Tag")])
        .errors(&["NOT_FOUND", "CONFLICT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/tags/tag_ffffffffffffffff").with(r#"{"name":"attic"}"#).status(404)]),
    Doc::delete("/api/v1/tags/{id}", "Take a tag off all memories, which stay")
        .errors(ONE)
        .examples(&[Try("/api/v1/tags/tag_ffffffffffffffff").status(404)]),
    Doc::get("/api/v1/suggestions", "Memories that a model proposes (AUTO_MEMORY=ask), newest first")
        .query("limit?: int(1..200), offset?: int(0..)")
        .answers(&[(JSON, "data { suggestions: [Suggestion], total: int, limit: int, offset: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/suggestions")]),
    Doc::post("/api/v1/suggestions/{id}/accept", "Keep a proposed memory")
        .status(201)
        .answers(&[(JSON, "data Memory")])
        .errors(ONE)
        .examples(&[Try("/api/v1/suggestions/mem_ffffffffffffffff/accept").status(404)]),
    Doc::delete("/api/v1/suggestions/{id}", "Refuse a proposed memory")
        .errors(ONE)
        .examples(&[Try("/api/v1/suggestions/mem_ffffffffffffffff").status(404)]),
    Doc::get("/api/v1/summary", "A day in a few sentences, with its notes, timers and counts")
        .query("date?: date # today where it is left out\n language?: 'en'|'zh'")
        .answers(&[(JSON, "data { date: date, text: text, language: text, model: text, created_at: time, notes: [{ id: id, title: text, content: text, category: text, created_at: time }]
            timers: [{ id: id, kind: text, label: text, state: text, due_at: time }], counts: { memories: int, messages: int, conversations: int, timers: int } }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/summary"), Try("/api/v1/summary?date=2026-01-02&language=zh"), Try("/api/v1/summary?date=yesterday").status(400)]),
    Doc::get("/api/v1/private", "Whether the box files nothing by itself of what is said now")
        .answers(&[(JSON, "data { private: bool }")])
        .examples(&[Try("/api/v1/private")]),
    Doc::put("/api/v1/private", "Switch private mode; it survives a restart")
        .takes(&[(JSON, "{ private: bool }")])
        .answers(&[(JSON, "data { private: bool }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/private").with(r#"{"private":true}"#), Try("/api/v1/private").with(r#"{"private":false}"#), Try("/api/v1/private").with("{}").status(400)]),

    // Timers, alarms and reminders.
    Doc::get("/api/v1/timers", "Timers, alarms and reminders: live ones first, soonest first")
        .query("limit?: int(1..200), offset?: int(0..), state?: 'pending'|'ringing'|'done'|'cancelled'|'missed'")
        .answers(&[(JSON, "data { timers: [Timer], total: int, limit: int, offset: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/timers"), Try("/api/v1/timers?state=missed"), Try("/api/v1/timers?state=x").status(400)]),
    Doc::post("/api/v1/timers", "Set one: `duration` seconds from now, or at the time `due_at`")
        .details("A span runs on the monotonic clock, a time on the wall clock. `repeat` is the part of RFC 5545 with FREQ DAILY or WEEKLY and BYDAY; it goes with `due_at`.")
        .takes(&[(JSON, "{ duration?: number|null, due_at?: time|null, kind?: 'timer'|'alarm'|'reminder'|null, label?: text(..200)|null, repeat?: text|null, language?: text|null }")])
        .status(201)
        .answers(&[(JSON, "data Timer")])
        .errors(&["CONFLICT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/timers").with(r#"{"duration":600,"label":"pasta"}"#).status(201), Try("/api/v1/timers").with(r#"{"due_at":"2031-01-01T07:00:00Z","repeat":"FREQ=WEEKLY;BYDAY=MO,FR"}"#).status(201), Try("/api/v1/timers").with("{}").status(400)]),
    Doc::patch("/api/v1/timers/{id}", "Change one, or stop one that rings with `state: done`")
        .takes(&[(JSON, "{ label?: text(..200)|null, duration?: number|null, due_at?: time|null, repeat?: text|null # empty: once\n state?: 'done'|null }")])
        .answers(&[(JSON, "data Timer")])
        .errors(&["NOT_FOUND", "CONFLICT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/timers/tmr_ffffffffffffffff").with(r#"{"label":"tea"}"#).status(404)]),
    Doc::delete("/api/v1/timers/{id}", "Cancel a live one; remove one that is over")
        .errors(ONE)
        .examples(&[Try("/api/v1/timers/tmr_ffffffffffffffff").status(404)]),
    Doc::post("/api/v1/timers/{id}/snooze", "Let it ring again after `duration` seconds, 300 where it is left out")
        .takes(&[(JSON, "{ duration?: number|null }")])
        .answers(&[(JSON, "data Timer")])
        .errors(&["NOT_FOUND", "CONFLICT", "DATABASE_ERROR", "STORAGE_FULL"])
        .examples(&[Try("/api/v1/timers/tmr_ffffffffffffffff/snooze").with("{}").status(404)]),

    // Everything in one file.
    Doc::get("/api/v1/export", "Everything that is remembered, in one file, streamed")
        .details("`jsonl` and `zip` can be imported again without loss; `md` is for people. A zip may bring the kept recordings.")
        .query("format?: 'jsonl'|'md'|'zip', audio?: bool # with the recordings; in a zip alone")
        .answers(&[("application/jsonl", ""), ("text/markdown; charset=utf-8", ""), ("application/zip", "")])
        .errors(&["CONFLICT", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/export"), Try("/api/v1/export?format=md"), Try("/api/v1/export?format=zip&audio=1"), Try("/api/v1/export?format=pdf").status(400)]),
    Doc::post("/api/v1/import", "Add what a file holds: one of an export, or the first server's database")
        .details("The body is the file. Every line is checked before the first is stored; what is there already stays, so a second import changes nothing. `kept` counts rows that differ here and were left alone.")
        .query("dry_run?: bool # only tell what would change")
        .takes(&[("application/octet-stream", "")])
        .answers(&[(JSON, "data { dry_run: bool, rows: object # new, same and kept by kind of row\n sounds: int, changed: bool }")])
        .errors(&["CONFLICT", "PAYLOAD_TOO_LARGE", "STORAGE_FULL", "DATABASE_ERROR", "UNAVAILABLE"])
        .examples(&[
            Try("/api/v1/import?dry_run=1").with(r#"{"type":"tag","id":"tag_00000000000000aa","name":"kitchen","color":"x"}"#),
            Try("/api/v1/import").with(r#"{"type":"tag","id":"tag_1"}"#).status(400),
        ]),

    // The box's own microphone and loudspeaker.
    Doc::get("/api/v1/device/audio", "Sound cards, the chosen ones, and the level while the microphone is open")
        .answers(&[(JSON, "data { devices: [object], chosen: { input: text, output: text }, input_error: text|null, output_error: text|null, xruns: int, volume: int, muted: bool, open: bool, level: object|null }")])
        .examples(&[Try("/api/v1/device/audio")]),
    Doc::post("/api/v1/device/volume", "Loudness of everything the box says")
        .takes(&[(JSON, "{ percent: int(0..100) }")])
        .answers(&[(JSON, "data { percent: int }")])
        .examples(&[Try("/api/v1/device/volume").with(r#"{"percent":60}"#), Try("/api/v1/device/volume").with(r#"{"percent":101}"#).status(400)]),
    Doc::post("/api/v1/device/beep", "Play a second of 440 Hz and tell whether the microphone hears it")
        .answers(&[(JSON, "data { tone_hz: int, speaker: object, microphone: object, heard: bool }")])
        .errors(&["CONFLICT", "MUTED"])
        .examples(&[Try("/api/v1/device/beep")]),
    Doc::get("/api/v1/device", "What the box's own endpoint does, and its sound card")
        .answers(&[(JSON, "data { state: text, turn: int|null, muted: bool, offline: bool, audio: AudioStatus, ... }")])
        .examples(&[Try("/api/v1/device")]),
    Doc::post("/api/v1/device/listen", "Listen at the box's microphone for one turn")
        .takes(&[(JSON, "{ wait?: bool # answer when the turn is over\n mode?: 'chat'|'note'|'auto'|null # note: until /device/stop\n }")])
        .answers(&[(JSON, "data { turn: int, ... }")])
        .errors(&["AUDIO_DEVICE", "CONFLICT", "MUTED", "STT_ERROR", "PROVIDER_TIMEOUT"])
        .examples(&[Try("/api/v1/device/listen").with("{}")]),
    Doc::post("/api/v1/device/say", "Say a text at the box's loudspeaker")
        .takes(&[(JSON, "{ text: text(1..2000), wait?: bool }")])
        .answers(&[(JSON, "data { turn: int, ... }")])
        .errors(DEVICE)
        .examples(&[Try("/api/v1/device/say").with(r#"{"text":""}"#).status(400)]),
    Doc::post("/api/v1/device/stop", "End what the box's endpoint does")
        .answers(&[(JSON, "data {}")])
        .errors(&["CONFLICT"])
        .examples(&[Try("/api/v1/device/stop")]),
    Doc::post("/api/v1/device/mute", "Mute or unmute the box's microphone; survives a restart")
        .takes(&[(JSON, "{ muted: bool }")])
        .answers(&[(JSON, "data { muted: bool }")])
        .errors(&["CONFLICT", "DATABASE_ERROR"])
        .examples(&[Try("/api/v1/device/mute").with(r#"{"muted":true}"#), Try("/api/v1/device/mute").with(r#"{"muted":false}"#)]),
    Doc::post("/api/v1/transcribe", "Sound to text")
        .details("WAV, MP3, FLAC, Ogg (Vorbis, Opus), AAC, M4A or WebM: as base64 in JSON, as the file `audio` of a form, or as the body itself, then with the other fields in the query. Content decides, not the name.")
        .takes(&[(JSON, "{ audio: base64, language?: text|null, prompt?: text|null }"), ("multipart/form-data", ""), ("audio/*", "")])
        .query("language?: text, prompt?: text")
        .answers(&[(JSON, "data { text: text, language: text|null, duration: number, provider: text, segments?: [{ start: number, end: number, text: text }] }")])
        .errors(&["PAYLOAD_TOO_LARGE", "UNSUPPORTED_AUDIO", "STT_ERROR", "PROVIDER_TIMEOUT", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/transcribe").with(r#"{"audio":"AAAA"}"#).status(415)]),
    Doc::post("/api/v1/synthesize", "Text to sound")
        .details("With `Accept: audio/*` the sound itself is the answer, as it comes. A provider of the network makes the file itself, by the `voice` and `model` asked for; a local voice has its own and makes WAV or PCM, and says so in `format`.")
        .takes(&[(JSON, "{ text: text(1..2000), language?: text|null, voice?: text|null, model?: text|null, response_format?: 'mp3'|'opus'|'aac'|'wav'|'flac'|'pcm'|null }")])
        .answers(&[(JSON, "data { audio: base64, format: text, duration: number }"), ("audio/*", "")])
        .errors(&["TTS_ERROR", "PROVIDER_TIMEOUT", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/synthesize").with(r#"{"text":"Good morning."}"#), Try("/api/v1/synthesize").with(r#"{"text":""}"#).status(400)]),
    Doc::post("/api/v1/voice", "A whole spoken turn in one call: heard, kept, answered")
        .details("The sound is on the card before anything else happens to it. When it cannot be understood or answered now, or is longer than two minutes, the answer is 202 `OFFLINE_QUEUED` and the job does it later. The same `client_id` again gets the same answer and is stored once. The sound is the file `audio` of a form, base64 in JSON, or the body itself, then with the other fields in the query.")
        .takes(&[(JSON, "{ audio: base64, mode?: 'chat'|'note'|'auto'|null, conversation_id?: id|null, client_id?: text(1..128)|null, language?: text|null, speak?: 'none'|'device'|'return'|null, recorded_at?: time|null }"), ("multipart/form-data", ""), ("audio/wav", "")])
        .query("mode?: 'chat'|'note'|'auto', conversation_id?: id, client_id?: text(1..128), language?: text, speak?: 'none'|'device'|'return', recorded_at?: time")
        .answers(&[(JSON, "data { recording_id: id, text?: text|null, intent?: 'chat'|'note'|'none', reply?: text, conversation_id?: id, message_id?: id, memory_id?: id|null, audio_url?: text|null, notice?: Notice|null, job_id?: id|null # of 202\n timing_ms?: { stt: int, total: int }, ... }")])
        .errors(&["NOT_FOUND", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_AUDIO", "STT_ERROR", "PROVIDER_TIMEOUT", "DATABASE_ERROR", "STORAGE_FULL", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/voice").with(r#"{"audio":"AAAA"}"#).status(415), Try("/api/v1/voice").with(r#"{"audio":"AAAA","mode":"x"}"#).status(400)]),
    Doc::get("/api/v1/audio/{id}", "The sound of a recording or of an answer, also in parts")
        .answers(&[("audio/wav", "")])
        .errors(&["NOT_FOUND", "UNAVAILABLE"])
        .examples(&[Try("/api/v1/audio/rec_ffffffffffffffff").status(404)]),
    Doc::delete("/api/v1/audio/{id}", "Remove the sound for good; the text stays")
        .errors(ONE)
        .examples(&[Try("/api/v1/audio/rec_ffffffffffffffff").status(404)]),

    // Work that waits.
    Doc::get("/api/v1/jobs", "What waits for a network or a model, oldest first; what is done last")
        .query("limit?: int(1..200), offset?: int(0..), state?: 'queued'|'running'|'done'|'failed'")
        .answers(&[(JSON, "data { jobs: [Job], total: int, limit: int, offset: int }")])
        .errors(STORE)
        .examples(&[Try("/api/v1/jobs"), Try("/api/v1/jobs?state=failed"), Try("/api/v1/jobs?state=x").status(400)]),
    Doc::post("/api/v1/jobs/{id}/retry", "Try a job now, also one that was given up")
        .errors(ONE)
        .examples(&[Try("/api/v1/jobs/job_ffffffffffffffff/retry").status(404)]),
    Doc::delete("/api/v1/jobs/{id}", "Give a job up; its recording then goes by age")
        .errors(ONE)
        .examples(&[Try("/api/v1/jobs/job_ffffffffffffffff").status(404)]),

    // The dialect of the first server.
    Doc::post("/api/stt", "Sound to text, in the older dialect")
        .takes(&[("multipart/form-data", ""), (JSON, "{ audio: base64 }")])
        .answers(&[(JSON, "{ success: bool, result: [text] }")])
        .errors(&["PAYLOAD_TOO_LARGE", "UNSUPPORTED_AUDIO", "STT_ERROR", "PROVIDER_TIMEOUT", "UNAVAILABLE"])
        .errors_as("OlderError")
        .examples(&[Try("/api/stt").with(r#"{"audio":"AAAA"}"#).status(415)]),
    Doc::get("/api/tts", "Text to a sound that can be fetched, in the older dialect")
        .query("text: text, per?: text, spd?: text, pit?: text # read over\n vol?: int(0..15) # 5 leaves the voice as it is\n session_id?: text")
        .answers(&[(JSON, "{ success: bool, audio_url: text, session_id: text }")])
        .errors(&["TTS_ERROR", "PROVIDER_TIMEOUT", "UNAVAILABLE"])
        .errors_as("OlderError")
        .examples(&[Try("/api/tts?text=Good%20morning"), Try("/api/tts").status(400)]),
    Doc::get("/api/audio/{file}", "A sound that `/api/tts` made")
        .answers(&[("audio/wav", "")])
        .errors(&["NOT_FOUND"])
        .errors_as("OlderError")
        .examples(&[Try("/api/audio/nothing.wav").status(404)]),
    Doc::post("/api/chat", "One question, one answer, in the older dialect")
        .takes(&[(JSON, "{ message: text, session_id?: text|null # any name of a session\n }")])
        .answers(&[(JSON, "{ success: bool, reply: text, session_id: text }")])
        .errors(&["AI_ERROR", "PROVIDER_TIMEOUT", "DATABASE_ERROR", "STORAGE_FULL"])
        .errors_as("OlderError")
        .examples(&[Try("/api/chat").with(r#"{"message":"hello","session_id":"session_1"}"#)]),
    Doc::post("/api/knowledge/record", "Keep a text or what is said in a sound, in the older dialect")
        .takes(&[("multipart/form-data", ""), (JSON, "{ text?: text|null, audio?: base64|null, session_id?: text|null, auto_organize?: bool|null }")])
        .answers(&[(JSON, "{ success: bool, knowledge: Knowledge }")])
        .errors(&["PAYLOAD_TOO_LARGE", "UNSUPPORTED_AUDIO", "STT_ERROR", "PROVIDER_TIMEOUT", "UNAVAILABLE", "DATABASE_ERROR", "STORAGE_FULL"])
        .errors_as("OlderError")
        .examples(&[Try("/api/knowledge/record").with(r#"{"text":"The box is in the hall"}"#), Try("/api/knowledge/record").with("{}").status(400)]),
    Doc::get("/api/knowledge/list", "The newest memories, in the older dialect")
        .query("category?: text")
        .answers(&[(JSON, "{ success: bool, knowledges: [Knowledge] }")])
        .errors(STORE)
        .errors_as("OlderError")
        .examples(&[Try("/api/knowledge/list")]),
    Doc::post("/api/knowledge/search", "Search the memories, in the older dialect")
        .takes(&[(JSON, "{ query: text(1..256) }")])
        .answers(&[(JSON, "{ success: bool, knowledges: [Knowledge] }")])
        .errors(STORE)
        .errors_as("OlderError")
        .examples(&[Try("/api/knowledge/search").with(r#"{"query":"key"}"#)]),
    Doc::get("/api/sessions", "The last conversations and what was said last in them, in the older dialect")
        .answers(&[(JSON, "{ success: bool, count: int, sessions: [Session] }")])
        .errors(STORE)
        .errors_as("OlderError")
        .examples(&[Try("/api/sessions")]),
    Doc::delete("/api/sessions", "Remove a conversation, in the older dialect")
        .query("session_id: text")
        .answers(&[(JSON, "{ success: bool }")])
        .errors(STORE)
        .errors_as("OlderError")
        .examples(&[Try("/api/sessions?session_id=nobody")]),
    Doc::get("/api/sessions/get", "One conversation, in the older dialect")
        .query("session_id: text")
        .answers(&[(JSON, "{ success: bool, session: Session }")])
        .errors(ONE)
        .errors_as("OlderError")
        .examples(&[Try("/api/sessions/get?session_id=nobody").status(404)]),
    Doc::get("/api/v1/debug/stats", "Counts and the times of the last turns")
        .answers(&[(JSON, "data { device: object, audio: AudioStatus, sessions: int, sockets: int, turns: [object], ... }")])
        .examples(&[Try("/api/v1/debug/stats")]),
];

#[rustfmt::skip]
pub const SHAPES: &[Shape] = &[
    ("Answer", "{ id: id, role: 'assistant', content: text, model: text, provider: text, conversation_id: id, language: text
        usage: { input_tokens: int, output_tokens: int, ... }, memories_used: [{ id: id, score: number }]
        memory_saved: { id: id, title: text, category: text }|null
        action: any # what the answer means for the box: stop, repeat, mute, or a volume
        notice: Notice|null # why a model or a voice gave nothing, or not all of it
        timing_ms: { llm_first: int|null, total: int }
        audio_url?: text|null # with `speak: return`
 }"),
    ("Notice", "{ code: text, message: text }"),
    ("OlderError", "{ success: false, error: text, code: text }"),
    ("Knowledge", "{ id: id, title: text, content: text, summary: text, key_points: [any], category: text, tags: [text], source: text, audio_url: text, session_id: text, created_at: time, updated_at: time, metadata: object }"),
    ("Session", "{ id: id, messages: [{ role: 'user'|'assistant', content: text }], created_at: time, updated_at: time }"),
    ("Conversation", "{ id: id, summary: text, created_at: time, updated_at: time, message_count: int, is_archived: bool }"),
    ("Message", "{ id: id, role: 'user'|'assistant', content: text, timestamp: time, tokens: int, interrupted?: bool
        spoken_chars?: int # how much of it was heard
        model?: text, recording_id?: id, audio_url?: text
        private?: bool # never filed by itself\n }"),
    ("Memory", "{ id: id, content: text, title: text, category: text, tags: [text], source: 'chat'|'manual'|'import'|'voice', importance: 'high'|'normal'|'low'
        pinned: bool, is_archived: bool, recall_count: int, created_at: time, updated_at: time, summary?: text, metadata?: any, conversation_id?: id, message_id?: id
        recording_id?: id, recorded_at?: time, superseded_by?: id, last_recalled_at?: time, sentiment?: text, key_points?: [text], entities?: Entities
        relations?: [Relation], observations?: [Observation], action_items?: [text], facts?: [Fact], organized_at?: time, audio_url?: text }"),
    ("Entities", "{ people?: [text], products?: [text], companies?: [text], locations?: [text], concepts?: [text] }"),
    ("Relation", "{ type: 'relates_to'|'requires'|'implements'|'improves'|'contrasts_with'|'part_of'|'inspired_by'|'alternative_to', target: text, context?: text }"),
    ("Observation", "{ category: 'fact'|'decision'|'preference'|'technique'|'question'|'task', content: text, context?: text }"),
    ("Fact", "{ subject: text, predicate: text, value: text
        valid_from?: time # also a mere date where it is given
        superseded_by?: id # the memory with the present value\n }"),
    ("Suggestion", "{ id: id, conversation_id: id|null, content: text, title: text, summary: text|null, category: text, tags: [text], importance: 'high'|'normal'|'low', created_at: time }"),
    ("Hit", "{ id: id, title?: text, content: text, category?: text, conversation_id?: id, role?: 'user'|'assistant', score: number(0..1), created_at: time
        snippet: text, why: 'text'|'vector'|'both', superseded_by?: id|null, ... }"),
    ("Job", "{ id: id, kind: 'stt'|'reply'|'organize'|'embed'|'summary', subject: text, state: 'queued'|'running'|'done'|'failed', attempts: int
        next_at?: time, last_error?: text, recording_id?: id, created_at: time, updated_at: time
        pieces_done?: int, pieces?: int # of a long recording
        ... }"),
    ("Tag", "{ id: id, name: text, color: text, count: int }"),
    ("Timer", "{ id: id, kind: 'timer'|'alarm'|'reminder', label: text, state: 'pending'|'ringing'|'done'|'cancelled'|'missed', due_at: time
        duration: number|null # seconds\n remaining: number|null # seconds, while pending
        repeat: text|null, snoozes: int, missed_at: time|null, created_at: time, updated_at: time }"),
    ("AudioStatus", "{ input: text, output: text, input_error: text|null, output_error: text|null, xruns: int }"),
];
