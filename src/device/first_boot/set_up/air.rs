//! The radio: what is in the air, the box's own Wi-Fi, and a try at somebody's.
//!
//! `iw` and `wpa_supplicant` do it, and systemd-networkd gives addresses once a radio has become
//! what it should be. Every program has a limit, and a supplicant ends with whoever holds it.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::scan::{self, Seen};
use crate::device::first_boot::apply;
use crate::device::first_boot::kept::Wifi;
use crate::device::first_boot::radio::{self, Link};
use crate::device::first_boot::root::{Root, write_durably};
use crate::limits;

/// How the box's own Wi-Fi is called.
pub const OWN_SSID: &str = "Magpie set-up";

pub struct Air<'a> {
    pub root: &'a Root,
    /// Name of the radio.
    pub radio: String,
    pub country: Option<String>,
}

/// A wpa_supplicant that runs; ends when it is dropped.
pub struct Supplicant(Child);

impl Air<'_> {
    /// What can be seen now; a radio that has just come up sees little, so it looks again.
    pub fn networks(&self) -> Vec<Seen> {
        for _ in 0..3 {
            let printed = output("iw", &["dev", &self.radio, "scan"]).unwrap_or_default();
            let found = scan::networks(&String::from_utf8_lossy(&printed));
            if !found.is_empty() {
                return found;
            }
            std::thread::sleep(Duration::from_secs(2));
        }
        Vec::new()
    }

    /// The box's own Wi-Fi, on a channel that is free everywhere.
    pub fn open(&self, password: &str) -> io::Result<Supplicant> {
        let country = self
            .country
            .as_ref()
            .map_or(String::new(), |country| format!("country={country}\n"));
        let text = format!(
            "ctrl_interface=DIR=/run/wpa_supplicant\n{country}network={{\n\tssid=\"{OWN_SSID}\"\n\tmode=2\n\tfrequency=2437\n\
             \tkey_mgmt=WPA-PSK\n\tproto=RSN\n\tpairwise=CCMP\n\tgroup=CCMP\n\tpsk=\"{password}\"\n}}\n"
        );
        self.start("run/magpie/set-up.conf", &text)
    }

    /// Whether the network takes the box: its supplicant, connected and with an address.
    pub fn join(&self, wifi: &Wifi) -> io::Result<Result<Supplicant, Link>> {
        let text = apply::wpa_supplicant(wifi, self.country.as_deref());
        let supplicant = self.start("run/magpie/try.conf", &text)?;
        let end = Instant::now() + limits::SET_UP_JOIN_MAX;
        loop {
            match radio::link(self.root, &self.radio) {
                Link::Connected => return Ok(Ok(supplicant)),
                link if Instant::now() > end => return Ok(Err(link)),
                _ => std::thread::sleep(Duration::from_millis(500)),
            }
        }
    }

    fn start(&self, file: &str, text: &str) -> io::Result<Supplicant> {
        let path: PathBuf = self.root.path(file);
        write_durably(&path, text.as_bytes(), None)?;
        let child = Command::new("wpa_supplicant")
            .args(["-D", "nl80211", "-i", &self.radio, "-c"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let supplicant = Supplicant(child);
        // networkd looks anew at what kind of radio this is now.
        output("systemctl", &["restart", "systemd-networkd.service"])?;
        Ok(supplicant)
    }

    /// The lasting service for the network that is kept now.
    pub fn stay(&self) -> io::Result<()> {
        let unit = format!("magpie-wifi@{}.service", self.radio);
        output("systemctl", &["start", "--no-block", &unit]).map(|_| ())
    }
}

impl Drop for Supplicant {
    fn drop(&mut self) {
        // SAFETY: the child is not waited for yet, so its number is still its own.
        unsafe { libc::kill(self.0.id() as libc::pid_t, libc::SIGTERM) };
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.0.kill();
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.wait();
    }
}

/// What a program prints, within bounds of time and length; its failure is an error.
fn output(program: &str, arguments: &[&str]) -> io::Result<Vec<u8>> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    let printed = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(printed) = printed {
            // What is longer is cut; the program then ends by its closed pipe.
            let _ = printed
                .take(limits::SET_UP_PRINTED_BYTES_MAX)
                .read_to_end(&mut bytes);
        }
        bytes
    });
    let end = Instant::now() + limits::SET_UP_PROGRAM_MAX;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let bytes = reader.join().unwrap_or_default();
    match status.success() {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("{program} ended with {status}"))),
    }
}

/// Nothing of the tries stays behind.
pub fn forget(root: &Root) {
    for file in ["run/magpie/set-up.conf", "run/magpie/try.conf"] {
        let _ = fs::remove_file(root.path(file));
    }
}
