//! Anthropic's side: the Messages API, version 2023-06-01.

use serde_json::{Value, json};

use super::answer::{Out, Reply};
use super::http::Request;
use super::{CLAUDE_KEY, Checked, Complaint, Fault, Route, Shared, only, refuse, seen};

pub fn error_body(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_test"})
}

pub fn error_of(status: u16) -> Value {
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    error_body(kind, "This went wrong.")
}

pub fn check(request: &Request) -> Checked {
    let body: Result<Value, _> = serde_json::from_slice(&request.body);
    let record = seen(
        Route::Messages,
        request,
        body.as_ref().map_or(Value::Null, Value::clone),
    );
    let checked = (|| {
        if request.header("x-api-key") != CLAUDE_KEY {
            return Err(Complaint {
                status: 401,
                kind: "authentication_error",
                what: String::from("invalid x-api-key"),
            });
        }
        if request.header("anthropic-version") != "2023-06-01" {
            return refuse("anthropic-version: header is required");
        }
        if request.header("content-type") != "application/json" {
            return refuse("content-type: must be application/json");
        }
        let body = body.or_else(|error| refuse(format!("no JSON: {error}")))?;
        only(
            &body,
            &[
                "model",
                "messages",
                "max_tokens",
                "system",
                "stream",
                "tools",
                "tool_choice",
                "temperature",
                "top_p",
                "top_k",
                "stop_sequences",
                "metadata",
                "thinking",
            ],
        )?;
        if body["model"].as_str().is_none_or(str::is_empty) {
            return refuse("model: Field required");
        }
        if body["max_tokens"].as_u64().is_none_or(|tokens| tokens == 0) {
            return refuse("max_tokens: Field required");
        }
        match &body["system"] {
            Value::Null | Value::String(_) => {}
            Value::Array(blocks) => blocks.iter().try_for_each(check_text)?,
            _ => return refuse("system: Input should be a valid string"),
        }
        for tool in body["tools"].as_array().into_iter().flatten() {
            check_tool(tool)?;
        }
        check_messages(&body["messages"])
    })();
    (checked, record)
}

fn check_tool(tool: &Value) -> Result<(), Complaint> {
    only(
        tool,
        &[
            "name",
            "description",
            "input_schema",
            "cache_control",
            "type",
            "strict",
        ],
    )?;
    let name = tool["name"].as_str().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
        return refuse(format!("tools.name: {name:?} does not match the pattern"));
    }
    if tool["input_schema"]["type"] != "object" {
        return refuse(format!(
            "tools.{name}.input_schema.type: Input should be 'object'"
        ));
    }
    Ok(())
}

fn check_text(block: &Value) -> Result<(), Complaint> {
    only(block, &["type", "text", "cache_control"])?;
    if block["type"] != "text"
        || block["text"]
            .as_str()
            .is_none_or(|text| text.trim().is_empty())
    {
        return refuse("text content blocks must be non-empty");
    }
    Ok(())
}

fn check_messages(messages: &Value) -> Result<(), Complaint> {
    let Some(messages) = messages.as_array().filter(|all| !all.is_empty()) else {
        return refuse("messages: at least one message is required");
    };
    let mut called: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        only(message, &["role", "content"])?;
        let expected = if at % 2 == 0 { "user" } else { "assistant" };
        if message["role"] != expected {
            return refuse(format!(
                "messages.{at}: roles must alternate, {expected} was expected"
            ));
        }
        let blocks = match &message["content"] {
            Value::String(text) if !text.trim().is_empty() => {
                vec![json!({"type": "text", "text": text})]
            }
            Value::Array(blocks) if !blocks.is_empty() => blocks.clone(),
            _ => return refuse(format!("messages.{at}: content must be non-empty")),
        };
        let mut results: Vec<String> = Vec::new();
        let mut calls: Vec<String> = Vec::new();
        for block in &blocks {
            match block["type"].as_str() {
                Some("text") => check_text(block)?,
                Some("tool_use") if expected == "assistant" => {
                    only(block, &["type", "id", "name", "input", "cache_control"])?;
                    if !block["input"].is_object() {
                        return refuse(format!(
                            "messages.{at}: input of a tool_use must be an object"
                        ));
                    }
                    calls.push(block["id"].as_str().unwrap_or_default().to_owned());
                }
                Some("tool_result") if expected == "user" => {
                    only(
                        block,
                        &[
                            "type",
                            "tool_use_id",
                            "content",
                            "is_error",
                            "cache_control",
                        ],
                    )?;
                    results.push(block["tool_use_id"].as_str().unwrap_or_default().to_owned());
                }
                other => {
                    return refuse(format!(
                        "messages.{at}: a block of type {other:?} for {expected}"
                    ));
                }
            }
        }
        if let Some(id) = called.iter().find(|id| !results.contains(id)) {
            return refuse(format!(
                "messages.{at}: tool_use {id} was found without tool_result immediately after"
            ));
        }
        if let Some(id) = results.iter().find(|id| !called.contains(id)) {
            return refuse(format!(
                "messages.{at}: unexpected tool_use_id {id} in tool_result"
            ));
        }
        called = calls;
    }
    match (called.is_empty(), messages.len() % 2) {
        (true, 1) => Ok(()),
        (true, _) => refuse("messages: the last must be the user's"),
        (false, _) => refuse("messages: tool_use was found without tool_result"),
    }
}

pub fn answer(shared: &Shared, number: usize, out: &mut Out) -> bool {
    let (body, reply) = {
        let mut state = shared.lock();
        let reply = state.replies.pop_front();
        (
            state.seen[number].json.clone(),
            reply.unwrap_or_else(|| Reply::text("Hello there.")),
        )
    };
    let stop = if reply.calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    let calls: Vec<Value> = reply.calls.iter().enumerate().map(|(at, (name, input))| {
        json!({"type": "tool_use", "id": format!("toolu_{number}_{at}"), "name": name, "input": input})
    }).collect();
    if body["stream"] != true {
        let mut content: Vec<Value> = Vec::new();
        if !reply.text.is_empty() {
            content.push(json!({"type": "text", "text": reply.text}));
        }
        content.extend(calls);
        return out.document(200, &[], &json!({
            "id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": body["model"],
            "content": content, "stop_reason": stop, "stop_sequence": null,
            "usage": {"input_tokens": 25, "output_tokens": 15},
        }));
    }
    let begun = json!({"type": "message_start", "message": {
        "id": format!("msg_{number}"), "type": "message", "role": "assistant", "content": [],
        "model": body["model"], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 25, "output_tokens": 1},
    }});
    if !out.begin("text/event-stream") || !out.event(Some("message_start"), &begun) {
        return false;
    }
    let mut index = 0;
    if !reply.text.is_empty() {
        if !text_block(out, &reply, index) {
            return false;
        }
        if matches!(out.fault(), Some(Fault::ErrorEvent(..))) {
            return out.end();
        }
        index += 1;
    }
    for call in &calls {
        if !tool_block(out, call, index) {
            return false;
        }
        index += 1;
    }
    out.event(
        Some("message_delta"),
        &json!({
            "type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
            "usage": {"output_tokens": 15},
        }),
    ) && out.event(Some("message_stop"), &json!({"type": "message_stop"}))
        && out.end()
}

fn text_block(out: &mut Out, reply: &Reply, index: usize) -> bool {
    let error_after = match out.fault() {
        Some(Fault::ErrorEvent(after, kind)) => Some((*after, *kind)),
        _ => None,
    };
    let mut goes_on = out.event(Some("content_block_start"), &json!({
        "type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""},
    })) && out.event(Some("ping"), &json!({"type": "ping"}));
    for (at, piece) in reply.pieces().into_iter().enumerate() {
        if let Some((after, kind)) = error_after
            && at >= after
        {
            return out.event(
                Some("error"),
                &json!({
                    "type": "error", "error": {"type": kind, "message": "it broke"},
                }),
            );
        }
        if !goes_on {
            return false;
        }
        std::thread::sleep(reply.pause);
        goes_on = goes_on
            && out.event(
                Some("content_block_delta"),
                &json!({
                    "type": "content_block_delta", "index": index,
                    "delta": {"type": "text_delta", "text": piece},
                }),
            );
    }
    goes_on
        && out.event(
            Some("content_block_stop"),
            &json!({"type": "content_block_stop", "index": index}),
        )
}

fn tool_block(out: &mut Out, call: &Value, index: usize) -> bool {
    let mut goes_on = out.event(Some("content_block_start"), &json!({
        "type": "content_block_start", "index": index,
        "content_block": {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}},
    })) && out.event(Some("content_block_delta"), &json!({
        "type": "content_block_delta", "index": index,
        "delta": {"type": "input_json_delta", "partial_json": ""},
    }));
    let input: Vec<char> = call["input"].to_string().chars().collect();
    for piece in input.chunks(7) {
        let piece: String = piece.iter().collect();
        goes_on = goes_on
            && out.event(
                Some("content_block_delta"),
                &json!({
                    "type": "content_block_delta", "index": index,
                    "delta": {"type": "input_json_delta", "partial_json": piece},
                }),
            );
    }
    goes_on
        && out.event(
            Some("content_block_stop"),
            &json!({"type": "content_block_stop", "index": index}),
        )
}
