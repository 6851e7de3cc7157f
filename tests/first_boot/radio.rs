//! A machine with a radio: its tree, the programs that work the radio, the set-up that runs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::Home;

/// Everything here may take its time on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// The home's Wi-Fi that is in the air, and its password.
pub const HOME_SSID: &str = "Home & Garden";
pub const HOME_PASSWORD: &str = "correct horse";

const SCAN: &str = "BSS a4:2b:b0:00:00:01(on wlan0)\n\tsignal: -48.00 dBm\n\tSSID: Home & Garden\n\tRSN:\t * Version: 1\n\
BSS a4:2b:b0:00:00:02(on wlan0)\n\tsignal: -71.00 dBm\n\tSSID: \\xe9\\x82\\xbb\\xe5\\xb1\\x85\\xe5\\xae\\xb6\n\tRSN:\t * Version: 1\n\
BSS a4:2b:b0:00:00:03(on wlan0)\n\tcapability: ESS (0x0401)\n\tsignal: -80.00 dBm\n\tSSID: Caf\\xc3\\xa9\n\
BSS a4:2b:b0:00:00:04(on wlan0)\n\tsignal: -82.00 dBm\n\tSSID: <script>alert(1)</script>\n\tRSN:\n";

/// Joins when name and password are those of the home; ends when it is told to.
const SUPPLICANT: &str = r#"#!/bin/sh
for conf; do :; done
net="$ROOT/sys/class/net/wlan0"
gone() { echo down > "$net/operstate"; echo "ended" >> "$ROOT/log"; exit 0; }
trap gone TERM
if grep -q 'mode=2' "$conf"; then
  echo "access point $(sed -n 's/^\tssid="\(.*\)"$/\1/p' "$conf")" >> "$ROOT/log"
else
  name=$(sed -n 's/^\tssid=\([0-9a-f]*\)$/\1/p' "$conf")
  echo "station $name" >> "$ROOT/log"
  if [ "$name" = "486f6d6520262047617264656e" ] && grep -q 'psk="correct horse"' "$conf"; then
    echo up > "$net/operstate"
    printf 'ADMIN_STATE=configured\nOPER_STATE=routable\n' > "$ROOT/run/systemd/netif/links/3"
  fi
fi
while :; do sleep 1000 & wait $!; done
"#;

pub struct Machine {
    pub home: Home,
    pub page: SocketAddr,
    pub names: SocketAddr,
}

/// A running `magpie first-boot set-up`.
pub struct SetUp<'a> {
    machine: &'a Machine,
    child: Child,
    printed: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Machine {
    pub fn new() -> Machine {
        let home = Home::new().set("DATA_DIR", "root/data/magpie");
        for folder in [
            "boot/magpie",
            "data/magpie",
            "proc/sys/kernel",
            "run/magpie",
            "run/systemd/netif/links",
            "sys/class/net/wlan0/phy80211",
            "sys/class/net/eth0/device",
        ] {
            fs::create_dir_all(home.path("root").join(folder)).unwrap();
        }
        fs::create_dir(home.path("bin")).unwrap();
        let machine = Machine {
            home,
            page: TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap(),
            names: UdpSocket::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap(),
        };
        machine.write("sys/class/net/wlan0/operstate", "down\n");
        machine.write("sys/class/net/wlan0/ifindex", "3\n");
        machine.write("sys/class/net/eth0/carrier", "0\n");
        machine.write("scan", SCAN);
        machine.program("iw", "#!/bin/sh\nexec cat \"$ROOT/scan\"\n");
        machine.program("wpa_supplicant", SUPPLICANT);
        machine.program(
            "systemctl",
            "#!/bin/sh\necho \"systemctl $*\" >> \"$ROOT/log\"\n",
        );
        machine
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.home.path("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn root(&self) -> PathBuf {
        self.home.path("root")
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.root().join(path), text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }

    /// What the radio's programs were asked for.
    pub fn log(&self) -> String {
        self.read("log")
    }

    pub fn first_boot(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(&["first-boot"]);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(arguments)
            .arg("--root")
            .arg(self.root())
            .env("ROOT", self.root())
            .env(
                "PATH",
                format!("{}:{path}", self.home.path("bin").display()),
            );
        command
    }

    pub fn set_up(&self) -> SetUp<'_> {
        let doors = [self.page, self.names].map(|door| door.to_string());
        let mut child = self
            .first_boot(&["set-up", "--page", &doors[0], "--names", &doors[1]])
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.home.path("set-up.errors")).unwrap())
            .spawn()
            .unwrap();
        let printed = Arc::<Mutex<String>>::default();
        let (kept, out) = (printed.clone(), child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        SetUp {
            machine: self,
            child,
            printed,
            reader: Some(reader),
        }
    }

    /// Looks again and again, for as long as a busy machine may need.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            let told = || format!("{}\n{}", self.log(), self.home.read("set-up.errors"));
            assert!(Instant::now() < end, "still not: {what}\n{}", told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl SetUp<'_> {
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// The code of the opening, once the page answers.
    pub fn code(&self) -> String {
        let note = || self.machine.read("run/magpie/set-up-open");
        self.machine
            .until("the page is open", || note().lines().count() == 2);
        note().lines().nth(1).unwrap().to_owned()
    }

    pub fn ended(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it printed last may still be on its way.
                let read = self.reader.take().map(JoinHandle::join);
                assert!(read.is_some_and(|read| read.is_ok()));
                return (status, self.printed());
            }
            assert!(Instant::now() < end, "still open\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Status line, head and body of an answer, or nothing.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.machine.page).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    pub fn get(&self, host: &str, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
    }

    pub fn post(&self, headers: &str, body: &str) -> String {
        self.ask(&format!(
            "POST /join HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.machine.page,
            body.len()
        ))
    }

    /// The token of the form that the page shows now.
    pub fn token(&self) -> String {
        let page = self.get(&self.machine.page.to_string(), "/");
        let (_, rest) = page.split_once("name=token value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Drop for SetUp<'_> {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that is not waited for yet, or has ended.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGKILL) };
        let _ = self.child.wait();
    }
}
