//! The page and its parts, compiled into the binary.

use sha2::{Digest, Sha256};

use crate::server::{Access, HeaderValue, Method, Request, Response, Router, StatusCode, header};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

/// Path, type, content.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("../../web/index.html")),
    ("/style.css", STYLE, include_str!("../../web/style.css")),
    ("/app.js", SCRIPT, include_str!("../../web/app.js")),
    ("/link.js", SCRIPT, include_str!("../../web/link.js")),
    ("/sound.js", SCRIPT, include_str!("../../web/sound.js")),
    ("/capture.js", SCRIPT, include_str!("../../web/capture.js")),
    ("/words.js", SCRIPT, include_str!("../../web/words.js")),
    (
        "/i18n/en.json",
        JSON,
        include_str!("../../web/i18n/en.json"),
    ),
    (
        "/i18n/zh.json",
        JSON,
        include_str!("../../web/i18n/zh.json"),
    ),
    ("/icon.svg", SVG, include_str!("../../web/icon.svg")),
];

/// For the document of the interface.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|file| file.0)
}

pub(super) fn routes(router: &mut Router) {
    for (path, content_type, text) in FILES {
        let tag = entity_tag(text);
        router
            .route(Method::GET, path, Access::Public, move |request| {
                let answer = answer(&request, content_type, text, &tag);
                std::future::ready(Ok(answer))
            })
            .uncounted();
    }
}

fn answer(
    request: &Request,
    content_type: &'static str,
    text: &'static str,
    tag: &HeaderValue,
) -> Response {
    let known = request
        .head
        .header("if-none-match")
        .is_some_and(|sent| sent.split(',').any(|one| one.trim() == *tag));
    let answer = if known {
        Response::empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::bytes(StatusCode::OK, content_type, text)
    };
    answer
        .with(header::ETAG, tag.clone())
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

/// Weak, because the door may compress what it names (RFC 9110 section 8.8.1).
fn entity_tag(text: &str) -> HeaderValue {
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Hex digits in quotes are always a header value.
    HeaderValue::from_str(&format!("W/\"{hex}\"")).unwrap_or(HeaderValue::from_static("W/\"0\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_words_with_the_same_gaps() {
        let words = |path: &str| -> std::collections::BTreeMap<String, String> {
            let file = FILES.iter().find(|(name, ..)| *name == path);
            serde_json::from_str(file.expect("is embedded").2).expect("is a map of strings")
        };
        let (en, zh) = (words("/i18n/en.json"), words("/i18n/zh.json"));
        assert!(en.keys().eq(zh.keys()), "the keys differ");
        let gaps = |text: &str| text.matches('{').count();
        for (key, text) in &en {
            assert_eq!(gaps(text), gaps(&zh[key]), "{key}");
        }
    }

    #[test]
    fn the_page_asks_nobody_else_and_has_nothing_inline() {
        for (path, kind, text) in FILES {
            let elsewhere = ["https://", "http://"].iter().any(|scheme| {
                text.replace("http://www.w3.org/2000/svg", "")
                    .contains(scheme)
            });
            assert!(!elsewhere, "{path} names another site");
            if kind == HTML {
                assert!(
                    !text.contains("<style") && !text.contains(" style="),
                    "{path}"
                );
                assert!(!text.contains(" onclick="), "{path}");
                let scripts = text.matches("<script").count();
                assert_eq!(
                    text.matches("<script type=\"module\" src=").count(),
                    scripts
                );
            }
        }
    }
}
