//! How a call comes in: its route, its body, its query.

use std::future::Future;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::Happy;
use super::answer::{Answer, SYNTAX_ERROR, Shown};
use crate::limits;
use crate::scope;
use crate::server::{Access, HttpError, Method, Request, RequestHead, Router, StatusCode, header};

impl Happy {
    /// A route of the protocol. The door lets anybody through: tokens and limits are the room's
    /// own, [`Happy::account`] for those who have one and [`Happy::limit_stranger`] for others.
    ///
    /// A call comes to its end when whoever made it goes away meanwhile: what it wrote is to be told
    /// to others, and is not told again when the client repeats it.
    pub(super) fn route<H, F>(
        &self,
        router: &mut Router,
        method: Method,
        path: &'static str,
        handler: H,
    ) where
        H: Fn(Happy, Request) -> F + 'static,
        F: Future<Output = Answer> + 'static,
    {
        let happy = self.clone();
        let handle = move |request: Request| {
            let (happy, shown) = (happy.clone(), Shown::by(&request.head));
            let work = scope::within(scope::current(), handler(happy.clone(), request));
            let working = tokio::task::spawn_local(work);
            async move {
                match working.await {
                    Ok(answer) => happy.count_misshapen(&shown, answer),
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => Err(HttpError::busy("The box is stopping; try again.", 1)),
                    },
                }
            }
        };
        router
            .route(method, path, Access::Public, handle)
            .uncounted();
    }
}

impl Happy {
    /// What a call is made of is looked at before its token, as by the original server: whoever
    /// shows none is counted there too.
    fn count_misshapen(&self, shown: &Shown, answer: Answer) -> Answer {
        let is_misshapen = |error: &HttpError| {
            let statuses = [
                StatusCode::BAD_REQUEST,
                StatusCode::PAYLOAD_TOO_LARGE,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ];
            statuses.contains(&error.status)
        };
        if answer.as_ref().is_err_and(is_misshapen) {
            self.count_unless_known(shown)?;
        }
        answer
    }
}

/// The body's JSON object, of a size that no small call exceeds.
pub async fn body<T: DeserializeOwned>(request: &mut Request) -> Result<T, HttpError> {
    body_of(request, limits::BODY_BYTES_DEFAULT).await
}

/// The body's JSON object, as large as an account may send it. Of whoever shows no good token no
/// more is read than of a small call.
pub async fn large_body<T: DeserializeOwned>(
    happy: &Happy,
    request: &mut Request,
) -> Result<T, HttpError> {
    let bytes_max = match happy.has_token(&request.head)? {
        true => limits::HAPPY_BODY_BYTES_MAX,
        false => limits::BODY_BYTES_DEFAULT,
    };
    let found = body_of(request, bytes_max).await;
    if let Err(error) = &found
        && error.status == StatusCode::PAYLOAD_TOO_LARGE
    {
        // To a stranger the token is what is wrong.
        happy.account(&request.head)?;
    }
    found
}

/// The body's JSON object of at most `bytes_max`. Clients say that their empty bodies are JSON,
/// which is an object without fields.
async fn body_of<T: DeserializeOwned>(
    request: &mut Request,
    bytes_max: usize,
) -> Result<T, HttpError> {
    let kind = BodyKind::of(&request.head)?;
    let body = request.body(bytes_max).await?;
    match kind {
        BodyKind::Json => parse(&body),
        BodyKind::Other => Err(HttpError::invalid("The body has to be a JSON object.")),
    }
}

/// Refuses a text that is larger than any client makes it; a client that is told so by the status
/// of a body too large does not send it again.
pub fn want_size<'a>(
    texts: impl IntoIterator<Item = Option<&'a String>>,
    bytes_max: usize,
) -> Result<(), HttpError> {
    match texts
        .into_iter()
        .flatten()
        .any(|text| text.len() > bytes_max)
    {
        true => Err(HttpError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PAYLOAD_TOO_LARGE",
            format!("One of the texts has more than {bytes_max} bytes; send less."),
        )),
        false => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum BodyKind {
    Json,
    /// None was sent, or text: well-formed, and never what a call takes.
    Other,
}

impl BodyKind {
    fn of(head: &RequestHead) -> Result<BodyKind, HttpError> {
        let Some(sent) = head.headers.get(header::CONTENT_TYPE) else {
            return Ok(BodyKind::Other);
        };
        let sent = sent.to_str().unwrap_or("").to_ascii_lowercase();
        match sent.split(';').next().unwrap_or("").trim() {
            "application/json" => Ok(BodyKind::Json),
            "text/plain" => Ok(BodyKind::Other),
            _ => Err(HttpError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "The body has to be JSON with the header Content-Type: application/json.",
            )),
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    let body = match body.trim_ascii() {
        b"" => b"{}",
        body => body,
    };
    // A list would pass for the fields of a struct in their order.
    let found = match body.starts_with(b"{") {
        true => serde_json::from_slice(body)
            .map_err(|error| format!("The body is not as expected: {error}.")),
        false => Err(String::from("The body has to be a JSON object.")),
    };
    found.map_err(|text| match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => HttpError::invalid(text),
        Err(_) => HttpError::new(
            StatusCode::BAD_REQUEST,
            SYNTAX_ERROR,
            "The body is no JSON.",
        ),
    })
}

/// A field that may be null and may not be absent.
pub fn nullable<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer)
}

/// A field that may be absent and may not be null.
pub fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A whole number of the query between the two, where it is there.
pub fn number(request: &Request, name: &str, min: i64, max: i64) -> Result<Option<i64>, HttpError> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(HttpError::invalid(format!(
            "{name} has to be a whole number from {min} to {max}."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Named {
        #[serde(default)]
        name: Option<String>,
    }

    #[test]
    fn a_body_is_an_object_and_broken_json_is_told_apart_from_wrong_fields() {
        for (body, code) in [
            ("", None),
            (" \n", None),
            ("{}", None),
            (" {\"name\":\"x\",\"more\":[1]}", None),
            ("{\"name\":", Some(SYNTAX_ERROR)),
            ("{\"name\":5", Some(SYNTAX_ERROR)),
            ("{} {}", Some(SYNTAX_ERROR)),
            ("\u{fe}", Some(SYNTAX_ERROR)),
            ("{\"name\":5}", Some("INVALID_REQUEST")),
            ("[]", Some("INVALID_REQUEST")),
            ("[\"x\"]", Some("INVALID_REQUEST")),
            ("null", Some("INVALID_REQUEST")),
            ("\"x\"", Some("INVALID_REQUEST")),
        ] {
            let found = parse::<Named>(body.as_bytes());
            assert_eq!(found.err().map(|error| error.code), code, "{body:?}");
        }
        let named: Named = parse(b"{\"name\":\"x\"}").expect("an object");
        assert_eq!(named.name.as_deref(), Some("x"));
    }
}
