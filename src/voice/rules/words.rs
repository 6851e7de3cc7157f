//! The words by which the box understands people without a model: the one table of it, in English
//! and Chinese. First match wins, from top to bottom.
//!
//! Patterns are matched against the whole of a text in lower case without punctuation
//! (a transcript has none anyway). `[a|b]` may be missing, `(a|b)` must be there, `*` is the part
//! that is meant: one character or more. Groups do not nest.

use super::Kind;

/// What may stand before anything else and means nothing.
#[rustfmt::skip]
pub const COURTESY: &[&str] = &[
    "hey magpie ", "hello magpie ", "hi magpie ", "ok magpie ", "okay magpie ", "magpie ", "please ",
    "can you ", "could you ", "would you ", "will you ", "um ", "uh ", "ok ", "okay ", "i want you to ",
    "i would like you to ",
    "喜鹊喜鹊", "喜鹊", "请你", "请", "麻烦你", "麻烦", "能不能", "可以", "你能", "帮我", "给我",
];

#[rustfmt::skip]
pub const RULES: &[(Kind, &[&str])] = &[
    (Kind::Stop, &[
        "stop[ it| that| talking| now| speaking| please]", "(be |)quiet[ please]", "shut up", "silence",
        "cancel[ that| it]", "thats enough", "enough",
        "停", "停下[来|]", "停止", "别说了", "不要说了", "闭嘴", "安静[一下|点|]", "取消",
    ]),
    (Kind::Yes, &[
        "yes[ please| do| do it| i am sure| im sure| sure]", "yeah", "yep", "sure", "i am sure", "im sure",
        "do it", "go ahead", "confirm", "of course",
        "是", "是的", "对", "对的", "好", "好的", "确定", "确认", "可以", "删吧", "嗯", "当然",
    ]),
    (Kind::No, &[
        "no[ thanks| thank you| dont| please dont]", "nope", "dont", "never mind", "nevermind", "forget it",
        "不", "不是", "不要", "不用[了|]", "不了", "算了", "别", "没事[了|]",
    ]),
    (Kind::Greeting, &[
        "hello[ there| again]", "hi[ there]", "hey[ there]", "good (morning|afternoon|evening|day)",
        "how are you[ today]",
        "你好[啊|呀|吗|]", "您好", "早上好", "上午好", "中午好", "下午好", "晚上好", "早", "早安", "嗨",
        "哈喽",
    ]),
    (Kind::Thanks, &[
        "thanks[ a lot| very much]", "thank you[ so much| very much]",
        "谢谢[你|您|啦|了|]", "多谢", "感谢",
    ]),
    (Kind::Farewell, &[
        "(good|)bye[ bye]", "good night", "see you[ later| tomorrow]",
        "再见", "拜拜", "晚安", "回头见",
    ]),
    (Kind::Help, &[
        "help[ me]", "what can (you do|i say|i ask)[ for me]", "how do you work", "who are you",
        "what are you", "what is your name", "whats your name",
        "帮助", "帮忙", "你(会|能)(做什么|干什么|做些什么|干嘛|什么)", "你是谁", "你叫什么[名字|]", "怎么用",
        "我(能|可以)说什么",
    ]),
    (Kind::Time, &[
        "what time is it[ now]", "whats the time[ now]", "what is the time[ now]", "tell me the time",
        "what time",
        "[现在]几点[了|钟|钟了|啦]", "现在[是]什么时间", "现在时间",
    ]),
    (Kind::Date, &[
        "what day is (it|today)[ today]", "what is (todays date|the date|the day)[ today]",
        "whats (todays date|the date|the day)[ today]", "what date is (it|today)[ today]",
        "which day is it[ today]",
        "今天[是]几号", "今天[是]几月几号", "今天[是](星期几|周几|礼拜几)", "今天[是]什么日子",
        "[今天|现在][的]日期[是什么]",
    ]),
    (Kind::Repeat, &[
        "repeat[ that| it| the last answer]", "say (that|it) again", "again", "what did you (just |)say",
        "pardon", "sorry what",
        "再说一遍", "再说一次", "重复[一遍|一下|]", "你(刚才|刚刚|)说什么", "没听清",
    ]),
    (Kind::VolumeUp, &[
        "(speak |)louder[ please]", "(turn |)volume up", "turn (it|the volume|that) up",
        "turn up the volume", "speak up", "raise the volume",
        "[声音]大[声]一点", "[声音]大[声]点[儿]", "音量(大|高)[一]点", "(调大|提高|增大)(音量|声音)",
        "(音量|声音)调大[一点|点|]",
    ]),
    (Kind::VolumeDown, &[
        "(speak |)quieter[ please]", "(speak |)softer", "(turn |)volume down",
        "turn (it|the volume|that) down", "turn down the volume", "not so loud", "lower the volume",
        "[声音]小[声]一点", "[声音]小[声]点[儿]", "音量(小|低)[一]点", "(调小|降低|减小)(音量|声音)",
        "(音量|声音)调小[一点|点|]",
    ]),
    (Kind::VolumeTo, &[
        "(set |)(the |)volume[ to| at] *", "turn (the |)volume to *",
        "音量[调到|设为|调成|开到|到]*", "把音量(调到|设为|调成|开到)*",
    ]),
    (Kind::Memo, &[
        "(take|record|start|make)[ a| the] (memo|recording)", "start recording", "take a long note",
        "开始录音", "(录|记)[一]个备忘", "(录音|录一段)[吧|一下|]",
    ]),
    (Kind::Mute, &[
        "mute[ yourself| the microphone| microphone]", "stop listening", "dont listen",
        "静音", "别听了", "不要听了", "关闭麦克风", "关掉麦克风",
    ]),
    (Kind::SummaryToday, &[
        "(give me a |)(summary|summarize|sum up)[ of][ the] (today|day)", "what happened today",
        "what did i (say|tell you|do) today", "todays summary", "(how was|sum up) my day",
        "(总结|概括)[一下](今天|今日)[的事|]", "今天(发生|说|记)了(什么|哪些)[事|]", "今日(总结|小结)",
        "今天的(总结|小结)",
    ]),
    (Kind::PrivateOff, &[
        "(private mode off|leave private mode|stop private mode|end private mode|turn off private mode)",
        "you (can|may) remember (again|things again|this again)", "start remembering[ again]",
        "(关闭|退出|结束|关掉)(隐私|私密)模式", "(可以|继续)(记|记住|记录)了", "恢复(记录|记忆)", "可以重新记了",
    ]),
    (Kind::PrivateOn, &[
        "(private mode|private mode on|go private|start private mode|turn on private mode)",
        "(dont|do not) (remember|keep|note|record|store) (this|that|it|any of this|what i say)",
        "stop remembering", "(this is|what i say now is) (private|off the record)", "off the record",
        "(打开|开启|进入|启动)(隐私|私密)模式", "(隐私|私密)模式",
        "(不要|别|不用)(记住|记录|记下来|记)[这个|这件事|这些|这句|这句话|了]", "(这个|这件事|这些|这句话)(不要|别)(记住|记录|记)",
    ]),
    (Kind::List, &[
        "list[ all][ my| the] (memories|notes|everything)", "show[ me][ all][ my| the] (memories|notes)",
        "what do you (remember|know)", "what have i told you", "what did i tell you", "read[ me] my notes",
        "列出[所有|全部|我的](记忆|笔记|备忘)", "你(记得|记住了|知道|记了)(什么|哪些|些什么|哪些事)",
        "我(让|叫)你记了什么", "有哪些(记忆|笔记|备忘)", "我的(记忆|笔记|备忘)",
    ]),
    (Kind::ForgetEverything, &[
        "forget (everything|all of it|all memories|all)", "(delete|erase|clear|remove) everything",
        "(delete|erase|clear|remove) all[ of][ my| the| your] (memories|notes)",
        "clear[ my| your| the] memor(y|ies)", "erase your memory",
        "忘记(一切|所有的事情|所有事情|所有的事|所有|全部)",
        "忘掉(一切|所有的事情|所有事情|所有的事|所有|全部)", "(清空|清除)[所有|全部][的|]记忆",
        "删除(所有|全部)[的|](记忆|笔记)",
    ]),
    (Kind::ClearConversation, &[
        "(clear|delete|erase)[ the| this| our] (conversation|chat|history|chat history)", "start over",
        "(清空|清除|删除)[这个|本次|当前|](对话|聊天|会话)[记录|]", "重新开始",
    ]),
    (Kind::Recall, &[
        "do you (remember|know|recall) *", "(search|look)[ for| up] *", "find *", "recall *",
        "tell me[ about] *", "remind me (what|where|when|who|how|which|about) *",
        "(你|还|你还)记得*吗", "(搜索|搜一下|搜|查找|查一下|查|找一下|找|回忆一下|回忆)*", "告诉我*",
    ]),
    (Kind::Record, &[
        "remember[ this| that| to] *", "dont forget[ that| to] *", "do not forget[ that| to] *",
        "keep in mind[ that] *", "(make|take) a note[ that| of| to| about] *", "note[ down] that *",
        "note down *", "write[ this] down *", "write down[ that] *",
        "save[ the fact that| this| a note that] *", "new note *", "memo *", "remind me that *",
        "记住[了|]*", "记得*", "记一下*", "记下[来|]*", "记录[一下|]*", "记个*", "别忘[了|记|]*",
        "不要忘[了|记|]*", "备忘*", "你要知道*",
    ]),
    (Kind::Forget, &[
        "forget[ about| that| what i said about] *",
        "(delete|remove|erase)[ the| my][ memory| note| memories| notes][ about| that| of] *",
        "忘记*", "忘掉*", "忘了*", "(删除|删掉)[关于|有关]*",
    ]),
];

/// A text that begins so asks something.
#[rustfmt::skip]
pub const QUESTION_BEGINNINGS: &[&str] = &[
    "what ", "whats ", "where ", "wheres ", "when ", "whens ", "who ", "whos ", "whose ", "whom ", "which ",
    "why ", "how ", "hows ", "is ", "are ", "was ", "were ", "do ", "does ", "did ", "have ", "has ", "am ",
];

/// A text with one of these in it asks something.
#[rustfmt::skip]
pub const QUESTION_MARKS_ZH: &[&str] = &[
    "哪里", "哪儿", "哪个", "哪些", "哪天", "哪", "什么", "谁", "多少", "多大", "多久", "几点", "几号", "几",
    "怎么", "为什么", "何时", "吗", "是不是", "有没有", "呢",
];

/// Left out of what a question is about: single words.
#[rustfmt::skip]
pub const QUESTION_WORDS_EN: &[&str] = &[
    "what", "whats", "where", "wheres", "when", "whens", "who", "whos", "whose", "whom", "which", "why",
    "how", "hows", "is", "are", "was", "were", "be", "been", "am", "do", "does", "did", "done", "have",
    "has", "had", "can", "could", "will", "would", "should", "shall", "may", "might", "must", "the", "a",
    "an", "this", "that", "these", "those", "there", "here", "it", "its", "i", "me", "my", "mine", "we",
    "us", "our", "you", "your", "he", "him", "his", "she", "her", "they", "them", "their", "in", "on", "at",
    "of", "to", "for", "from", "with", "about", "by", "and", "or", "so", "s", "tell", "know", "remember",
    "recall", "told", "say", "said", "please", "again", "now", "any", "many", "much",
];

/// Left out of what a question is about: longer ones first, so that they are not cut apart.
#[rustfmt::skip]
pub const QUESTION_WORDS_ZH: &[&str] = &[
    "你还记得", "什么时候", "什么地方", "什么时间", "是什么意思", "我告诉过你", "我跟你说过", "为什么",
    "怎么样", "有没有", "是不是", "放在哪里", "放在哪儿", "放到哪里", "放哪儿了", "放哪里", "在哪里",
    "在哪儿", "哪一天", "记不记得", "告诉我", "知道", "记得", "请问", "放在", "放哪", "在哪", "哪里", "哪儿",
    "哪个", "哪些", "哪天", "什么", "多少", "多大", "多久", "几点", "几号", "几月", "怎么", "何时", "我们的",
    "我们", "我的", "你的", "他的", "她的", "我家的", "叫什么", "一下", "关于", "谁", "哪", "是", "的", "了",
    "吗", "呢", "啊", "吧", "呀", "我", "你", "在", "有",
];
