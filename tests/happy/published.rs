//! The published CLIs, unmodified, with a phone at the other end. They are 700 MB, so these run
//! where they are installed: `make clients`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::support::{Home, Running};

/// Goes through the script of `tests/clients/cli.js`; the box is started anew where it says so.
fn drive(cli: &str, pairing: &str) {
    // The clients keep the address over the restart.
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let home = Home::new()
        .set("HAPPY_REGISTRATION", "open")
        .set("PORT", &port);
    let mut running: Option<Running> = Some(home.serve());
    let node = std::env::var_os("NODE").unwrap_or_else(|| "node".into());
    let mut script = Command::new(node)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/cli.js"))
        .env("SERVER", format!("http://127.0.0.1:{port}"))
        .env("CLI", cli)
        .env("PAIRING", pairing)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut orders = script.stdin.take().expect("a pipe");
    let said = BufReader::new(script.stdout.take().expect("a pipe"));
    let mut steps = Vec::new();
    for line in said.lines() {
        let line = line.expect("a line");
        match line.as_str() {
            // As a power cut: what was acknowledged has to be there.
            "!stop" => running.take().expect("it runs").kill(),
            "!start" => running = Some(home.serve()),
            _ => {
                println!("{line}");
                steps.push(line);
                continue;
            }
        }
        writeln!(orders, "done").expect("the script listens");
    }
    let status = script.wait().expect("a status");
    let log = running.map(|running| running.log()).unwrap_or_default();
    assert!(status.success(), "after {steps:#?}; the box:\n{log}");
    assert_eq!(
        steps.last().map(String::as_str),
        Some("clients: all is well")
    );
}

#[test]
#[ignore = "needs the CLIs: make clients"]
fn the_current_cli_works_and_comes_back_after_a_restart() {
    drive("happy", "v2");
}

#[test]
#[ignore = "needs the CLIs: make clients"]
fn the_older_cli_works_and_comes_back_after_a_restart() {
    drive("happy-coder", "v2");
}

#[test]
#[ignore = "needs the CLIs: make clients"]
fn a_terminal_that_an_older_phone_let_in_works_too() {
    drive("happy", "v1");
}
