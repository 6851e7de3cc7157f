//! How a phone comes to trust the box's certificate: a page that explains it, and the
//! certificate in the forms phones take.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{AuthorityCertificate, House};
use crate::server::{Access, HeaderValue, HttpError, Method, Response, Router, StatusCode, header};

const PAGE: &str = include_str!("../../web/trust.html");

/// As other pages, but this one may also try the secure port of the same box, to say whether
/// the certificate is trusted.
const POLICY: &str = "default-src 'self'; connect-src 'self' https:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub(super) fn routes(router: &mut Router, house: &House) {
    let mut add = |path, answer: fn(&AuthorityCertificate, &str) -> Response| {
        let house = house.clone();
        router
            .route(Method::GET, path, Access::Public, move |_| {
                let authority = house.0.authority.as_ref().ok_or_else(no_authority);
                let answer = authority.map(|authority| answer(authority, &house.0.label));
                std::future::ready(answer)
            })
            .uncounted();
    };
    add("/trust", page);
    add("/ca.crt", certificate);
    add("/magpie.mobileconfig", profile);
}

fn page(authority: &AuthorityCertificate, label: &str) -> Response {
    let text = PAGE
        .replace("{{fingerprint}}", &escaped(&authority.fingerprint))
        .replace("{{label}}", &escaped(label));
    Response::html(StatusCode::OK, text).with(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    )
}

fn certificate(authority: &AuthorityCertificate, label: &str) -> Response {
    let content_type = "application/x-x509-ca-cert";
    let answer = Response::bytes(StatusCode::OK, content_type, authority.der.clone());
    as_file(answer, &format!("{label}-ca.crt"))
}

/// A configuration profile of Apple's for one root certificate.
fn profile(authority: &AuthorityCertificate, label: &str) -> Response {
    let (outer, inner) = (uuid(authority, 0), uuid(authority, 1));
    let (label_text, data) = (escaped(label), STANDARD.encode(&authority.der));
    let text = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>com.apple.security.root</string>
<key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>magpie.{inner}</string>
<key>PayloadUUID</key><string>{inner}</string>
<key>PayloadDisplayName</key><string>{label_text}</string>
<key>PayloadCertificateFileName</key><string>ca.crt</string>
<key>PayloadContent</key><data>{data}</data>
</dict></array>
<key>PayloadType</key><string>Configuration</string>
<key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>magpie.{outer}</string>
<key>PayloadUUID</key><string>{outer}</string>
<key>PayloadDisplayName</key><string>{label_text}</string>
<key>PayloadDescription</key><string>Lets this device talk to the box {label_text} in your house.</string>
</dict></plist>
"#
    );
    let content_type = "application/x-apple-aspen-config";
    let answer = Response::bytes(StatusCode::OK, content_type, text);
    as_file(answer, &format!("{label}.mobileconfig"))
}

fn no_authority() -> HttpError {
    HttpError::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "This box has no certificate of its own: HTTPS is off, or TLS_CERT_FILE names one from elsewhere.",
    )
}

fn as_file(answer: Response, name: &str) -> Response {
    let plain: String = name
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || ".-_".contains(*letter))
        .collect();
    match HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"")) {
        Ok(value) => answer.with(header::CONTENT_DISPOSITION, value),
        Err(_) => answer,
    }
}

/// The same for the same certificate, so that installing again replaces.
fn uuid(authority: &AuthorityCertificate, number: u8) -> String {
    let digest = Sha256::new()
        .chain_update(&authority.der)
        .chain_update([number])
        .finalize();
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// For text in HTML and XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
