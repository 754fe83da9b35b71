//! Many runs, on all cores: each world has a thread for itself.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does each of these things and tells of each as it is done. What a run that panicked leaves is `None`.
pub(crate) fn each<T: Sync, R: Send>(
    things: &[T],
    run: impl Fn(&T) -> R + Sync,
    done: impl FnMut(&T, Option<R>) + Send,
) {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(done);
    let work = || {
        while let Some(thing) = things.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = catch_unwind(AssertUnwindSafe(|| run(thing))).ok();
            (done.lock().expect("telling does not panic"))(thing, result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(things.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}

/// Does each, and fails with the words of the first one that says something, after all are done.
pub(crate) fn require_each<T: Sync + Send + Ord + Copy>(
    things: &[T],
    run: impl Fn(&T) -> Option<String> + Sync,
) {
    let mut failures = BTreeMap::new();
    each(things, run, |thing, words| {
        if let Some(words) = words.unwrap_or_else(|| Some("it panicked".to_owned())) {
            println!("{words}");
            failures.insert(*thing, words);
        }
    });
    assert!(
        failures.is_empty(),
        "{} of {} failed, the first:\n{}",
        failures.len(),
        things.len(),
        failures.into_values().next().unwrap_or_default()
    );
}
