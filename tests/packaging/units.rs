//! The units, read by systemd itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{ask, file, read};

const SERVICES: [&str; 2] = ["magpie.service", "magpie-backup.service"];
const EXPOSURE_MAX: f64 = 1.5;

/// The units as the card has them or, with the drop-in, as the Debian package has them; the
/// program at a path where there is one.
fn laid_out(for_debian: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(file("systemd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("magpie") {
            continue;
        }
        let text = read(&format!("systemd/{name}"));
        assert!(!text.contains("ExecStart=") || text.contains("ExecStart=/usr/bin/magpie "));
        let text = text.replace("/usr/bin/magpie", env!("CARGO_BIN_EXE_magpie"));
        fs::write(folder.path().join(&name), text).unwrap();
        if for_debian && SERVICES.contains(&&*name) {
            let beside = folder.path().join(format!("{name}.d"));
            fs::create_dir(&beside).unwrap();
            fs::copy(
                file("packaging/debian/units.conf"),
                beside.join("debian.conf"),
            )
            .unwrap();
        }
    }
    folder
}

fn analyze(folder: &Path, arguments: &[&str], units: &[&str]) -> Option<(bool, String)> {
    let mut tool = Command::new("systemd-analyze");
    tool.args(arguments).args(units).current_dir(folder);
    ask(&mut tool)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    for for_debian in [false, true] {
        let folder = laid_out(for_debian);
        let mut units: Vec<String> = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                units.push(format!("./{}", entry.file_name().to_str().unwrap()));
            }
        }
        assert!(units.len() >= 4, "{units:?}");
        let units: Vec<&str> = units.iter().map(String::as_str).collect();
        let Some((content, said)) = analyze(folder.path(), &["verify", "--man=no"], &units) else {
            return;
        };
        let about_ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("magpie"))
            .collect();
        assert!(content && about_ours.is_empty(), "{said}");
    }
}

#[test]
fn a_mistake_in_a_unit_is_noticed() {
    let folder = laid_out(false);
    let path = folder.path().join("magpie.service");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("ProtectHome=", "ProtectHomes=")).unwrap();
    let units = ["./magpie.service"];
    if let Some((_, said)) = analyze(folder.path(), &["verify", "--man=no"], &units) {
        assert!(said.contains("ProtectHomes"), "{said}");
    }
}

#[test]
fn the_services_are_exposed_no_more_than_they_have_to_be() {
    for for_debian in [false, true] {
        let folder = laid_out(for_debian);
        for unit in SERVICES {
            let arguments = ["security", "--offline=true", "--no-pager"];
            let Some((_, said)) = analyze(folder.path(), &arguments, &[&format!("./{unit}")])
            else {
                return;
            };
            let line = said.lines().find(|line| line.contains("Overall exposure"));
            let figure = line.and_then(|line| {
                let mut words = line.split_whitespace();
                words.find_map(|word| word.parse::<f64>().ok())
            });
            let figure = figure.unwrap_or_else(|| panic!("no figure in {said}"));
            println!("{unit} debian={for_debian}: exposure {figure}");
            assert!(figure <= EXPOSURE_MAX, "{unit}: {figure}\n{said}");
        }
    }
}

#[test]
fn the_ports_of_the_socket_unit_are_those_of_the_settings_table() {
    let unit = read("systemd/magpie.socket");
    let ports: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ListenStream="))
        .collect();
    let default = |name: &str| {
        let setting = magpie::config::table::find(name).expect("a setting");
        setting.default
    };
    assert_eq!(ports, [default("PORT"), default("HTTPS_PORT")]);
}

#[test]
fn every_credential_of_the_unit_is_a_secret_setting_and_the_other_way_round() {
    let unit = read("systemd/magpie.service");
    let mut passed: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("LoadCredential="))
        .collect();
    let secret = magpie::config::SETTINGS
        .iter()
        .filter(|setting| setting.secret);
    let mut wanted: Vec<&str> = secret.map(|setting| setting.name).collect();
    passed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(passed, wanted);
}
