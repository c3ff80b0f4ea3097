//! Hints after a slip of the hand.

/// `; did you mean …?` when one of the names is close to what was written, else nothing.
#[must_use]
pub fn did_you_mean(name: &str, names: &[&str]) -> String {
    let close = names.iter().map(|other| (distance(name, other), *other)).min();
    match close {
        Some((steps, other)) if steps <= 1 + name.chars().count() / 4 => format!("; did you mean `{other}`?"),
        _ => String::new(),
    }
}

/// Insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_are_offered_and_distant_ones_are_not() {
        let names = ["category", "condition", "level"];
        for (written, hint) in
            [("catgory", "; did you mean `category`?"), ("levle", "; did you mean `level`?"), ("sla", ""), ("", "")]
        {
            assert_eq!(did_you_mean(written, &names), hint, "{written}");
        }
        assert_eq!(did_you_mean("level", &[]), "");
    }
}
