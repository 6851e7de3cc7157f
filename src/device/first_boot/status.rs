//! `magpie-status.txt`: how the box is, for whoever puts its card into a computer.
//!
//! English first, then the same in Chinese. It holds no time and nothing that changes by itself,
//! so that it is written only when something is different.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::kept::Kept;
use super::mistake::Complaint;
use super::radio::{self, Link};
use super::root::Root;
use super::words::Language;

/// What is told.
pub struct Facts<'a> {
    pub kept: &'a Kept,
    pub complaints: &'a [Complaint],
    /// Steps of the start that failed.
    pub failed: &'a [String],
    /// `None` before the network is there.
    pub network: Option<Network>,
    /// As the service itself says it.
    pub health: Option<String>,
}

pub struct Network {
    pub addresses: Vec<IpAddr>,
    pub wifi: Option<Link>,
    /// Name and password of the box's own Wi-Fi while it is open.
    pub set_up: Option<(String, String)>,
}

impl Network {
    pub fn look(root: &Root, addresses: Vec<IpAddr>, set_up: Option<(String, String)>) -> Network {
        let is_told = |address: &IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        let mut addresses: Vec<IpAddr> = addresses.into_iter().filter(is_told).collect();
        addresses.sort();
        addresses.truncate(8);
        let wifi = radio::first(root).map(|name| radio::link(root, &name));
        Network {
            addresses,
            wifi,
            set_up,
        }
    }
}

pub fn text(facts: &Facts) -> String {
    let [english, chinese] = Language::BOTH.map(|language| part(facts, language));
    format!("{english}\n----------------------------------------\n\n{chinese}")
}

fn part(facts: &Facts, language: Language) -> String {
    let mut text = String::new();
    let mut line = |english: String, chinese: String| {
        let _ = writeln!(text, "{}", language.pick(&english, &chinese));
    };
    let version = env!("CARGO_PKG_VERSION");
    let name = facts.kept.host_name();
    line(
        format!("Magpie {version}: how the box is. It writes this file itself."),
        format!("Magpie {version}：盒子的状态。本文件由盒子自动写入。"),
    );
    line(String::new(), String::new());
    line(
        format!(
            "Page: http://{name}.local (for the microphone of a browser: https://{name}.local)"
        ),
        format!("网页：http://{name}.local（浏览器要用麦克风时：https://{name}.local）"),
    );
    if let Some(network) = &facts.network {
        connection(facts.kept, network, &mut line);
    }
    if let Some(health) = &facts.health {
        line(format!("Health: {health}"), format!("健康状况：{health}"));
    }
    line(
        "To claim the box, open its page; the box shows and tells the code.".into(),
        "要认领盒子，请打开它的网页；验证码由盒子显示和说出。".into(),
    );
    line(String::new(), String::new());
    if facts.complaints.is_empty() {
        line(
            "magpie.txt: everything was taken over.".into(),
            "magpie.txt：全部内容已采用。".into(),
        );
    } else {
        line(
            "magpie.txt, what could not be taken as it stands:".into(),
            "magpie.txt 中有问题的行：".into(),
        );
    }
    // The rest comes when these are mended.
    for complaint in facts.complaints.iter().take(12) {
        let told = |language| format!("  {}", complaint.told(language));
        line(told(Language::English), told(Language::Chinese));
    }
    for failed in facts.failed.iter().take(5) {
        line(
            format!("The box could not set up: {failed}"),
            format!("盒子无法设置：{failed}"),
        );
    }
    text
}

fn connection(kept: &Kept, network: &Network, line: &mut impl FnMut(String, String)) {
    if network.addresses.is_empty() {
        line(
            "Addresses: none, the box is in no network".into(),
            "地址：没有，盒子未连接网络".into(),
        );
    } else {
        let list: Vec<String> = network.addresses.iter().map(IpAddr::to_string).collect();
        let list = list.join(", ");
        line(format!("Addresses: {list}"), format!("地址：{list}"));
    }
    let name = kept.wifi.as_ref().map(|wifi| wifi.ssid.as_str());
    match (name, network.wifi) {
        (None, _) => line("Wi-Fi: not set".into(), "无线网络：未设置".into()),
        (Some(_), None) => line(
            "Wi-Fi: the box has no radio that works".into(),
            "无线网络：没有可用的无线网卡".into(),
        ),
        (Some(name), Some(Link::Away)) => line(
            format!("Wi-Fi \"{name}\": not connected; is the password right, is the network near?"),
            format!("无线网络“{name}”：未连接；请检查密码和信号"),
        ),
        (Some(name), Some(Link::NoAddress)) => line(
            format!("Wi-Fi \"{name}\": connected, but the network gives no address"),
            format!("无线网络“{name}”：已连接，但没有得到地址"),
        ),
        (Some(name), Some(Link::Connected)) => line(
            format!("Wi-Fi \"{name}\": connected"),
            format!("无线网络“{name}”：已连接"),
        ),
    }
    if let Some((name, password)) = &network.set_up {
        line(
            format!(
                "Set-up page: join the Wi-Fi \"{name}\" with the password {password}, then open http://10.77.0.1"
            ),
            format!("设置网页：连接无线网络“{name}”，密码 {password}，然后打开 http://10.77.0.1"),
        );
    }
}
