//! Updates that are taken, and those that are refused before a byte of the card has changed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use ed25519_dalek::SigningKey;
use magpie::device::bundle::Version;

use crate::machine::{BOOT_PLACE, Machine, Release, autoboot};
use crate::support::{errors, out};

#[test]
fn an_update_goes_to_slot_b_and_the_next_one_back_to_slot_a() {
    let mut machine = Machine::new();
    let mut running = 'A';
    for number in [2, 3] {
        let (release, before) = (Release::new(number), machine.untouchable(running));
        let offer = machine.offer(&release.bundle());
        let told = machine.run_well(&[offer.path()]);
        assert!(told.contains("read back, the same"), "{told}");
        assert_eq!(machine.untouchable(running), before);
        let next = if running == 'A' { 'B' } else { 'A' };
        assert_eq!(machine.restart_as_asked(), (number, next));
        let settled = machine.run_well(&["--settle"]);
        assert!(settled.contains("is being tried"), "{settled}");
        let refused = machine.run(&[offer.path()]);
        assert!(
            errors(&refused).contains("is being tried"),
            "{}",
            errors(&refused)
        );
        let serving = machine.home.serve();
        let kept = machine.run_well(&["--confirm", "--healthy-seconds", "1"]);
        assert!(kept.contains(&format!("to 0.{number}.0")), "{kept}");
        serving.stop();
        let good = if next == 'A' { 2 } else { 3 };
        assert_eq!(machine.autoboot(), autoboot(good));
        running = next;
        assert_eq!(machine.start(), (number, running), "from now on by itself");
        assert_eq!(machine.status()["last"]["result"], "updated");
        assert!(!machine.path("data/device/trial.json").exists());
        assert!(!machine.path("data/magpie/before-update").exists());
    }
    assert_eq!(machine.said(), "spare key");
}

#[test]
fn what_is_not_for_this_box_changes_not_a_byte_of_the_card() {
    let machine = Machine::new();
    let all = || {
        (1..7)
            .filter(|number| *number != 4)
            .map(|n| fs::read(machine.partition(n)).unwrap())
            .collect::<Vec<_>>()
    };
    let (before, autoboot) = (all(), machine.autoboot());
    let with = |change: &dyn Fn(&mut Release)| {
        let mut release = Release::new(2);
        change(&mut release);
        release.bundle()
    };
    let good = Release::new(2).bundle();
    let text = String::from_utf8_lossy(&good).into_owned();
    let signature = text.find("]}").expect("the manifest's end") + 10;
    let changed = |at: usize| {
        let mut bundle = good.clone();
        bundle[at] ^= 1;
        bundle
    };
    let refusals: [(&str, Vec<u8>, &str); 11] = [
        (
            "no bundle",
            b"PK\x03\x04 something else entirely".to_vec(),
            "no update of Magpie",
        ),
        ("empty", Vec::new(), "breaks off"),
        ("bad signature", changed(signature), "not signed by a key"),
        ("tampered manifest", changed(40), "not signed by a key"),
        (
            "other key",
            Release::new(2).signed_by(&SigningKey::from_bytes(&[9; 32])),
            "not signed by a key",
        ),
        ("ends in the manifest", good[..100].to_vec(), "breaks off"),
        (
            "other board",
            with(&|release| release.boards = vec!["rpi-arm32"]),
            "for rpi-arm32, and this is rpi-arm64",
        ),
        (
            "older",
            with(&|release| release.version = Version([0, 0, 9])),
            "--allow-older",
        ),
        (
            "the same",
            with(&|release| release.version = Version::running()),
            "--allow-older",
        ),
        (
            "boot too big",
            with(&|release| release.boot.resize(BOOT_PLACE as usize + 1, 0)),
            "not for this card",
        ),
        (
            "root too big",
            with(&|release| release.root.resize(1024 * 1024 + 1, 0)),
            "not for this card",
        ),
    ];
    for (what, bundle, why) in refusals {
        let offer = machine.offer(&bundle);
        let refused = machine.run(&[offer.path()]);
        assert_eq!(refused.status.code(), Some(1), "{what}");
        assert!(
            errors(&refused).contains(why),
            "{what}: {}",
            errors(&refused)
        );
        assert!(all() == before && machine.autoboot() == autoboot, "{what}");
        assert!(!machine.path("data/device/trial.json").exists(), "{what}");
        let status = machine.status();
        assert_eq!(status["last"]["result"], "failed", "{what}");
        assert!(
            status["last"]["why"].as_str().unwrap().contains(why),
            "{what}"
        );
    }
    let offer = machine.offer(&with(&|release| release.version = Version([0, 0, 9])));
    machine.run_well(&["--allow-older", offer.path()]);
}

#[test]
fn where_it_is_not_sure_what_runs_nothing_is_written() {
    let machine = Machine::new();
    let offer = machine.offer(&Release::new(2).bundle());
    let other = [3, 6].map(|number| fs::read(machine.partition(number)).unwrap());
    let refused = |why: &str| {
        let done = machine.run(&[offer.path()]);
        assert_eq!(done.status.code(), Some(1), "{why}");
        assert!(errors(&done).contains(why), "{why}: {}", errors(&done));
        let now = [3, 6].map(|number| fs::read(machine.partition(number)).unwrap());
        assert!(now == other, "{why}");
    };
    let change = |name: &str, text: &str, why: &str| {
        let before = fs::read(machine.path(name)).unwrap();
        fs::write(machine.path(name), text).unwrap();
        refused(why);
        fs::write(machine.path(name), before).unwrap();
    };
    change(
        "proc/cmdline",
        "root=/dev/sda1 ro",
        "does not run from a slot",
    );
    change(
        "proc/cmdline",
        "root=PARTUUID=4d616770-06",
        "restart the box first",
    );
    let other_root = fs::canonicalize(machine.partition(6)).unwrap();
    let mounts = format!("{} /mnt squashfs ro 0 0\n", other_root.display());
    change("proc/mounts", &mounts, "in use");
    change(
        "boot/magpie/autoboot.txt",
        "boot_partition=2\n",
        "not as an update leaves it",
    );
    change("etc/magpie/board", "", "and this is");
    change(
        "usr/share/magpie/update-keys/test.pub",
        "# none\n",
        "names no key to trust",
    );
    let aside = machine.path("aside");
    fs::rename(machine.partition(6), &aside).unwrap();
    fs::create_dir(machine.partition(6)).unwrap();
    let done = machine.run(&[offer.path()]);
    assert_eq!(done.status.code(), Some(1));
    fs::remove_dir(machine.partition(6)).unwrap();
    fs::rename(aside, machine.partition(6)).unwrap();
    machine.run_well(&[offer.path()]);
}

#[test]
fn parts_that_are_not_what_was_signed_are_never_tried() {
    let machine = Machine::new();
    let good = Release::new(2).bundle();
    let mut changed = good.clone();
    let last = good.len() - 1;
    changed[last] ^= 0x80;
    let mut squeezed = good.clone();
    squeezed[1_000] ^= 0x80;
    let mut longer = good.clone();
    longer.extend_from_slice(b"more");
    let before = machine.untouchable('A');
    for (what, bundle) in [
        ("changed", changed),
        ("unpackable", squeezed),
        ("cut", good[..last].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("longer", longer),
    ] {
        let offer = machine.offer(&bundle);
        let checked = machine.run(&["--check", offer.path()]);
        assert_eq!(checked.status.code(), Some(1), "{what}");
        let refused = machine.run(&[offer.path()]);
        assert_eq!(refused.status.code(), Some(1), "{what}");
        assert!(
            errors(&refused).contains("fetch it again"),
            "{what}: {}",
            errors(&refused)
        );
        assert!(machine.untouchable('A') == before, "{what}");
        assert!(!machine.path("data/device/trial.json").exists(), "{what}");
    }
    let offer = machine.offer(&good);
    machine.run_well(&[offer.path()]);
    assert!(machine.holds_in_b(&Release::new(2)));
}

#[test]
fn what_the_shell_signs_is_an_update() {
    let machine = Machine::new();
    let release = Release::new(2);
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("release");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("boot.img"), &release.boot).unwrap();
    fs::write(folder.join("root.squashfs"), &release.root).unwrap();
    fs::write(folder.join("version"), "0.2.0\n").unwrap();
    fs::write(folder.join("boards"), "rpi-arm64\nqemu-virt\n").unwrap();
    let sign = |arguments: &[&str]| {
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/image/sign");
        let mut command = Command::new(tool);
        command.args(arguments).current_dir(work.path());
        let done = command
            .env("KEY_PASS", "pass:a long phrase")
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", errors(&done));
        out(&done).trim().to_owned()
    };
    sign(&["keygen", "release"]);
    let private = fs::read_to_string(work.path().join("release.key")).unwrap();
    assert!(private.contains("ENCRYPTED PRIVATE KEY"));
    let update = sign(&["sign", "release.key", "release"]);
    let update = work.path().join(update);
    let update = update.to_str().unwrap();
    let refused = machine.run(&["--check", update]);
    assert!(
        errors(&refused).contains("not signed by a key"),
        "{}",
        errors(&refused)
    );
    let keys = work.path().to_str().unwrap();
    machine.run_well(&["--check", "--keys", keys, update]);
    machine.run_well(&["--keys", keys, update]);
    assert!(machine.holds_in_b(&release));
}

#[test]
fn two_updates_at_once_are_one() {
    let machine = Machine::new();
    let bundle = Release::new(2).bundle();
    let pipe = machine.path("slow");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut first = machine
        .command(&[pipe.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Opens once the other end is read.
    let mut feed = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    feed.write_all(&bundle[..bundle.len() / 2]).unwrap();
    let mut told = BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.contains("goes to slot B"), "{line}");
    let offer = machine.offer(&bundle);
    let second = machine.run(&[offer.path()]);
    assert!(
        errors(&second).contains("another update is under way"),
        "{}",
        errors(&second)
    );
    feed.write_all(&bundle[bundle.len() / 2..]).unwrap();
    drop(feed);
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert!(first.wait().unwrap().success());
    assert!(machine.holds_in_b(&Release::new(2)));
}

#[test]
fn an_update_is_fetched_from_a_server_that_may_send_the_box_on() {
    let machine = Machine::new();
    let bundle = Release::new(2).bundle();
    let length = bundle.len();
    let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    let fetch = |answers: Vec<Vec<u8>>| {
        let (address, server) = serve(answers);
        let done = machine.run(&[&format!("http://{address}/latest?token=hidden")]);
        (done, server)
    };
    let refusals: [(&str, Vec<Vec<u8>>, &str); 5] = [
        (
            "none",
            vec![b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()],
            "no such file",
        ),
        (
            "error",
            vec![b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_vec()],
            "answered 500",
        ),
        (
            "ring",
            vec![
                b"HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n".to_vec();
                6
            ],
            "from one place to the next",
        ),
        (
            "breaks off",
            vec![[whole.as_bytes(), &bundle[..length - 1000]].concat()],
            "broke off",
        ),
        (
            "page",
            vec![b"HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n<html>sign in!</html>".to_vec()],
            "no update of Magpie",
        ),
    ];
    for (what, answers, why) in refusals {
        let (refused, server) = fetch(answers);
        assert_eq!(refused.status.code(), Some(1), "{what}");
        assert!(
            errors(&refused).contains(why),
            "{what}: {}",
            errors(&refused)
        );
        assert!(!errors(&refused).contains("hidden"), "{}", errors(&refused));
        assert!(!machine.path("data/device/trial.json").exists(), "{what}");
        server.join().unwrap();
    }
    let on = b"HTTP/1.1 307 Temporary\r\nlocation: /files/a.update\r\ncontent-length: 0\r\n\r\n"
        .to_vec();
    let (done, server) = fetch(vec![on, [whole.as_bytes(), &bundle].concat()]);
    assert!(done.status.success(), "{}", errors(&done));
    let asked = server.join().unwrap();
    assert_eq!(
        asked,
        [
            "GET /latest?token=hidden HTTP/1.1",
            "GET /files/a.update HTTP/1.1"
        ]
    );
    assert!(machine.holds_in_b(&Release::new(2)));
}

/// One connection an answer; what was asked for on each.
fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |stream: TcpStream, bytes: &[u8]| {
        let mut lines = BufReader::new(&stream).lines();
        let asked = lines.next().unwrap().unwrap();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        // Who has read enough hangs up.
        let _ = (&stream).write_all(bytes);
        asked
    };
    let server = std::thread::spawn(move || {
        let one = |bytes: Vec<u8>| answer(listener.accept().unwrap().0, &bytes);
        answers.into_iter().map(one).collect()
    });
    (address, server)
}

#[test]
fn only_root_writes_to_a_real_machine() {
    let machine = Machine::new();
    let mut command = machine.home.command(&["update", "somewhere.update"]);
    command.current_dir("/");
    // SAFETY: asks for a number and touches no memory.
    if unsafe { libc::geteuid() } == 0 {
        command.uid(65534).gid(65534);
    }
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(errors(&done).contains("only root"), "{}", errors(&done));
}
