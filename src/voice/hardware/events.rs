//! `EVENT_COMMAND`: a program of the owner's that is told what happens on the box.
//!
//! One event a run, as JSON on its standard input, in order, one run at a time, without a shell
//! and in a process group of its own. Promises never to hold up the box: what comes while too much
//! waits is dropped and counted, and a run that takes too long is killed with all its children.

use std::process::Stdio;
use std::rc::Rc;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::bus::{Bus, Ended, Event};
use crate::clock::Clock;
use crate::limits::EVENT_COMMAND_MAX;
use crate::voice::providers::command::Template;
use crate::voice::{device, timers};

/// Levels come ten times a second and are for eyes.
const LEFT_OUT: &[&str] = &["level"];

/// Tells of the device and of timers until the house ends.
pub fn start(template: Template, bus: &Bus, clock: Clock) {
    let bus = bus.clone();
    let template = Rc::new(template);
    tokio::task::spawn_local(async move {
        while let (Ok(mut box_events), Ok(mut timer_events)) = (
            bus.subscribe(device::TOPIC, None),
            bus.subscribe(timers::TOPIC, None),
        ) {
            let ended = loop {
                let next = tokio::select! {
                    event = box_events.next() => event.map(|event| (device::TOPIC, event)),
                    event = timer_events.next() => event.map(|event| (timers::TOPIC, event)),
                };
                match next {
                    Ok((topic, event)) => tell(&template, topic, &event, &clock).await,
                    Err(ended) => break ended,
                }
            };
            // The bus bounds what waits; a slow program misses events, the box does not wait.
            match ended {
                Ended::Lagged { .. } => log::warn!("event=event_command_too_slow"),
                _ => return,
            }
        }
    });
}

async fn tell(template: &Template, topic: &str, event: &Event, clock: &Clock) {
    if LEFT_OUT.contains(&event.kind) {
        return;
    }
    let line = json!({
        "topic": topic,
        "event": event.kind,
        "at": clock.wall().rfc3339(),
        "data": event.payload,
    });
    match tokio::time::timeout(EVENT_COMMAND_MAX, run(template, line.to_string())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => log::warn!("event=event_command_failed error=\"{error}\""),
        Err(_) => log::warn!(
            "event=event_command_killed after_s={}",
            EVENT_COMMAND_MAX.as_secs()
        ),
    }
}

/// Kills the whole group when dropped before its end.
struct Group(Option<i32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // SAFETY: a signal to a process group whose leader has not been waited for.
            unsafe { libc::kill(-id, libc::SIGKILL) };
        }
    }
}

async fn run(template: &Template, mut line: String) -> std::io::Result<()> {
    line.push('\n');
    let words = template.fill(&[]);
    let mut command = tokio::process::Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .envs(
            std::env::vars()
                .filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME" | "LANG" | "TZ")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut group = Group(child.id().map(|id| id as i32));
    if let Some(mut stdin) = child.stdin.take() {
        // A program need not read what it is told.
        let _ = stdin.write_all(line.as_bytes()).await;
    }
    let status = child.wait().await?;
    group.0 = None;
    match status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(status.to_string())),
    }
}
