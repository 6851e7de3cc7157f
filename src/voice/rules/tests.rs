//! What people say, and what is made of it.

use super::*;

#[test]
fn what_people_say_is_understood_typed_and_transcribed() {
    use Kind::*;
    let plain = |kind| Intent::Plain(kind);
    let record = |text: &str| Intent::Record(text.to_string());
    let recall = |text: &str| Intent::Recall(text.to_string());
    let forget = |text: &str| Intent::Forget(text.to_string());
    for (text, wanted) in [
        // keep
        (
            "remember that the spare key is under the blue flower pot",
            record("the spare key is under the blue flower pot"),
        ),
        (
            "Remember: the WiFi password is Tr0ub4dor&3!",
            record("the WiFi password is Tr0ub4dor&3!"),
        ),
        (
            "please remember to water the plants",
            record("water the plants"),
        ),
        (
            "Don't forget that Anna comes on Friday.",
            record("Anna comes on Friday."),
        ),
        (
            "make a note of the meter reading 4711",
            record("the meter reading 4711"),
        ),
        (
            "can you remember that my car is on level 3",
            record("my car is on level 3"),
        ),
        ("记住备用钥匙在花盆下面", record("备用钥匙在花盆下面")),
        (
            "请记住，WiFi密码是 abc-123。",
            record("WiFi密码是 abc-123。"),
        ),
        ("帮我记一下：周五要交房租", record("周五要交房租")),
        ("别忘了给猫喂食", record("给猫喂食")),
        ("记得明天带伞", record("明天带伞")),
        // find
        ("where is the spare key", recall("where is the spare key")),
        (
            "What's the WiFi password?",
            recall("What's the WiFi password?"),
        ),
        ("do you remember where I parked", recall("where I parked")),
        ("search for flower pot", recall("flower pot")),
        ("备用钥匙在哪里？", recall("备用钥匙在哪里？")),
        ("妈妈的生日是什么时候", recall("妈妈的生日是什么时候")),
        ("你还记得我的车停在哪里吗", recall("我的车停在哪里")),
        ("搜索架构", recall("架构")),
        ("when does Anna come", recall("when does Anna come")),
        // remove
        ("forget about the spare key", forget("the spare key")),
        ("delete the note about the meter", forget("the meter")),
        ("忘记备用钥匙", forget("备用钥匙")),
        ("forget everything", plain(ForgetEverything)),
        ("清空记忆", plain(ForgetEverything)),
        ("clear this conversation", plain(ClearConversation)),
        ("forget it", plain(No)),
        ("yes", plain(Yes)),
        ("是的。", plain(Yes)),
        ("no", plain(No)),
        // the box itself
        ("你好", plain(Greeting)),
        ("你好！", plain(Greeting)),
        ("Hello!", plain(Greeting)),
        ("stop", plain(Stop)),
        ("别说了", plain(Stop)),
        ("be quiet", plain(Stop)),
        ("what time is it", plain(Time)),
        ("现在几点了？", plain(Time)),
        ("what day is it today", plain(Date)),
        ("今天星期几", plain(Date)),
        ("say that again", plain(Repeat)),
        ("再说一遍", plain(Repeat)),
        ("turn it up", plain(VolumeUp)),
        ("声音小一点", plain(VolumeDown)),
        ("set the volume to 40", Intent::Volume(40)),
        ("volume fifty percent", Intent::Volume(50)),
        ("音量调到百分之三十", Intent::Volume(30)),
        ("mute", plain(Mute)),
        ("list my notes", plain(List)),
        ("你记得什么", plain(List)),
        ("what happened today", plain(SummaryToday)),
        ("总结今天", plain(SummaryToday)),
        ("help", plain(Help)),
        ("你会做什么", plain(Help)),
        ("thank you", plain(Thanks)),
        ("再见", plain(Farewell)),
        // none of these
        ("the weather is nice", Intent::Unknown),
        ("记者来了", Intent::Unknown),
        ("remember", Intent::Unknown),
        ("🔑", Intent::Unknown),
        ("", Intent::Unknown),
    ] {
        assert_eq!(understand(text), wanted, "{text:?}");
    }
}

#[test]
fn the_language_is_the_texts_own_unless_told() {
    assert_eq!(language_of("你好", None), Language::Chinese);
    assert_eq!(language_of("hello", None), Language::English);
    assert_eq!(language_of("hello", Some("zh-CN")), Language::Chinese);
    assert_eq!(language_of("你好", Some("e")), Language::Chinese);
    assert_eq!(language_of("你好", Some("日本")), Language::Chinese);
}

#[test]
fn hostile_text_is_understood_as_something_and_quickly() {
    for text in [
        "remember ".repeat(3_000),
        "记".repeat(8_000),
        "[(*|".repeat(5_000),
        "\u{301}\u{200d}\u{fe0f}".repeat(2_000),
        "İİİ remember that İstanbul".to_string(),
    ] {
        understand(&text);
    }
}

#[test]
fn every_pattern_of_the_table_is_well_formed_and_can_match() {
    for (kind, patterns) in RULES {
        for pattern in *patterns {
            let opened = pattern.matches(['[', '(']).count();
            assert_eq!(
                opened,
                pattern.matches([']', ')']).count(),
                "{kind:?} {pattern}"
            );
            let mut depth = 0;
            for c in pattern.chars() {
                depth += i32::from(matches!(c, '[' | '(')) - i32::from(matches!(c, ']' | ')'));
                assert!((0..=1).contains(&depth), "{kind:?} {pattern}");
            }
            assert!(pattern.matches('*').count() <= 1, "{kind:?} {pattern}");
            let plainest = plainest(pattern);
            let normal = Normal::of(&plainest);
            assert!(
                normal.matches(normal.all(), pattern).is_some(),
                "{kind:?}: {pattern} does not match its own words {plainest:?}"
            );
        }
    }
}

/// A pattern's own words: optional parts left out, first choices taken, `*` as a number.
fn plainest(pattern: &str) -> String {
    let mut words = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        match c {
            '[' => rest = rest.split_once(']').unwrap().1,
            '(' => {
                let (choices, after) = rest[1..].split_once(')').unwrap();
                words.push_str(choices.split('|').next().unwrap());
                rest = after;
            }
            '*' => {
                words.push('7');
                rest = &rest[1..];
            }
            _ => {
                words.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    words
}
