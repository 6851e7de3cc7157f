//! `magpie serve`: the house, until somebody asks it to end.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;

use clap::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use crate::app::{App, log_options};
use crate::config::{self, Config};
use crate::limits;
use crate::ops::log as logs;

pub fn definition() -> Command {
    Command::new("serve")
        .about("Run the box until it is told to end")
        .long_about(
            "Run the box until it is told to end.\n\nOnce everything answers it prints one line, \
             `magpie ready http=… https=… ops=…`, to standard output. SIGHUP reads the settings \
             again and opens the log file anew; SIGTERM and SIGINT let what runs finish, a second \
             one ends at once.",
        )
        .after_help("Examples:\n  magpie serve\n  PORT=9000 AUDIO_INPUT=off magpie serve")
}

pub fn run(config: Config) -> Result<(), String> {
    // SAFETY: sets the action of a signal before any other thread runs: a client that hangs up
    // is an error of its write, not the end of the box.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    logs::start(log_options(&config))
        .map_err(|error| format!("LOG_FILE cannot be opened: {error}; set another, or none"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the event loop could not be started: {error}"))?;
    LocalSet::new().block_on(&runtime, serve(config))
}

async fn serve(mut config: Config) -> Result<(), String> {
    let app = App::start(&config, false)
        .await
        .map_err(|error| error.to_string())?;
    let mut signals =
        Signals::new().map_err(|error| format!("signals cannot be received: {error}"))?;
    say_ready(&app);
    if !app.identity.is_claimed()
        && let Err(error) = app.house.show_claim_code()
    {
        log::warn!("event=no_claim_code error={error:?}");
    }
    let again = loop {
        let backups = app.backups.clone();
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Reload => reload(&app, &mut config),
                Asked::End => break false,
            },
            () = backups.restart_asked() => break true,
        }
    };
    log::info!("event=stopping restart={again}");
    let stopped = tokio::select! {
        stopped = tokio::time::timeout(limits::SHUTDOWN_TOTAL, app.stop()) => stopped.is_ok(),
        () = signals.end_again() => false,
    };
    if !stopped {
        return Err(String::from(
            "stopped at once; what was acknowledged is kept",
        ));
    }
    log::info!("event=stopped");
    match again {
        true => start_again(),
        false => Ok(()),
    }
}

/// Runs the program anew in this process, which keeps its id, terminal and pipes; a supervisor
/// that handed sockets over starts it again by itself.
fn start_again() -> Result<(), String> {
    logs::flush();
    if std::env::var_os("LISTEN_FDS").is_some() {
        return Err(String::from("ends so that the supervisor starts it again"));
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(format!("the box could not start itself again: {error}"))
}

/// The one line of standard output, for whoever started the box.
fn say_ready(app: &App) {
    let addresses = app.addresses();
    let mut line = String::from("magpie ready");
    for (name, address) in [
        ("http", addresses.http),
        ("https", addresses.https),
        ("ops", addresses.ops),
    ] {
        if let Some(address) = address {
            line.push_str(&format!(" {name}={address}"));
        }
    }
    log::info!("event=ready {}", line.trim_start_matches("magpie ready "));
    // A closed pipe is no reason to end.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn reload(app: &App, config: &mut Config) {
    let newer = match config::load(Path::new(".")) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            log::error!("event=reload_refused error=\"{error}\"");
            return;
        }
    };
    let (taken, waiting): (Vec<_>, Vec<_>) =
        config.changed(&newer).partition(|setting| setting.reloads);
    for setting in waiting {
        log::warn!("event=setting_needs_restart name={}", setting.name);
    }
    for setting in taken {
        log::info!("event=setting_taken name={}", setting.name);
    }
    app.reload(&newer);
    *config = newer;
}

enum Asked {
    Reload,
    End,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
        }
    }

    /// A second request to end means now.
    async fn end_again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
