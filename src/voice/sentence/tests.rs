//! Where sentences end, what is said of what cannot be spoken, and that no split matters.

use super::*;
use proptest::prelude::*;

fn cut_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Vec<Sentence> {
    let mut cutter = Cutter::default();
    let mut sentences = Vec::new();
    for piece in pieces {
        cutter.push(piece, &mut sentences);
    }
    sentences.extend(cutter.finish());
    sentences
}

fn cut(text: &str) -> Vec<String> {
    cut_pieces([text])
        .into_iter()
        .map(|sentence| sentence.text)
        .collect()
}

#[test]
fn sentences_end_where_a_reader_would_breathe() {
    let table: [(&str, &[&str]); 14] = [
        (
            "Hello. How are you today, my old friend?",
            &["Hello.", "How are you today, my old friend?"],
        ),
        (
            "Dr. Smith and J. Doe came at 3.15 p.m. to the U.S. embassy.",
            &["Dr. Smith and J. Doe came at 3.15 p.m. to the U.S. embassy."],
        ),
        (
            "It costs 3.50. That is too much for such a thing.",
            &["It costs 3.50.", "That is too much for such a thing."],
        ),
        (
            "Yes. No. Perhaps. Who can tell these things?",
            &["Yes.", "No. Perhaps. Who can tell these things?"],
        ),
        (
            "今天下午会下雨，记得带伞。明天会是晴天！",
            &["今天下午会下雨，记得带伞。", "明天会是晴天！"],
        ),
        (
            "好的，我记住了。钥匙在蓝色花盆的下面，不要忘记告诉别人这件事情。你还有别的问题吗？",
            &[
                "好的，我记住了。",
                "钥匙在蓝色花盆的下面，不要忘记告诉别人这件事情。",
                "你还有别的问题吗？",
            ],
        ),
        (
            "他说：“走吧！”然后就离开了这个小小的房间。",
            &["他说：“走吧！”", "然后就离开了这个小小的房间。"],
        ),
        (
            "He said \"stop!\" and everybody in the room stopped.",
            &["He said \"stop!\"", "and everybody in the room stopped."],
        ),
        (
            "Really?! Yes, I am quite sure about all of that.",
            &["Really?!", "Yes, I am quite sure about all of that."],
        ),
        (
            "Wait... what was that noise in the kitchen just now",
            &["Wait...", "what was that noise in the kitchen just now"],
        ),
        (
            "1. Milk and bread\n2. Eggs and butter for the cake\n",
            &["1. Milk and bread", "2. Eggs and butter for the cake"],
        ),
        ("", &[]),
        ("  \n\n ", &[]),
        (
            "The spare key is under the blue pot, and the other one is with the neighbour.",
            &[
                "The spare key is under the blue pot,",
                "and the other one is with the neighbour.",
            ],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(cut(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_spoken_becomes_words_or_silence() {
    let table: [(&str, &[&str]); 9] = [
        ("# A **bold** title\n", &["A bold title"]),
        ("- `one` item & another 😀\n", &["one item and another"]),
        (
            "See [the manual](https://example.com/a?b=1) for more.",
            &["See the manual for more."],
        ),
        (
            "Go to https://www.example.com/x/y?z=1. Then come back here.",
            &["Go to www dot example dot com.", "Then come back here."],
        ),
        (
            "Try this:\n```rust\nfn main() { panic!(\"no. way?\") }\n```\nIt works every time.\n",
            &[
                "Try this:",
                "The code is on the screen. It works every time.",
            ],
        ),
        (
            "如下：\n```\nlet a = 1;\n```\n就这样。",
            &["如下：", "代码在屏幕上。就这样。"],
        ),
        (
            "| a | b |\n|---|---|\n| 1. | 2? |\nThat was the table of numbers.",
            &[
                "The table is on the screen.",
                "That was the table of numbers.",
            ],
        ),
        (
            "It is 21°C and 5*3=15.",
            &["It is 21 degrees and 5 times 3 equals 15."],
        ),
        ("👍🎉", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(cut(text), expected, "{text}");
    }
}

#[test]
fn a_text_without_any_stop_is_cut_between_words() {
    let text = "word ".repeat(100);
    let sentences = cut(&text);
    assert!(sentences.len() >= 3, "{sentences:?}");
    for sentence in &sentences {
        assert!(sentence.chars().count() <= CHARS_MAX, "{sentence}");
        assert!(sentence.split(' ').all(|word| word == "word"), "{sentence}");
    }
    assert_eq!(sentences.join(" "), text.trim());
    let unbroken = "字".repeat(1_000);
    assert_eq!(cut(&unbroken).concat(), unbroken);
}

#[test]
fn a_sentence_knows_how_far_into_the_answer_it_reaches() {
    let text = "Hello there. 你好，今天天气很好，我们出去走走吧，好不好？";
    let sentences = cut_pieces([text]);
    let ends: Vec<usize> = sentences
        .iter()
        .map(|sentence| sentence.source_chars)
        .collect();
    assert_eq!(ends.first(), Some(&"Hello there.".chars().count()));
    assert_eq!(ends.last(), Some(&text.chars().count()));
}

fn bits() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            "[a-zA-Z]{1,9}",
            "[0-9.]{1,5}",
            "[一-龥]{1,12}",
            Just(String::from(" ")),
            "[。！？!?.,，：:…；\"”*_`|#\n -]{1,2}",
            Just(String::from("```\n")),
            Just(String::from("\n```")),
            Just(String::from("http://a.b/c?d ")),
            Just(String::from("Dr. ")),
            Just(String::from("😀")),
        ],
        0..60,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_sentences(text in bits(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let whole = cut_pieces([text.as_str()]);
        let mut places: Vec<usize> = cuts
            .iter()
            .map(|cut| cut.index(text.len() + 1))
            .filter(|at| text.is_char_boundary(*at))
            .collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &text[pair[0]..pair[1]]);
        prop_assert_eq!(whole, cut_pieces(pieces));
    }

    #[test]
    fn no_word_is_lost_or_said_twice(words in prop::collection::vec("[a-z]{1,12}[.,!?:]{0,1}|[一-龥]{1,6}[。，！？]{0,1}", 0..120)) {
        let text = words.join(" ");
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let said: String = cut(&text).iter().map(|sentence| letters(sentence)).collect();
        prop_assert_eq!(said, letters(&text));
    }

    #[test]
    fn positions_grow_and_stay_inside(text in bits()) {
        let total = text.chars().count();
        let mut last = 0;
        for sentence in cut_pieces([text.as_str()]) {
            prop_assert!(sentence.source_chars >= last && sentence.source_chars <= total);
            prop_assert!(!sentence.text.trim().is_empty());
            last = sentence.source_chars;
        }
    }

    #[test]
    fn no_later_sentence_is_too_long(text in "[a-z ,.!?一-龥]{0,900}") {
        for sentence in cut(&text) {
            prop_assert!(sentence.chars().count() <= CHARS_MAX + 1, "{}", sentence);
        }
    }
}
