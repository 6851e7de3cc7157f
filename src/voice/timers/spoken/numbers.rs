//! Numbers as they are said: digits or words, English and Chinese. Pure.

/// Words that stand for themselves or, as tens, may have a digit after them.
const ENGLISH: &[(&str, u32)] = &[
    ("a", 1),
    ("an", 1),
    ("one", 1),
    ("two", 2),
    ("couple", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];
const NUMBER_MAX: u32 = 100_000;

/// A number at the beginning of `words`, and how many words it takes.
pub fn english(words: &[&str]) -> Option<(u32, usize)> {
    let first = *words.first()?;
    if first.starts_with(|c: char| c.is_ascii_digit()) {
        let number = first.parse().ok().filter(|number| *number <= NUMBER_MAX)?;
        return Some((number, 1));
    }
    let (first_word, rest) = match first.split_once('-') {
        Some((tens, ones)) => return Some((word(tens)? + word(ones)?, 1)),
        None => (word(first)?, &words[1..]),
    };
    let mut number = first_word;
    let mut taken = 1;
    if (20..100).contains(&first_word)
        && let Some(ones) = rest.first().and_then(|next| word(next))
        && (1..10).contains(&ones)
        && !matches!(rest[0], "a" | "an")
    {
        number += ones;
        taken += 1;
    }
    if words.get(taken) == Some(&"hundred") {
        number *= 100;
        taken += 1;
        let and = usize::from(words.get(taken) == Some(&"and"));
        if let Some((more, count)) = words.get(taken + and..).and_then(english)
            && more < 100
            && !matches!(words[taken + and], "a" | "an")
        {
            number += more;
            taken += and + count;
        }
    }
    Some((number, taken))
}

fn word(text: &str) -> Option<u32> {
    let found = ENGLISH.iter().find(|(word, _)| *word == text)?;
    Some(found.1)
}

/// A number at the beginning of `text`, and how many bytes it takes.
pub fn chinese(text: &str) -> Option<(u32, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 {
        let number = text[..digits].parse().ok();
        return Some((number.filter(|number| *number <= NUMBER_MAX)?, digits));
    }
    let (mut total, mut digit, mut bytes, mut any) = (0u32, None::<u32>, 0, false);
    for c in text.chars() {
        match c {
            '零' | '〇' | '一' | '二' | '两' | '三' | '四' | '五' | '六' | '七' | '八' | '九' =>
            {
                let value = match c {
                    '零' | '〇' => 0,
                    '两' => 2,
                    _ => "一二三四五六七八九".chars().position(|d| d == c)? as u32 + 1,
                };
                // Two digits side by side are two numbers, but for a leading zero.
                if digit.is_some_and(|digit| digit != 0) {
                    break;
                }
                digit = Some(value);
            }
            '十' => total += digit.take().unwrap_or(1) * 10,
            '百' => total += digit.take()? * 100,
            _ => break,
        }
        any = true;
        bytes += c.len_utf8();
    }
    any.then_some((total + digit.unwrap_or(0), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_said() {
        for (text, number) in [
            ("7", 7),
            ("ten minutes", 10),
            ("twenty five", 25),
            ("twenty-five", 25),
            ("ninety", 90),
            ("a hundred and twenty", 120),
            ("one hundred", 100),
            ("an hour", 1),
            ("twenty a", 20),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(english(&words).map(|found| found.0), Some(number), "{text}");
        }
        for (text, number, rest) in [
            ("十分钟", 10, "分钟"),
            ("二十五", 25, ""),
            ("两个", 2, "个"),
            ("一百二十", 120, ""),
            ("三十", 30, ""),
            ("一三五", 1, "三五"),
            ("零五分", 5, "分"),
            ("45秒", 45, "秒"),
        ] {
            let (found, bytes) = chinese(text).expect(text);
            assert_eq!((found, &text[bytes..]), (number, rest), "{text}");
        }
        assert_eq!(english(&["99999999999"]), None);
        assert_eq!(chinese("分钟"), None);
        assert_eq!(chinese("百"), None);
    }
}
