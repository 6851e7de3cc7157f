//! What the kernel and systemd-networkd tell of radios and cables, read from their files.

use std::fs;

use super::root::Root;

const INTERFACES: &str = "sys/class/net";

/// How far a radio has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Away,
    NoAddress,
    Connected,
}

/// The first radio, by name.
pub fn first(root: &Root) -> Option<String> {
    interfaces(root)
        .into_iter()
        .find(|name| is_radio(root, name))
}

/// Whether a cable leads somewhere.
pub fn has_cable(root: &Root) -> bool {
    interfaces(root).iter().any(|name| {
        name != "lo"
            && !is_radio(root, name)
            && root.path(&format!("{INTERFACES}/{name}/device")).exists()
            && fact(root, name, "carrier").as_deref() == Some("1")
    })
}

/// The kernel's word for the handshake, then networkd's for the address.
pub fn link(root: &Root, name: &str) -> Link {
    if fact(root, name, "operstate").as_deref() != Some("up") {
        return Link::Away;
    }
    let index = fact(root, name, "ifindex").unwrap_or_default();
    let told = root.read(&format!("run/systemd/netif/links/{index}"), 64 * 1024);
    let told = told.ok().flatten().unwrap_or_default();
    let is_routable = String::from_utf8_lossy(&told)
        .lines()
        .any(|line| line == "OPER_STATE=routable");
    match is_routable {
        true => Link::Connected,
        false => Link::NoAddress,
    }
}

fn is_radio(root: &Root, name: &str) -> bool {
    root.path(&format!("{INTERFACES}/{name}/phy80211")).exists()
}

fn fact(root: &Root, name: &str, fact: &str) -> Option<String> {
    root.word(&format!("{INTERFACES}/{name}/{fact}"))
}

fn interfaces(root: &Root) -> Vec<String> {
    let Ok(found) = fs::read_dir(root.path(INTERFACES)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = found
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
