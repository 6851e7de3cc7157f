//! From method and path to a handler, with the access each route wants.

use super::{HttpError, Method, Request, Response};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// The owner or a paired device.
    Member,
    /// The owner or a device that is an admin.
    Admin,
}

/// Gives an error the form of a protocol.
pub type ErrorShape = fn(&HttpError) -> Response;

#[derive(Default)]
pub struct Router(());

impl Router {
    /// `pattern` has literal segments, `{name}` for one segment, `{name...}` for the rest.
    pub fn route<H, F>(
        &mut self,
        _method: Method,
        _pattern: &'static str,
        _access: Access,
        _handler: H,
    ) where
        H: Fn(Request) -> F + 'static,
        F: Future<Output = Result<Response, HttpError>> + 'static,
    {
        todo!()
    }

    /// Errors below `prefix` take this shape.
    pub fn errors_of(&mut self, _prefix: &'static str, _shape: ErrorShape) {
        todo!()
    }
}
