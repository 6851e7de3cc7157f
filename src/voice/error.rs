//! What can go wrong in the voice room, and the one table of what a client is told about it.

use crate::server::{HttpError, StatusCode};
use crate::store::StoreError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoiceError {
    /// The client's fault: names the field and what is allowed.
    Invalid(String),
    /// What was looked for, e.g. `memory mem_0123456789abcdef`.
    NotFound(String),
    Conflict(String),
    /// More turns than a minute may have.
    TooMany(String),
    Muted,
    Ai(String),
    Stt(String),
    Tts(String),
    Audio(String),
    /// Which wait passed its limit.
    Timeout(&'static str),
    /// No room for another recording or job; what is there stays.
    Full(String),
    Store(StoreError),
}

/// How an error looks from outside.
pub struct ErrorLine {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// Seconds, where the same request may succeed later.
    pub retry_after_s: Option<u32>,
}

impl VoiceError {
    /// The table. Messages of storage errors carry no SQL: the log has it.
    pub fn line(&self) -> ErrorLine {
        use StatusCode as S;
        let line = |status, code, message: &str, retry_after_s| ErrorLine {
            status,
            code,
            message: message.to_string(),
            retry_after_s,
        };
        match self {
            VoiceError::Invalid(what) => line(S::BAD_REQUEST, "INVALID_REQUEST", what, None),
            VoiceError::NotFound(what) => line(
                S::NOT_FOUND,
                "NOT_FOUND",
                &format!("There is no {what}."),
                None,
            ),
            VoiceError::Conflict(what) => line(S::CONFLICT, "CONFLICT", what, None),
            VoiceError::TooMany(what) => {
                line(S::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", what, Some(60))
            }
            VoiceError::Muted => line(
                S::CONFLICT,
                "MUTED",
                "The microphone is muted. Unmute the box first.",
                None,
            ),
            VoiceError::Ai(what) => line(S::INTERNAL_SERVER_ERROR, "AI_ERROR", what, None),
            VoiceError::Stt(what) => line(S::INTERNAL_SERVER_ERROR, "STT_ERROR", what, None),
            VoiceError::Tts(what) => line(S::INTERNAL_SERVER_ERROR, "TTS_ERROR", what, None),
            VoiceError::Audio(what) => line(S::SERVICE_UNAVAILABLE, "AUDIO_DEVICE", what, Some(5)),
            VoiceError::Timeout(what) => line(
                S::GATEWAY_TIMEOUT,
                "PROVIDER_TIMEOUT",
                &format!("Waited too long for {what}. Try again."),
                Some(1),
            ),
            VoiceError::Full(what) => line(S::INSUFFICIENT_STORAGE, "STORAGE_FULL", what, None),
            VoiceError::Store(error) => match error {
                StoreError::Busy => line(
                    S::SERVICE_UNAVAILABLE,
                    "DATABASE_ERROR",
                    "The box is busy storing. Try again in a second.",
                    Some(1),
                ),
                StoreError::Timeout => line(
                    S::SERVICE_UNAVAILABLE,
                    "DATABASE_ERROR",
                    "The search took too long and was ended. Ask for less.",
                    Some(1),
                ),
                StoreError::Full => line(
                    S::INSUFFICIENT_STORAGE,
                    "STORAGE_FULL",
                    "The card is full: nothing was stored. Make room and try again.",
                    None,
                ),
                StoreError::Closed => line(
                    S::SERVICE_UNAVAILABLE,
                    "DATABASE_ERROR",
                    "The box is shutting down. Try again when it is back.",
                    Some(5),
                ),
                StoreError::ReadOnly => line(
                    S::INTERNAL_SERVER_ERROR,
                    "DATABASE_ERROR",
                    "The card is read-only: nothing was stored. Run `magpie doctor`.",
                    None,
                ),
                StoreError::Corrupt(_) => line(
                    S::INTERNAL_SERVER_ERROR,
                    "DATABASE_ERROR",
                    "The database is damaged. Run `magpie doctor`.",
                    None,
                ),
                StoreError::Io(_)
                | StoreError::Constraint(_)
                | StoreError::Panicked
                | StoreError::Sql(_) => line(
                    S::INTERNAL_SERVER_ERROR,
                    "DATABASE_ERROR",
                    "The database could not do this; nothing was stored. The log says why.",
                    None,
                ),
            },
        }
    }
}

impl VoiceError {
    /// For people who speak `language`: Chinese, or English as everywhere else. What names a field
    /// is for programs and stays as it is.
    pub fn told(&self, language: Option<&str>) -> String {
        if language != Some("zh") {
            return self.line().message;
        }
        let told = match self {
            VoiceError::Invalid(_) | VoiceError::NotFound(_) | VoiceError::Conflict(_) => {
                return self.line().message;
            }
            VoiceError::TooMany(_) => "问得太快了，请过一分钟再试。",
            VoiceError::Muted => "麦克风已静音，请先取消静音。",
            VoiceError::Ai(_) => "语言模型暂时答不上来，请稍后再试。",
            VoiceError::Stt(_) => "没能听懂，语音识别出了问题，请稍后再试。",
            VoiceError::Tts(_) => "回答暂时读不出来，请看文字。",
            VoiceError::Audio(_) => "盒子的麦克风或扬声器暂时不能用。",
            VoiceError::Timeout(_) => "等得太久了，请再试一次。",
            VoiceError::Full(_) => "存储空间不足，没有保存。请先腾出空间。",
            VoiceError::Store(StoreError::Full) => "存储卡已满，没有保存。请先腾出空间。",
            VoiceError::Store(_) => "盒子没能保存或读取，请稍后再试。",
        };
        told.to_owned()
    }
}

impl std::fmt::Display for VoiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VoiceError::Store(error) => write!(f, "store: {error:?}"),
            other => f.write_str(&other.line().message),
        }
    }
}

impl std::error::Error for VoiceError {}

impl From<StoreError> for VoiceError {
    fn from(error: StoreError) -> VoiceError {
        VoiceError::Store(error)
    }
}

impl From<VoiceError> for HttpError {
    fn from(error: VoiceError) -> HttpError {
        let line = error.line();
        if line.status.is_server_error() {
            log::warn!("voice request failed code={} error=\"{error}\"", line.code);
        }
        let mut out = HttpError::new(line.status, line.code, line.message);
        out.retry_after_s = line.retry_after_s;
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_errors_tell_what_to_do_and_show_no_sql() {
        let secret = String::from("SELECT secret FROM somewhere");
        for error in [
            StoreError::Io(secret.clone()),
            StoreError::Corrupt(secret.clone()),
            StoreError::Constraint(secret.clone()),
            StoreError::Sql(secret.clone()),
        ] {
            let line = VoiceError::Store(error).line();
            assert_eq!(line.code, "DATABASE_ERROR");
            assert!(!line.message.contains("SELECT"), "{}", line.message);
        }
        assert_eq!(
            VoiceError::Store(StoreError::Full).line().status,
            StatusCode::INSUFFICIENT_STORAGE
        );
    }

    #[test]
    fn people_are_told_in_their_language_and_without_words_of_the_inside() {
        let late = VoiceError::Timeout("the voice");
        assert_eq!(late.told(Some("zh")), "等得太久了，请再试一次。");
        for language in [None, Some("en")] {
            assert_eq!(
                late.told(language),
                "Waited too long for the voice. Try again."
            );
        }
        let field = VoiceError::Invalid(String::from("`q` is missing"));
        assert_eq!(field.told(Some("zh")), "`q` is missing");
    }

    #[test]
    fn what_may_succeed_later_says_when() {
        let busy = HttpError::from(VoiceError::Store(StoreError::Busy));
        assert_eq!((busy.status.as_u16(), busy.retry_after_s), (503, Some(1)));
        let invalid = HttpError::from(VoiceError::Invalid(String::from("`q` is missing")));
        assert_eq!(
            (invalid.status.as_u16(), invalid.retry_after_s),
            (400, None)
        );
    }
}
