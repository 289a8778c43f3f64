//! The program of a pod. `serve` is what its first container runs; `ask` passes on what it reads to the pod that it is run
//! in, and prints what that answers. Who the pod is, the environment says. Other containers `wait` for their end, and those
//! that must end before the first one begins do `nothing`.
#![expect(clippy::print_stderr, reason = "a program that fails says why")]

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;

use sluice_prober::pod::{Pod, pass_on};
use sluice_prober::protocol::{ADDRESSES, HOST_NETWORK, NAME};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let done = match verb.as_str() {
        "serve" => serve().await,
        "ask" => ask().await,
        "wait" => std::future::pending().await,
        "nothing" => Ok(()),
        _ => Err("usage: sluice-prober serve|ask|wait|nothing".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), String> {
    let listed = variable(ADDRESSES)?;
    let parse = |text: &str| {
        let parsed = text.trim().parse::<IpAddr>();
        parsed.map_err(|error| format!("{ADDRESSES}: {text}: {error}"))
    };
    let addresses = listed
        .split(',')
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    let mut pod = Pod::new(&variable(NAME)?, addresses);
    if variable(HOST_NETWORK)? == "true" {
        let own = pod.with_own_ports();
        pod = own.map_err(|error| format!("source ports: {error}"))?;
    }
    let opened = Arc::new(pod).open_door().await;
    opened.map_err(|error| format!("the door: {error}"))
}

async fn ask() -> Result<(), String> {
    let passed = pass_on(&variable(NAME)?).await;
    passed.map_err(|error| format!("the pod's server: {error}"))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
