//! As few items as possible with which something still fails.

/// Takes items away for as long as it still fails: all, halves, quarters, and so on down to single ones, until
/// no single one can go (Zeller and Hildebrandt: "Simplifying and Isolating Failure-Inducing Input", IEEE TSE
/// 2002; only their step to complements).
pub(super) fn minimize<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut size = items.len();
    while size > 0 && !items.is_empty() {
        let (mut place, mut smaller) = (0, false);
        while place < items.len() {
            let end = (place + size).min(items.len());
            let without = [&items[..place], &items[end..]].concat();
            if fails(&without) {
                items = without;
                smaller = true;
            } else {
                place = end;
            }
        }
        if !(smaller && size == 1) {
            size /= 2;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_found() {
        let mut runs = 0;
        let few = minimize((0..1_000).collect(), |left: &[u32]| {
            runs += 1;
            [17, 18, 700].iter().all(|needed| left.contains(needed))
        });
        assert_eq!(few, [17, 18, 700]);
        assert!(runs < 150, "{runs}");
        assert_eq!(minimize(vec![1, 2, 3], |_: &[u32]| true), [] as [u32; 0]);
        assert_eq!(minimize(vec![1, 2, 3], |_: &[u32]| false), [1, 2, 3]);
        // Any two, but not fewer.
        assert_eq!(minimize((0..9).collect(), |left: &[u32]| left.len() >= 2).len(), 2);
    }
}
