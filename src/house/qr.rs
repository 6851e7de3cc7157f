//! A QR code (ISO/IEC 18004) for a terminal: two modules a character cell.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code that readers need.
const QUIET: i32 = 2;

/// Half blocks, light on dark as terminals mostly are; `None` when the text does not fit.
pub fn terminal(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let last = code.size() + QUIET;
    let mut picture = String::new();
    for y in (-QUIET..last).step_by(2) {
        for x in -QUIET..last {
            // A dark module is left black, outside the code everything is light.
            let is_light = |y| !code.get_module(x, y);
            picture.push(match (is_light(y), y + 1 < last && is_light(y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        picture.push('\n');
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_is_where_the_encoder_put_it() {
        let text = "http://192.168.1.9:8080/#claim=123456";
        let picture = terminal(text).expect("fits");
        let code = QrCode::encode_text(text, QrCodeEcc::Low).expect("fits");
        let cells: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
        for y in -QUIET..code.size() + QUIET {
            for x in -QUIET..code.size() + QUIET {
                let (row, column) = ((y + QUIET) as usize, (x + QUIET) as usize);
                let cell = cells[row / 2][column];
                let is_light = match row % 2 {
                    0 => matches!(cell, '█' | '▀'),
                    _ => matches!(cell, '█' | '▄'),
                };
                assert_eq!(is_light, !code.get_module(x, y), "module {x}, {y}");
            }
        }
    }

    #[test]
    fn a_text_beyond_the_largest_code_gives_none() {
        assert_eq!(terminal(&"x".repeat(4_000)), None);
    }
}
