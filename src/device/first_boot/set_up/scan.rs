//! The networks in the air, from what `iw dev RADIO scan` prints.

use crate::limits;

#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub ssid: String,
    /// dBm.
    pub signal: f32,
    pub is_open: bool,
}

/// The strongest first, each name once. Names that are no text, and hidden ones, are left out:
/// they can be typed. Pure; takes any text.
pub fn networks(printed: &str) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    let blocks = printed.split("\nBSS ").take(limits::SET_UP_SEEN_MAX);
    for block in blocks {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.trim_start().strip_prefix(name))
        };
        let Some(ssid) = field("SSID: ").and_then(unescaped) else {
            continue;
        };
        let signal = field("signal: ")
            .and_then(|told| told.split_whitespace().next()?.parse().ok())
            .filter(|signal: &f32| signal.is_finite())
            .unwrap_or(-100.0);
        let is_open = !block.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("RSN:") || line.starts_with("WPA:") || line.contains("Privacy")
        });
        match all.iter_mut().find(|seen| seen.ssid == ssid) {
            Some(seen) => seen.signal = seen.signal.max(signal),
            None => all.push(Seen {
                ssid,
                signal,
                is_open,
            }),
        }
    }
    all.sort_by(|a, b| b.signal.total_cmp(&a.signal));
    all.truncate(limits::SET_UP_SHOWN_MAX);
    all
}

/// iw writes what is no plain sign as `\xNN`.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after
            .strip_prefix(b"x")
            .and_then(|after| std::str::from_utf8(after.get(..2)?).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, hex) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            (b'\\', None) if after.starts_with(b"\\") => {
                bytes.push(b'\\');
                rest = &after[1..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_name = (1..=32).contains(&name.len()) && !name.chars().any(char::is_control);
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As iw 5.19 prints it, shortened.
    const PRINTED: &str = "\
BSS a4:2b:b0:00:00:01(on wlan0)
\tfreq: 2437
\tcapability: ESS Privacy ShortSlotTime (0x0411)
\tsignal: -61.00 dBm
\tSSID: Home
\tRSN:\t * Version: 1
BSS a4:2b:b0:00:00:02(on wlan0)
\tcapability: ESS (0x0401)
\tsignal: -40.00 dBm
\tSSID: Caf\\xc3\\xa9 guests
BSS a4:2b:b0:00:00:03(on wlan0)
\tcapability: ESS Privacy (0x0411)
\tsignal: -55.00 dBm
\tSSID: Home
BSS a4:2b:b0:00:00:04(on wlan0)
\tsignal: -30.00 dBm
\tSSID: 
BSS a4:2b:b0:00:00:05(on wlan0)
\tsignal: -31.00 dBm
\tSSID: \\x00\\x00\\xff
";

    #[test]
    fn each_network_is_listed_once_and_the_strongest_first() {
        let told: Vec<_> = networks(PRINTED)
            .into_iter()
            .map(|seen| (seen.ssid, seen.signal, seen.is_open))
            .collect();
        let expected = [
            (String::from("Café guests"), -40.0, true),
            (String::from("Home"), -55.0, false),
        ];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn whatever_is_printed_is_read_within_bounds(printed in "(\nBSS |SSID: |signal: |\\\\x[0-9a-f]{0,2}|[ -~é]|\n\t){0,80}") {
            let all = networks(&printed);
            prop_assert!(all.len() <= limits::SET_UP_SHOWN_MAX);
            for seen in all {
                prop_assert!(seen.ssid.len() <= 32);
            }
        }
    }
}
