//! What a setting may hold: one parser and one sentence of advice a kind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Path,
    /// 0 for any free port, `off` for none.
    Port,
    /// Number of a line of a GPIO chip, or `off`.
    Line,
    /// An address of this machine.
    Address,
    /// Address and port, or `off`.
    Listen,
    /// Bytes, between these two.
    Size(u64, u64),
    /// Seconds, between these two.
    Duration(u64, u64),
    Int(u64, u64),
    OneOf(&'static [&'static str]),
    /// One of these names or several with commas between, each with a weight behind a colon if need
    /// be: `a, b:2`.
    Chain(&'static [&'static str]),
    /// `http://` or `https://`, a host, and perhaps a path.
    Url,
    /// One label of a host name.
    HostLabel,
    /// `https://host[:port]`, separated by commas.
    Origins,
    /// Addresses and networks like `10.0.0.0/8`, separated by commas.
    Networks,
    /// Host names and domains (`.example.org`), separated by commas.
    Hosts,
    /// `http://[user:password@]host:port` or `socks5://...`.
    Proxy,
    TimeZone,
    /// `HH:MM`, or `off`.
    TimeOfDay,
}

/// A value that passed its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    List(Vec<String>),
    /// Sizes in bytes, whole numbers.
    Number(u64),
    Duration(Duration),
    Port(Option<u16>),
    Address(IpAddr),
    Listen(Option<SocketAddr>),
}

impl Kind {
    /// The value, or nothing when it is not allowed; [`Kind::allowed`] says what is.
    pub fn parse(&self, text: &str) -> Option<Value> {
        match *self {
            Kind::Text | Kind::Path => Some(Value::Text(text.to_owned())),
            Kind::Port if is_off(text) => Some(Value::Port(None)),
            Kind::Port => Some(Value::Port(Some(text.parse().ok()?))),
            Kind::Line if is_off(text) => Some(Value::Text(String::from("off"))),
            Kind::Line => {
                let line: u16 = text.parse().ok()?;
                (line < 1_024).then_some(Value::Text(line.to_string()))
            }
            Kind::Address => Some(Value::Address(address(text)?)),
            Kind::Listen if is_off(text) => Some(Value::Listen(None)),
            Kind::Listen => Some(Value::Listen(Some(text.parse().ok()?))),
            Kind::Size(min, max) => {
                let bytes = size(text)?;
                (min..=max).contains(&bytes).then_some(Value::Number(bytes))
            }
            Kind::Duration(min, max) => {
                let time = duration(text)?;
                let allowed = Duration::from_secs(min)..=Duration::from_secs(max);
                allowed.contains(&time).then_some(Value::Duration(time))
            }
            Kind::Int(min, max) => {
                let number = text.parse().ok()?;
                (min..=max)
                    .contains(&number)
                    .then_some(Value::Number(number))
            }
            Kind::OneOf(names) => {
                let lower = text.to_ascii_lowercase();
                names
                    .contains(&lower.as_str())
                    .then_some(Value::Text(lower))
            }
            Kind::Chain(names) => chain(text, names),
            Kind::Url => is_url(text).then(|| Value::Text(text.to_owned())),
            Kind::HostLabel => is_host_label(text).then(|| Value::Text(text.to_ascii_lowercase())),
            Kind::Origins => list(text, is_origin),
            Kind::Networks => list(text, is_network),
            Kind::Hosts => list(text, |host| !host.contains(['/', '@', ' '])),
            Kind::Proxy => is_proxy(text).then(|| Value::Text(text.to_owned())),
            Kind::TimeZone => is_time_zone(text).then(|| Value::Text(text.to_owned())),
            Kind::TimeOfDay if is_off(text) => Some(Value::Text(String::from("off"))),
            Kind::TimeOfDay => is_time_of_day(text).then(|| Value::Text(text.to_owned())),
        }
    }

    /// For people: what may stand there.
    pub fn allowed(&self) -> String {
        match *self {
            Kind::Text => String::from("any text"),
            Kind::Path => String::from("a path"),
            Kind::Port => String::from("a port from 0 (any free one) to 65535, or off"),
            Kind::Line => String::from("a line number from 0 to 1023, or off"),
            Kind::Address => String::from("an address of this machine such as 0.0.0.0 or ::1"),
            Kind::Listen => String::from("address:port such as 127.0.0.1:9090, or off"),
            Kind::Size(min, max) => format!(
                "a size from {} to {} such as 512KB or 10MB (B, KB, MB, GB)",
                show_size(min),
                show_size(max)
            ),
            Kind::Duration(min, max) => format!(
                "a time from {} to {} such as 90s, 10m or 2h",
                show_seconds(min),
                show_seconds(max)
            ),
            Kind::Int(min, max) => format!("a whole number from {min} to {max}"),
            Kind::OneOf(names) => format!("one of {}", names.join(", ")),
            Kind::Chain(names) => format!(
                "one of {}, or several with commas between, the preferred first",
                names.join(", ")
            ),
            Kind::Url => String::from("an address such as http://10.0.0.2:8000/v1, without a user"),
            Kind::HostLabel => {
                String::from("1 to 63 letters, digits and hyphens, no dot, no hyphen at an end")
            }
            Kind::Origins => {
                String::from("https://host or http://host:port, several separated by commas")
            }
            Kind::Networks => {
                String::from("addresses or networks such as 10.0.0.0/8, separated by commas")
            }
            Kind::Hosts => {
                String::from("host names, or domains such as .example.org, separated by commas")
            }
            Kind::Proxy => String::from(
                "http://host:port or socks5://host:port, with user:password@ if need be",
            ),
            Kind::TimeZone => {
                String::from("a time zone this machine knows, such as Asia/Shanghai, UTC or CST-8")
            }
            Kind::TimeOfDay => String::from("a time of the day such as 21:30, or off"),
        }
    }
}

fn is_time_of_day(text: &str) -> bool {
    let Some((hour, minute)) = text.split_once(':') else {
        return false;
    };
    let number = |part: &str, below: u8| {
        let is_short = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        is_short && part.parse::<u8>().is_ok_and(|number| number < below)
    };
    number(hour, 24) && minute.len() == 2 && number(minute, 60)
}

fn is_off(text: &str) -> bool {
    text.eq_ignore_ascii_case("off")
}

fn address(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        text => text.parse().ok(),
    }
}

/// `10MB`, `512 kb`, `1024`; 1 KB is 1024 bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1024,
        "M" | "MB" => 1024 * 1024,
        "G" | "GB" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// `90s`, `10m`, `2h`, `1d`, `500ms`; without a unit seconds.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

fn list(text: &str, is_allowed: fn(&str) -> bool) -> Option<Value> {
    let parts: Vec<String> = text
        .split(',')
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect();
    parts
        .iter()
        .all(|part| is_allowed(part))
        .then_some(Value::List(parts))
}

fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && !host.contains(['/', '*', '@', '?', '#']) && !host.contains(' ')
    })
}

fn is_network(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|bits| bits <= bits_max))
}

fn chain(text: &str, names: &[&str]) -> Option<Value> {
    let lower = text.to_ascii_lowercase();
    let parts = || lower.split(',').map(str::trim);
    let known = |part: &str| {
        let (name, weight) = part.split_once(':').unwrap_or((part, "1"));
        names.contains(&name) && weight.parse::<u8>().is_ok_and(|weight| weight > 0)
    };
    let alone = |part: &str| part != "none" || parts().count() == 1;
    parts()
        .all(|part| known(part) && alone(part))
        .then_some(Value::Text(lower.clone()))
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && !rest.contains(['@', '?', '#', ' ']) && rest.is_ascii()
    })
}

fn is_proxy(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("socks5://"));
    let Some(rest) = rest else {
        return false;
    };
    let address = rest.trim_end_matches('/');
    let address = address
        .rsplit_once('@')
        .map_or(address, |(_, address)| address);
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// What `TZ` may hold by POSIX: a name, an offset rule, or `:` and a file. The system's own
/// environment often sets it, so nothing that other programs take may stop the start.
fn is_time_zone(text: &str) -> bool {
    text.starts_with(':')
        || jiff::tz::TimeZone::get(text).is_ok()
        || jiff::tz::TimeZone::posix(text).is_ok()
}

fn show_size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}

fn show_seconds(seconds: u64) -> String {
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        let size = Kind::Size(0, u64::MAX);
        for (text, bytes) in [
            ("0", 0),
            ("7B", 7),
            ("10MB", 10 << 20),
            ("512 kb", 512 << 10),
            ("2GB", 2 << 30),
        ] {
            assert_eq!(size.parse(text), Some(Value::Number(bytes)), "{text}");
        }
        let time = Kind::Duration(0, u64::MAX);
        for (text, ms) in [
            ("5", 5_000),
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            let expected = Some(Value::Duration(Duration::from_millis(ms)));
            assert_eq!(time.parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let refused: &[(Kind, &[&str])] = &[
            (Kind::Port, &["65536", "-1", "http", "8080 ", ""]),
            (Kind::Address, &["nowhere", "1.2.3", "1.2.3.4:80"]),
            (Kind::Listen, &["9090", "127.0.0.1", ":9090"]),
            (
                Kind::Size(1, 100),
                &[
                    "0",
                    "101",
                    "1KB",
                    "MB",
                    "1.5B",
                    "1TB",
                    "99999999999999999999",
                ],
            ),
            (
                Kind::Size(0, u64::MAX),
                &["18446744073709551615GB", "-5", "5 5"],
            ),
            (Kind::Duration(60, 120), &["59s", "121", "3m", "1y", ""]),
            (Kind::Int(300, 2000), &["299", "2001", "abc", "300.0"]),
            (Kind::OneOf(&["a", "b"]), &["c", "", "a,b"]),
            (
                Kind::Chain(&["a", "none"]),
                &["c", "", "a,", "a,none", "a:0", "a:x"],
            ),
            (
                Kind::Url,
                &["x", "http://", "ftp://a", "http://u:p@a", "http://a/?k=1"],
            ),
            (Kind::HostLabel, &["", "-a", "a-", "a.b", "ä", "a b"]),
            (
                Kind::Origins,
                &["example.org", "https://", "https://a/b", "*", "https://a,b"],
            ),
            (Kind::Networks, &["10.0.0.0/33", "x", "::1/129", "1.2.3.4/"]),
            (Kind::TimeZone, &["Mars/Base", ""]),
        ];
        for (kind, texts) in refused {
            for text in *texts {
                assert_eq!(kind.parse(text), None, "{kind:?} {text:?}");
            }
        }
    }

    #[test]
    fn lists_names_and_proxies_are_read() {
        let list = |parts: &[&str]| {
            Some(Value::List(
                parts.iter().map(|part| part.to_string()).collect(),
            ))
        };
        assert_eq!(
            Kind::Origins.parse("https://a.example, http://b:81"),
            list(&["https://a.example", "http://b:81"])
        );
        assert_eq!(
            Kind::Networks.parse("10.0.0.0/8,::1"),
            list(&["10.0.0.0/8", "::1"])
        );
        assert_eq!(
            Kind::OneOf(&["warn"]).parse("WARN"),
            Some(Value::Text("warn".into()))
        );
        assert_eq!(Kind::Port.parse("OFF"), Some(Value::Port(None)));
        for zone in [
            "UTC",
            "Asia/Shanghai",
            "CST-8",
            "EST5EDT,M3.2.0,M11.1.0",
            ":/etc/localtime",
        ] {
            let expected = Some(Value::Text(zone.into()));
            assert_eq!(Kind::TimeZone.parse(zone), expected, "{zone}");
        }
    }
}
