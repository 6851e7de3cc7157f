//! A request as a handler sees it: head parsed, limits kept, body not yet read.

use std::rc::Rc;

use super::{Caller, HeaderMap, HttpError, Method, Peer};

/// All of a request but its body.
pub struct RequestHead {
    /// Short random name on every log line of this request and in `x-request-id`.
    pub id: Rc<str>,
    pub method: Method,
    /// Percent-encoded as sent, without the query.
    pub path: String,
    /// Raw query without `?`.
    pub query: String,
    pub headers: HeaderMap,
    pub peer: Peer,
    /// The client's address: of the peer, or by a trusted proxy's word.
    pub client: std::net::IpAddr,
}

pub struct Request {
    pub head: RequestHead,
    pub caller: Caller,
    params: Vec<(&'static str, String)>,
}

impl Request {
    /// A `{name}` of the route, percent-decoded.
    pub fn param(&self, name: &str) -> &str {
        self.params
            .iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    }

    /// First value of a query parameter, decoded.
    pub fn query(&self, _name: &str) -> Option<String> {
        todo!()
    }

    /// The whole body, at most `bytes_max` long.
    pub async fn body(&mut self, _bytes_max: usize) -> Result<Vec<u8>, HttpError> {
        todo!()
    }

    /// A JSON body of the default limit; the error names the field that has a wrong type.
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, HttpError> {
        todo!()
    }
}
