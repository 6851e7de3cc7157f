//! The set-up page: where no Wi-Fi is set and no cable leads anywhere, the box opens a Wi-Fi of
//! its own for a quarter of an hour and asks there which network it should live in.
//!
//! The network is tried before it is kept: until it gave an address, nothing of it is written to
//! the card, and when it does not, the page comes back and says why. Never: opens while there is
//! another way to the box, or longer than [`limits::SET_UP_OPEN`].

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use super::kept::{Kept, Wifi};
use super::radio::{self, Link};
use super::root::{Root, write_durably};
use super::words::Language;
use super::{SET_UP_OPEN, apply};
use crate::limits;

mod air;
mod code;
mod form;
mod html;
mod names;
mod page;
mod scan;

pub use air::OWN_SSID;
pub use form::Form;
pub use names::answer as answer_name;
pub use scan::networks as read_scan;

use air::Air;
use code::Code;
use html::Trouble;
use names::Names;
use page::{Asked, Ended, Page};

/// Where it answers: on the address that networkd gives the box's own Wi-Fi.
pub struct Doors {
    pub page: SocketAddr,
    pub names: SocketAddr,
}

/// For the screen and the voice of the box.
pub enum News {
    Open {
        ssid: &'static str,
        password: String,
        /// As it is said.
        groups: String,
    },
    Joining,
    Joined {
        host_name: String,
    },
    NotJoined,
    Closed,
}

/// Why there is no set-up page (any more).
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    Joined,
    WifiIsSet,
    Cable,
    NoRadio,
    TimeIsOver,
}

pub fn run(
    root: &Root,
    doors: &Doors,
    tell: &mut dyn FnMut(Option<Language>, News),
) -> io::Result<Done> {
    let kept = Kept::load(root)?;
    if kept.wifi.is_some() {
        return Ok(Done::WifiIsSet);
    }
    let radio = match wait_for_radio(root) {
        Ok(radio) => radio,
        Err(done) => return Ok(done),
    };
    let air = Air {
        root,
        radio,
        country: kept.country.clone(),
    };
    let done = open_until_done(&air, kept, doors, tell);
    air::forget(root);
    let _ = std::fs::remove_file(root.path(SET_UP_OPEN));
    done
}

/// A cable may take some seconds to be noticed, a USB radio some more.
fn wait_for_radio(root: &Root) -> Result<String, Done> {
    let began = Instant::now();
    loop {
        if radio::has_cable(root) {
            return Err(Done::Cable);
        }
        let waited = began.elapsed();
        match radio::first(root) {
            Some(radio) if waited >= limits::SET_UP_CABLE_WAIT => return Ok(radio),
            None if waited >= limits::SET_UP_RADIO_WAIT => return Err(Done::NoRadio),
            _ => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

fn open_until_done(
    air: &Air,
    mut kept: Kept,
    doors: &Doors,
    tell: &mut dyn FnMut(Option<Language>, News),
) -> io::Result<Done> {
    let end = Instant::now() + limits::SET_UP_OPEN;
    let mut networks = air.networks();
    let mut last: Option<(Trouble, String)> = None;
    loop {
        let page = Page {
            networks: networks.clone(),
            code: Code::new()?,
            host_name: kept.host_name().to_owned(),
            trouble: last.as_ref().map(|(trouble, _)| *trouble),
            ssid: last.take().map(|(_, ssid)| ssid).unwrap_or_default(),
        };
        let asked = match open_once(air, kept.language, &page, doors, end, tell)? {
            Ended::Asked(asked) => asked,
            // Another opening, another code.
            Ended::WrongCodes if Instant::now() < end => continue,
            Ended::WrongCodes | Ended::Closed => {
                tell(kept.language, News::Closed);
                let has_cable = radio::has_cable(air.root);
                return Ok(if has_cable {
                    Done::Cable
                } else {
                    Done::TimeIsOver
                });
            }
        };
        let language = kept.language.unwrap_or(asked.language);
        tell(Some(language), News::Joining);
        let ssid = asked.ssid.clone();
        match try_network(air, &mut kept, asked)? {
            None => {
                let host_name = kept.host_name().to_owned();
                tell(Some(language), News::Joined { host_name });
                return Ok(Done::Joined);
            }
            Some(trouble) => {
                tell(Some(language), News::NotJoined);
                last = Some((trouble, ssid));
                // The old list is better than none.
                let seen = air.networks();
                if !seen.is_empty() {
                    networks = seen;
                }
            }
        }
    }
}

/// One opening with one code, until the form was sent, the time is over or a cable is there.
fn open_once(
    air: &Air,
    language: Option<Language>,
    page: &Page,
    doors: &Doors,
    end: Instant,
    tell: &mut dyn FnMut(Option<Language>, News),
) -> io::Result<Ended> {
    let password = page.code.wifi_password();
    let _radio = air.open(&password)?;
    let listener = bound(end, || TcpListener::bind(doors.page))?;
    let socket = bound(end, || UdpSocket::bind(doors.names))?;
    let IpAddr::V4(address) = listener.local_addr()?.ip() else {
        return Err(io::Error::other("the set-up page wants an IPv4 address"));
    };
    let _names = Names::start(socket, address)?;
    let note = format!("{OWN_SSID}\n{password}\n");
    write_durably(&air.root.path(SET_UP_OPEN), note.as_bytes(), None)?;
    let mut told: Option<Instant> = None;
    let mut is_over = || {
        if told.is_none_or(|at| at.elapsed() >= limits::SET_UP_TELL_EVERY) {
            told = Some(Instant::now());
            let news = News::Open {
                ssid: OWN_SSID,
                password: password.clone(),
                groups: page.code.in_groups(),
            };
            tell(language, news);
        }
        Instant::now() >= end || radio::has_cable(air.root)
    };
    let ended = page::serve(&listener, page, &mut is_over)?;
    let _ = std::fs::remove_file(air.root.path(SET_UP_OPEN));
    Ok(ended)
}

/// The address comes some seconds after the radio, and the last opening's threads may take a moment
/// to let it go.
fn bound<T>(end: Instant, bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let limit = end.min(Instant::now() + limits::SET_UP_ADDRESS_WAIT);
    loop {
        let error = match bind() {
            Ok(bound) => return Ok(bound),
            Err(error) => error,
        };
        let passes = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::AddrInUse];
        if !passes.contains(&error.kind()) || Instant::now() > limit {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Kept when it works; else what did not.
fn try_network(air: &Air, kept: &mut Kept, asked: Asked) -> io::Result<Option<Trouble>> {
    let wifi = Wifi {
        ssid: asked.ssid,
        password: asked.password,
    };
    let supplicant = match air.join(&wifi)? {
        Ok(supplicant) => supplicant,
        Err(Link::NoAddress) => return Ok(Some(Trouble::NoAddress)),
        Err(_) => return Ok(Some(Trouble::NotJoined)),
    };
    kept.wifi = Some(wifi);
    kept.language.get_or_insert(asked.language);
    kept.save(air.root)?;
    let failed = apply::all(air.root, kept);
    if !failed.is_empty() {
        return Err(io::Error::other(failed.join("; ")));
    }
    drop(supplicant);
    air.stay()?;
    Ok(None)
}
