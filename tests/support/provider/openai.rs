//! OpenAI's side: transcriptions, speech, chat completions, embeddings.

use serde_json::{Value, json};

use super::answer::{Out, Reply};
use super::http::{Request, parts};
use super::{Checked, Complaint, Fault, OPENAI_KEY, Route, Shared, only, refuse, seen, speech};

const STT_MODELS: [&str; 3] = ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"];
const TTS_MODELS: [&str; 3] = ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"];
const VOICES: [&str; 11] = [
    "alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse",
];
const FILE_BYTES_MAX: usize = 25 * 1024 * 1024;

pub fn error_body(kind: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}

pub fn error_of(status: u16) -> Value {
    let (kind, message) = match status {
        401 => ("invalid_request_error", "Incorrect API key provided."),
        429 => ("rate_limit_exceeded", "Rate limit reached for requests."),
        408 => ("timeout", "The request took too long."),
        400..=499 => ("invalid_request_error", "This cannot be done."),
        _ => (
            "server_error",
            "The server had an error while processing your request.",
        ),
    };
    error_body(kind, message)
}

fn check_key(request: &Request) -> Result<(), Complaint> {
    if request.header("authorization") == format!("Bearer {OPENAI_KEY}") {
        return Ok(());
    }
    Err(Complaint {
        status: 401,
        kind: "invalid_request_error",
        what: format!(
            "Incorrect API key provided: {}",
            request.header("authorization")
        ),
    })
}

pub fn check_transcription(request: &Request) -> Checked {
    let mut fields = json!({});
    let mut record = seen(Route::Transcriptions, request, Value::Null);
    let checked = (|| {
        check_key(request)?;
        let parts = parts(request).or_else(refuse)?;
        for part in parts {
            if part.name == "file" {
                record.file_name = part.file_name.unwrap_or_default();
                record.file_type = part.kind.unwrap_or_default();
                record.file = part.body;
                continue;
            }
            if part.file_name.is_some() || part.kind.is_some() {
                return refuse(format!("{}: is no file and says it is one", part.name));
            }
            let text = String::from_utf8(part.body).or_else(|_| refuse("a field is no text"))?;
            if !fields[&part.name].is_null() {
                return refuse(format!("{}: stands there twice", part.name));
            }
            fields[part.name] = json!(text);
        }
        check_file(&record.file, &record.file_name, &record.file_type)?;
        only(
            &fields,
            &[
                "model",
                "language",
                "prompt",
                "temperature",
                "response_format",
            ],
        )?;
        let text = |name: &str| fields[name].as_str();
        if !text("model").is_some_and(|model| STT_MODELS.contains(&model)) {
            return refuse(format!("model: {} is not known", fields["model"]));
        }
        if let Some(language) = text("language")
            && (language.len() != 2 || !language.bytes().all(|b| b.is_ascii_lowercase()))
        {
            return refuse(format!("language: {language} is no ISO 639-1 code"));
        }
        if text("prompt").is_some_and(|prompt| prompt.trim().is_empty() || prompt.len() > 1_000) {
            return refuse("prompt: is empty or too long");
        }
        if let Some(temperature) = text("temperature")
            && !temperature
                .parse::<f64>()
                .is_ok_and(|t| (0.0..=1.0).contains(&t))
        {
            return refuse(format!("temperature: {temperature}"));
        }
        let format = text("response_format").unwrap_or("json");
        let verbose_known = text("model") == Some("whisper-1");
        if format != "json" && (format != "verbose_json" || !verbose_known) {
            return refuse(format!("response_format: {format} is not possible here"));
        }
        Ok(())
    })();
    record.json = fields;
    (checked, record)
}

fn check_file(bytes: &[u8], name: &str, kind: &str) -> Result<(), Complaint> {
    if bytes.is_empty() {
        return refuse("file: is missing or empty");
    }
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Complaint {
            status: 413,
            kind: "invalid_request_error",
            what: format!("Maximum content size limit ({FILE_BYTES_MAX}) exceeded"),
        });
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let expected: &[&str] = match extension {
        "wav" => &["audio/wav"],
        "flac" => &["audio/flac"],
        "mp3" | "mpga" | "mpeg" => &["audio/mpeg"],
        "ogg" | "oga" => &["audio/ogg"],
        "webm" => &["audio/webm"],
        "mp4" | "m4a" => &["audio/mp4"],
        _ => return refuse(format!("file: Unrecognized file format {name:?}")),
    };
    if !expected.contains(&kind) {
        return refuse(format!("file: {name} is sent as {kind:?}"));
    }
    match speech::length_of(bytes, extension) {
        Ok(length) if length < 0.1 => {
            refuse("file: Audio file is too short. Minimum audio length is 0.1 seconds.")
        }
        Ok(_) => Ok(()),
        Err(why) => refuse(format!("file: {why}")),
    }
}

pub fn transcribe(shared: &Shared, number: usize, out: &mut Out) -> bool {
    let (record, text) = {
        let mut state = shared.lock();
        let text = state
            .hears
            .pop_front()
            .unwrap_or_else(|| String::from("hello"));
        (state.seen[number].clone(), text)
    };
    if record.json["response_format"] != "verbose_json" {
        return out.document(200, &[], &json!({"text": text}));
    }
    let extension = record.file_name.rsplit('.').next().unwrap_or_default();
    let length = speech::length_of(&record.file, extension).unwrap_or(1.0);
    let language = match record.json["language"].as_str() {
        Some("zh") => "chinese",
        _ => "english",
    };
    out.document(
        200,
        &[],
        &json!({
            "task": "transcribe", "language": language, "duration": length, "text": text,
            "segments": [{
                "id": 0, "seek": 0, "start": 0.0, "end": length, "text": format!(" {text}"),
                "tokens": [50364], "temperature": 0.0, "avg_logprob": -0.2,
                "compression_ratio": 1.1, "no_speech_prob": 0.01,
            }],
        }),
    )
}

fn json_of(request: &Request) -> Result<Value, Complaint> {
    if request.header("content-type") != "application/json" {
        return refuse("content-type: must be application/json");
    }
    serde_json::from_slice(&request.body).or_else(|error| refuse(format!("no JSON: {error}")))
}

pub fn check_speech(request: &Request) -> Checked {
    let body = json_of(request);
    let record = seen(
        Route::Speech,
        request,
        body.as_ref().map_or(Value::Null, Value::clone),
    );
    let checked = (|| {
        check_key(request)?;
        let body = body?;
        only(
            &body,
            &[
                "model",
                "voice",
                "input",
                "response_format",
                "speed",
                "instructions",
            ],
        )?;
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        if !TTS_MODELS.contains(&text("model")) {
            return refuse(format!("model: {} is not known", body["model"]));
        }
        if !VOICES.contains(&text("voice")) {
            return refuse(format!("voice: {} is not known", body["voice"]));
        }
        if !(1..=4_096).contains(&text("input").trim().chars().count()) {
            return refuse("input: 1 to 4096 characters");
        }
        let format = body
            .get("response_format")
            .map_or(Some("mp3"), Value::as_str);
        if !format.is_some_and(|f| ["mp3", "opus", "aac", "flac", "wav", "pcm"].contains(&f)) {
            return refuse(format!("response_format: {}", body["response_format"]));
        }
        let speed = body.get("speed").map_or(Some(1.0), Value::as_f64);
        if !speed.is_some_and(|speed| (0.25..=4.0).contains(&speed)) {
            return refuse(format!("speed: {}", body["speed"]));
        }
        Ok(())
    })();
    (checked, record)
}

pub fn speak(shared: &Shared, number: usize, out: &mut Out) -> bool {
    let (body, pace) = {
        let state = shared.lock();
        (state.seen[number].json.clone(), state.speech_pace)
    };
    let format = body["response_format"].as_str().unwrap_or("mp3");
    let kind = match format {
        "mp3" => "audio/mpeg",
        "opus" => "audio/opus",
        "pcm" => "audio/pcm",
        "flac" => "audio/flac",
        _ => "audio/wav",
    };
    let sound = speech::speak(body["input"].as_str().unwrap_or_default(), format);
    let (size, pause) = pace.unwrap_or((4_096, std::time::Duration::ZERO));
    out.begin(kind)
        && sound.chunks(size).all(|piece| {
            std::thread::sleep(pause);
            out.piece(piece)
        })
        && out.end()
}

pub fn check_chat(request: &Request) -> Checked {
    let body = json_of(request);
    let record = seen(
        Route::Chat,
        request,
        body.as_ref().map_or(Value::Null, Value::clone),
    );
    let checked = (|| {
        check_key(request)?;
        let body = body?;
        only(
            &body,
            &[
                "model",
                "messages",
                "stream",
                "stream_options",
                "max_tokens",
                "max_completion_tokens",
                "temperature",
                "tools",
                "tool_choice",
                "response_format",
                "user",
            ],
        )?;
        if body["model"].as_str().is_none_or(str::is_empty) {
            return refuse("model: you must provide a model parameter");
        }
        if !body["stream_options"].is_null() {
            only(&body["stream_options"], &["include_usage"])?;
            if body["stream"] != true {
                return refuse("stream_options: only when stream is true");
            }
        }
        check_messages(&body["messages"])?;
        for tool in body["tools"].as_array().into_iter().flatten() {
            only(tool, &["type", "function"])?;
            only(
                &tool["function"],
                &["name", "description", "parameters", "strict"],
            )?;
            if tool["type"] != "function" || tool["function"]["parameters"]["type"] != "object" {
                return refuse(format!("tools: {tool}"));
            }
        }
        Ok(())
    })();
    (checked, record)
}

fn check_messages(messages: &Value) -> Result<(), Complaint> {
    let Some(messages) = messages.as_array().filter(|all| !all.is_empty()) else {
        return refuse("messages: at least one");
    };
    let mut waiting: Vec<String> = Vec::new();
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        if !waiting.is_empty() && role != "tool" {
            return refuse(
                "messages: tool_calls must be followed by tool messages for each of them",
            );
        }
        match role {
            "system" | "developer" | "user" => only(message, &["role", "content", "name"])?,
            "assistant" => {
                only(message, &["role", "content", "tool_calls", "refusal"])?;
                let calls = message["tool_calls"].as_array();
                for call in calls.into_iter().flatten() {
                    only(call, &["id", "type", "function"])?;
                    let arguments = call["function"]["arguments"].as_str().unwrap_or("no text");
                    if serde_json::from_str::<Value>(arguments).is_err()
                        || call["type"] != "function"
                    {
                        return refuse(format!("messages: tool call {call}"));
                    }
                    waiting.push(call["id"].as_str().unwrap_or_default().to_owned());
                }
                if calls.is_none() && message["content"].as_str().is_none_or(str::is_empty) {
                    return refuse("messages: an assistant that says nothing");
                }
                continue;
            }
            "tool" => {
                only(message, &["role", "content", "tool_call_id"])?;
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                match waiting.iter().position(|known| known == id) {
                    Some(at) => waiting.remove(at),
                    None => return refuse(format!("messages: nobody called {id:?}")),
                };
            }
            other => return refuse(format!("messages: role {other:?}")),
        }
        if message["content"]
            .as_str()
            .is_none_or(|text| text.is_empty() && role != "tool")
        {
            return refuse(format!("messages: content of {role} must be text"));
        }
    }
    match waiting.is_empty() {
        true => Ok(()),
        false => refuse("messages: a tool call was never answered"),
    }
}

pub fn chat(shared: &Shared, number: usize, out: &mut Out) -> bool {
    let (body, reply) = {
        let mut state = shared.lock();
        let reply = state.replies.pop_front();
        (
            state.seen[number].json.clone(),
            reply.unwrap_or_else(|| Reply::text("Hello there.")),
        )
    };
    let id = format!("chatcmpl-{number}");
    let usage = json!({"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19});
    let finish = if reply.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    let calls: Vec<Value> = reply
        .calls
        .iter()
        .enumerate()
        .map(|(at, (name, input))| {
            json!({"id": format!("call_{number}_{at}"), "type": "function",
               "function": {"name": name, "arguments": input.to_string()}})
        })
        .collect();
    if body["stream"] != true {
        let mut message = json!({"role": "assistant", "content": reply.text});
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        return out.document(200, &[], &json!({
            "id": id, "object": "chat.completion", "created": 1_700_000_000, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage,
        }));
    }
    let chunk = |delta: Value, finish: Value| {
        json!({
            "id": id, "object": "chat.completion.chunk", "created": 1_700_000_000, "model": body["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    let error_after = match out.fault() {
        Some(Fault::ErrorEvent(after, kind)) => Some((*after, *kind)),
        _ => None,
    };
    let mut goes_on = out.begin("text/event-stream")
        && out.event(
            None,
            &chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        );
    for (at, piece) in reply.pieces().into_iter().enumerate() {
        if let Some((after, kind)) = error_after
            && at >= after
        {
            return out.event(None, &error_body(kind, "it broke")) && out.end();
        }
        if !goes_on {
            return false;
        }
        std::thread::sleep(reply.pause);
        goes_on = goes_on && out.event(None, &chunk(json!({"content": piece}), Value::Null));
    }
    for (at, call) in calls.iter().enumerate() {
        let head = json!({"tool_calls": [{"index": at, "id": call["id"], "type": "function",
            "function": {"name": call["function"]["name"], "arguments": ""}}]});
        goes_on = goes_on && out.event(None, &chunk(head, Value::Null));
        let arguments: Vec<char> = call["function"]["arguments"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .collect();
        for piece in arguments.chunks(7) {
            let piece: String = piece.iter().collect();
            let delta = json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]});
            goes_on = goes_on && out.event(None, &chunk(delta, Value::Null));
        }
    }
    goes_on = goes_on && out.event(None, &chunk(json!({}), json!(finish)));
    if body["stream_options"]["include_usage"] == true {
        let last = json!({"id": id, "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": body["model"], "choices": [], "usage": usage});
        goes_on = goes_on && out.event(None, &last);
    }
    goes_on && out.piece(b"data: [DONE]\n\n") && out.end()
}

pub fn check_embeddings(request: &Request) -> Checked {
    let body = json_of(request);
    let record = seen(
        Route::Embeddings,
        request,
        body.as_ref().map_or(Value::Null, Value::clone),
    );
    let checked = (|| {
        check_key(request)?;
        let body = body?;
        only(
            &body,
            &["model", "input", "dimensions", "encoding_format", "user"],
        )?;
        if body["model"].as_str().is_none_or(str::is_empty) {
            return refuse("model: is missing");
        }
        let inputs = inputs_of(&body["input"]);
        if inputs.is_empty() || inputs.len() > 2_048 || inputs.iter().any(String::is_empty) {
            return refuse("input: must be text, or 1 to 2048 texts, none of them empty");
        }
        let format = body
            .get("encoding_format")
            .map_or(Some("float"), Value::as_str);
        if format != Some("float") {
            return refuse("encoding_format: float");
        }
        let dimensions = body.get("dimensions").map_or(Some(256), Value::as_u64);
        if !dimensions.is_some_and(|d| (1..=3_072).contains(&d)) {
            return refuse("dimensions: 1 to 3072");
        }
        Ok(())
    })();
    (checked, record)
}

fn inputs_of(input: &Value) -> Vec<String> {
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all
            .iter()
            .map(|one| one.as_str().unwrap_or_default().to_owned())
            .collect(),
        _ => Vec::new(),
    }
}

/// Texts that share words lie near each other.
pub fn embed(shared: &Shared, number: usize, out: &mut Out) -> bool {
    let body = shared.lock().seen[number].json.clone();
    let dimensions = body["dimensions"].as_u64().unwrap_or(256) as usize;
    let inputs = inputs_of(&body["input"]);
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let mut vector = vec![0.0f64; dimensions];
            for word in text
                .to_lowercase()
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
            {
                let hash = word.bytes().fold(5_381usize, |hash, byte| {
                    hash.wrapping_mul(33) ^ usize::from(byte)
                });
                vector[hash % dimensions] += 1.0;
            }
            let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
            let vector: Vec<f64> = vector.into_iter().map(|x| x / length).collect();
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    out.document(
        200,
        &[],
        &json!({
            "object": "list", "data": data, "model": body["model"],
            "usage": {"prompt_tokens": 5, "total_tokens": 5},
        }),
    )
}
