//! What people say about timers, and what is made of it on Wednesday, 25 November 2026, 15:00.

use proptest::prelude::*;

use super::super::Repeat;
use super::*;

fn now() -> Zoned {
    "2026-11-25T15:00[Europe/Berlin]".parse().unwrap()
}

/// Kind, when and label in one line: `timer +600 pasta`, `alarm 2026-11-26T07:00`, `reminder ?half x`.
fn told(text: &str) -> String {
    let Some(request) = understand(text) else {
        return String::from("-");
    };
    match request {
        Request::Set(draft) => {
            let when = match draft.said.meaning(draft.kind, &now()) {
                Meaning::At(When::After(span), _) => format!("+{}", span.as_secs()),
                Meaning::At(When::At(at), repeat) => {
                    let local = zoned(at, now().time_zone());
                    let rule = repeat.map(|rule: Repeat| format!(" {rule}"));
                    format!("{}{}", local.strftime("%dT%H:%M"), rule.unwrap_or_default())
                }
                Meaning::Nothing => String::from("?"),
                Meaning::EitherHalf(clock) => format!("?half{}", clock.hour),
                Meaning::Passed => String::from("passed"),
            };
            format!("{} {when} {}", draft.kind.name(), draft.label)
                .trim_end()
                .to_string()
        }
        Request::List(kind) => format!("list {}", kind.map_or("", TimerKind::name)),
        Request::Left { kind, label } => {
            format!("left {} {label}", kind.map_or("", TimerKind::name))
                .trim_end()
                .to_string()
        }
        Request::Cancel { kind, label, all } => {
            let told = format!("cancel {} {label}", kind.map_or("", TimerKind::name));
            let all = if all { " all" } else { "" };
            format!("{}{all}", told.trim_end())
        }
        Request::Snooze(wait) => format!("snooze {}", wait.map_or(0, |wait| wait.as_secs())),
    }
}

#[test]
fn what_people_say_about_timers_is_understood_in_english() {
    let mut wrong = Vec::new();
    for (text, wanted) in [
        ("set a timer for ten minutes", "timer +600"),
        ("Set a timer for 10 minutes.", "timer +600"),
        ("please set a ten minute timer", "timer +600"),
        ("start a pasta timer for eight minutes", "timer +480 pasta"),
        ("set a timer for an hour and a half", "timer +5400"),
        ("set a timer for one and a half hours", "timer +5400"),
        ("timer half an hour", "timer +1800"),
        (
            "set a timer for two hours and fifteen minutes",
            "timer +8100",
        ),
        ("set a timer for ninety seconds", "timer +90"),
        ("set a timer for 10min", "timer +600"),
        (
            "set a timer for twenty five minutes for the cake",
            "timer +1500 cake",
        ),
        ("set a timer for ten", "timer +600"),
        ("set a timer", "timer ?"),
        ("count down five minutes", "timer +300"),
        (
            "remind me at 7 pm to call mum",
            "reminder 25T19:00 call mum",
        ),
        (
            "Remind me to call Mum at seven p.m.",
            "reminder 25T19:00 call Mum",
        ),
        (
            "remind me to call mum at seven p m",
            "reminder 25T19:00 call mum",
        ),
        (
            "remind me to call mum at seven in the evening",
            "reminder 25T19:00 call mum",
        ),
        (
            "remind me tonight at nine to lock the door",
            "reminder 25T21:00 lock the door",
        ),
        (
            "remind me in ten minutes to turn off the stove",
            "reminder +600 turn off the stove",
        ),
        (
            "in ten minutes remind me to turn off the stove",
            "reminder +600 turn off the stove",
        ),
        (
            "remind me to take the bins out tomorrow at seven",
            "reminder ?half7 take the bins out",
        ),
        (
            "remind me tomorrow morning at seven to take the bins out",
            "reminder 26T07:00 take the bins out",
        ),
        (
            "remind me at seven to call mum",
            "reminder 25T19:00 call mum",
        ),
        (
            "remind me on friday at noon about the meeting",
            "reminder 27T12:00 meeting",
        ),
        ("remind me at 19:30 to leave", "reminder 25T19:30 leave"),
        (
            "remind me at half past four to leave",
            "reminder 25T16:30 leave",
        ),
        (
            "remind me at quarter to five to leave",
            "reminder 25T16:45 leave",
        ),
        (
            "remind me at seven thirty to leave",
            "reminder 25T19:30 leave",
        ),
        ("remind me at 07:00 today to leave", "reminder passed leave"),
        (
            "remind me to water the plants",
            "reminder ? water the plants",
        ),
        (
            "remind me every day at 8 pm to take my pills",
            "reminder 25T20:00 FREQ=DAILY take my pills",
        ),
        (
            "remind me every monday and thursday at 6 pm to go running",
            "reminder 26T18:00 FREQ=WEEKLY;BYDAY=MO,TH go running",
        ),
        ("wake me up at seven", "alarm 26T07:00"),
        ("wake me tomorrow at half past six", "alarm 26T06:30"),
        ("set an alarm for 6:45 am", "alarm 26T06:45"),
        ("set an alarm for seven oh five", "alarm 26T07:05"),
        ("set an alarm for 7pm", "alarm 25T19:00"),
        (
            "every weekday at 7",
            "alarm 26T07:00 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        ),
        (
            "wake me every weekday at seven",
            "alarm 26T07:00 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        ),
        ("set an alarm", "alarm ?"),
        ("what timers are set", "list timer"),
        ("list my alarms", "list alarm"),
        ("do i have any reminders", "list reminder"),
        ("how long is left on the pasta timer", "left timer pasta"),
        ("how much time is left", "left"),
        ("when is my alarm", "left alarm"),
        ("cancel the timer", "cancel timer"),
        ("cancel the pasta timer", "cancel timer pasta"),
        ("cancel all timers", "cancel timer all"),
        ("turn off my alarm", "cancel alarm"),
        ("snooze", "snooze 0"),
        ("snooze for ten minutes", "snooze 600"),
        ("five more minutes", "snooze 300"),
        ("remind me again in an hour", "snooze 3600"),
    ] {
        check(&mut wrong, text, wanted);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(wrong: &mut Vec<String>, text: &str, wanted: &str) {
    let told = told(text);
    if told != wanted {
        wrong.push(format!("{text:?}: {told:?}, not {wanted:?}"));
    }
}

#[test]
fn what_people_say_about_timers_is_understood_in_chinese() {
    let mut wrong = Vec::new();
    for (text, wanted) in [
        ("十分钟后提醒我关火", "reminder +600 关火"),
        ("提醒我十分钟后关火", "reminder +600 关火"),
        ("10分钟后提醒我关火。", "reminder +600 关火"),
        ("过一个半小时提醒我吃药", "reminder +5400 吃药"),
        ("明天早上七点叫我", "alarm 26T07:00"),
        ("明早七点叫我起床", "alarm 26T07:00"),
        ("明天早上七点半叫醒我", "alarm 26T07:30"),
        (
            "请明天下午三点提醒我给妈妈打电话",
            "reminder 26T15:00 给妈妈打电话",
        ),
        ("今晚八点提醒我看电视", "reminder 25T20:00 看电视"),
        ("晚上七点十五分提醒我吃饭", "reminder 25T19:15 吃饭"),
        ("明天七点提醒我带伞", "reminder ?half7 带伞"),
        ("七点提醒我带伞", "reminder 25T19:00 带伞"),
        ("19:30提醒我出门", "reminder 25T19:30 出门"),
        ("每天早上七点叫我起床", "alarm 26T07:00 FREQ=DAILY"),
        (
            "每个工作日早上七点叫我",
            "alarm 26T07:00 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        ),
        (
            "每周一三五晚上六点提醒我跑步",
            "reminder 25T18:00 FREQ=WEEKLY;BYDAY=MO,WE,FR 跑步",
        ),
        (
            "每周一到周五早上七点的闹钟",
            "alarm 26T07:00 FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        ),
        ("周五中午十二点提醒我开会", "reminder 27T12:00 开会"),
        ("定一个十分钟的计时器", "timer +600"),
        ("设置一个二十五分钟的倒计时", "timer +1500"),
        ("倒计时五分钟", "timer +300"),
        ("计时半小时", "timer +1800"),
        ("计时两个小时零五分钟", "timer +7500"),
        ("定个明天七点的闹钟", "alarm 26T07:00"),
        ("设个闹钟", "alarm ?"),
        ("提醒我关火", "reminder ? 关火"),
        ("有哪些闹钟", "list alarm"),
        ("我设了哪些提醒", "list reminder"),
        ("计时器还剩多久", "left timer"),
        ("还剩多少时间", "left"),
        ("取消闹钟", "cancel alarm"),
        ("取消所有的提醒", "cancel reminder all"),
        ("把关火的提醒删掉", "cancel reminder 关火"),
        ("再睡十分钟", "snooze 600"),
        ("五分钟后再叫我", "snooze 300"),
    ] {
        check(&mut wrong, text, wanted);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_about_something_else_is_left_alone() {
    let mut wrong = Vec::new();
    for text in [
        "remember that the timer is broken",
        "what time is it",
        "what is the wifi password",
        "how long is the river rhine",
        "when is anna's birthday",
        "stop",
        "cancel that",
        "set the volume to 40",
        "show me my notes",
        "记得明天带伞",
        "现在几点了",
        "妈妈的生日是什么时候",
        "停",
        "取消",
        "音量调到百分之三十",
        "我的车停在三楼",
        "闹钟坏了",
        "你叫我什么",
        "",
        "🔔",
    ] {
        check(&mut wrong, text, "-");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_answer_to_our_question_completes_what_was_asked() {
    for (text, reply, wanted) in [
        (
            "remind me tomorrow at seven to leave",
            "in the evening",
            "26T19:00",
        ),
        (
            "remind me tomorrow at seven to leave",
            "morning",
            "26T07:00",
        ),
        ("set a timer", "ten minutes", "+600"),
        ("remind me to leave", "at 8 pm", "25T20:00"),
        ("wake me up", "seven", "26T07:00"),
        ("明天七点提醒我带伞", "早上", "26T07:00"),
        ("提醒我关火", "十分钟后", "+600"),
        ("设个闹钟", "明天早上七点", "26T07:00"),
    ] {
        let Some(Request::Set(mut draft)) = understand(text) else {
            panic!("{text:?} sets something");
        };
        let more = match reply.chars().any(crate::voice::index::is_cjk) {
            true => chinese::times(reply),
            false => english::times(reply),
        };
        draft.said.complete(more);
        let found = match draft.said.meaning(draft.kind, &now()) {
            Meaning::At(When::After(span), _) => format!("+{}", span.as_secs()),
            Meaning::At(When::At(at), _) => zoned(at, now().time_zone())
                .strftime("%dT%H:%M")
                .to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(found, wanted, "{text:?} then {reply:?}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_said_panics(text in "\\PC{0,80}") {
        let _ = told(&text);
        let _ = (english::times(&text), chinese::times(&text));
    }

    #[test]
    fn words_of_the_trade_in_any_order_never_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("set"), Just("timer"), Just("for"), Just("a"), Just("half"), Just("past"),
                Just("ten"), Just("twenty"), Just("hundred"), Just("and"), Just("every"), Just("to"),
                Just("monday"), Just("at"), Just("7"), Just("99999999999"), Just("pm"), Just("oh"),
                Just("minutes"), Just("remind"), Just("me"), Just("tomorrow"), Just("quarter"),
                Just("提醒我"), Just("十"), Just("点"), Just("半"), Just("分"), Just("个"), Just("每周"),
                Just("一"), Just("后"), Just("明天"), Just("小时"), Just("百"), Just("取消"),
            ],
            0..12,
        ),
    ) {
        let _ = told(&words.join(" "));
        let _ = told(&words.concat());
    }
}
