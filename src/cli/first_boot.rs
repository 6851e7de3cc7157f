//! `magpie first-boot`: what the appliance's units run as root; nobody needs it by hand.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};

use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::client::Client;
use super::print;
use crate::config::Config;
use crate::device::first_boot::set_up::{self, Done, Doors, News};
use crate::device::first_boot::{self, Language, Root};
use crate::house::qr;
use crate::server::interfaces;

pub fn definition() -> Command {
    let address = |name: &'static str, default: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("ADDRESS:PORT")
            .default_value(default)
            .value_parser(clap::value_parser!(SocketAddr))
    };
    Command::new("first-boot")
        .about("Take over what magpie.txt says (the appliance runs this at each start)")
        .long_about(
            "Take over what magpie.txt on the card says: name, Wi-Fi, time zone, keys, settings. \
             Secrets are moved to /data and then overwritten on the card; what went wrong stands \
             in magpie-status.txt. The units of the appliance run this as root at each start.",
        )
        .after_help(
            "Examples:\n  magpie first-boot           take magpie.txt over once more\n  \
             magpie first-boot status    bring magpie-status.txt up to date",
        )
        .arg(
            Arg::new("root")
                .long("root")
                .global(true)
                .value_name("FOLDER")
                .default_value("/")
                .help("The machine's files are below this folder (for tests)"),
        )
        .subcommand(
            Command::new("status").about("Write magpie-status.txt where it is no longer true"),
        )
        .subcommand(
            Command::new("set-up")
                .about("Open the box's own Wi-Fi with the set-up page, where there is no network")
                .arg(address("page", "10.77.0.1:80").help("Where the page answers"))
                .arg(address("names", "10.77.0.1:53").help("Where names are answered")),
        )
}

/// The start itself wants no settings: it makes them.
pub fn is_start(matches: &ArgMatches) -> bool {
    matches.subcommand().is_none()
}

pub fn start(matches: &ArgMatches) -> Result<(), String> {
    for line in first_boot::start(&root(matches))?.told {
        print(&format!("magpie: {line}"));
    }
    Ok(())
}

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), String> {
    let root = root(matches);
    match matches.subcommand() {
        Some(("set-up", matches)) => open_set_up(config, &root, matches),
        _ => tell_status(config, &root),
    }
}

fn tell_status(config: &Config, root: &Root) -> Result<(), String> {
    let health = Client::connect_running(config)
        .and_then(|client| client.get("/health").ok())
        .and_then(|health| Some(health["status"].as_str()?.to_owned()))
        .unwrap_or_else(|| String::from("the service does not answer"));
    first_boot::tell_status(root, interfaces::own_addresses(), Some(health))
}

fn open_set_up(config: &Config, root: &Root, matches: &ArgMatches) -> Result<(), String> {
    let address = |name: &str| {
        let address = matches.get_one::<SocketAddr>(name).copied();
        address.ok_or_else(|| format!("--{name} is missing"))
    };
    let doors = Doors {
        page: address("page")?,
        names: address("names")?,
    };
    let voice = Voice::start(config);
    let mut tell = |language: Option<Language>, news: News| {
        let is_open = matches!(news, News::Open { .. });
        show(&news);
        let both = Language::BOTH.iter();
        for language in both.filter(|one| language.is_none_or(|chosen| chosen == **one)) {
            voice.say(spoken(&news, *language));
        }
        // The card tells it too, for a box without a voice.
        if is_open && let Err(error) = tell_status(config, root) {
            print(&format!("magpie: {error}"));
        }
    };
    let done = set_up::run(root, &doors, &mut tell).map_err(|error| error.to_string())?;
    if let Err(error) = tell_status(config, root) {
        print(&format!("magpie: {error}"));
    }
    print(match done {
        Done::Joined => "magpie: the box is in its Wi-Fi",
        Done::WifiIsSet => "magpie: a Wi-Fi is set; no set-up page is needed",
        Done::Cable => "magpie: a cable leads to a network; no set-up page is needed",
        Done::NoRadio => "magpie: the box has no radio; plug a network cable in",
        Done::TimeIsOver => "magpie: the set-up page is closed; it opens at the next start again",
    });
    Ok(())
}

fn show(news: &News) {
    match news {
        News::Open {
            ssid,
            password,
            groups,
        } => {
            print(&format!(
                "magpie: join the Wi-Fi \"{ssid}\" with the password {groups} (without spaces), then open \
                 http://10.77.0.1\nmagpie: 请连接无线网络 \"{ssid}\"，密码 {groups}（不含空格），然后打开 http://10.77.0.1"
            ));
            if let Some(picture) = qr::terminal(&format!("WIFI:T:WPA;S:{ssid};P:{password};;")) {
                print(&picture);
            }
        }
        News::Joining => print("magpie: joining the Wi-Fi of the set-up page"),
        News::Joined { host_name } => {
            print(&format!("magpie: connected; http://{host_name}.local"))
        }
        News::NotJoined => {
            print("magpie: that Wi-Fi could not be joined; the set-up page opens again")
        }
        News::Closed => {}
    }
}

/// A voice reads single digits one by one.
fn spoken(news: &News, language: Language) -> String {
    let digits = |groups: &str| {
        let groups = groups.split(' ').map(|group| {
            let digits: Vec<String> = group.chars().map(String::from).collect();
            digits.join(" ")
        });
        groups.collect::<Vec<_>>().join(", ")
    };
    match (news, language) {
        (News::Open { ssid, groups, .. }, Language::English) => format!(
            "I have no network yet. Please connect your phone to the Wi-Fi {ssid}. The password is {}.",
            digits(groups)
        ),
        (News::Open { ssid, groups, .. }, Language::Chinese) => format!(
            "我还没有连接网络。请让手机连接无线网络 {ssid}。密码是：{}。",
            digits(groups)
        ),
        (News::Joining, _) => language.pick("I am connecting.", "正在连接。").to_owned(),
        (News::Joined { host_name }, Language::English) => {
            format!("I am connected. My page is {host_name} dot local.")
        }
        (News::Joined { host_name }, Language::Chinese) => {
            format!("已经连接好了。我的网页是 {host_name} 点 local。")
        }
        (News::NotJoined, _) => language
            .pick(
                "I could not connect. Please try again on the set-up page.",
                "连接失败，请在设置网页上再试一次。",
            )
            .to_owned(),
        (News::Closed, _) => language
            .pick(
                "The set-up page is closed now. It opens again when I am restarted.",
                "设置网页已关闭，重新启动后会再次打开。",
            )
            .to_owned(),
    }
}

/// Has the running box say things, one after the other, while the page goes on.
struct Voice(SyncSender<String>);

impl Voice {
    fn start(config: &Config) -> Voice {
        let (sender, texts) = sync_channel::<String>(8);
        let config = config.clone();
        std::thread::spawn(move || {
            for text in texts {
                let said = Client::connect_running(&config)
                    .ok_or_else(|| "the service does not answer".to_owned());
                let body = json!({ "text": text, "wait": true });
                if let Err(error) = said.and_then(|client| client.post("/api/v1/device/say", &body))
                {
                    print(&format!("magpie: not said: {error}"));
                }
            }
        });
        Voice(sender)
    }

    /// Nobody waits for a box that still speaks: what is too much is not said.
    fn say(&self, text: String) {
        let _ = self.0.try_send(text);
    }
}

fn root(matches: &ArgMatches) -> Root {
    let folder = matches.get_one::<String>("root");
    Root::new(Path::new(folder.map_or("/", String::as_str)))
}
