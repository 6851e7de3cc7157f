//! The code of one opening: twelve digits, which are the password of the box's own Wi-Fi.
//!
//! So what the phone sends, the home's Wi-Fi password above all, is sealed on the air by
//! something that only people near the box have heard or read. The page asks for its last four digits
//! again: whoever reaches the page in another way, or has a browser send a form, lacks them.

use std::io;

/// Never printed by accident: no `Debug`.
#[derive(Clone)]
pub struct Code([u8; 12]);

impl Code {
    pub fn new() -> io::Result<Code> {
        let mut digits = [0; 12];
        let mut filled = 0;
        while filled < digits.len() {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            // Below 250 each digit is as likely as any other.
            for byte in random.into_iter().filter(|byte| *byte < 250) {
                if filled < digits.len() {
                    digits[filled] = b'0' + byte % 10;
                    filled += 1;
                }
            }
        }
        Ok(Code(digits))
    }

    pub fn wifi_password(&self) -> String {
        self.0.iter().map(|digit| char::from(*digit)).collect()
    }

    /// In three groups, as people read and say it.
    pub fn in_groups(&self) -> String {
        let password = self.wifi_password();
        format!("{} {} {}", &password[..4], &password[4..8], &password[8..])
    }

    /// Spaces in it are forgiven. Takes the same time for any wrong one.
    pub fn is_proved_by(&self, typed: &str) -> bool {
        let typed: Vec<u8> = typed.bytes().filter(|byte| *byte != b' ').collect();
        let last = match typed.len() {
            4 => &typed[..],
            12 => &typed[8..],
            _ => return false,
        };
        let differs = last
            .iter()
            .zip(&self.0[8..])
            .fold(0, |differs, (a, b)| differs | (a ^ b));
        differs == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_digits_prove_it_and_nothing_else_does() {
        let code = Code(*b"482109375566");
        assert_eq!(code.in_groups(), "4821 0937 5566");
        assert!(code.is_proved_by("5566") && code.is_proved_by(" 55 66 "));
        assert!(code.is_proved_by("4821 0937 5566"));
        for wrong in ["", "5567", "556", "55666", "4821", "0000", "５５６６"] {
            assert!(!code.is_proved_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn each_opening_has_its_own() {
        let (one, other) = (Code::new().unwrap(), Code::new().unwrap());
        assert!(one.wifi_password() != other.wifi_password());
        assert!(
            one.wifi_password()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        );
    }
}
