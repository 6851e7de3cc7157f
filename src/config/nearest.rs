//! Which known name somebody probably meant.

/// The nearest of `names` within a third of its letters, at most 3 changes.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|known| (distance(name, known), known))
        .filter(|(far, known)| *far <= (known.len() / 3).min(3))
        .min_by_key(|(far, _)| *far)
        .map(|(_, known)| known)
}

/// Insertions, deletions, changes and swaps of neighbours that turn `a` into `b`, both in ASCII
/// (other text is compared by its bytes).
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_slips() {
        for (a, b, expected) in [
            ("PORT", "PORT", 0),
            ("PROT", "PORT", 1),
            ("PRT", "PORT", 1),
            ("PORTS", "PORT", 1),
            ("LOG_LEVLE", "LOG_LEVEL", 1),
            ("", "AB", 2),
            ("AB", "", 2),
            ("KITTEN", "SITTING", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["PORT", "LOG_LEVEL", "HOST"];
        let suggest = |name| nearest(name, names.iter().copied());
        assert_eq!(suggest("PROT"), Some("PORT"));
        assert_eq!(suggest("LOGLEVEL"), Some("LOG_LEVEL"));
        assert_eq!(suggest("EDITOR"), None);
        assert_eq!(suggest("TERM"), None);
    }
}
