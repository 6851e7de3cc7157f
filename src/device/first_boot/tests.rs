//! The first boot on a folder tree that stands for the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0lVXwjfAA4Iq1cJjEGQ4d9pYcOqMHO6tJ0pGrFnl3N me@home";

struct Machine {
    folder: TempDir,
    root: Root,
}

impl Machine {
    fn new(magpie_txt: &str) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        for path in ["boot/magpie", "proc/sys/kernel", "data", "sys/class/net"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        let machine = Machine { folder, root };
        machine.write("boot/magpie/magpie.txt", magpie_txt);
        machine.write("boot/magpie/magpie-status.txt", &" ".repeat(4_096));
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn magpie_txt(&self) -> String {
        self.read("boot/magpie/magpie.txt")
    }

    fn status(&self) -> String {
        self.read("boot/magpie/magpie-status.txt")
    }

    fn start(&self) -> Vec<String> {
        start(&self.root).unwrap().told
    }
}

#[test]
fn what_magpie_txt_says_becomes_the_box() {
    let file = format!(
        "\u{feff}# 我的盒子\r\nWIFI_SSID=家里 \"5G\"\r\nWIFI_PASSWORD=p\"ss $word`\\\r\nWIFI_COUNTRY=cn\r\n\
         HOSTNAME=Kitchen.local\r\nTIMEZONE=Asia/Shanghai\r\nLANGUAGE=zh\r\nSSH_KEY={KEY}\r\n\
         CLAUDE_API_KEY=\"sk-ant-$ecret\"\r\nVOLUME=60\r\n"
    );
    let machine = Machine::new(&file);
    assert_eq!(
        machine.start(),
        ["2 secrets of magpie.txt moved to the box"]
    );
    assert_eq!(machine.read("proc/sys/kernel/hostname"), "kitchen");
    let zone = fs::read_link(machine.path("run/magpie/localtime")).unwrap();
    assert_eq!(zone, PathBuf::from("/usr/share/zoneinfo/Asia/Shanghai"));
    assert_eq!(
        machine.read("data/device/ssh/authorized_keys"),
        format!("{KEY}\n")
    );
    let wifi = machine.read("data/device/wifi.conf");
    assert!(wifi.contains("ssid=e5aeb6e9878c2022354722\n"), "{wifi}");
    assert!(wifi.contains("psk=\"p\"ss $word`\\\"\n"), "{wifi}");
    assert!(wifi.contains("country=CN\n"), "{wifi}");
    for secret in [
        "data/device/box.json",
        "data/device/wifi.conf",
        "data/magpie/magpie.env",
    ] {
        let mode = fs::metadata(machine.path(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let status = machine.status();
    assert_eq!(status.len(), 4_096);
    assert!(status.contains("http://kitchen.local"), "{status}");
    assert!(status.contains("全部内容已采用"), "{status}");
}

#[test]
fn a_shell_reads_each_setting_as_it_was_written() {
    let value = "a \"b\" 'c' $HOME `d` \\n #e ü";
    let machine = Machine::new(&format!("CLAUDE_API_KEY='{value}'\nWAKE_PHRASE={value}\n"));
    machine.start();
    let script = ". \"$1\"; printf '%s\\n%s\\n' \"$CLAUDE_API_KEY\" \"$WAKE_PHRASE\"";
    let told = std::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(machine.path("data/magpie/magpie.env"))
        .output()
        .unwrap();
    let expected = format!("{value}\n{value}\n");
    assert_eq!(String::from_utf8_lossy(&told.stdout), expected);
}

#[test]
fn a_secret_is_overwritten_in_its_place_and_nothing_else_is_touched() {
    let file = "# keep\r\nWIFI_SSID=Home\r\nWIFI_PASSWORD=\"hunter22hunter22hunter\"  \r\nOPENAI_API_KEY=sk-1\r\nVOLUME=61";
    let machine = Machine::new(file);
    let inode = std::os::unix::fs::MetadataExt::ino(
        &fs::metadata(machine.path("boot/magpie/magpie.txt")).unwrap(),
    );
    machine.start();
    let after = machine.magpie_txt();
    let mark = format!("# moved to the box{}", " ".repeat(6));
    let expected = format!(
        "# keep\r\nWIFI_SSID=Home\r\nWIFI_PASSWORD={mark}  \r\nOPENAI_API_KEY=# mo\r\nVOLUME=61"
    );
    assert_eq!(after, expected);
    assert_eq!(after.len(), file.len());
    let same = std::os::unix::fs::MetadataExt::ino(
        &fs::metadata(machine.path("boot/magpie/magpie.txt")).unwrap(),
    );
    assert_eq!(inode, same);
    // The next start finds the marks, and keeps what was moved.
    let env = machine.read("data/magpie/magpie.env");
    assert!(env.contains("OPENAI_API_KEY=\"sk-1\""), "{env}");
    assert_eq!(machine.start(), [""; 0]);
    assert_eq!(machine.magpie_txt(), after);
    assert_eq!(machine.read("data/magpie/magpie.env"), env);
    assert!(
        machine
            .read("data/device/wifi.conf")
            .contains("hunter22hunter22hunter")
    );
}

#[test]
fn a_second_start_writes_nothing_to_the_card() {
    let machine = Machine::new("WIFI_SSID=Home\nWIFI_PASSWORD=hunter22\nVOLUME=60\n");
    machine.start();
    let files = [
        "boot/magpie/magpie.txt",
        "boot/magpie/magpie-status.txt",
        "data/device/box.json",
        "data/device/wifi.conf",
        "data/magpie/magpie.env",
    ];
    let facts = || {
        files.map(|file| {
            let facts = fs::metadata(machine.path(file)).unwrap();
            (
                std::os::unix::fs::MetadataExt::ino(&facts),
                facts.modified().unwrap(),
            )
        })
    };
    let before = facts();
    machine.start();
    assert!(before == facts());
}

#[test]
fn a_power_cut_between_keeping_and_wiping_loses_nothing() {
    let file = "WIFI_SSID=Home\nWIFI_PASSWORD=hunter22\nCLAUDE_API_KEY=\"sk-ant-x\"\n";
    let machine = Machine::new(file);
    machine.start();
    let kept = machine.read("data/device/box.json");
    // The card as it was before the wipe, and with each of two sectors alone written.
    let wiped = machine.magpie_txt();
    for cut in 0..file.len() {
        let halves = [
            [&wiped[..cut], &file[cut..]].concat(),
            [&file[..cut], &wiped[cut..]].concat(),
        ];
        for torn in halves {
            machine.write("boot/magpie/magpie.txt", &torn);
            machine.start();
            assert_eq!(machine.magpie_txt(), wiped, "{torn:?}");
            assert_eq!(machine.read("data/device/box.json"), kept, "{torn:?}");
        }
    }
}

#[test]
fn without_data_no_secret_leaves_the_card() {
    let file = "WIFI_SSID=Home\nWIFI_PASSWORD=hunter22\n";
    let machine = Machine::new(file);
    // A file where the folder should be: nothing can be written there, whoever tries.
    machine.write("data/device", "");
    let told = start(&machine.root).err().unwrap();
    assert!(told.contains("/data cannot be written"), "{told}");
    assert_eq!(machine.magpie_txt(), file);
    assert!(machine.status().contains("/data cannot be written"));
    assert!(!machine.status().contains("hunter22"));
}

#[test]
fn a_line_with_a_mistake_changes_nothing_and_is_told_with_its_number() {
    let machine = Machine::new(
        "WIFI_SSID=Home\nWIFI_PASSWORD=short\nVOLUMEE=60\nVOLUME=loud\nTZ=UTC\nDATA_DIR=/tmp\n\
         HOSTNAME=my box\nPORT=80\nTIMEZONE=Nowhere/City\nWIFI_COUNTRY=Germany\nLANGUAGE=fr\nSOUND_HAT=a b\n\
         SSH_KEY=-----BEGIN OPENSSH PRIVATE KEY-----\nhello\n",
    );
    let told = machine.start();
    let lines: Vec<&str> = told
        .iter()
        .filter_map(|told| told.split(':').next())
        .collect();
    let expected: Vec<String> = (2..=14)
        .map(|line| format!("magpie.txt, line {line}"))
        .collect();
    assert_eq!(lines, expected, "{told:#?}");
    assert!(told[1].contains("did you mean VOLUME?"), "{told:#?}");
    assert!(
        told[3].contains("write TIMEZONE in place of TZ"),
        "{told:#?}"
    );
    assert!(told[11].contains("PRIVATE"), "{told:#?}");
    let status = machine.status();
    assert!(
        status.contains("line 2:") && status.contains("第 2 行："),
        "{status}"
    );
    // Neither the secret nor any other value is repeated, and it stays for who mends it.
    assert!(!status.contains("short"), "{status}");
    assert!(machine.magpie_txt().contains("WIFI_PASSWORD=short"));
    assert!(!machine.path("data/device/wifi.conf").exists());
    assert!(!machine.path("data/device/ssh/authorized_keys").exists());
}

#[test]
fn an_empty_line_changes_nothing_and_default_takes_back() {
    let machine = Machine::new(&format!(
        "WIFI_SSID=Home\nWIFI_PASSWORD=hunter22\nHOSTNAME=kitchen\nVOLUME=60\nSSH_KEY={KEY}\nCLAUDE_API_KEY=sk\n"
    ));
    machine.start();
    // Lost, empty, or written anew: the box stays what it is.
    let kept = machine.read("data/device/box.json");
    fs::remove_file(machine.path("boot/magpie/magpie.txt")).unwrap();
    machine.start();
    assert_eq!(machine.magpie_txt(), TEMPLATE);
    assert_eq!(machine.start(), [""; 0]);
    assert_eq!(machine.read("data/device/box.json"), kept);
    machine.write(
        "boot/magpie/magpie.txt",
        "WIFI_SSID=off\nHOSTNAME=default\nVOLUME=DEFAULT\nSSH_KEY=none\nCLAUDE_API_KEY=default\n",
    );
    machine.start();
    assert_eq!(machine.read("proc/sys/kernel/hostname"), "magpie");
    assert!(!machine.path("data/device/wifi.conf").exists());
    assert!(!machine.path("data/device/ssh/authorized_keys").exists());
    let env = machine.read("data/magpie/magpie.env");
    assert!(!env.contains("VOLUME") && !env.contains("CLAUDE"), "{env}");
}

#[test]
fn a_wifi_is_changed_by_its_name_and_its_password() {
    let machine = Machine::new("WIFI_SSID=Home\nWIFI_PASSWORD=hunter22\n");
    let take = |file: &str| {
        machine.write("boot/magpie/magpie.txt", file);
        (machine.start(), machine.read("data/device/wifi.conf"))
    };
    machine.start();
    let (told, wifi) = take("WIFI_SSID=Other\nWIFI_PASSWORD=# moved \n");
    assert!(told[0].contains("WIFI_PASSWORD"), "{told:?}");
    assert!(wifi.contains("hunter22"));
    let (_, wifi) = take("WIFI_PASSWORD=another22\n");
    assert!(
        wifi.contains("ssid=486f6d65\n") && wifi.contains("another22"),
        "{wifi}"
    );
    let (_, wifi) = take("WIFI_SSID=Café\nWIFI_PASSWORD=\n");
    assert!(wifi.contains("key_mgmt=NONE"), "{wifi}");
    let (_, wifi) = take("WIFI_SSID=\"off\"\nWIFI_PASSWORD=abcdefgh\n");
    assert!(wifi.contains("ssid=6f6666\n"), "{wifi}");
    let (told, _) = take(&format!("WIFI_SSID={}\n", "x".repeat(33)));
    assert!(told[0].contains("32"), "{told:?}");
}

#[test]
fn settings_that_do_not_fit_each_other_leave_the_old_ones() {
    let machine = Machine::new("VOLUME=60\n");
    machine.start();
    machine.write(
        "boot/magpie/magpie.txt",
        "TLS_CERT_FILE=/data/a.pem\nOPENAI_API_KEY=sk-9\n",
    );
    let told = machine.start();
    assert!(
        told[0].contains("line 2") && told[0].contains("TLS_KEY_FILE"),
        "{told:?}"
    );
    let env = machine.read("data/magpie/magpie.env");
    assert!(
        env.contains("VOLUME=\"60\"") && !env.contains("a.pem"),
        "{env}"
    );
    assert!(machine.magpie_txt().contains("sk-9"));
}

#[test]
fn a_setting_that_a_later_version_refuses_is_left_out() {
    let machine = Machine::new("");
    machine.start();
    machine.write(
        "data/device/box.json",
        r#"{"settings":{"VOLUME":"loud","GONE":"1","END_SILENCE_MS":"900"}}"#,
    );
    machine.start();
    let env = machine.read("data/magpie/magpie.env");
    assert!(env.contains("END_SILENCE_MS=\"900\""), "{env}");
    assert!(!env.contains("VOLUME") && !env.contains("GONE"), "{env}");
}

#[test]
fn what_cannot_be_read_of_the_box_is_set_aside() {
    let machine = Machine::new("VOLUME=60\n");
    fs::create_dir_all(machine.path("data/device")).unwrap();
    machine.write("data/device/box.json", "{torn");
    machine.start();
    assert_eq!(machine.read("data/device/box.json.broken"), "{torn");
    assert!(
        machine
            .read("data/magpie/magpie.env")
            .contains("VOLUME=\"60\"")
    );
}

#[test]
fn the_template_says_everything_there_is_and_asks_for_nothing() {
    let lines = lines::read(TEMPLATE.as_bytes());
    assert_eq!(lines.complaints, []);
    let names: Vec<&str> = lines
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    for own in wish::OWN_NAMES {
        assert!(names.contains(own), "{own} is missing in the template");
    }
    assert!(lines.entries.iter().all(|entry| entry.value.is_empty()));
    let taken = wish::take(&Kept::default(), lines);
    assert_eq!(taken.complaints, []);
    assert!(taken.kept == Kept::default());
    // Each remark has its Chinese.
    let is_chinese = |line: &&str| {
        line.chars()
            .any(|sign| ('\u{4e00}'..'\u{9fff}').contains(&sign))
    };
    for block in TEMPLATE.split("\n\n") {
        assert!(block.lines().filter(is_chinese).count() > 0, "{block}");
    }
}

#[test]
fn the_clock_never_goes_back_to_before_the_last_look_at_it() {
    let machine = Machine::new("");
    machine.start();
    machine.write("data/device/clock", "");
    let kept = fs::metadata(machine.path("data/device/clock"))
        .unwrap()
        .modified()
        .unwrap();
    let hour = std::time::Duration::from_secs(3_600);
    assert!(apply::clock_ahead(&machine.root, kept - hour).is_some());
    assert_eq!(apply::clock_ahead(&machine.root, kept + hour), None);
}

#[test]
fn the_status_tells_the_network_and_is_written_only_when_it_changes() {
    let machine = Machine::new("WIFI_SSID=Home\nWIFI_PASSWORD=hunter22\n");
    machine.start();
    for (path, text) in [("operstate", "up\n"), ("ifindex", "3\n"), ("phy80211", "")] {
        fs::create_dir_all(machine.path("sys/class/net/wlan0")).unwrap();
        machine.write(&format!("sys/class/net/wlan0/{path}"), text);
    }
    fs::create_dir_all(machine.path("run/systemd/netif/links")).unwrap();
    machine.write(
        "run/systemd/netif/links/3",
        "ADMIN_STATE=configured\nOPER_STATE=routable\n",
    );
    let addresses = || {
        vec![
            "192.168.1.20".parse().unwrap(),
            "127.0.0.1".parse().unwrap(),
            "fe80::1".parse().unwrap(),
        ]
    };
    tell_status(&machine.root, addresses(), Some("healthy".into())).unwrap();
    let status = machine.status();
    assert!(status.contains("Addresses: 192.168.1.20\n"), "{status}");
    assert!(status.contains("Wi-Fi \"Home\": connected\n"), "{status}");
    assert!(status.contains("健康状况：healthy"), "{status}");
    let written = || {
        fs::metadata(machine.path("boot/magpie/magpie-status.txt"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = written();
    tell_status(&machine.root, addresses(), Some("healthy".into())).unwrap();
    assert_eq!(before, written());
    machine.write("sys/class/net/wlan0/operstate", "dormant\n");
    tell_status(&machine.root, addresses(), None).unwrap();
    assert!(machine.status().contains("not connected"));
}

/// Boot partitions as image/build makes them, by the programs that it uses.
fn slots(machine: &Machine) -> [PathBuf; 2] {
    machine.write("proc/cmdline", "console=tty1 root=PARTUUID=6d616770-05 ro");
    fs::create_dir_all(machine.path("dev/disk/by-partuuid")).unwrap();
    let run = |program: &str, arguments: &[&str], path: &std::path::Path| {
        let done = std::process::Command::new(program)
            .args(arguments)
            .arg(path)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("MTOOLS_SKIP_CHECK", "1")
            .output()
            .unwrap_or_else(|error| panic!("{program} (dosfstools, mtools): {error}"));
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        done.stdout
    };
    ["02", "03"].map(|number| {
        let path = machine.path(&format!("dev/disk/by-partuuid/6d616770-{number}"));
        fs::File::create(&path).unwrap().set_len(96 << 20).unwrap();
        run("mkfs.vfat", &["-F", "32", "-n", "BOOT"], &path);
        let image = path.to_str().unwrap();
        // Enough entries before it that the folder takes more than one cluster.
        let files = machine.path("files");
        fs::create_dir_all(&files).unwrap();
        let mut names = Vec::new();
        for index in 0..80 {
            let name = files.join(format!("bcm2837-rpi-{index}.dtb"));
            fs::write(&name, "tree").unwrap();
            names.push(name.to_str().unwrap().to_owned());
        }
        let hat = files.join("hat.txt");
        fs::write(&hat, card::padded("# no sound board\n", 512)).unwrap();
        names.push(hat.to_str().unwrap().to_owned());
        let mut arguments = vec!["-i", image];
        arguments.extend(names.iter().map(String::as_str));
        run("mcopy", &arguments, std::path::Path::new("::"));
        path
    })
}

fn hat_txt(partition: &std::path::Path) -> String {
    let read = std::process::Command::new("mtype")
        .args(["-i", partition.to_str().unwrap(), "::hat.txt"])
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap();
    assert_eq!(read.stdout.len(), 512);
    String::from_utf8(read.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn a_sound_board_is_written_into_the_boot_partitions_of_both_slots() {
    let machine = Machine::new("SOUND_HAT=hifiberry-dac,24db_digital_gain\n");
    let slots = slots(&machine);
    assert_eq!(machine.start(), ["starting again for the sound board"]);
    for slot in &slots {
        assert_eq!(hat_txt(slot), "dtoverlay=hifiberry-dac,24db_digital_gain");
    }
    assert_eq!(machine.start(), [""; 0]);
    // An update wrote slot B anew and is on trial there: the line comes back, without a restart.
    let fresh = fs::read(&slots[1]).unwrap();
    let at = fresh
        .windows(9)
        .position(|part| part == b"dtoverlay")
        .unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&slots[1]).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(at as u64)).unwrap();
    std::io::Write::write_all(&mut file, &card::padded("# no sound board\n", 512)).unwrap();
    machine.write("data/device/trial.json", "{}");
    assert_eq!(
        machine.start(),
        ["the sound board is there after the next start"]
    );
    assert_eq!(
        hat_txt(&slots[1]),
        "dtoverlay=hifiberry-dac,24db_digital_gain"
    );
    machine.write("boot/magpie/magpie.txt", "SOUND_HAT=none\n");
    machine.start();
    for slot in &slots {
        assert_eq!(hat_txt(slot), "# no sound board");
    }
}

#[test]
fn what_is_no_boot_partition_is_told_and_left_alone() {
    let machine = Machine::new("SOUND_HAT=hifiberry-dac\n");
    let told = machine.start();
    assert!(told[0].contains("Magpie's own image alone"), "{told:?}");
    let slots = slots(&machine);
    let noise: Vec<u8> = (0..65_536_u32)
        .map(|index| (index * 31 % 251) as u8)
        .collect();
    fs::write(&slots[0], &noise).unwrap();
    let told = machine.start();
    assert!(told[0].contains("no FAT32"), "{told:?}");
    assert!(fs::read(&slots[0]).unwrap() == noise);
}

proptest::proptest! {
    #[test]
    fn a_damaged_partition_is_read_within_its_bounds(damage in proptest::collection::vec((0_usize..512, proptest::prelude::any::<u8>()), 0..12)) {
        let mut image = vec![0_u8; 256 * 1024];
        let head: [(usize, &[u8]); 8] = [
            (11, &[0, 2]), (13, &[1]), (14, &[32, 0]), (16, &[2]), (32, &[0, 2, 0, 0]), (36, &[4, 0, 0, 0]), (44, &[2, 0, 0, 0]), (510, &[0x55, 0xaa]),
        ];
        for (at, bytes) in head {
            image[at..at + bytes.len()].copy_from_slice(bytes);
        }
        for (at, byte) in damage {
            image[at] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boot");
        fs::write(&path, &image).unwrap();
        let _ = fat::find(&fs::File::open(&path).unwrap(), b"HAT     TXT", 512);
    }
}

#[test]
fn nothing_of_the_box_can_be_printed() {
    // Both hold passwords; a derived Debug would put them into a log one day.
    let source = include_str!("kept.rs");
    assert!(!source.contains("Debug"));
}
