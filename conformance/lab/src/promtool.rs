//! What promtool makes of the agent's metrics.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// What it has against names that kube-network-policies chose, which its users' dashboards hold on to.
pub const CHOSEN: [&str; 4] = [
    "kube_network_policies_nfqueue_queue_total non-counter metrics should not have \"_total\" suffix",
    "kube_network_policies_packet_count counter metrics should have \"_total\" suffix",
    "kube_network_policies_packet_count non-histogram and non-summary metrics should not have \"_count\" suffix",
    "kube_network_policies_packet_process_duration_microseconds use base unit \"seconds\" instead of \"microseconds\"",
];

/// What `promtool check metrics` has against a page of metrics, with or without the head of an answer over HTTP.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] where there is no promtool.
pub fn findings(answer: &str) -> io::Result<BTreeSet<String>> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let page = answer.split_once("\r\n\r\n").map_or(answer, |(_, it)| it);
    if let Some(mut input) = promtool.stdin.take() {
        input.write_all(page.as_bytes())?;
    }
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().map(str::to_owned).collect())
}
