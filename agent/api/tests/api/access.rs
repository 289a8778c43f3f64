//! A server that is not there, or is another one.

use crate::bed::{Bed, control, variant};

#[test]
fn a_server_that_is_not_there_or_is_another_one_is_named() {
    let Some(control) = control() else {
        return;
    };
    let good = control.kubeconfig();
    let to = control.directory().join("other.kubeconfig");
    let text = std::fs::read_to_string(&good).unwrap();
    let value = |key: &str| {
        let rest = text.split(key).nth(1).unwrap();
        let value = rest.trim_start_matches(['"', ':', ' ']);
        value
            .split(['"', ',', '\n', '}'])
            .next()
            .unwrap()
            .to_owned()
    };
    let (authority, client) = (
        value("certificate-authority-data"),
        value("client-certificate-data"),
    );
    for (from, by, said) in [
        (&control.url(), "https://127.0.0.1:1", "Connection refused"),
        (&authority, &*client, "TLS: "),
        (&control.url(), "https://no-such-host.invalid", "dns error"),
    ] {
        let bed = Bed::follow(&control, &variant(&good, &to, from, by));
        bed.until_report(said, |report| {
            !report.synced
                && report.disconnected.is_some()
                && report.troubles.iter().any(|it| it.contains(said))
        });
        // The way to the API is read again.
        std::fs::write(&to, &text).unwrap();
    }
}
