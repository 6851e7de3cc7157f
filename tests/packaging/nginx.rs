//! A real nginx with `deploy/nginx.conf` before a real box: what a browser, a phone and the clients of
//! Happy do through it is done by `proxy.mjs`.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Home, errors, out};
use crate::{file, read};

const NAME: &str = "magpie.example.org";
/// Starts of nginx: another program may take a port that was free a moment ago.
const TRIES: usize = 5;

struct Nginx {
    child: Child,
    http: u16,
    https: u16,
}

impl Nginx {
    /// The shipped file with the names of this test's box, ports and certificate in it.
    fn start(folder: &Path, upstream: SocketAddr) -> Nginx {
        for _ in 0..TRIES {
            let (http, https) = (free_port(), free_port());
            let text = read("deploy/nginx.conf")
                .replace("listen 80;", &format!("listen 127.0.0.1:{http};"))
                .replace(
                    "listen 443 ssl http2;",
                    &format!("listen 127.0.0.1:{https} ssl http2;"),
                )
                .replace("listen [::]:80;", "")
                .replace("listen [::]:443 ssl http2;", "")
                .replace("server 127.0.0.1:8080;", &format!("server {upstream};"))
                .replace("/etc/ssl/", &format!("{}/", folder.display()));
            fs::write(folder.join("magpie.conf"), text).unwrap();
            let main = "worker_processes 1;\ndaemon off;\npid nginx.pid;\nevents { worker_connections 256; }\n\
                 http { access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
                 fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s; include magpie.conf; }\n";
            // Its workers may be another user's, who cannot enter the folder.
            let user = match unsafe { libc::geteuid() } {
                0 => "user root;\n",
                _ => "",
            };
            fs::write(folder.join("nginx.conf"), format!("{user}{main}")).unwrap();
            let log = fs::File::create(folder.join("nginx.log")).unwrap();
            let mut child = nginx_command()
                .args(["-e", "stderr", "-p"])
                .arg(folder)
                .args(["-c", "nginx.conf"])
                .stdin(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("nginx is installed: tools/setup test");
            let deadline = Instant::now() + Duration::from_secs(30);
            while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", https)).is_ok() {
                    return Nginx { child, http, https };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
        panic!("nginx did not start:\n{log}");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SAFETY: takes two integers; the child is not reaped yet. Its workers end with it.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

/// Debian keeps it where only root's PATH leads.
fn nginx_command() -> Command {
    let sbin = Path::new("/usr/sbin/nginx");
    Command::new(if sbin.exists() {
        sbin
    } else {
        Path::new("nginx")
    })
}

fn free_port() -> u16 {
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap().port()
}

fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    fs::write(folder.join(format!("{NAME}.pem")), made.cert.pem()).unwrap();
    fs::write(
        folder.join(format!("{NAME}.key")),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
}

/// Runs `proxy.mjs PART` against nginx.
fn drive(part: &str, home: &Home, nginx: &Nginx, token: &str) {
    let modules = file("tests/socketio/npm");
    assert!(
        modules.join("node_modules/socket.io-client").exists(),
        "run `npm ci` in tests/socketio/npm first, or set MAGPIE_SKIP_PAGES=1"
    );
    let ran = Command::new("node")
        .arg(file("tests/packaging/proxy.mjs"))
        .arg(part)
        .current_dir(modules)
        .env("NAME", NAME)
        .env("HTTP", nginx.http.to_string())
        .env("HTTPS", nginx.https.to_string())
        .env("FOLDER", home.folder.path())
        .env("TOKEN", token)
        .output()
        .expect("node is installed");
    let log = fs::read_to_string(home.path("proxy/nginx.log")).unwrap_or_default();
    assert!(
        ran.status.success(),
        "{}{}\nnginx: {log}\nbox: {}",
        out(&ran),
        errors(&ran),
        home.read("stderr")
    );
}

/// A box behind nginx, and an admin's token.
fn behind_nginx(home: Home, part: &str) {
    if std::env::var_os("MAGPIE_SKIP_PAGES").is_some() {
        return;
    }
    let home = home
        .set("TRUST_PROXY", "127.0.0.1")
        .set("ALLOWED_ORIGINS", &format!("https://{NAME}"));
    let running = home.serve();
    let folder = home.path("proxy");
    fs::create_dir(&folder).unwrap();
    certificate(&folder);
    let nginx = Nginx::start(&folder, running.address("http").unwrap());
    let made = home.run(&["token", "make", "proxy", "--admin", "--json"]);
    assert!(made.status.success(), "{}", errors(&made));
    let made: serde_json::Value = serde_json::from_str(&out(&made)).unwrap();
    drive(
        part,
        &home,
        &nginx,
        made["token"].as_str().expect("a token"),
    );
}

#[test]
fn pages_calls_and_the_redirect_go_through_nginx() {
    behind_nginx(Home::new(), "calls");
}

#[test]
fn the_caller_behind_nginx_is_known_by_its_own_address_and_cannot_lie_about_it() {
    behind_nginx(Home::new().set("RATE_LIMIT", "6"), "addresses");
}

#[test]
fn a_websocket_goes_through_nginx() {
    behind_nginx(Home::new(), "websocket");
}

#[test]
fn the_clients_of_happy_go_through_nginx() {
    behind_nginx(Home::new().set("HAPPY_REGISTRATION", "open"), "happy");
}

#[test]
fn an_answer_goes_through_nginx_while_it_is_written() {
    let model = free_port().to_string();
    let home = Home::new()
        .set("LLM_PROVIDER", "openai")
        .set("LLM_BASE_URL", &format!("http://127.0.0.1:{model}/v1"))
        .set("AUTO_MEMORY", "off");
    home.write("model.port", &model);
    behind_nginx(home, "events");
}

#[test]
fn a_backup_of_many_megabytes_goes_through_nginx_both_ways() {
    let home = Home::new();
    fs::create_dir_all(home.path("data/recordings")).unwrap();
    // What no packing makes smaller (xorshift).
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let sound: Vec<u8> = (0..3_000_000).flat_map(|_| next()).collect();
    fs::write(home.path("data/recordings/long.wav"), sound).unwrap();
    behind_nginx(home, "backup");
}
