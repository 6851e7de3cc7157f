//! Names of rows: 25 lower-case letters and digits that sort by time of making.

use crate::clock::UnixMillis;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const TIME_DIGITS: usize = 9;
const RANDOM_DIGITS: usize = 15;

/// `None`: the system gave no random numbers.
pub fn new(now: UnixMillis) -> Option<String> {
    let mut random = [0; RANDOM_DIGITS];
    getrandom::fill(&mut random).ok()?;
    let mut time = [0; TIME_DIGITS];
    let mut rest = now.0.max(0) as u64;
    for digit in time.iter_mut().rev() {
        *digit = DIGITS[(rest % 36) as usize];
        rest /= 36;
    }
    let mut id = String::from("c");
    id.extend(time.map(char::from));
    id.extend(random.map(|byte| char::from(DIGITS[usize::from(byte) % 36])));
    Some(id)
}

/// Whether it may have been made here.
pub fn is_one(text: &str) -> bool {
    text.len() == 1 + TIME_DIGITS + RANDOM_DIGITS
        && text.starts_with('c')
        && text.bytes().all(|byte| DIGITS.contains(&byte))
}

/// 12 letters and digits.
pub fn of_update() -> Option<String> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).ok()?;
    Some(
        random
            .map(|byte| char::from(DIGITS[usize::from(byte) % 36]))
            .iter()
            .collect(),
    )
}

/// A random UUID, version 4.
pub fn uuid() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_of_their_making() {
        let made = [0, 1, 35, 36, 1_795_205_421_573, 1_795_205_421_574]
            .map(|ms| new(UnixMillis(ms)).expect("random"));
        assert!(made.is_sorted(), "{made:?}");
        assert!(made.iter().all(|id| id.len() == 25 && is_one(id)));
    }
}
