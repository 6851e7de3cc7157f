//! Where an update is read from: a file, or a server that is asked for it.
//!
//! What comes need not be trusted, since it is signed; so plain HTTP is allowed, for a computer at
//! home. A server that was asked over TLS must not send the box to one without.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::limits::{
    CONNECT_TIMEOUT, UPDATE_FETCH_IDLE, UPDATE_FETCH_TOTAL, UPDATE_PIECE_BYTES,
    UPDATE_REDIRECTS_MAX,
};
use crate::outbound::{CallLimits, CallRequest, Outbound, StreamBody, StreamResponse};

pub fn is_url(from: &str) -> bool {
    from.starts_with("https://") || from.starts_with("http://")
}

pub fn file(path: &Path) -> Result<impl BufRead, String> {
    let file =
        File::open(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(BufReader::with_capacity(UPDATE_PIECE_BYTES, file))
}

/// A download, read by a thread that has nothing else to do.
pub struct Download {
    piece: Bytes,
    body: StreamBody,
    turns: LocalSet,
    runtime: Runtime,
}

pub fn url(url: &str, outbound: &Outbound) -> Result<impl BufRead, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the event loop could not be started: {error}"))?;
    let turns = LocalSet::new();
    let answer = turns.block_on(&runtime, ask(url, outbound))?;
    let download = Download {
        piece: Bytes::new(),
        body: answer.body,
        turns,
        runtime,
    };
    Ok(BufReader::with_capacity(UPDATE_PIECE_BYTES, download))
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let next = self.turns.block_on(&self.runtime, self.body.chunk());
            match next.map_err(|error| io::Error::other(error.to_string()))? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

async fn ask(url: &str, outbound: &Outbound) -> Result<StreamResponse, String> {
    let mut url = url.to_owned();
    for _ in 0..=UPDATE_REDIRECTS_MAX {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("magpie"));
        let request = CallRequest {
            method: Method::GET,
            url: url.clone(),
            headers,
            body: Bytes::new(),
            limits: CallLimits {
                connect: CONNECT_TIMEOUT,
                idle: UPDATE_FETCH_IDLE,
                total: UPDATE_FETCH_TOTAL,
                ..CallLimits::default()
            },
        };
        let answer = outbound
            .stream(request)
            .await
            .map_err(|error| error.to_string())?;
        match answer.status.as_u16() {
            200 => return Ok(answer),
            301 | 302 | 303 | 307 | 308 => url = next(&url, &answer.headers)?,
            404 => return Err(String::from("the server has no such file")),
            other => return Err(format!("the server answered {other} instead of the update")),
        }
    }
    Err(String::from(
        "the server sends the box from one place to the next",
    ))
}

/// Where a redirect leads.
fn next(from: &str, headers: &HeaderMap) -> Result<String, String> {
    let strange = || String::from("the server sends the box to a place that is none");
    let to = headers
        .get(header::LOCATION)
        .and_then(|place| place.to_str().ok());
    let to = to.ok_or_else(strange)?;
    if is_url(to) {
        if from.starts_with("https://") && !to.starts_with("https://") {
            return Err(String::from(
                "the server sends the box to a place without TLS",
            ));
        }
        return Ok(to.to_owned());
    }
    // A path on the same server; nobody sends one relative to the present folder.
    let from: Uri = from.parse().map_err(|_| strange())?;
    let (Some(scheme), Some(authority)) = (from.scheme_str(), from.authority()) else {
        return Err(strange());
    };
    match to.starts_with('/') && !to.starts_with("//") {
        true => Ok(format!("{scheme}://{authority}{to}")),
        false => Err(strange()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_a_url_or_a_path_and_never_out_of_tls() {
        let to = |from: &str, place: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, place.parse().unwrap());
            next(from, &headers)
        };
        let from = "https://example.org/latest?x=1";
        assert_eq!(
            to(from, "https://b.example.org/f").unwrap(),
            "https://b.example.org/f"
        );
        assert_eq!(to(from, "/f?y").unwrap(), "https://example.org/f?y");
        for strange in [
            "http://example.org/f",
            "//b.example.org/f",
            "ftp://x/f",
            "f",
            "",
        ] {
            assert!(to(from, strange).is_err(), "{strange:?}");
        }
        assert!(next(from, &HeaderMap::new()).is_err());
        assert!(to("http://box/", "http://other/").is_ok());
    }
}
