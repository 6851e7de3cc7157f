//! The page in a real Chromium, over HTTPS by the box's own authority, with a microphone that
//! hears a file; real server, real speech engines.

#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Home, Running};

/// What pocketsphinx understands of the voice word for word.
const QUESTION: &str = "where is the spare key";

/// A box with its own authority, and a browser's home that trusts it.
struct Rig {
    home: Home,
    pages: PathBuf,
    shots: PathBuf,
}

impl Rig {
    /// `None`: pages are not to be tested here.
    fn new() -> Option<Rig> {
        if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
            return None;
        }
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
        assert!(
            pages.join("node_modules/playwright-core").exists(),
            "run `npm ci` in tests/pages first, or set MAGPIE_SKIP_PAGES=1"
        );
        let home = Home::new()
            .set("HTTPS_PORT", "0")
            .set("HAPPY_REGISTRATION", "open");
        // Started once for its ports: they stay the same over restarts.
        let first = home.serve();
        let ports = ["http", "https"].map(|name| address(&first, name).port().to_string());
        assert!(first.stop().success(), "it ends in peace");
        let home = home.set("PORT", &ports[0]).set("HTTPS_PORT", &ports[1]);
        let shots = match std::env::var_os("MAGPIE_SCREENSHOTS") {
            Some(folder) => PathBuf::from(folder),
            None => home.path("shots"),
        };
        std::fs::create_dir_all(&shots).expect("a folder");
        Some(Rig { home, pages, shots })
    }

    /// Speaks `text` into a file that the browser takes for its microphone.
    fn speak(&self, text: &str) -> PathBuf {
        let spoken = self.home.path("spoken.wav");
        let script = "flite -voice rms -t \"$1\" -o \"$2.flite.wav\" && \
                      sox \"$2.flite.wav\" -r 48000 \"$2\" pad 0.6 8";
        let said = Command::new("sh")
            .args(["-c", script, "say", text])
            .arg(&spoken)
            .status()
            .expect("a shell");
        assert!(said.success(), "flite and sox speak");
        spoken
    }

    /// The browser's home knows the authority of the running box and nobody else's.
    fn trust(&self, http: SocketAddr) -> PathBuf {
        let (folder, certificate) = (self.home.path("browser"), self.home.path("ca.crt"));
        let database = folder.join(".pki/nssdb");
        std::fs::create_dir_all(&database).expect("a folder");
        std::fs::write(&certificate, body_of(http, "/ca.crt")).expect("a file");
        let name = format!("sql:{}", database.display());
        let certutil = |arguments: &[&str]| {
            let done = Command::new("certutil")
                .args(arguments)
                .args(["-d", &name])
                .output()
                .expect("certutil of libnss3-tools");
            assert!(done.status.success(), "{}", support::errors(&done));
        };
        certutil(&["-N", "--empty-password"]);
        let file = certificate.to_str().expect("a plain name");
        certutil(&["-A", "-n", "magpie", "-t", "C,,", "-i", file]);
        folder
    }

    /// Runs `script`, which may order `!stop` and `!start` of the box; each is answered by a line.
    fn drive(&self, script: &str, said: &str) {
        let spoken = (!said.is_empty()).then(|| self.speak(said));
        let mut running = Some(self.home.serve());
        let first = running.as_ref().expect("it runs");
        let (http, https) = (address(first, "http"), address(first, "https"));
        let mut child = Command::new("node")
            .arg(script)
            .current_dir(&self.pages)
            .env("PAGE", format!("https://magpie.local:{}", https.port()))
            .env("PLAIN", format!("http://localhost:{}", http.port()))
            .env("CODE", claim_code(first))
            .env("BROWSER_HOME", self.trust(http))
            .env("SHOTS", &self.shots)
            .env("SAID", said)
            .env("SPOKEN", spoken.unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node is installed");
        let mut told = child.stdin.take().expect("a pipe");
        let mut errors = child.stderr.take().expect("a pipe");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut said = String::new();
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            match line.expect("text").as_str() {
                "!stop" => {
                    if let Some(running) = running.take() {
                        assert!(running.stop().success(), "it ends in peace");
                    }
                }
                "!start" => running = Some(self.home.serve()),
                other => {
                    println!("{other}");
                    said.push_str(other);
                    said.push('\n');
                    continue;
                }
            }
            told.write_all(b"done\n").expect("the script waits");
        }
        let ended = child.wait().expect("a status");
        let errors = errors.join().expect("was read");
        let log = running.as_ref().map(Running::log).unwrap_or_default();
        assert!(ended.success(), "{said}\n{errors}\nlog of the box:\n{log}");
    }
}

#[test]
fn a_question_held_is_understood_answered_aloud_and_found_again_after_a_restart() {
    let Some(rig) = Rig::new() else { return };
    rig.drive("talk.js", QUESTION);
}

#[test]
fn a_recording_made_without_the_box_is_kept_and_sent_when_it_is_back() {
    let Some(rig) = Rig::new() else { return };
    rig.drive("offline.js", QUESTION);
}

#[test]
fn every_view_is_whole_in_both_languages_and_colours_for_every_eye_and_hand() {
    let Some(rig) = Rig::new() else { return };
    rig.drive("views.js", "");
}

#[test]
fn the_scripts_hold_their_types_and_the_microphone_its_filter() {
    let Some(rig) = Rig::new() else { return };
    let checked = Command::new("node")
        .arg("checks.js")
        .current_dir(&rig.pages)
        .output()
        .expect("node is installed");
    print!("{}", support::out(&checked));
    assert!(
        checked.status.success(),
        "{}\n{}",
        support::out(&checked),
        support::errors(&checked)
    );
}

fn address(running: &Running<'_>, name: &str) -> SocketAddr {
    running.address(name).expect("it listens")
}

fn claim_code(running: &Running<'_>) -> String {
    running.wait_for_log("event=claim_code");
    let log = running.log();
    let (_, rest) = log.split_once("event=claim_code code=").expect("a code");
    rest.chars().take_while(char::is_ascii_digit).collect()
}

fn body_of(http: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(http).expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answers");
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
    answer.split_off(end.expect("a head") + 4)
}
