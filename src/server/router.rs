//! From method and path to a handler, with the access each route wants.
//!
//! A tree of segments: literals win over `{name}`, which wins over `{name...}`. The router
//! never reads a body and never answers by itself; it says what was found.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use super::{HttpError, Method, Request, Response, StatusCode};

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
pub type ErrorShape = fn(&HttpError, &Asked) -> Response;

/// What was asked for, for errors that repeat it.
pub struct Asked<'a> {
    pub method: &'a Method,
    /// As sent, with its query.
    pub target: &'a str,
}

pub(super) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response, HttpError>>>>;
type Handler = Rc<dyn Fn(Request) -> HandlerFuture>;

#[derive(Default)]
pub struct Router {
    root: Node,
    routes: Vec<Rc<RouteCell>>,
    shapes: Vec<(&'static str, ErrorShape)>,
    open_to_pages: Vec<&'static str>,
}

/// One entry of the table, for documentation tests and metrics.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    pub pattern: &'static str,
    pub access: Access,
    /// Whether a call takes a token of the caller's rate limit.
    pub counted: bool,
}

pub(super) struct RouteCell {
    pub route: std::cell::RefCell<Route>,
    pub handler: Handler,
}

/// Set marks on a route just made.
pub struct RouteMarks(Rc<RouteCell>);

impl RouteMarks {
    /// Calls do not count against the rate limit: health, static files, open sockets.
    pub fn uncounted(self) -> RouteMarks {
        self.0.route.borrow_mut().counted = false;
        self
    }
}

#[derive(Default)]
struct Node {
    literals: BTreeMap<&'static str, Node>,
    param: Option<Box<(&'static str, Node)>>,
    rest: Option<(&'static str, Methods)>,
    methods: Methods,
}

type Methods = Vec<(Method, usize)>;

/// What the table knows of a method and path.
pub(super) enum Found {
    Route {
        route: Rc<RouteCell>,
        params: Vec<(&'static str, String)>,
    },
    /// The path is known, the method is not: the methods of `Allow`.
    OtherMethods(String),
    Nothing,
}

impl Router {
    /// `pattern` has literal segments, `{name}` for one segment, `{name...}` for the rest.
    /// A GET route answers HEAD too. Panics when the pattern is malformed or taken, which is a
    /// mistake of the program and seen at its first start.
    pub fn route<H, F>(
        &mut self,
        method: Method,
        pattern: &'static str,
        access: Access,
        handler: H,
    ) -> RouteMarks
    where
        H: Fn(Request) -> F + 'static,
        F: Future<Output = Result<Response, HttpError>> + 'static,
    {
        let index = self.routes.len();
        let methods = self.root.leaf(pattern);
        assert!(
            methods.iter().all(|(known, _)| *known != method),
            "the route {method} {pattern} is declared twice"
        );
        methods.push((method.clone(), index));
        let cell = Rc::new(RouteCell {
            route: std::cell::RefCell::new(Route {
                method,
                pattern,
                access,
                counted: true,
            }),
            handler: Rc::new(move |request| Box::pin(handler(request))),
        });
        self.routes.push(cell.clone());
        RouteMarks(cell)
    }

    /// Errors below `prefix` take this shape; the longest prefix wins.
    pub fn errors_of(&mut self, prefix: &'static str, shape: ErrorShape) {
        self.shapes.push((prefix, shape));
    }

    /// Pages of every origin may call what is below `prefix`: for protocols whose callers show a
    /// token with each call, which a browser never does by itself.
    pub fn open_to_pages(&mut self, prefix: &'static str) {
        self.open_to_pages.push(prefix);
    }

    /// The whole table in the order of declaration.
    pub fn routes(&self) -> Vec<Route> {
        self.routes
            .iter()
            .map(|cell| cell.route.borrow().clone())
            .collect()
    }

    /// The pattern and decoded parameters of a call, without running it.
    pub fn resolve(
        &self,
        method: &Method,
        segments: &[String],
    ) -> Option<(&'static str, Vec<(&'static str, String)>)> {
        match self.find(method, segments) {
            Found::Route { route, params } => Some((route.route.borrow().pattern, params)),
            _ => None,
        }
    }

    pub(super) fn find(&self, method: &Method, segments: &[String]) -> Found {
        let mut params = Vec::new();
        let mut other: Option<&Methods> = None;
        let index = self.root.find(method, segments, &mut params, &mut other);
        match (index, other) {
            (Some(index), _) => Found::Route {
                route: self.routes[index].clone(),
                params,
            },
            (None, Some(methods)) => Found::OtherMethods(allow(methods)),
            (None, None) => Found::Nothing,
        }
    }

    pub(super) fn is_open_to_pages(&self, path: &str) -> bool {
        let mut prefixes = self.open_to_pages.iter();
        prefixes.any(|prefix| path.starts_with(prefix))
    }

    pub(super) fn shape_of(&self, path: &str) -> ErrorShape {
        self.shapes
            .iter()
            .filter(|(prefix, _)| path.starts_with(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(default_shape as ErrorShape, |(_, shape)| *shape)
    }
}

impl Node {
    fn leaf(&mut self, pattern: &'static str) -> &mut Methods {
        let path = pattern
            .strip_prefix('/')
            .unwrap_or_else(|| panic!("the route pattern {pattern:?} has to begin with /"));
        let mut node = self;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let Some(name) = part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            else {
                node = node.literals.entry(part).or_default();
                continue;
            };
            if let Some(name) = name.strip_suffix("...") {
                assert!(
                    parts.peek().is_none(),
                    "{{...}} has to end the pattern {pattern:?}"
                );
                return &mut node.rest.get_or_insert((name, Vec::new())).1;
            }
            let (known, next) = &mut **node
                .param
                .get_or_insert_with(|| Box::new((name, Node::default())));
            assert!(
                *known == name,
                "{pattern:?} calls {{{name}}} what another pattern calls {{{known}}}"
            );
            node = next;
        }
        &mut node.methods
    }

    fn find<'n>(
        &'n self,
        method: &Method,
        segments: &[String],
        params: &mut Vec<(&'static str, String)>,
        other: &mut Option<&'n Methods>,
    ) -> Option<usize> {
        let Some((first, rest)) = segments.split_first() else {
            return pick(&self.methods, method, other);
        };
        if let Some(node) = self.literals.get(first.as_str())
            && let Some(index) = node.find(method, rest, params, other)
        {
            return Some(index);
        }
        if let Some(param) = &self.param
            && !first.is_empty()
        {
            params.push((param.0, first.clone()));
            if let Some(index) = param.1.find(method, rest, params, other) {
                return Some(index);
            }
            params.pop();
        }
        let (name, methods) = self.rest.as_ref()?;
        // A slash that was percent-encoded is part of a name, never a way to another folder.
        if segments.iter().any(|segment| segment.contains(['/', '\\'])) {
            return None;
        }
        let index = pick(methods, method, other)?;
        params.push((name, segments.join("/")));
        Some(index)
    }
}

fn pick<'n>(
    methods: &'n Methods,
    method: &Method,
    other: &mut Option<&'n Methods>,
) -> Option<usize> {
    let by = |wanted: &Method| {
        methods
            .iter()
            .find(|(known, _)| known == wanted)
            .map(|(_, index)| *index)
    };
    let found = by(method).or_else(|| (method == Method::HEAD).then(|| by(&Method::GET))?);
    if found.is_none() && !methods.is_empty() && other.is_none() {
        *other = Some(methods);
    }
    found
}

fn allow(methods: &Methods) -> String {
    let mut names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    if !names.contains(&"OPTIONS") {
        names.push("OPTIONS");
    }
    names.join(", ")
}

/// `{"success":false,"error":{"code","message"}}`.
fn default_shape(error: &HttpError, _: &Asked) -> Response {
    #[derive(serde::Serialize)]
    struct Envelope<'a> {
        success: bool,
        error: Told<'a>,
    }
    #[derive(serde::Serialize)]
    struct Told<'a> {
        code: &'a str,
        message: &'a str,
    }
    let envelope = Envelope {
        success: false,
        error: Told {
            code: error.code,
            message: &error.message,
        },
    };
    Response::json(error.status, &envelope)
}

pub(super) fn not_found(path: &str) -> HttpError {
    HttpError::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        format!(
            "There is nothing at {}; check the path.",
            path.chars().take(200).collect::<String>()
        ),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::parse_path;
    use super::*;

    fn table() -> Router {
        let mut router = Router::default();
        for (method, pattern) in [
            (Method::GET, "/"),
            (Method::GET, "/memories"),
            (Method::POST, "/memories"),
            (Method::GET, "/memories/search"),
            (Method::GET, "/memories/{id}"),
            (Method::DELETE, "/memories/{id}"),
            (Method::GET, "/memories/{id}/audio"),
            (Method::GET, "/files/{path...}"),
        ] {
            router.route(method, pattern, Access::Public, |_| async {
                Ok(Response::text(StatusCode::OK, "ok"))
            });
        }
        router
    }

    #[test]
    fn each_call_finds_its_pattern() {
        let router = table();
        for (method, path, expected) in [
            (Method::GET, "/", Some("/")),
            (Method::HEAD, "/memories", Some("/memories")),
            (Method::GET, "/memories/search", Some("/memories/search")),
            (Method::DELETE, "/memories/search", Some("/memories/{id}")),
            (Method::GET, "/memories/a%2Fb", Some("/memories/{id}")),
            (
                Method::GET,
                "/memories/a/audio",
                Some("/memories/{id}/audio"),
            ),
            (Method::GET, "/memories/", None),
            (Method::GET, "/files/a/b.js", Some("/files/{path...}")),
            (Method::GET, "/files/a%2Fb.js", None),
            (Method::GET, "/nothing", None),
            (Method::PUT, "/memories", None),
        ] {
            let segments = parse_path(path).expect(path);
            let found = router.resolve(&method, &segments);
            assert_eq!(
                found.map(|(pattern, _)| pattern),
                expected,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn an_unknown_method_learns_which_are_allowed() {
        let segments = parse_path("/memories/7").expect("a good path");
        let Found::OtherMethods(allow) = table().find(&Method::PUT, &segments) else {
            panic!("the path is known");
        };
        assert_eq!(allow, "GET, DELETE, HEAD, OPTIONS");
    }

    #[test]
    fn the_longest_prefix_shapes_an_error() {
        fn teapot(_: &HttpError, _: &Asked) -> Response {
            Response::text(StatusCode::IM_A_TEAPOT, "")
        }
        let mut router = table();
        router.errors_of("/v1/", default_shape);
        router.errors_of("/v1/tea", teapot);
        let error = not_found("/v1/tea/pot");
        let method = &Method::GET;
        let status =
            |target: &str| router.shape_of(target)(&error, &Asked { method, target }).status;
        assert_eq!(status("/v1/tea/pot"), StatusCode::IM_A_TEAPOT);
        assert_eq!(status("/v1/coffee"), StatusCode::NOT_FOUND);
        assert_eq!(status("/"), StatusCode::NOT_FOUND);
    }

    proptest! {
        #[test]
        fn a_parameter_is_what_was_sent(id in "[^/\\\\.\\x00-\\x1f\\x7f-\\x9f]{1,20}") {
            prop_assume!(id != "search");
            let encoded: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let segments = parse_path(&format!("/memories/{encoded}")).expect("encoded is valid");
            let (pattern, params) = table().resolve(&Method::GET, &segments).expect("a known route");
            prop_assert_eq!(pattern, "/memories/{id}");
            prop_assert_eq!(params, vec![("id", id)]);
        }
    }
}
