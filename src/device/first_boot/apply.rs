//! Makes the files that the system reads from what the box keeps, at every start anew.
//!
//! Each step is for itself: a box whose host name cannot be set still gets its Wi-Fi. What is
//! here already is not written again, to spare the card.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::kept::{Kept, Wifi};
use super::root::{Owner, Root, remove_durably, write_if_other};

pub const WIFI_CONF: &str = "data/device/wifi.conf";
const ENVIRONMENT: &str = "data/magpie/magpie.env";
const SSH_KEYS: &str = "data/device/ssh/authorized_keys";
const CLOCK: &str = "data/device/clock";

type Step = (&'static str, fn(&Root, &Kept) -> io::Result<()>);

const STEPS: &[Step] = &[
    ("folders", folders),
    ("host_name", host_name),
    ("time_zone", time_zone),
    ("settings", environment),
    ("wifi", wifi),
    ("ssh", ssh),
];

/// What could not be done.
pub fn all(root: &Root, kept: &Kept) -> Vec<String> {
    STEPS
        .iter()
        .filter_map(|(name, step)| {
            let error = step(root, kept).err()?;
            log::error!("event=first_boot_step_failed step={name} error={error:?}");
            Some(format!("{name}: {error}"))
        })
        .collect()
}

/// systemd-tmpfiles has made them; it gave them their owners, which are left alone.
fn folders(root: &Root, _: &Kept) -> io::Result<()> {
    ["data/magpie", "data/device/ssh", "run/magpie"]
        .into_iter()
        .try_for_each(|folder| fs::create_dir_all(root.path(folder)))
}

fn host_name(root: &Root, kept: &Kept) -> io::Result<()> {
    fs::write(root.path("proc/sys/kernel/hostname"), kept.host_name())
}

/// `/etc/localtime` of the read-only root points here.
fn time_zone(root: &Root, kept: &Kept) -> io::Result<()> {
    let zone = kept.time_zone.as_deref().unwrap_or("UTC");
    let beside = root.path("run/magpie/localtime.new");
    let _ = fs::remove_file(&beside);
    std::os::unix::fs::symlink(Path::new("/usr/share/zoneinfo").join(zone), &beside)?;
    fs::rename(beside, root.path("run/magpie/localtime"))
}

/// What `EnvironmentFile=` of magpie.service reads. It belongs to whom the folder belongs.
fn environment(root: &Root, kept: &Kept) -> io::Result<()> {
    let path = root.path(ENVIRONMENT);
    let mut text = String::from(
        "# Written by `magpie first-boot` at each start, from magpie.txt on the card. Changes here are lost.\n",
    );
    for (name, value) in kept.environment() {
        let _ = writeln!(text, "{name}={}", quoted(&value));
    }
    let folder = fs::metadata(root.path("data/magpie"))?;
    let owner = Owner {
        user: folder.uid(),
        group: folder.gid(),
    };
    write_if_other(&path, text.as_bytes(), Some(owner))?;
    Ok(())
}

/// As systemd.exec(5) and a shell read it between double quotes.
fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for sign in value.chars() {
        if matches!(sign, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(sign);
    }
    quoted.push('"');
    quoted
}

fn wifi(root: &Root, kept: &Kept) -> io::Result<()> {
    let path = root.path(WIFI_CONF);
    match &kept.wifi {
        None => remove_durably(&path),
        Some(wifi) => {
            let text = wpa_supplicant(wifi, kept.country.as_deref());
            write_if_other(&path, text.as_bytes(), None).map(|_| ())
        }
    }
}

/// wpa_supplicant.conf(5). The name is written in hexadecimal digits: it may hold anything.
pub fn wpa_supplicant(wifi: &Wifi, country: Option<&str>) -> String {
    let mut text = String::from("ctrl_interface=DIR=/run/wpa_supplicant\nupdate_config=0\n");
    if let Some(country) = country {
        let _ = writeln!(text, "country={country}");
    }
    text.push_str("network={\n\tssid=");
    for byte in wifi.ssid.bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("\n\tscan_ssid=1\n");
    match &wifi.password {
        None => text.push_str("\tkey_mgmt=NONE\n"),
        Some(hash) if hash.len() == 64 => {
            let _ = write!(text, "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256\n\tpsk={hash}\n");
        }
        // Up to its last quote the line is the password, whatever is in it.
        Some(phrase) => {
            let _ = write!(
                text,
                "\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\tieee80211w=1\n\tpsk=\"{phrase}\"\n"
            );
        }
    }
    text.push_str("}\n");
    text
}

fn ssh(root: &Root, kept: &Kept) -> io::Result<()> {
    let path = root.path(SSH_KEYS);
    if kept.ssh_keys.is_empty() {
        return remove_durably(&path);
    }
    let mut text = kept.ssh_keys.join("\n");
    text.push('\n');
    write_if_other(&path, text.as_bytes(), None).map(|_| ())
}

/// The time of the last look at the clock, when the present one is before it: a board without a
/// battery starts in the past, and certificates of the internet would not be valid yet.
pub fn clock_ahead(root: &Root, now: SystemTime) -> Option<Duration> {
    let kept = fs::metadata(root.path(CLOCK)).ok()?.modified().ok()?;
    (kept > now)
        .then(|| kept.duration_since(UNIX_EPOCH).ok())
        .flatten()
}

/// Sets the machine's clock.
pub fn set_clock(time: Duration) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec that outlives the call.
    match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
