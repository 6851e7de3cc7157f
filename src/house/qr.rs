//! A QR code (ISO/IEC 18004) for a terminal, two modules a character cell, and for the page.

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

/// Rows of `0` (light) and `1` (dark) without the light border; `None` when the text does not fit.
pub fn rows(text: &str) -> Option<Vec<String>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let row = |y| {
        let cells = (0..code.size()).map(|x| if code.get_module(x, y) { '1' } else { '0' });
        cells.collect()
    };
    Some((0..code.size()).map(row).collect())
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
    fn rows_are_square_and_hold_the_three_finder_patterns() {
        let rows = rows("http://192.168.1.9:8080/#claim=123456").expect("fits");
        let last = rows.len() - 7;
        assert!(rows.iter().all(|row| row.len() == rows.len()));
        for (x, y) in [(0, 0), (last, 0), (0, last)] {
            let corner: Vec<&str> = rows[y..y + 7].iter().map(|row| &row[x..x + 7]).collect();
            assert_eq!(corner[0], "1111111");
            assert_eq!(corner[1], "1000001");
            assert_eq!(corner[3], "1011101");
        }
    }

    #[test]
    fn a_text_beyond_the_largest_code_gives_none() {
        assert_eq!(terminal(&"x".repeat(4_000)), None);
    }
}
