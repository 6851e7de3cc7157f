//! `magpie serve`: the house, until somebody asks it to end.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use super::fail;
use crate::app::App;
use crate::config::{self, Config};
use crate::limits;

pub fn run(config: Config) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the event loop could not be started: {error}")),
    };
    LocalSet::new().block_on(&runtime, serve(config))
}

async fn serve(mut config: Config) -> ExitCode {
    let app = match App::start(&config, false).await {
        Ok(app) => app,
        Err(error) => return fail(&error.to_string()),
    };
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("signals cannot be received: {error}")),
    };
    say_ready(&app);
    if !app.identity.is_claimed()
        && let Err(error) = app.house.show_claim_code()
    {
        log::warn!("event=no_claim_code error={error:?}");
    }
    loop {
        match signals.next().await {
            Asked::Reload => reload(&app, &mut config),
            Asked::End => break,
        }
    }
    log::info!("event=stopping");
    let stopped = tokio::select! {
        stopped = tokio::time::timeout(limits::SHUTDOWN_TOTAL, app.stop()) => stopped.is_ok(),
        () = signals.end_again() => false,
    };
    if stopped {
        ExitCode::SUCCESS
    } else {
        log::warn!("event=stopped_at_once");
        ExitCode::from(1)
    }
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
