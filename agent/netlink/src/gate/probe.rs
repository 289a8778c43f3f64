//! What this kernel can do, asked by doing it: a rule in a table of its own that the same transaction deletes, so that
//! nobody ever sees it.

use std::ffi::CStr;
use std::path::Path;

use super::{QueueVerb, compat};
use crate::Error;
use crate::nft::{Chain, ChainKind, Expression, Hook, Rule, Transaction};
use crate::socket::Socket;

const SCRATCH: &CStr = c"sluice-probe";

/// The first way to queue that the kernel takes.
pub(super) fn verb(socket: &mut Socket) -> Result<QueueVerb, Error> {
    if takes(socket, compat::queue(QueueVerb::Nft, 0, 2, true))? {
        return Ok(QueueVerb::Nft);
    }
    if takes(socket, compat::queue(QueueVerb::Xt, 0, 2, true))? {
        return Ok(QueueVerb::Xt);
    }
    let why = "the kernel has neither nft_queue nor xt_NFQUEUE with nft_compat".into();
    Err(Error::Argument { what: "queue", why })
}

/// Whether rules can call the program.
pub(super) fn bpf_match(socket: &mut Socket, program: &Path) -> Result<bool, Error> {
    takes(socket, compat::bpf(program)?)
}

/// Whether the kernel takes a rule with `expression`. That it takes no rule from this process at all is no answer.
fn takes(socket: &mut Socket, expression: Expression) -> Result<bool, Error> {
    let plain = Rule::named("probe");
    attempt(socket, &plain)?;
    match attempt(socket, &plain.then(expression)) {
        Ok(()) => Ok(true),
        Err(Error::Refused { errno, message, .. }) => {
            tracing::debug!(%errno, message, "the kernel does not take a rule");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn attempt(socket: &mut Socket, rule: &Rule) -> Result<(), Error> {
    let (kind, hook) = (ChainKind::Filter, Hook::Postrouting);
    let chain = Chain {
        name: c"probe",
        kind,
        hook,
        priority: 0,
        rules: Vec::new(),
    };
    let mut transaction = Transaction::new();
    transaction.create_table(SCRATCH);
    transaction.create_chain(SCRATCH, &chain);
    transaction.create_rule(SCRATCH, chain.name, rule);
    transaction.delete_table(SCRATCH);
    transaction.commit("probe the kernel", socket)
}
