//! The programs: fetch bytes and map entries for the library's decisions, and do what they say. They decide nothing
//! themselves.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows one program better than many, and calls cost"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes of headers, and words in 64-bit registers"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "programs take their context by value"
)]

mod log;
mod maps;
mod redirect;
mod skb;

use aya_ebpf::Global;
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::{classifier, socket_filter};
use aya_ebpf::programs::{SkBuffContext, TcContext};
use sluice_ebpf::{
    Bytes, Counter, Family, Gate, Links, Parsed, Runs, Tc, confirmed, gate_deny as decide_deny,
    gate_pass as decide_pass, hidden, marked, parse, redirected, spoofed, tc,
};

use crate::maps::Kernel;
use crate::skb::Skb;

/// Sluice's bits of the packet mark; set by the loader.
#[unsafe(no_mangle)]
static SLUICE_MARK_BITS: Global<u32> = Global::new(0);

/// The PASS bit; set by the loader.
#[unsafe(no_mangle)]
static SLUICE_MARK_PASS: Global<u32> = Global::new(0);

/// The REPLY bit; set by the loader.
#[unsafe(no_mangle)]
static SLUICE_MARK_REPLY: Global<u32> = Global::new(0);

/// Whether what is spoofed is dropped; set by the loader.
#[unsafe(no_mangle)]
static SLUICE_DROP_SPOOFED: Global<u32> = Global::new(0);

/// Whether established connections between local pods are redirected; set by the loader.
#[unsafe(no_mangle)]
static SLUICE_REDIRECT: Global<u32> = Global::new(0);

/// Ingress of Ethernet interfaces: veths, uplinks, most overlays. Others' programs behind it run as well.
#[classifier]
fn sluice_tc(context: TcContext) -> i32 {
    let skb = Skb::new(context.skb.skb);
    let bytes = skb.behind_ethernet();
    if bytes.is_ethernet() {
        classify(&skb, &bytes, redirects())
    } else {
        finish(&skb, Tc::Leave)
    }
}

/// Ingress of other interfaces: tunnels without a link header.
#[classifier]
fn sluice_tc_any(context: TcContext) -> i32 {
    let skb = Skb::new(context.skb.skb);
    classify(&skb, &skb.at_network(), false)
}

/// Marks the packet, and says what becomes of it.
#[inline(always)]
fn finish(skb: &Skb, action: Tc) -> i32 {
    let mark = skb.mark();
    let wanted = marked(
        mark,
        SLUICE_MARK_BITS.load(),
        SLUICE_MARK_PASS.load(),
        action,
    );
    if wanted != mark {
        skb.set_mark(wanted);
    }
    match action {
        Tc::Pass | Tc::Leave => TC_ACT_UNSPEC,
        Tc::Drop => TC_ACT_SHOT,
    }
}

#[inline(always)]
fn classify(skb: &Skb, bytes: &impl Bytes, redirects: bool) -> i32 {
    // A tagged packet comes by again on the interface of its VLAN.
    if skb.is_tagged() {
        return finish(skb, Tc::Leave);
    }
    let Some(family) = Family::of_ethertype(skb.ethertype()) else {
        let hidden = hidden(skb.ethertype(), skb.interface(), &Kernel);
        return finish(skb, if hidden { refuse() } else { Tc::Leave });
    };
    let parsed = parse(bytes, family);
    if redirects && let Some(answer) = redirect(skb, bytes, family, &parsed) {
        return answer;
    }
    finish(skb, decide(skb, bytes, family, &parsed))
}

/// Hands a packet of an established connection to its pod: what becomes of it then.
#[inline(always)]
fn redirect(skb: &Skb, bytes: &impl Bytes, family: Family, parsed: &Parsed) -> Option<i32> {
    let Parsed::Whole(packet) = parsed else {
        return None;
    };
    let output = redirected(packet, skb.interface(), &Kernel)?;
    let answer = redirect::hand_over(skb, bytes, family, packet, output)?;
    maps::count(Counter::Redirected);
    Some(answer)
}

/// Whether established connections between local pods are redirected.
#[inline(always)]
fn redirects() -> bool {
    SLUICE_REDIRECT.load() != 0
}

#[inline(always)]
fn decide(skb: &Skb, bytes: &impl Bytes, family: Family, parsed: &Parsed) -> Tc {
    if spoofed(parsed, bytes, family, skb.interface(), &Kernel) {
        return refuse();
    }
    if redirects() {
        maps::stop(parsed);
    }
    let outcome = tc(parsed, &Kernel);
    maps::count(outcome.counter);
    maps::change(parsed, outcome.flow);
    log::tc(skb, outcome.action, outcome.counter);
    outcome.action
}

/// What becomes of a packet that is not what it says. It makes no entry anywhere.
#[inline(always)]
fn refuse() -> Tc {
    maps::count(Counter::Spoofed);
    if drops_spoofed() { Tc::Drop } else { Tc::Leave }
}

#[inline(always)]
fn drops_spoofed() -> bool {
    SLUICE_DROP_SPOOFED.load() != 0
}

/// Whether the gate drops a packet for its source: TC would have, had its program been there.
#[inline(always)]
fn refused(skb: &Skb, parsed: &Parsed, family: Family) -> bool {
    drops_spoofed() && spoofed(parsed, &skb.at_start(), family, skb.came_in_by(), &Kernel)
}

/// The first match of the gate: 1 where the packet passes.
#[socket_filter]
fn gate_pass(context: SkBuffContext) -> i64 {
    let skb = Skb::new(context.skb.skb);
    let Some(family) = Family::of_ethertype(skb.ethertype()) else {
        return 0;
    };
    let parsed = parse(&skb.at_start(), family);
    if refused(&skb, &parsed, family) {
        return 0;
    }
    let (pass, reply) = (SLUICE_MARK_PASS.load(), SLUICE_MARK_REPLY.load());
    let runs = Runs::from_mark(skb.mark(), pass, reply);
    let outcome = decide_pass(&parsed, runs, &Kernel);
    maps::count(outcome.counter);
    maps::change(&parsed, outcome.flow);
    log::gate(&skb, outcome.action, outcome.counter);
    i64::from(outcome.action == Gate::Pass)
}

/// The second match of the gate: 1 where the packet is to be dropped.
#[socket_filter]
fn gate_deny(context: SkBuffContext) -> i64 {
    let skb = Skb::new(context.skb.skb);
    let Some(family) = Family::of_ethertype(skb.ethertype()) else {
        return 0;
    };
    let parsed = parse(&skb.at_start(), family);
    if refused(&skb, &parsed, family) {
        maps::count(Counter::Spoofed);
        return 1;
    }
    match decide_deny(&parsed, &Kernel) {
        Gate::Deny => {
            maps::count(Counter::DenyLeaseHits);
            1
        }
        Gate::Pass | Gate::Queue => 0,
    }
}

/// Shown what TC has passed of established connections that nobody translates. Matches nothing: the rules behind it say
/// what becomes of the packet.
#[socket_filter]
fn gate_redirect(context: SkBuffContext) -> i64 {
    let skb = Skb::new(context.skb.skb);
    if let Some(family) = Family::of_ethertype(skb.ethertype()) {
        let links = Links {
            input: skb.came_in_by(),
            output: skb.interface(),
        };
        if let Some((key, redirect)) = confirmed(&parse(&skb.at_start(), family), links, &Kernel) {
            maps::confirm(&key, &redirect);
        }
    }
    0
}

/// Never reached: whatever could panic would not pass the verifier.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Helpers that only GPL programs may call are not used; the licence is the kernel's name for that.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
