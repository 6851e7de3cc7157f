//! What the box says of timers, in English and Chinese. Short, since it is spoken; it always
//! states what was understood, so that a wrong time is heard at once.

use std::time::Duration;

use jiff::Zoned;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::repeat::{Days, Repeat};
use super::timer::{Timer, TimerKind, TimerState, zoned};
use crate::voice::rules::Language::{self, Chinese, English};

/// Timers told in one answer.
const LISTED_MAX: usize = 5;

/// When it rings.
pub fn rung(language: Language, timers: &[Timer], zone: &TimeZone) -> String {
    let sentences: Vec<String> = timers
        .iter()
        .take(LISTED_MAX)
        .map(|timer| rung_one(language, timer, zone))
        .collect();
    sentences.join(match language {
        English => " ",
        Chinese => "",
    })
}

fn rung_one(language: Language, timer: &Timer, zone: &TimeZone) -> String {
    let label = timer.label.as_str();
    let due = zoned(timer.missed_at.unwrap_or(timer.due_at), zone);
    if timer.state == TimerState::Missed {
        let at = clock(language, &due);
        return match (language, label.is_empty()) {
            (English, true) => format!("A {} was due at {at} while I was off.", name(timer.kind)),
            (English, false) => format!("While I was off, this was due at {at}: {label}."),
            (Chinese, true) => format!("我关机的时候，{at}有一个{}到了。", name_zh(timer.kind)),
            (Chinese, false) => format!("我关机的时候，{at}该{label}。"),
        };
    }
    match (language, timer.kind, label.is_empty()) {
        (English, TimerKind::Reminder, false) => format!("This is your reminder: {label}."),
        (English, TimerKind::Reminder, true) => String::from("This is your reminder."),
        (English, TimerKind::Alarm, true) => format!("It is {}.", clock(language, &due)),
        (English, TimerKind::Alarm, false) => format!("It is {}: {label}.", clock(language, &due)),
        (English, TimerKind::Timer, false) => format!("Your {label} timer is up."),
        (English, TimerKind::Timer, true) => match timer.duration {
            Some(span) => format!("Your timer of {} is up.", length(language, span)),
            None => String::from("Your timer is up."),
        },
        (Chinese, TimerKind::Reminder, false) => format!("提醒您：{label}。"),
        (Chinese, TimerKind::Reminder, true) => String::from("提醒时间到了。"),
        (Chinese, TimerKind::Alarm, true) => format!("现在是{}。", clock(language, &due)),
        (Chinese, TimerKind::Alarm, false) => format!("现在是{}：{label}。", clock(language, &due)),
        (Chinese, TimerKind::Timer, false) => format!("时间到：{label}。"),
        (Chinese, TimerKind::Timer, true) => match timer.duration {
            Some(span) => format!("{}的计时到了。", length(language, span)),
            None => String::from("计时到了。"),
        },
    }
}

/// The answer to a request that was carried out.
pub fn set(language: Language, timer: &Timer, now: &Zoned) -> String {
    let due = zoned(timer.due_at, now.time_zone());
    let label = timer.label.as_str();
    let when = match (timer.repeat, timer.duration) {
        (Some(rule), _) => every(language, rule, &due),
        (None, Some(span)) if timer.kind == TimerKind::Timer => length(language, span),
        (None, Some(span)) => match language {
            English => format!("in {}", length(language, span)),
            Chinese => format!("{}后", length(language, span)),
        },
        (None, None) => day_and_clock(language, &due, now),
    };
    match (language, timer.kind, label.is_empty()) {
        (English, TimerKind::Timer, true) => format!("Timer set for {when}."),
        (English, TimerKind::Timer, false) => format!("Timer set for {when}: {label}."),
        (English, TimerKind::Alarm, true) => format!("Alarm set for {when}."),
        (English, TimerKind::Alarm, false) => format!("Alarm set for {when}: {label}."),
        (English, TimerKind::Reminder, true) => format!("I will remind you {}.", at_if_day(&when)),
        (English, TimerKind::Reminder, false) => {
            format!("I will remind you {}: {label}.", at_if_day(&when))
        }
        (Chinese, TimerKind::Timer, true) => format!("好的，计时{when}。"),
        (Chinese, TimerKind::Timer, false) => format!("好的，计时{when}：{label}。"),
        (Chinese, TimerKind::Alarm, true) => format!("好的，闹钟定在{when}。"),
        (Chinese, TimerKind::Alarm, false) => format!("好的，闹钟定在{when}：{label}。"),
        (Chinese, TimerKind::Reminder, true) => format!("好的，{when}提醒您。"),
        (Chinese, TimerKind::Reminder, false) => format!("好的，{when}提醒您：{label}。"),
    }
}

fn at_if_day(when: &str) -> String {
    let relative = ["in ", "at ", "every ", "on ", "tomorrow", "today"];
    match relative.iter().any(|word| when.starts_with(word)) {
        true => when.to_string(),
        false => format!("at {when}"),
    }
}

pub fn listed(language: Language, timers: &[(Timer, Duration)], now: &Zoned) -> String {
    if timers.is_empty() {
        return none(language);
    }
    let lines: Vec<String> = timers
        .iter()
        .take(LISTED_MAX)
        .map(|(timer, left)| one(language, timer, *left, now))
        .collect();
    let count = timers.len();
    match language {
        English if count == 1 => format!("One is set: {}.", lines[0]),
        English => format!("{count} are set: {}.", lines.join("; ")),
        Chinese => format!("现在有{count}个：{}。", lines.join("；")),
    }
}

/// How long one has to run, or when it is due.
pub fn one(language: Language, timer: &Timer, left: Duration, now: &Zoned) -> String {
    let label = timer.label.as_str();
    let due = zoned(timer.due_at, now.time_zone());
    let when = match (timer.repeat, timer.duration) {
        (Some(rule), _) => every(language, rule, &due),
        (None, Some(_)) => match language {
            English => format!("{} left", length(language, rounded(left))),
            Chinese => format!("还剩{}", length(language, rounded(left))),
        },
        (None, None) => day_and_clock(language, &due, now),
    };
    match (language, label.is_empty()) {
        (English, true) => format!("{} {}, {when}", article(timer.kind), name(timer.kind)),
        (English, false) => format!("{label}, {when}"),
        (Chinese, true) => format!("{}，{when}", name_zh(timer.kind)),
        (Chinese, false) => format!("{label}，{when}"),
    }
}

pub fn left(language: Language, timer: &Timer, left: Duration, now: &Zoned) -> String {
    match language {
        English => format!("{}.", capital(&one(language, timer, left, now))),
        Chinese => format!("{}。", one(language, timer, left, now)),
    }
}

pub fn none(language: Language) -> String {
    pick(
        language,
        "No timer, alarm or reminder is set.",
        "现在没有计时、闹钟或提醒。",
    )
}

pub fn cancelled(language: Language, timers: &[Timer], now: &Zoned) -> String {
    match (language, timers) {
        (_, []) => none(language),
        (English, [only]) => format!("Cancelled: {}.", named(language, only, now)),
        (Chinese, [only]) => format!("已取消：{}。", named(language, only, now)),
        (English, several) => format!("All {} are cancelled.", several.len()),
        (Chinese, several) => format!("{}个都取消了。", several.len()),
    }
}

pub fn which(language: Language, timers: &[Timer], now: &Zoned) -> String {
    let names: Vec<String> = timers
        .iter()
        .take(LISTED_MAX)
        .map(|timer| named(language, timer, now))
        .collect();
    match language {
        English => format!("Which one? {}. Or say “all of them”.", names.join("; ")),
        Chinese => format!("哪一个？{}。也可以说“全部”。", names.join("；")),
    }
}

pub fn snoozed(language: Language, wait: Duration) -> String {
    match language {
        English => format!("I will ring again in {}.", length(language, wait)),
        Chinese => format!("{}后再叫您。", length(language, wait)),
    }
}

pub fn nothing_rings(language: Language) -> String {
    pick(language, "Nothing rings.", "现在没有在响的。")
}

pub fn ask_length(language: Language) -> String {
    pick(language, "For how long?", "计时多久？")
}

pub fn ask_when(language: Language) -> String {
    pick(language, "When shall I?", "什么时候？")
}

/// A time that is twice a day.
pub fn ask_half(language: Language, hour: i8, minute: i8) -> String {
    let time = match minute {
        0 => format!("{hour}"),
        _ => format!("{hour}:{minute:02}"),
    };
    match (language, hour) {
        (English, 12) => String::from("Twelve at noon or at midnight?"),
        (English, _) => format!("{time} in the morning or in the evening?"),
        (Chinese, 12) => String::from("中午十二点还是半夜十二点？"),
        (Chinese, _) => format!("早上{}还是晚上？", clock_words_zh(hour, minute)),
    }
}

pub fn passed(language: Language) -> String {
    pick(
        language,
        "That time has passed. Say a time ahead.",
        "这个时间已经过了，请说一个以后的时间。",
    )
}

pub fn clock_unset(language: Language) -> String {
    pick(
        language,
        "My clock has not been set yet, so I can only count: say “in ten minutes”.",
        "我的时钟还没有校准，只能倒计时，比如“十分钟后”。",
    )
}

pub fn too_long(language: Language) -> String {
    pick(
        language,
        "That is too long for me. At most a year.",
        "太久了，最多一年。",
    )
}

pub fn full(language: Language) -> String {
    pick(
        language,
        "Too many are set already. Cancel one first.",
        "已经太多了，请先取消一个。",
    )
}

fn named(language: Language, timer: &Timer, now: &Zoned) -> String {
    if !timer.label.is_empty() {
        return timer.label.clone();
    }
    let due = zoned(timer.due_at, now.time_zone());
    match (language, timer.duration) {
        (English, Some(span)) => format!("the timer of {}", length(language, span)),
        (Chinese, Some(span)) => format!("{}的计时", length(language, span)),
        (English, None) => format!(
            "the {} for {}",
            name(timer.kind),
            day_and_clock(language, &due, now)
        ),
        (Chinese, None) => format!(
            "{}的{}",
            day_and_clock(language, &due, now),
            name_zh(timer.kind)
        ),
    }
}

fn name(kind: TimerKind) -> &'static str {
    kind.name()
}

fn article(kind: TimerKind) -> &'static str {
    match kind {
        TimerKind::Alarm => "an",
        TimerKind::Timer | TimerKind::Reminder => "a",
    }
}

fn name_zh(kind: TimerKind) -> &'static str {
    match kind {
        TimerKind::Timer => "计时",
        TimerKind::Alarm => "闹钟",
        TimerKind::Reminder => "提醒",
    }
}

/// Seconds do not matter over some minutes.
fn rounded(left: Duration) -> Duration {
    let seconds = left.as_secs_f64().round() as u64;
    Duration::from_secs(match seconds {
        0..=119 => seconds.max(1),
        _ => (seconds + 30) / 60 * 60,
    })
}

/// `1 hour 30 minutes`, `一小时三十分钟` in digits.
pub fn length(language: Language, span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [
        (seconds / 86_400, "day", "天"),
        (seconds / 3_600 % 24, "hour", "小时"),
        (seconds / 60 % 60, "minute", "分钟"),
        (seconds % 60, "second", "秒"),
    ];
    let mut words = Vec::new();
    for (count, english, chinese) in parts {
        if count > 0 {
            words.push(match language {
                English if count == 1 => format!("1 {english}"),
                English => format!("{count} {english}s"),
                Chinese => format!("{count}{chinese}"),
            });
        }
    }
    match (language, words.is_empty()) {
        (English, true) => String::from("less than a second"),
        (Chinese, true) => String::from("不到一秒"),
        (English, false) => words.join(" "),
        (Chinese, false) => words.concat(),
    }
}

/// `7:00 am`, `早上7点`.
pub fn clock(language: Language, at: &Zoned) -> String {
    let (hour, minute) = (at.hour(), at.minute());
    match language {
        English => {
            let half = if hour < 12 { "am" } else { "pm" };
            let twelve = (hour + 11) % 12 + 1;
            format!("{twelve}:{minute:02} {half}")
        }
        Chinese => {
            let part = match hour {
                0..=4 => "凌晨",
                5..=10 => "早上",
                11 | 12 => "中午",
                13..=17 => "下午",
                _ => "晚上",
            };
            let twelve = (hour + 11) % 12 + 1;
            format!("{part}{}", clock_words_zh(twelve, minute))
        }
    }
}

fn clock_words_zh(hour: i8, minute: i8) -> String {
    match minute {
        0 => format!("{hour}点"),
        30 => format!("{hour}点半"),
        _ => format!("{hour}点{minute:02}分"),
    }
}

fn day_and_clock(language: Language, at: &Zoned, now: &Zoned) -> String {
    let time = clock(language, at);
    let days = now
        .date()
        .until(at.date())
        .map_or(i32::MAX, |span| span.get_days());
    match (language, days) {
        (English, 0) => format!("{time} today"),
        (English, 1) => format!("{time} tomorrow"),
        (English, 2..=6) => format!("{time} on {}", weekday(at.weekday()).0),
        (English, _) => format!("{time} on {}", at.strftime("%-d %B %Y")),
        (Chinese, 0) => format!("今天{time}"),
        (Chinese, 1) => format!("明天{time}"),
        (Chinese, 2) => format!("后天{time}"),
        (Chinese, 3..=6) => format!("{}{time}", weekday(at.weekday()).1),
        (Chinese, _) => format!("{}月{}日{time}", at.month(), at.day()),
    }
}

fn every(language: Language, rule: Repeat, at: &Zoned) -> String {
    let time = clock(language, at);
    let days = rule.days();
    let (english, chinese) = if days == Days::ALL {
        (String::from("every day"), String::from("每天"))
    } else if days == Days::WEEKDAYS {
        (String::from("every weekday"), String::from("每个工作日"))
    } else if days == Days::WEEKEND {
        (String::from("every weekend day"), String::from("每个周末"))
    } else {
        let names: Vec<&str> = days.iter().map(|day| weekday(day).0).collect();
        let names_zh: Vec<&str> = days.iter().map(|day| weekday(day).1).collect();
        (
            format!("every {}", names.join(" and ")),
            format!("每{}", names_zh.join("、")),
        )
    };
    match language {
        English => format!("{english} at {time}"),
        Chinese => format!("{chinese}{time}"),
    }
}

fn weekday(day: Weekday) -> (&'static str, &'static str) {
    match day {
        Weekday::Monday => ("Monday", "周一"),
        Weekday::Tuesday => ("Tuesday", "周二"),
        Weekday::Wednesday => ("Wednesday", "周三"),
        Weekday::Thursday => ("Thursday", "周四"),
        Weekday::Friday => ("Friday", "周五"),
        Weekday::Saturday => ("Saturday", "周六"),
        Weekday::Sunday => ("Sunday", "周日"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn pick(language: Language, english: &str, chinese: &str) -> String {
    match language {
        English => english,
        Chinese => chinese,
    }
    .to_string()
}
