//! Every sentence the box says without a model, in English and Chinese. Short, since it is spoken.

use super::Language;
use super::Language::{Chinese, English};

/// The clock of a board without battery stands before this until the network has set it: 2024.
const CLOCK_SET_AFTER_YEAR: i16 = 2024;

pub fn greeting(language: Language) -> String {
    pick(
        language,
        "Hello! I am Magpie, your memory at home. Tell me something to remember, or ask me what you told me.",
        "你好！我是喜鹊，您家里的记忆助手。您可以让我记住一件事，也可以问我您说过的事。",
    )
}

pub fn help(language: Language) -> String {
    pick(
        language,
        "I am Magpie. I remember what you tell me and find it again, all on this box. Say “remember that the spare key is under the flower pot”, then ask “where is the spare key”. I also tell the time and the date, list your notes, sum up today, repeat, and change the volume.",
        "我是喜鹊，您说的事我都记在这台小盒子里，随时帮您找回来。比如先说“记住备用钥匙在花盆下面”，再问“备用钥匙在哪里”。我还能报时间和日期、列出记忆、总结今天、重复上一句、调音量。",
    )
}

/// Honest about what is missing without a model.
pub fn not_understood(language: Language) -> String {
    pick(
        language,
        "I have no language model here, so I cannot chat about that. I can remember things, find them again, and tell the time. Say “help” to hear more.",
        "我这里没有接入语言模型，这个问题我还聊不了。我可以记事、找回您说过的事、报时间。说“帮助”了解更多。",
    )
}

/// Before the first word of a model's answer.
pub fn model_away(language: Language) -> String {
    pick(
        language,
        "I cannot reach the language model right now. I kept your question; please ask again in a moment.",
        "我现在连不上语言模型。您的问题已经记下，请过一会儿再问一次。",
    )
}

/// As [`model_away`], of a spoken question that waits in the queue.
pub fn model_away_for_now(language: Language) -> String {
    pick(
        language,
        "I cannot reach the language model right now. I kept your question and will answer it later.",
        "我现在连不上语言模型。您的问题已经记下，稍后会回答。",
    )
}

/// After some words of a model's answer.
pub fn model_broke_off(language: Language) -> String {
    pick(
        language,
        "The rest of the answer did not come: the connection to the language model broke off.",
        "后面的回答没有收到：和语言模型的连接断了。",
    )
}

pub fn model_refused(language: Language) -> String {
    pick(
        language,
        "The language model does not want to answer that.",
        "语言模型不愿意回答这个问题。",
    )
}

pub fn model_silent(language: Language) -> String {
    pick(language, "I have no answer to that.", "这个我没有答案。")
}

pub fn thanks(language: Language) -> String {
    pick(language, "You are welcome.", "不客气。")
}

pub fn farewell(language: Language) -> String {
    pick(
        language,
        "Goodbye. I keep what you told me.",
        "再见，您说的事我都记着。",
    )
}

pub fn stopped(language: Language) -> String {
    pick(language, "Stopped.", "好的，停下了。")
}

pub fn recorded(language: Language, content: &str) -> String {
    let content = closed(content);
    match language {
        English => format!("I will remember: {content}"),
        Chinese => format!("记住了：{content}"),
    }
}

pub fn memo_begins(language: Language) -> String {
    pick(
        language,
        "I am recording. Press the button when you are done.",
        "开始录音了，说完请按按钮。",
    )
}

pub fn saved_for_later(language: Language) -> String {
    pick(
        language,
        "I saved what you said. I will handle it as soon as I can.",
        "已经保存了，稍后会处理。",
    )
}

pub fn not_recorded(language: Language) -> String {
    pick(
        language,
        "This conversation is not being kept, so I did not store that.",
        "这次对话设置为不保存，所以我没有记下来。",
    )
}

/// What was found, the best first.
pub fn told(language: Language, contents: &[&str]) -> String {
    match (language, contents) {
        (English, [only]) => format!("You told me: {}", closed(only)),
        (Chinese, [only]) => format!("您说过：{}", closed(only)),
        (English, several) => format!(
            "You told me {} things about that. {}",
            several.len(),
            numbered(several)
        ),
        (Chinese, several) => format!(
            "关于这个，您说过{}件事：{}",
            several.len(),
            numbered(several)
        ),
    }
}

pub fn perhaps_told(language: Language, content: &str) -> String {
    match language {
        English => format!("I am not sure, but you told me: {}", closed(content)),
        Chinese => format!("我不太确定，您说过：{}", closed(content)),
    }
}

pub fn unknown(language: Language) -> String {
    pick(
        language,
        "I do not know that yet. Tell me with “remember that”, and I will.",
        "这个我还不知道。您可以说“记住……”告诉我。",
    )
}

pub fn ask_what(language: Language) -> String {
    pick(
        language,
        "What is it about? Name the thing you are looking for.",
        "您想找什么？请说出它的名字。",
    )
}

pub fn confirm_forget(language: Language, content: &str, more: usize) -> String {
    let content = closed(content);
    match (language, more) {
        (English, 0) => format!("Shall I forget this? {content} Say yes to confirm."),
        (English, more) => {
            format!("Shall I forget this and {more} more? {content} Say yes to confirm.")
        }
        (Chinese, 0) => format!("要忘记这件事吗？{content}请说“是的”确认。"),
        (Chinese, more) => format!("要忘记这件事和另外{more}件吗？{content}请说“是的”确认。"),
    }
}

pub fn confirm_everything(language: Language, count: usize) -> String {
    match language {
        English => format!("That removes all {count} memories for good. Say yes to confirm."),
        Chinese => format!("这会永久删除全部{count}条记忆。请说“是的”确认。"),
    }
}

pub fn confirm_conversation(language: Language) -> String {
    pick(
        language,
        "That removes all that was said in this conversation. Memories stay. Say yes to confirm.",
        "这会删除这次对话的全部内容，记忆会保留。请说“是的”确认。",
    )
}

pub fn forgotten(language: Language, count: usize) -> String {
    match (language, count) {
        (English, 0) => String::from("It was already gone."),
        (English, 1) => String::from("Forgotten."),
        (English, count) => format!("Forgotten: {count} memories."),
        (Chinese, 0) => String::from("它已经不在了。"),
        (Chinese, 1) => String::from("已经忘记了。"),
        (Chinese, count) => format!("已经忘记了{count}条记忆。"),
    }
}

pub fn conversation_cleared(language: Language) -> String {
    pick(
        language,
        "This conversation is cleared.",
        "这次对话已经清空。",
    )
}

pub fn nothing_to_forget(language: Language) -> String {
    pick(
        language,
        "I remember nothing about that.",
        "我没有关于它的记忆。",
    )
}

pub fn kept(language: Language) -> String {
    pick(
        language,
        "All right, nothing is removed.",
        "好的，什么都没有删除。",
    )
}

pub fn nothing_asked(language: Language) -> String {
    pick(language, "All right.", "好的。")
}

pub fn nothing_to_repeat(language: Language) -> String {
    pick(
        language,
        "I have not said anything yet.",
        "我还没有说过话。",
    )
}

pub fn volume(language: Language, percent: u8) -> String {
    match language {
        English => format!("Volume {percent} percent."),
        Chinese => format!("音量百分之{percent}。"),
    }
}

pub fn muted(language: Language) -> String {
    pick(language, "The microphone is off.", "麦克风已关闭。")
}

pub fn time(language: Language, now: &jiff::Zoned) -> String {
    if now.year() < CLOCK_SET_AFTER_YEAR {
        return clock_unset(language);
    }
    match language {
        English => format!("It is {}:{:02}.", now.hour(), now.minute()),
        Chinese => format!("现在是{}点{:02}分。", now.hour(), now.minute()),
    }
}

pub fn date(language: Language, now: &jiff::Zoned) -> String {
    const DAYS: [(&str, &str); 7] = [
        ("Monday", "一"),
        ("Tuesday", "二"),
        ("Wednesday", "三"),
        ("Thursday", "四"),
        ("Friday", "五"),
        ("Saturday", "六"),
        ("Sunday", "日"),
    ];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    if now.year() < CLOCK_SET_AFTER_YEAR {
        return clock_unset(language);
    }
    let (weekday, weekday_zh) = DAYS[now.weekday().to_monday_zero_offset() as usize];
    let (year, month, day) = (now.year(), now.month(), now.day());
    match language {
        English => format!(
            "Today is {weekday}, {day} {} {year}.",
            MONTHS[month as usize - 1]
        ),
        Chinese => format!("今天是{year}年{month}月{day}日，星期{weekday_zh}。"),
    }
}

pub fn list(language: Language, newest: &[&str], total: usize) -> String {
    match (language, total) {
        (English, 0) => {
            String::from("I remember nothing yet. Say “remember that” and what I should keep.")
        }
        (Chinese, 0) => String::from("我还没有任何记忆。请说“记住……”让我记下来。"),
        (English, 1) => format!("I remember one thing. {}", numbered(newest)),
        (English, total) if total > newest.len() => {
            format!(
                "I remember {total} things. The newest: {}",
                numbered(newest)
            )
        }
        (English, total) => format!("I remember {total} things. {}", numbered(newest)),
        (Chinese, total) if total > newest.len() => {
            format!("我记得{total}件事，最新的是：{}", numbered(newest))
        }
        (Chinese, total) => format!("我记得{total}件事：{}", numbered(newest)),
    }
}

pub fn summary(language: Language, newest: &[&str], total: usize, questions: usize) -> String {
    match (language, total) {
        (English, 0) => format!(
            "Today you told me nothing to remember, and spoke to me {} times.",
            questions
        ),
        (Chinese, 0) => format!("今天您没有让我记事，和我说了{questions}次话。"),
        (English, _) => format!(
            "Today I noted {total} {}, and you spoke to me {questions} times. {}",
            if total == 1 { "thing" } else { "things" },
            numbered(newest)
        ),
        (Chinese, _) => format!(
            "今天我记了{total}件事，您和我说了{questions}次话。{}",
            numbered(newest)
        ),
    }
}

pub fn private(language: Language, on: bool) -> String {
    match on {
        true => pick(
            language,
            "Private: I keep nothing of this by myself until you say “you can remember again”.",
            "隐私模式：我不会主动记下这些，直到您说“可以记了”。",
        ),
        false => pick(
            language,
            "I may keep what is worth keeping again.",
            "好的，我又可以记下重要的事了。",
        ),
    }
}

fn clock_unset(language: Language) -> String {
    pick(
        language,
        "I do not know: my clock has not been set yet.",
        "我还不知道，我的时钟还没有校准。",
    )
}

fn pick(language: Language, english: &str, chinese: &str) -> String {
    match language {
        English => english,
        Chinese => chinese,
    }
    .to_string()
}

fn numbered(contents: &[&str]) -> String {
    contents
        .iter()
        .enumerate()
        .map(|(index, content)| format!("{}. {}", index + 1, closed(content)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Text that ends as a sentence does, in its own script.
fn closed(text: &str) -> String {
    let text = text.trim();
    match text.chars().next_back() {
        Some(last) if last.is_alphanumeric() => {
            let stop = if super::is_cjk(last) { '。' } else { '.' };
            format!("{text}{stop}")
        }
        _ => text.to_string(),
    }
}
