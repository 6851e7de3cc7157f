//! Buttons, lamp and mute switch of the box, and a program that is told what happens.
//!
//! Owns the lines of the GPIO chip while the box runs. Promises that the lamp tells whether the
//! microphone is open from the stream itself, not from a setting; that a switch that says "off"
//! wins over everything; and that a chip that is not there means a box without buttons, no more.

pub mod events;
pub mod gpio;
pub mod led;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::device::Device;
use crate::config::Config;
use gpio::{Input, Output};
use led::{DIM_STEP, Look};

/// Contacts that bounce settle within this.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Numbers of lines on the chip; `None` is not connected.
#[derive(Clone, Debug, Default)]
pub struct HardwareSettings {
    /// `GPIO_CHIP`.
    pub chip: PathBuf,
    /// `GPIO_BUTTON`.
    pub button: Option<u32>,
    /// `GPIO_LED`, or else `GPIO_LED_R`, `GPIO_LED_G`, `GPIO_LED_B`.
    pub led: Option<u32>,
    pub led_rgb: [Option<u32>; 3],
    /// `GPIO_MUTE_IN`.
    pub mute_switch: Option<u32>,
    /// `EVENT_COMMAND`.
    pub event_command: Option<String>,
}

impl HardwareSettings {
    pub fn of(config: &Config) -> HardwareSettings {
        let line = |name| config.word(name).parse().ok();
        HardwareSettings {
            chip: config.path("GPIO_CHIP").unwrap_or_default(),
            button: line("GPIO_BUTTON"),
            led: line("GPIO_LED"),
            led_rgb: ["GPIO_LED_R", "GPIO_LED_G", "GPIO_LED_B"].map(line),
            mute_switch: line("GPIO_MUTE_IN"),
            event_command: config.text("EVENT_COMMAND").map(str::to_owned),
        }
    }
}

/// What is connected.
#[derive(Default)]
pub struct Panel {
    pub button: Option<Input>,
    pub mute_switch: Option<Input>,
    pub lamp: Option<Lamp>,
}

pub struct Lamp {
    pub lines: Box<dyn Output>,
    /// Which lines shine red, green and blue.
    pub colours: [u64; 3],
}

impl Panel {
    /// Opens what the settings name; must be called on the loop.
    pub fn open(settings: &HardwareSettings) -> Panel {
        if !settings.chip.exists() {
            log::debug!("event=no_gpio_chip path={}", settings.chip.display());
            return Panel::default();
        }
        let input = |name, line: Option<u32>| match gpio::input(&settings.chip, line?, DEBOUNCE) {
            Ok(input) => Some(input),
            Err(error) => {
                log::warn!("event=gpio_line_not_usable setting={name} error=\"{error}\"");
                None
            }
        };
        Panel {
            button: input("GPIO_BUTTON", settings.button),
            mute_switch: input("GPIO_MUTE_IN", settings.mute_switch),
            lamp: Lamp::open(settings),
        }
    }

    /// Works the panel until the device is gone.
    pub fn attach(self, device: &Device) {
        if let Some(button) = self.button {
            tokio::task::spawn_local(watch_button(button, device.clone()));
        }
        if let Some(switch) = self.mute_switch {
            tokio::task::spawn_local(watch_switch(switch, device.clone()));
        }
        if let Some(lamp) = self.lamp {
            tokio::task::spawn_local(light(lamp, device.clone()));
        }
    }
}

impl Lamp {
    fn open(settings: &HardwareSettings) -> Option<Lamp> {
        let (lines, colours): (Vec<u32>, [u64; 3]) = match settings.led {
            Some(line) => (vec![line], [1, 1, 1]),
            None => {
                let mut colours = [0; 3];
                let mut lines = Vec::new();
                for (colour, line) in colours.iter_mut().zip(settings.led_rgb) {
                    if let Some(line) = line {
                        *colour = 1 << lines.len();
                        lines.push(line);
                    }
                }
                (lines, colours)
            }
        };
        if lines.is_empty() {
            return None;
        }
        match gpio::output(&settings.chip, &lines) {
            Ok(lines) => Some(Lamp { lines, colours }),
            Err(error) => {
                log::warn!("event=gpio_line_not_usable setting=GPIO_LED error=\"{error}\"");
                None
            }
        }
    }

    fn show(&self, light: led::Light) {
        let bits = (0..3)
            .filter(|colour| light.0 & (1 << colour) != 0)
            .fold(0, |bits, colour| bits | self.colours[colour]);
        self.lines.set(bits);
    }
}

async fn watch_button(button: Input, device: Device) {
    loop {
        let result = match button.edge().await {
            Ok(true) => device.press(),
            Ok(false) => device.release(),
            Err(error) => {
                log::warn!("event=button_lost error=\"{error}\"");
                return;
            }
        };
        if let Err(error) = result {
            log::warn!("event=button_not_heard error=\"{error}\"");
        }
    }
}

/// While the switch says off, nothing else can say on.
async fn watch_switch(switch: Input, device: Device) {
    // A switch that says on takes nothing back that was muted otherwise, unless it is moved.
    let mut off = switch.is_active().filter(|off| *off);
    loop {
        if let Some(off) = off
            && let Err(error) = device.hold_mute(off).await
        {
            log::warn!("event=mute_switch_not_obeyed error=\"{error}\"");
        }
        match switch.edge().await {
            Ok(active) => off = Some(active),
            Err(error) => {
                // Nobody can tell any more: what was last said stays.
                log::warn!("event=mute_switch_lost error=\"{error}\"");
                return;
            }
        }
    }
}

async fn light(lamp: Lamp, device: Device) {
    let changed: Rc<Notify> = device.changes();
    let mut look = Look::Off;
    let mut since = Instant::now();
    loop {
        let now = Look::of(&device.state(), device.hears());
        if now != look {
            look = now;
            since = Instant::now();
        }
        let (light, next) = look.light(since.elapsed());
        lamp.show(light);
        match next {
            Some(wait) => tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep(wait.max(DIM_STEP)) => {}
            },
            None => changed.notified().await,
        }
    }
}
