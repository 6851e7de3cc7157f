//! The set-up page: who is let in, who is not, and how it ends.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::radio::{HOME_PASSWORD, HOME_SSID, Machine};
use crate::support::{errors, out};

#[test]
fn a_person_with_a_phone_gives_the_box_its_wifi() {
    if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
        return;
    }
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    assert!(
        pages.join("node_modules/playwright-core").exists(),
        "run `npm ci` in tests/pages first, or set MAGPIE_SKIP_PAGES=1"
    );
    let machine = Machine::new();
    machine.write("boot/magpie/magpie.txt", "HOSTNAME=kitchen\n");
    machine.first_boot(&[]).output().unwrap();
    let set_up = machine.set_up();
    let shots = std::env::var_os("MAGPIE_SCREENSHOTS")
        .map_or_else(|| machine.home.path("shots"), Into::into);
    std::fs::create_dir_all(&shots).unwrap();
    let drive = |act: &str, code: &str| {
        let done = Command::new("node")
            .args(["set-up.js", act])
            .current_dir(&pages)
            .env("PAGE", format!("http://{}", machine.page))
            .env("CODE", code)
            .env("SHOTS", &shots)
            .env("SSID", HOME_SSID)
            .env("PASSWORD", HOME_PASSWORD)
            .env("BROWSER_HOME", machine.home.path("browser"))
            .output()
            .expect("node is installed");
        assert!(done.status.success(), "{}\n{}", out(&done), errors(&done));
    };
    let first = set_up.code();
    assert!(
        set_up.printed().contains("Magpie set-up"),
        "{}",
        set_up.printed()
    );
    let status = machine.read("boot/magpie/magpie-status.txt");
    assert!(status.contains(&first), "{status}");
    drive("wrong", &first);
    // The network was tried and is not kept; the page comes back with another code.
    machine.until("another opening", || {
        let note = machine.read("run/magpie/set-up-open");
        note.lines().nth(1).is_some_and(|code| code != first)
    });
    assert!(!machine.root().join("data/device/wifi.conf").exists());
    let second = set_up.code();
    drive("right", &second);
    let (status, printed) = set_up.ended();
    assert!(status.success(), "{printed}");
    assert!(
        printed.contains("connected; http://kitchen.local"),
        "{printed}"
    );
    assert!(!printed.contains(HOME_PASSWORD), "{printed}");
    let wifi = machine.read("data/device/wifi.conf");
    assert!(wifi.contains("ssid=486f6d6520262047617264656e\n"), "{wifi}");
    let log = machine.log();
    let last = log.lines().last().unwrap();
    assert_eq!(
        last, "systemctl start --no-block magpie-wifi@wlan0.service",
        "{log}"
    );
    assert_eq!(
        log.matches("access point Magpie set-up").count(),
        2,
        "{log}"
    );
    // Nothing of the opening stays behind, and the next start finds its network.
    for gone in [
        "run/magpie/set-up-open",
        "run/magpie/set-up.conf",
        "run/magpie/try.conf",
    ] {
        assert!(!machine.root().join(gone).exists(), "{gone}");
    }
    let status = machine.read("boot/magpie/magpie-status.txt");
    assert!(
        !status.contains(&second) && status.contains(HOME_SSID),
        "{status}"
    );
    machine.first_boot(&[]).output().unwrap();
    assert_eq!(machine.read("data/device/wifi.conf"), wifi);
    let (_, printed) = machine.set_up().ended();
    assert!(printed.contains("a Wi-Fi is set"), "{printed}");
}

#[test]
fn phones_are_led_to_the_page_and_other_pages_are_kept_out() {
    let machine = Machine::new();
    let set_up = machine.set_up();
    let code = set_up.code();
    let page = machine.page.to_string();
    for (host, path) in [
        ("connectivitycheck.gstatic.com", "/generate_204"),
        ("captive.apple.com", "/hotspot-detect.html"),
        ("www.msftconnecttest.com", "/connecttest.txt"),
        ("detectportal.firefox.com", "/success.txt"),
        (page.as_str(), "/generate_204"),
    ] {
        let answer = set_up.get(host, path);
        assert!(answer.starts_with("HTTP/1.1 302 "), "{host}: {answer}");
        assert!(
            answer.contains(&format!("\r\nLocation: http://{page}/\r\n")),
            "{answer}"
        );
    }
    for own in [page.as_str(), "magpie.local"] {
        assert!(set_up.get(own, "/").starts_with("HTTP/1.1 200 "), "{own}");
    }
    assert!(set_up.get(&page, "/?lang=zh").contains("连接盒子"));
    let form = set_up.get(&page, "/");
    assert!(
        !form.contains("<script") && form.contains("邻居家"),
        "{form}"
    );
    // A question for a name, as a phone asks it.
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    phone
        .send_to(
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07captive\x05apple\x03com\0\0\x01\0\x01",
            machine.names,
        )
        .unwrap();
    let mut answer = [0; 512];
    let (length, _) = phone.recv_from(&mut answer).unwrap();
    assert_eq!(answer[length - 4..length], [127, 0, 0, 1]);
    // What another page or another name brings along is not the person in the room.
    let proof = &code[8..];
    let token = set_up.token();
    let body = format!("token={token}&network=Home&password=hunter22&proof={proof}");
    let foreign = [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ];
    for headers in foreign {
        assert!(
            set_up.post(headers, &body).starts_with("HTTP/1.1 403 "),
            "{headers}"
        );
    }
    let rebound = set_up.ask(&format!(
        "POST /join HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(rebound.starts_with("HTTP/1.1 421 "), "{rebound}");
    let stale = set_up.post("", &body.replace(&token, "0"));
    assert!(stale.starts_with("HTTP/1.1 403 "), "{stale}");
    let no_form = set_up.post("", "hello");
    assert!(no_form.starts_with("HTTP/1.1 400 "), "{no_form}");
    let short = set_up.post("", &body.replace("hunter22", "short"));
    assert!(short.starts_with("HTTP/1.1 422 "), "{short}");
    let other = set_up.ask(&format!(
        "DELETE / HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n"
    ));
    assert!(other.starts_with("HTTP/1.1 405 "), "{other}");
    // Nothing was tried.
    assert!(!machine.log().contains("station"), "{}", machine.log());
}

#[test]
fn five_wrong_codes_make_a_new_one() {
    let machine = Machine::new();
    let set_up = machine.set_up();
    let code = set_up.code();
    let token = set_up.token();
    let wrong = if &code[8..] == "0000" { "0001" } else { "0000" };
    for _ in 0..5 {
        let answer = set_up.post("", &format!("token={token}&network=Home&proof={wrong}"));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    machine.until("another code", || {
        let note = machine.read("run/magpie/set-up-open");
        note.lines().nth(1).is_some_and(|now| now != code)
    });
    machine.until("another access point", || {
        machine.log().matches("access point").count() == 2
    });
    // What was right before is not any more.
    let body = format!("token={token}&network=Home&proof={}", &code[8..]);
    machine.until("the page is back", || {
        std::net::TcpStream::connect(machine.page).is_ok()
    });
    assert!(set_up.post("", &body).starts_with("HTTP/1.1 403 "));
}

#[test]
fn bodies_without_end_are_not_read_and_the_page_goes_on() {
    let machine = Machine::new();
    let set_up = machine.set_up();
    set_up.code();
    let page = machine.page;
    let endless = [
        format!("POST /join HTTP/1.1\r\nHost: {page}\r\nContent-Length: 9999999999\r\n\r\n"),
        format!("POST /join HTTP/1.1\r\nHost: {page}\r\nContent-Length: 1025\r\n\r\n"),
        format!(
            "POST /join HTTP/1.1\r\nHost: {page}\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"
        ),
    ];
    let mut held = Vec::new();
    for request in &endless {
        let mut stream = std::net::TcpStream::connect(page).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        held.push(stream);
    }
    assert!(
        set_up
            .get(&page.to_string(), "/")
            .starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn a_cable_that_leads_somewhere_ends_it() {
    let machine = Machine::new();
    let set_up = machine.set_up();
    set_up.code();
    machine.write("sys/class/net/eth0/carrier", "1\n");
    let (status, printed) = set_up.ended();
    assert!(status.success(), "{printed}");
    assert!(printed.contains("a cable leads to a network"), "{printed}");
    assert!(machine.log().ends_with("ended\n"), "{}", machine.log());
    // And where it was there from the beginning, the radio is left alone.
    let before = machine.log();
    let (_, printed) = machine.set_up().ended();
    assert!(printed.contains("a cable leads to a network"), "{printed}");
    assert_eq!(machine.log(), before);
}
