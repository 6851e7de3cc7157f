//! The first boot, and every later one: what stands in `magpie.txt` becomes the box.
//!
//! The order is what keeps it safe: what the file asks for is checked, laid over what the box
//! keeps and stored durably in `/data`; then its secrets are overwritten on the card; then the
//! files that the system reads are made from what is kept; then `magpie-status.txt` says what
//! became of it. A power cut anywhere only means that the next start does the same again.
//! Never: changes anything for a line with a mistake, or writes a secret anywhere but to `/data`.

use std::net::IpAddr;
use std::time::SystemTime;

use crate::limits;

mod apply;
mod card;
mod fat;
mod hat;
mod kept;
mod lines;
mod mistake;
mod radio;
mod root;
pub mod set_up;
mod status;
#[cfg(test)]
mod tests;
mod wipe;
mod wish;
mod words;

pub use card::Writable;
pub use lines::read as read_lines;
pub use root::Root;
pub use words::Language;

use kept::Kept;
use mistake::Complaint;
use status::{Facts, Network};
use wish::Taken;

/// As it lies on a fresh card.
pub const TEMPLATE: &str = include_str!("../../../image/overlay/usr/share/magpie/magpie.txt");

const MAGPIE_TXT: &str = "magpie.txt";
const STATUS_TXT: &str = "magpie-status.txt";
/// Name and password of the box's own Wi-Fi while it is open, a line each.
const SET_UP_OPEN: &str = "run/magpie/set-up-open";

/// What a start did, in words for the console.
pub struct Started {
    pub told: Vec<String>,
}

/// An error means that `/data` could not be written: nothing was changed then but the status.
pub fn start(root: &Root) -> Result<Started, String> {
    let mut told = Vec::new();
    set_clock(root, &mut told);
    let before = Kept::load(root);
    let file = magpie_txt(root);
    let base = before.as_ref().cloned().unwrap_or_default();
    let taken = match &file {
        Ok(Some(file)) => wish::take(&base, lines::read(file)),
        Ok(None) | Err(_) => Taken::nothing(&base),
    };
    let stored = match before {
        Ok(before) if taken.kept == before => Ok(()),
        Ok(_) => taken.kept.save(root),
        Err(error) => Err(error),
    };
    let mut failed = Vec::new();
    match &stored {
        Ok(()) => {
            failed.extend(apply::all(root, &taken.kept));
            failed.extend(on_card(root, file, &taken, &mut told).err());
            match hat::apply(root, taken.kept.sound_hat.as_deref()) {
                Ok(done) => told.extend(done),
                Err(error) => failed.push(error),
            }
        }
        Err(error) => failed.push(format!("/data cannot be written: {error}")),
    }
    let facts = Facts {
        kept: &taken.kept,
        complaints: &taken.complaints,
        failed: &failed,
        network: None,
        health: None,
    };
    if let Err(error) = write_status(root, &facts) {
        failed.push(format!("magpie-status.txt: {error}"));
    }
    told.extend(taken.complaints.iter().map(english));
    match stored {
        Ok(()) => {
            told.extend(failed);
            Ok(Started { told })
        }
        Err(_) => Err(failed.join("; ")),
    }
}

/// Wipes the secrets that are kept now, or lays the file that should be there.
fn on_card(
    root: &Root,
    file: std::io::Result<Option<Vec<u8>>>,
    taken: &Taken,
    told: &mut Vec<String>,
) -> Result<(), String> {
    match file {
        Ok(Some(file)) if !taken.secrets.is_empty() => {
            wipe_secrets(root, &file, taken)
                .map_err(|error| format!("magpie.txt could not be wiped: {error}"))?;
            let count = taken.secrets.len();
            told.push(format!("{count} secrets of magpie.txt moved to the box"));
            Ok(())
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            lay_template(root).map_err(|error| format!("magpie.txt could not be made: {error}"))
        }
        Err(error) => Err(format!("magpie.txt cannot be read: {error}")),
    }
}

/// Writes `magpie-status.txt` anew when it is no longer true.
pub fn tell_status(
    root: &Root,
    addresses: Vec<IpAddr>,
    health: Option<String>,
) -> Result<(), String> {
    let kept = Kept::load(root).map_err(|error| error.to_string())?;
    let (kept, complaints) = match magpie_txt(root) {
        Ok(Some(file)) => {
            let taken = wish::take(&kept, lines::read(&file));
            (kept, taken.complaints)
        }
        _ => (kept, Vec::new()),
    };
    let network = Network::look(root, addresses, open_set_up(root));
    let facts = Facts {
        kept: &kept,
        complaints: &complaints,
        failed: &[],
        network: Some(network),
        health,
    };
    write_status(root, &facts).map_err(|error| error.to_string())
}

fn set_clock(root: &Root, told: &mut Vec<String>) {
    let Some(time) = apply::clock_ahead(root, SystemTime::now()) else {
        return;
    };
    if root.is_machine() {
        match apply::set_clock(time) {
            Ok(()) => told.push(String::from("the clock goes on from where it was")),
            Err(error) => told.push(format!("the clock could not be set: {error}")),
        }
    }
}

/// `None`: the card has none, or no such partition.
fn magpie_txt(root: &Root) -> std::io::Result<Option<Vec<u8>>> {
    let path = card::path(root, MAGPIE_TXT);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    // One byte more than is allowed tells the reader that it is too long.
    use std::io::Read as _;
    let mut file = Vec::new();
    std::fs::File::open(path)?
        .take(limits::MAGPIE_TXT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut file)?;
    Ok(Some(file))
}

fn wipe_secrets(root: &Root, file: &[u8], taken: &Taken) -> std::io::Result<()> {
    let _writable = card::Writable::new(root)?;
    wipe::wipe(&card::path(root, MAGPIE_TXT), file, &taken.secrets)
}

fn lay_template(root: &Root) -> std::io::Result<()> {
    let path = card::path(root, MAGPIE_TXT);
    match path.parent() {
        Some(folder) if folder.is_dir() => {}
        // No such partition: a box that was installed in another way.
        _ => return Ok(()),
    }
    let _writable = card::Writable::new(root)?;
    std::fs::write(path, TEMPLATE)
}

fn write_status(root: &Root, facts: &Facts) -> std::io::Result<()> {
    let path = card::path(root, STATUS_TXT);
    if !path.parent().is_some_and(std::path::Path::is_dir) {
        return Ok(());
    }
    let text = status::text(facts);
    card::overwrite(root, &path, &text, limits::MAGPIE_STATUS_BYTES).map(|_| ())
}

fn open_set_up(root: &Root) -> Option<(String, String)> {
    let bytes = root.read(SET_UP_OPEN, 256).ok()??;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.trim_end().split_once('\n')?;
    Some((name.to_owned(), password.to_owned()))
}

fn english(complaint: &Complaint) -> String {
    format!("magpie.txt, {}", complaint.told(Language::English))
}
