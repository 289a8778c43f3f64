//! A test's hand on a worker: at the points that it names, a worker waits for as long as the test says. Releases have
//! no such points.
//!
//! The environment variable `SLUICE_TEST_HOLD` names a directory. A worker that comes to a point waits while there is a
//! file of the point's name in it, and says so by a file of that name with `.held` behind it.

/// Where a worker can be held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Point {
    /// The packet is judged; nothing has come of it yet.
    Judged,
    /// The verdict is about to be given, and is not looked at any more.
    Answered,
}

/// Waits where a test wants it.
#[cfg(not(debug_assertions))]
pub(super) const fn at(_point: Point) {}

/// Waits where a test wants it.
#[cfg(debug_assertions)]
pub(super) fn at(point: Point) {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    static DIRECTORY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("SLUICE_TEST_HOLD").map(PathBuf::from));
    let Some(directory) = &*DIRECTORY else {
        return;
    };
    let file = directory.join(match point {
        Point::Judged => "judged",
        Point::Answered => "answered",
    });
    while file.exists() {
        // The test fails where it waits for this in vain.
        let _untold = std::fs::write(file.with_extension("held"), "");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
