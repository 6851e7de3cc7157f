//! gzip for text answers, where it is worth it and cheap enough for the loop.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Body, HeaderMap, HeaderValue, Response, StatusCode, header};
use crate::limits;

/// Whether `Accept-Encoding` wants gzip (RFC 9110 section 12.5.3).
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = None;
    for part in headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
    {
        let mut words = part.split(';').map(str::trim);
        let name = words.next().unwrap_or("");
        let refused = words.any(|word| {
            word.strip_prefix("q=")
                .and_then(|quality| quality.parse::<f32>().ok())
                .is_some_and(|quality| quality <= 0.0)
        });
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            return !refused;
        }
        if name == "*" {
            any = Some(!refused);
        }
    }
    any.unwrap_or(false)
}

/// Compresses a whole text answer in place, unless it is small, large, or already encoded.
/// Beyond [`limits::COMPRESS_BYTES_MAX`] the work would hold the loop, so it leaves as it is.
pub(super) fn gzip(response: &mut Response) {
    let Body::Bytes(bytes) = &response.body else {
        return;
    };
    let size = limits::COMPRESS_BYTES_MIN..=limits::COMPRESS_BYTES_MAX;
    if !size.contains(&bytes.len())
        || !is_text(response.content_type())
        || response.headers.contains_key(header::CONTENT_ENCODING)
        || response.status == StatusCode::PARTIAL_CONTENT
    {
        return;
    }
    if let Some(packed) = pack(bytes, Compression::fast()) {
        response.body = Body::Bytes(packed);
        response
            .headers
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
        .headers
        .append(header::VARY, HeaderValue::from_static("accept-encoding"));
}

/// The packed bytes, where they are fewer.
pub(super) fn pack(bytes: &[u8], level: Compression) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len()).then(|| packed.into())
}

pub(super) fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence != "text/event-stream"
        && (essence.starts_with("text/")
            || essence.ends_with("+json")
            || essence.ends_with("+xml")
            || matches!(
                essence,
                "application/json" | "application/javascript" | "application/manifest+json"
            ))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn accept_encoding_is_read_as_the_standard_says() {
        for (value, expected) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("deflate, br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(accepts_gzip(&headers), expected, "{value}");
        }
    }

    #[test]
    fn packed_text_unpacks_to_itself_and_other_answers_are_left_alone() {
        let text = "a magpie in the hand ".repeat(200);
        let mut response = Response::text(StatusCode::OK, text.clone());
        gzip(&mut response);
        let Body::Bytes(packed) = &response.body else {
            panic!("a text stays a text");
        };
        assert!(packed.len() < text.len() / 10);
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_string(&mut unpacked)
            .expect("valid gzip");
        assert_eq!(unpacked, text);

        for mut other in [
            Response::text(StatusCode::OK, "short"),
            Response::bytes(StatusCode::OK, "audio/wav", vec![0; 4096]),
            Response::text(StatusCode::PARTIAL_CONTENT, text.clone()),
            Response::text(StatusCode::OK, "x".repeat(limits::COMPRESS_BYTES_MAX + 1)),
        ] {
            gzip(&mut other);
            assert!(!other.headers.contains_key(header::CONTENT_ENCODING));
        }
    }
}
