//! What is said about timers in Chinese: times and words of the trade anywhere in the sentence;
//! what is left is the label.

use std::time::Duration;

use jiff::civil::Weekday;

use super::super::repeat::Days;
use super::super::timer::TimerKind;
use super::numbers;
use super::when::{Clock, Day, Part, Said};
use super::{Draft, Request};

/// Words that name what is meant; taken out of the label.
const NOUNS: &[(&str, TimerKind)] = &[
    ("倒计时", TimerKind::Timer),
    ("计时器", TimerKind::Timer),
    ("定时器", TimerKind::Timer),
    ("计时", TimerKind::Timer),
    ("定时", TimerKind::Timer),
    ("闹钟", TimerKind::Alarm),
    ("闹铃", TimerKind::Alarm),
    ("叫醒我", TimerKind::Alarm),
    ("叫我起床", TimerKind::Alarm),
    ("喊我起床", TimerKind::Alarm),
    ("提醒我", TimerKind::Reminder),
    ("提醒", TimerKind::Reminder),
    ("叫我", TimerKind::Reminder),
    ("喊我", TimerKind::Reminder),
];

const CANCEL: &[&str] = &[
    "取消", "关掉", "关闭", "删除", "删掉", "停掉", "去掉", "不要",
];
const ALL: &[&str] = &["所有的", "所有", "全部的", "全部", "全都"];
const LIST: &[&str] = &[
    "有哪些",
    "有什么",
    "列出",
    "查看",
    "看看",
    "设了哪些",
    "设了什么",
    "哪些",
    "列表",
];
const LEFT: &[&str] = &[
    "还剩",
    "还有多久",
    "还有多长时间",
    "还有几分钟",
    "还要多久",
    "剩多少",
    "剩余",
];
const SNOOZE: &[&str] = &[
    "贪睡",
    "再睡",
    "稍后再叫",
    "稍后再提醒",
    "等会再叫",
    "等会儿再叫",
    "待会再叫",
    "晚点再叫",
    "再叫我",
    "再提醒我",
];
/// Set apart from a label.
const FILLER: &[&str] = &[
    "请你",
    "请",
    "帮我",
    "给我",
    "麻烦",
    "设置",
    "设定",
    "设一个",
    "设个",
    "设",
    "定一个",
    "定个",
    "定",
    "开始",
    "新建",
    "建一个",
    "来一个",
    "来个",
    "开一个",
    "一个",
    "一下",
    "的",
    "个",
    "我要",
    "我想",
    "要",
    "在",
    "把",
    "那个",
    "这个",
    "我",
    "了",
    "吧",
    "到",
    "去",
    "时",
    "时候",
];

const UNITS: &[(&str, u64)] = &[
    ("秒钟", 1),
    ("秒", 1),
    ("分钟", 60),
    ("刻钟", 900),
    ("小时", 3_600),
    ("个小时", 3_600),
    ("个钟头", 3_600),
    ("钟头", 3_600),
    ("天", 86_400),
    ("个星期", 604_800),
    ("周", 604_800),
];

pub fn understand(text: &str) -> Option<Request> {
    let text = plain(text);
    let (said, mut rest) = times_of(&text);
    let has = |words: &[&str]| words.iter().any(|word| rest.contains(word));
    let (snooze, left) = (has(SNOOZE), has(LEFT));
    let (cancel, list, all) = (has(CANCEL), has(LIST), has(ALL));
    let noun = NOUNS.iter().find(|(word, _)| rest.contains(word));
    let kind = noun.map(|(_, kind)| *kind);
    if snooze && !cancel {
        return Some(Request::Snooze(said.span));
    }
    if left {
        take_out(&mut rest, LEFT);
        take_out(
            &mut rest,
            &["多久", "多少时间", "多长时间", "多少", "时间", "几分钟"],
        );
        let label = label(rest, noun.map(|(word, _)| *word));
        // "How long until spring" is no question for a clock.
        return kind
            .map(|kind| Request::Left {
                kind: Some(kind),
                label: label.clone(),
            })
            .or_else(|| {
                label
                    .is_empty()
                    .then_some(Request::Left { kind: None, label })
            });
    }
    if cancel {
        let kind = kind?;
        take_out(&mut rest, CANCEL);
        take_out(&mut rest, ALL);
        return Some(Request::Cancel {
            kind: Some(kind),
            label: label(rest, noun.map(|(word, _)| *word)),
            all,
        });
    }
    if list {
        return kind.map(|kind| Request::List(Some(kind)));
    }
    let (word, mut kind) = *noun?;
    let is_call = matches!(word, "叫我" | "喊我");
    let label = label(rest, Some(word));
    // "叫我…" without a time calls for somebody's name, or for something else.
    if is_call && said.is_empty() {
        return None;
    }
    if is_call && (label.is_empty() || label == "起床" || label == "起来") {
        kind = TimerKind::Alarm;
    }
    let label = match label.as_str() {
        "起床" | "起来" if kind == TimerKind::Alarm => String::new(),
        _ => label,
    };
    // A bare noun with other words is talk about timers, such as "闹钟坏了".
    let asks_for_one = text.contains('设') || text.contains('定') || word == "提醒我" || is_call;
    if said.is_empty() && !asks_for_one && !label.is_empty() {
        return None;
    }
    Some(Request::Set(Draft { kind, label, said }))
}

/// The times alone, for the answer to a question of ours.
pub fn times(text: &str) -> Said {
    times_of(&plain(text)).0
}

/// Without spaces and punctuation; a colon between digits stays.
fn plain(text: &str) -> String {
    let chars: Vec<char> = text.chars().map(crate::voice::index::plain_width).collect();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| chars.get(at))
            .is_some_and(char::is_ascii_digit)
    };
    let mut plain = String::with_capacity(text.len());
    for (at, c) in chars.iter().enumerate() {
        let colon =
            matches!(c, ':' | '：') && is_digit(at.checked_sub(1)) && is_digit(Some(at + 1));
        if colon {
            plain.push(':');
        } else if c.is_alphanumeric() {
            plain.push(*c);
        } else if is_latin_gap(&chars, at) {
            plain.push(' ');
        }
    }
    plain
}

/// A space between two words in Latin letters.
fn is_latin_gap(chars: &[char], at: usize) -> bool {
    let latin = |c: Option<&char>| c.is_some_and(char::is_ascii_alphanumeric);
    chars[at] == ' ' && at > 0 && latin(chars.get(at - 1)) && latin(chars.get(at + 1))
}

fn times_of(text: &str) -> (Said, String) {
    let mut said = Said::default();
    let mut rest = String::new();
    let mut text = text;
    while let Some(c) = text.chars().next() {
        match time_at(text, &mut said) {
            Some(bytes) => text = &text[bytes..],
            None => {
                rest.push(c);
                text = &text[c.len_utf8()..];
            }
        }
    }
    (said, rest)
}

/// A piece of a time at the beginning of `text`; its length.
fn time_at(text: &str, said: &mut Said) -> Option<usize> {
    repeat_at(text, said)
        .or_else(|| span_at(text, said))
        .or_else(|| day_at(text, said))
        .or_else(|| part_at(text, said))
        .or_else(|| clock_at(text, said))
}

fn repeat_at(text: &str, said: &mut Said) -> Option<usize> {
    if said.days.is_some() {
        return None;
    }
    for (phrase, days, part) in [
        ("每天", Days::ALL, None),
        ("每日", Days::ALL, None),
        ("天天", Days::ALL, None),
        ("每晚", Days::ALL, Some(Part::Evening)),
        ("每早", Days::ALL, Some(Part::Morning)),
        ("每个工作日", Days::WEEKDAYS, None),
        ("工作日", Days::WEEKDAYS, None),
        ("每个周末", Days::WEEKEND, None),
        ("每周末", Days::WEEKEND, None),
    ] {
        if text.starts_with(phrase) {
            said.days = Some(days);
            said.part = said.part.or(part);
            return Some(phrase.len());
        }
    }
    let begin = ["每个星期", "每星期", "每个礼拜", "每礼拜", "每周"]
        .iter()
        .find(|begin| text.starts_with(**begin))?;
    let (mut days, mut end) = (None::<Days>, begin.len());
    for c in text[begin.len()..].chars() {
        let Some(day) = weekday(c) else {
            // "每周一到周五"
            let range = &text[end..];
            if let Some(last) = range
                .strip_prefix("到周")
                .or_else(|| range.strip_prefix('到'))
                && last.starts_with('五')
                && days == Some(Days::only(Weekday::Monday))
            {
                days = Some(Days::WEEKDAYS);
                end += range.len() - last.len() + '五'.len_utf8();
            }
            break;
        };
        days = Some(days.map_or(Days::only(day), |days| days.and(Days::only(day))));
        end += c.len_utf8();
    }
    said.days = Some(days?);
    Some(end)
}

/// `十分钟后`, `一个半小时`, `半小时`, `过五分钟`.
fn span_at(text: &str, said: &mut Said) -> Option<usize> {
    if said.span.is_some() {
        return None;
    }
    let begin = ["再过", "过", "等"]
        .iter()
        .find(|begin| text.starts_with(**begin))
        .map_or(0, |begin| begin.len());
    let (mut seconds, mut end) = length_at(&text[begin..])?;
    end += begin;
    loop {
        let next = text[end..].strip_prefix('零').unwrap_or(&text[end..]);
        let Some((more, bytes)) = length_at(next) else {
            break;
        };
        end = text.len() - next.len() + bytes;
        seconds += more;
    }
    for after in ["之后", "以后", "过后", "后"] {
        if text[end..].starts_with(after) {
            end += after.len();
            break;
        }
    }
    said.span = Some(Duration::from_secs(seconds));
    Some(end)
}

fn length_at(text: &str) -> Option<(u64, usize)> {
    for (phrase, seconds) in [
        ("半个小时", 1_800),
        ("半小时", 1_800),
        ("半个钟头", 1_800),
        ("半分钟", 30),
        ("一刻钟", 900),
        ("三刻钟", 2_700),
    ] {
        if text.starts_with(phrase) {
            return Some((seconds, phrase.len()));
        }
    }
    let (number, bytes) = numbers::chinese(text)?;
    let rest = &text[bytes..];
    // "一个半小时"
    if let Some(after) = rest.strip_prefix("个半") {
        let (unit, length) = unit_at(after)?;
        let end = bytes + "个半".len() + length;
        return Some((u64::from(number) * unit + unit / 2, end));
    }
    let (unit, length) = unit_at(rest)?;
    let mut end = bytes + length;
    let mut seconds = u64::from(number) * unit;
    // "两小时半", "三分半"
    if text[end..].starts_with('半') && unit >= 60 {
        seconds += unit / 2;
        end += '半'.len_utf8();
    }
    Some((seconds, end))
}

fn unit_at(text: &str) -> Option<(u64, usize)> {
    // "七点十分" is a time of day; a length has its 钟, or stands before "后" or "半".
    if let Some(rest) = text.strip_prefix('分') {
        let is_length = rest.starts_with('钟')
            || rest.starts_with('后')
            || rest.starts_with("以后")
            || rest.starts_with('半');
        let whole = if rest.starts_with('钟') {
            "分钟".len()
        } else {
            '分'.len_utf8()
        };
        return is_length.then_some((60, whole));
    }
    let (word, seconds) = UNITS.iter().find(|(word, _)| text.starts_with(word))?;
    Some((*seconds, word.len()))
}

fn day_at(text: &str, said: &mut Said) -> Option<usize> {
    if said.day.is_some() {
        return None;
    }
    for (phrase, days, part) in [
        ("大后天", 3, None),
        ("后天", 2, None),
        ("明天", 1, None),
        ("明早", 1, Some(Part::Morning)),
        ("明晚", 1, Some(Part::Evening)),
        ("今天", 0, None),
        ("今晚", 0, Some(Part::Evening)),
        ("今早", 0, Some(Part::Morning)),
    ] {
        if text.starts_with(phrase) {
            said.day = Some(Day::In(days));
            said.part = said.part.or(part);
            return Some(phrase.len());
        }
    }
    let begin = [
        "下个星期",
        "下星期",
        "下周",
        "这周",
        "本周",
        "星期",
        "礼拜",
        "周",
    ]
    .iter()
    .find(|begin| text.starts_with(**begin))?;
    let day = text[begin.len()..].chars().next()?;
    said.day = Some(Day::On(weekday(day)?));
    Some(begin.len() + day.len_utf8())
}

fn part_at(text: &str, said: &mut Said) -> Option<usize> {
    for (phrase, part) in [
        ("凌晨", Part::Night),
        ("半夜", Part::Night),
        ("早上", Part::Morning),
        ("早晨", Part::Morning),
        ("清晨", Part::Morning),
        ("上午", Part::Morning),
        ("中午", Part::Noon),
        ("下午", Part::Afternoon),
        ("傍晚", Part::Evening),
        ("晚上", Part::Evening),
        ("夜里", Part::Evening),
    ] {
        if text.starts_with(phrase) {
            said.part = Some(part);
            return Some(phrase.len());
        }
    }
    None
}

/// `七点`, `七点半`, `七点十五分`, `7:30`, `十九点`.
fn clock_at(text: &str, said: &mut Said) -> Option<usize> {
    if said.clock.is_some() {
        return None;
    }
    let (hour, bytes) = numbers::chinese(text)?;
    let rest = &text[bytes..];
    let has_zero = text.starts_with('0') && bytes > 1;
    if hour > 24 {
        return None;
    }
    let mut clock = Clock {
        hour: (hour % 24) as i8,
        minute: 0,
        is_exact: hour > 12 || hour == 0 || has_zero,
    };
    if let Some(minutes) = rest.strip_prefix(':') {
        let (minute, length) = numbers::chinese(minutes)?;
        clock.minute = minute.try_into().ok().filter(|minute| *minute < 60)?;
        said.clock = Some(clock);
        return Some(bytes + 1 + length);
    }
    let mark = ["点钟", "点整", "点", "时整"]
        .iter()
        .find(|mark| rest.starts_with(**mark))?;
    let mut end = bytes + mark.len();
    let after = &text[end..];
    for (phrase, minute) in [("半", 30), ("一刻", 15), ("三刻", 45)] {
        if after.starts_with(phrase) {
            clock.minute = minute;
            said.clock = Some(clock);
            return Some(end + phrase.len());
        }
    }
    if *mark == "点"
        && let Some((minute, length)) = numbers::chinese(after)
        && minute < 60
    {
        clock.minute = minute as i8;
        end += length;
        if text[end..].starts_with('分') {
            end += '分'.len_utf8();
        }
    }
    said.clock = Some(clock);
    Some(end)
}

fn weekday(c: char) -> Option<Weekday> {
    Some(match c {
        '一' => Weekday::Monday,
        '二' => Weekday::Tuesday,
        '三' => Weekday::Wednesday,
        '四' => Weekday::Thursday,
        '五' => Weekday::Friday,
        '六' => Weekday::Saturday,
        '日' | '天' => Weekday::Sunday,
        _ => return None,
    })
}

fn take_out(text: &mut String, words: &[&str]) {
    for word in words {
        if text.contains(word) {
            *text = text.replacen(word, "", 1);
        }
    }
}

fn label(mut rest: String, noun: Option<&str>) -> String {
    if let Some(noun) = noun {
        rest = rest.replacen(noun, "", 1);
    }
    let mut label = rest.trim();
    loop {
        let before = label.len();
        for filler in FILLER {
            label = label.strip_prefix(filler).unwrap_or(label);
            // A label may well end in 到 or 去; only the particles go.
            if matches!(
                *filler,
                "的" | "了"
                    | "吧"
                    | "一下"
                    | "一个"
                    | "个"
                    | "设"
                    | "定"
                    | "定个"
                    | "设个"
                    | "设置"
                    | "时"
                    | "时候"
            ) {
                label = label.strip_suffix(filler).unwrap_or(label);
            }
        }
        if label.len() == before {
            return label.trim().to_string();
        }
    }
}
