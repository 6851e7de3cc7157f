//! The server of the set-up page: plain HTTP on the box's own Wi-Fi, for one person and some minutes.
//!
//! Whoever asks for another host is sent to the page: so phones find it by themselves. A form counts
//! only with the token of this opening, from this page, and with the end of the code; five wrong
//! ones end the opening. tiny_http has no limits of its own: bodies over 1 KiB, which it would read
//! on this thread, are not read at all, and one that has been left so ends the connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use tiny_http::{Method, Request, Server};

use super::code::Code;
use super::form::Form;
use super::html::{self, FormPage, Trouble};
use super::scan::Seen;
use crate::device::first_boot::Language;
use crate::device::first_boot::wish::is_wifi_password;
use crate::limits;

/// One opening.
pub struct Page {
    pub networks: Vec<Seen>,
    pub code: Code,
    /// Of the box.
    pub host_name: String,
    /// Why the last opening came to nothing, and what was asked for then.
    pub trouble: Option<Trouble>,
    pub ssid: String,
}

/// How an opening ended.
pub enum Ended {
    Asked(Asked),
    WrongCodes,
    /// The caller said so, or the time is over.
    Closed,
}

/// A network to be tried; its parts are within their bounds.
pub struct Asked {
    pub ssid: String,
    pub password: Option<String>,
    pub language: Language,
}

/// Answers until somebody asked for a network, or `is_over` says so; it is asked four times a second.
pub fn serve(
    listener: &TcpListener,
    page: &Page,
    is_over: &mut dyn FnMut() -> bool,
) -> io::Result<Ended> {
    let own = listener.local_addr()?;
    let mut desk = Desk {
        page,
        own: authority(own),
        token: token()?,
        wrong_codes: 0,
        forms: Vec::new(),
        bodies_left: 0,
        asked: None,
    };
    let mut pause = limits::OPS_RETRY;
    loop {
        let copy = listener.try_clone()?;
        match desk.answer_all(copy, is_over) {
            Ok(ended) => return Ok(ended),
            // tiny_http's accept ends for good on its first error.
            Err(error) => log::warn!("event=set_up_page_restarts error={error:?}"),
        }
        if is_over() {
            return Ok(Ended::Closed);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(limits::OPS_RETRY_MAX);
    }
}

struct Desk<'a> {
    page: &'a Page,
    /// What `Host` says when the page itself is meant.
    own: String,
    token: String,
    wrong_codes: u32,
    /// When the latest forms came.
    forms: Vec<Instant>,
    bodies_left: u32,
    asked: Option<(Asked, Instant)>,
}

enum Answer {
    Page(u16, String),
    Style,
    /// To the page.
    There,
    Plain(u16, &'static str),
}

impl Desk<'_> {
    fn answer_all(
        &mut self,
        listener: TcpListener,
        is_over: &mut dyn FnMut() -> bool,
    ) -> io::Result<Ended> {
        let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
        while !is_over() {
            // The phone fetches the rest of its page before its Wi-Fi goes.
            if let Some((_, at)) = &self.asked
                && at.elapsed() >= limits::SET_UP_LINGER
            {
                break;
            }
            let Some(mut request) = server.recv_timeout(Duration::from_millis(250))? else {
                continue;
            };
            if request
                .body_length()
                .is_some_and(|length| length > limits::SET_UP_BODY_BYTES_MAX)
                || is_unbounded(&request)
            {
                // Dropped, tiny_http would read it to its end, for as long as the sender likes.
                std::mem::forget(request);
                self.bodies_left += 1;
                if self.bodies_left > limits::OPS_BODIES_LEFT_MAX as u32 {
                    break;
                }
                continue;
            }
            let answer = self.answer(&mut request);
            write(request, &self.own, answer);
            if self.wrong_codes >= limits::SET_UP_WRONG_CODES_MAX {
                return Ok(Ended::WrongCodes);
            }
        }
        Ok(match self.asked.take() {
            Some((asked, _)) => Ended::Asked(asked),
            None if self.bodies_left > limits::OPS_BODIES_LEFT_MAX as u32 => Ended::WrongCodes,
            None => Ended::Closed,
        })
    }

    fn answer(&mut self, request: &mut Request) -> Answer {
        let is_own = header(request, "Host").is_some_and(|host| self.is_own(&host));
        let url = request.url().to_owned();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        match (request.method(), path) {
            (Method::Get | Method::Head, _) if !is_own => Answer::There,
            (_, _) if !is_own => Answer::Plain(421, "This is the set-up page of the box.\n"),
            (Method::Get | Method::Head, "/") => {
                let language = match query {
                    "lang=zh" => Language::Chinese,
                    "lang=en" => Language::English,
                    _ => preferred(header(request, "Accept-Language").as_deref()),
                };
                let page = self.form(language, &self.page.ssid, self.page.trouble);
                Answer::Page(200, page)
            }
            (Method::Get | Method::Head, "/style.css") => Answer::Style,
            (Method::Get | Method::Head, _) => Answer::There,
            (Method::Post, "/join") => self.join(request),
            _ => Answer::Plain(405, "Only the form of this page may be sent.\n"),
        }
    }

    fn join(&mut self, request: &mut Request) -> Answer {
        let fetched = header(request, "Sec-Fetch-Site");
        let is_from_here = header(request, "Origin").is_none_or(|origin| {
            origin
                .strip_prefix("http://")
                .is_some_and(|host| self.is_own(host))
        }) && fetched
            .is_none_or(|site| ["same-origin", "none"].contains(&site.as_str()));
        if !is_from_here {
            return Answer::Plain(403, "Another page sent this form.\n");
        }
        let mut body = Vec::new();
        let read = request
            .as_reader()
            .take(limits::SET_UP_BODY_BYTES_MAX as u64)
            .read_to_end(&mut body);
        let form = read.ok().and_then(|_| Form::read(&body));
        let Some(form) = form else {
            return Answer::Plain(
                400,
                "This is not the form of this page.
",
            );
        };
        let language = Language::parse(&form.language).unwrap_or(Language::English);
        match self.check(&form) {
            Ok(password) => {
                let ssid = form.ssid().to_owned();
                let page = html::trying(language, &ssid, &self.page.host_name);
                // Of two taps the first counts.
                self.asked.get_or_insert_with(|| {
                    let asked = Asked {
                        ssid,
                        password,
                        language,
                    };
                    (asked, Instant::now())
                });
                Answer::Page(200, page)
            }
            Err(trouble) => {
                let status = match trouble {
                    Trouble::TooFast => 429,
                    Trouble::Code | Trouble::Stale => 403,
                    _ => 422,
                };
                Answer::Page(status, self.form(language, form.ssid(), Some(trouble)))
            }
        }
    }

    fn check(&mut self, form: &Form) -> Result<Option<String>, Trouble> {
        let now = Instant::now();
        self.forms
            .retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        if self.forms.len() >= limits::SET_UP_FORMS_A_MINUTE {
            return Err(Trouble::TooFast);
        }
        self.forms.push(now);
        if form.token != self.token {
            return Err(Trouble::Stale);
        }
        if !self.page.code.is_proved_by(&form.proof) {
            self.wrong_codes += 1;
            return Err(Trouble::Code);
        }
        match form.ssid() {
            "" => Err(Trouble::NoNetwork),
            ssid if ssid.len() > 32 || ssid.chars().any(char::is_control) => Err(Trouble::LongName),
            _ if form.password.is_empty() => Ok(None),
            _ if is_wifi_password(&form.password) => Ok(Some(form.password.clone())),
            _ => Err(Trouble::Password),
        }
    }

    fn form(&self, language: Language, ssid: &str, trouble: Option<Trouble>) -> String {
        let networks = &self.page.networks;
        let token = &self.token;
        FormPage {
            language,
            networks,
            token,
            ssid,
            trouble,
        }
        .html()
    }

    fn is_own(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let named = |name: &str| format!("{name}.local") == host.trim_end_matches(":80");
        host == self.own || named(&self.page.host_name)
    }
}

/// Chunked, or with words that tiny_http waits for: no browser sends this form so.
fn is_unbounded(request: &Request) -> bool {
    ["Transfer-Encoding", "Expect", "Upgrade"]
        .into_iter()
        .any(|name| header(request, name).is_some())
}

fn header(request: &Request, name: &'static str) -> Option<String> {
    let mut all = request
        .headers()
        .iter()
        .filter(|header| header.field.equiv(name));
    let first = all.next()?.value.as_str().to_owned();
    // Two of one kind: whoever believes the other one is fooled.
    all.next().is_none().then_some(first)
}

/// Chinese where the browser likes it better than English.
fn preferred(accepted: Option<&str>) -> Language {
    let accepted = accepted.unwrap_or_default().to_ascii_lowercase();
    let at = |language| accepted.find(language).unwrap_or(usize::MAX);
    match at("zh") < at("en") {
        true => Language::Chinese,
        false => Language::English,
    }
}

fn authority(own: SocketAddr) -> String {
    match own.port() {
        80 => own.ip().to_string(),
        _ => own.to_string(),
    }
}

fn token() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// One write, and the connection ends: the next opening is another server.
fn write(request: Request, own: &str, answer: Answer) {
    let is_head = *request.method() == Method::Head;
    let (status, kind, more, body) = match answer {
        Answer::Page(status, html) => (status, "text/html", String::new(), html),
        Answer::Style => (200, "text/css", String::new(), html::STYLE.to_owned()),
        Answer::There => (
            302,
            "text/plain",
            format!("Location: http://{own}/\r\n"),
            String::new(),
        ),
        Answer::Plain(status, text) => (status, "text/plain", String::new(), text.to_owned()),
    };
    let reason = match status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        _ => "Too Many Requests",
    };
    let mut bytes = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n{more}\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
         Referrer-Policy: same-origin\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    if !is_head {
        bytes.push_str(&body);
    }
    let mut writer = request.into_writer();
    // Who hung up needs no answer.
    let _ = writer
        .write_all(bytes.as_bytes())
        .and_then(|()| writer.flush());
}
