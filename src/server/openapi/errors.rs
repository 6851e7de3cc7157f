//! Every error code that the box answers, once: its status and what it means.

use serde_json::{Map, Value, json};

pub struct ErrorCode {
    pub code: &'static str,
    /// The usual one; some codes come with others.
    pub status: u16,
    /// What was wrong and what to do.
    pub meaning: &'static str,
}

const fn code(code: &'static str, status: u16, meaning: &'static str) -> ErrorCode {
    ErrorCode {
        code,
        status,
        meaning,
    }
}

/// By status. A test compares this with the sources and with docs/api.md.
pub const ERRORS: &[ErrorCode] = &[
    code(
        "OFFLINE_QUEUED",
        202,
        "No error: the recording is kept and will be handled later; `data.job_id` names the work.",
    ),
    code(
        "INVALID_REQUEST",
        400,
        "A field or parameter is wrong; the message names it and says what is allowed.",
    ),
    code(
        "UNAUTHORIZED",
        401,
        "No known token was shown; pair the device first.",
    ),
    code(
        "FORBIDDEN",
        403,
        "The caller may not do this; an admin may, or it is done at the box alone.",
    ),
    code(
        "WRONG_CODE",
        403,
        "That is not the pairing code that the box shows.",
    ),
    code(
        "NOT_FOUND",
        404,
        "There is nothing of this name; check the path or the id.",
    ),
    code(
        "REQUEST_TIMEOUT",
        408,
        "The body did not arrive in time; send it again.",
    ),
    code(
        "CONFLICT",
        409,
        "What is there contradicts the request; the message says what.",
    ),
    code(
        "MUTED",
        409,
        "The microphone is muted; unmute the box first.",
    ),
    code(
        "CODE_EXPIRED",
        410,
        "No pairing code is valid now; have a new one shown.",
    ),
    code(
        "PAYLOAD_TOO_LARGE",
        413,
        "The body is larger than the limit that the message names.",
    ),
    code(
        "UNSUPPORTED_AUDIO",
        415,
        "The sound is of a kind that the box does not read, or damaged.",
    ),
    code(
        "UNSUPPORTED_MEDIA_TYPE",
        415,
        "The body is of another kind than the call takes; the message names it.",
    ),
    code(
        "RATE_LIMIT_EXCEEDED",
        429,
        "Too many calls; wait for the seconds of `Retry-After`.",
    ),
    code(
        "AI_ERROR",
        500,
        "No language model could answer; the message says why.",
    ),
    code(
        "STT_ERROR",
        500,
        "The speech was not understood by any engine; the message says why.",
    ),
    code(
        "TTS_ERROR",
        500,
        "No engine could speak the text; the message says why.",
    ),
    code(
        "DATABASE_ERROR",
        500,
        "The store could not do this; nothing was changed. 503 where trying again may help.",
    ),
    code(
        "INTERNAL_ERROR",
        500,
        "A defect of the box; the log has the request's id.",
    ),
    code(
        "AUDIO_DEVICE",
        503,
        "There is no sound card, or it is in use; `magpie doctor` says more.",
    ),
    code(
        "UNAVAILABLE",
        503,
        "Too much at once; try again after `Retry-After`.",
    ),
    code(
        "PROVIDER_TIMEOUT",
        504,
        "An engine or provider did not answer in time; try again.",
    ),
    code(
        "STORAGE_FULL",
        507,
        "The card or a queue is full; nothing was stored.",
    ),
];

pub(super) fn table() -> Value {
    let rows = ERRORS.iter().map(|error| {
        let row = json!({ "status": error.status, "meaning": error.meaning });
        (error.code.to_owned(), row)
    });
    Value::Object(rows.collect::<Map<String, Value>>())
}
