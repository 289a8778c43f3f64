//! What the agent gives up, tried in a process of its own: it is given up for good.

use std::io::ErrorKind;
use std::process::Command;

#[test]
fn no_program_runs_once_programs_are_forbidden() {
    assert!(Command::new("true").status().is_ok_and(|it| it.success()));
    sluice::confine::forbid_programs().unwrap();
    let refused = Command::new("true").status().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    // A thread that is started later is no way out.
    let later = std::thread::spawn(|| Command::new("true").status().is_err());
    assert!(later.join().unwrap());
}
