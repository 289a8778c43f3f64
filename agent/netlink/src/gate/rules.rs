//! The gate's rules, as ARCHITECTURE.md numbers them. Pure: the ruleset is a value.

use sluice_ebpf::Marks;

use super::review::{REVIEW4, REVIEW6};
use super::{GateConfig, Matcher, TABLE, compat, sets};
use crate::Error;
use crate::nft::{Chain, ChainKind, Field, Hook, IPV4, IPV6, Rule, Ruleset, Set, ct_state};

/// Behind destination translation (`NF_IP_PRI_NAT_DST`, -100), before routing.
const PREROUTING: i32 = -95;
/// Behind destination translation, before source translation (`NF_IP_PRI_NAT_SRC`, 100).
const POSTROUTING: i32 = 95;
/// Behind destination translation, which may route once more.
const OUTPUT: i32 = 95;
/// Behind source translation (`NF_IP_PRI_NAT_SRC`, 100), which INPUT has for the node's own addresses.
const INPUT: i32 = 101;
/// `IPS_SRC_NAT` and `IPS_DST_NAT` of `enum ip_conntrack_status`.
const SOURCE_TRANSLATED: u32 = 1 << 4;
const DESTINATION_TRANSLATED: u32 = 1 << 5;
/// What the kernel itself does to a connection's packets, or reads in them: the two above, `IPS_SEQ_ADJUST` and
/// `IPS_HELPER`.
const TOUCHED: u32 = SOURCE_TRANSLATED | DESTINATION_TRANSLATED | 1 << 6 | 1 << 13;
/// `IPS_CONFIRMED`: the connection's first packet has been through. Until then the connection is that packet's alone, and
/// an acceptance is of this very packet, judged a moment ago: under review or not, it is not judged twice.
const CONFIRMED: u32 = 1 << 3;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;
/// `IP_CT_DIR_ORIGINAL` and `IP_CT_DIR_REPLY`.
const ORIGINAL: u8 = 0;
const REPLY: u8 = 1;
/// IP protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// TCP flags.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Router solicitation to redirect.
const DISCOVERY: (u8, u8) = (133, 137);
/// The first byte of an `ICMPv6` message.
const TYPE: Field = Field::Transport {
    offset: 0,
    length: 1,
};

/// The gate as a value. Fails if a program's path is too long to be named in a rule.
pub(super) fn ruleset(config: &GateConfig) -> Result<Ruleset, Error> {
    let marks = config.marks;
    let matcher = matcher(config)?;
    let filter = |name, hook, priority, rules| Chain {
        name,
        kind: ChainKind::Filter,
        hook,
        priority,
        rules,
    };
    let keep = |name, hook, priority| filter(name, hook, priority, keep(marks));
    let mut early = Vec::new();
    if config.early_datagrams {
        let rules = self::early(config, &matcher);
        early.push(filter(c"prerouting", Hook::Prerouting, PREROUTING, rules));
        early.push(keep(c"prerouting_keep", Hook::Prerouting, PREROUTING + 1));
    }
    let chains = vec![
        filter(c"output", Hook::Output, OUTPUT, vec![local(marks)]),
        filter(
            c"postrouting",
            Hook::Postrouting,
            POSTROUTING,
            postrouting(config, &matcher)?,
        ),
        keep(c"postrouting_keep", Hook::Postrouting, POSTROUTING + 1),
        filter(c"input", Hook::Input, INPUT, input(config, &matcher)),
        keep(c"input_keep", Hook::Input, INPUT + 1),
    ];
    Ok(Ruleset {
        table: TABLE,
        sets: own_sets(config),
        chains: early.into_iter().chain(chains).collect(),
    })
}

/// The sets that the rules look things up in.
fn own_sets(config: &GateConfig) -> Vec<Set> {
    let mut own = Vec::new();
    if config.matcher == Matcher::Sets {
        own.extend(sets::ALL);
    }
    if !config.accept_for_good {
        own.extend([REVIEW4, REVIEW6]);
    }
    own
}

/// New datagrams whose destination was translated; all others are judged behind the routing, as are these if they pass
/// here without a verdict of the agent's.
fn early(config: &GateConfig, matcher: &[Rule]) -> Vec<Rule> {
    let others = || Rule::named("others");
    let mut rules = vec![
        // The next chain keeps what the agent accepts, and nobody else.
        Rule::named("foreign").mark(config.marks.accepted, 0),
        others()
            .unlike(Field::TransportProtocol, &[0xff], &[UDP])
            .accept(),
        others()
            .no_bits(Field::ConntrackState, ct_state::NEW)
            .accept(),
        // Nothing can get in the way of what conntrack has: an unanswered datagram before this one has been through.
        others()
            .any_bits(Field::ConntrackStatus, CONFIRMED)
            .accept(),
        others()
            .no_bits(Field::ConntrackStatus, DESTINATION_TRANSLATED)
            .accept(),
    ];
    rules.extend(hints(config.marks));
    rules.extend_from_slice(matcher);
    rules.push(queue(config));
    rules
}

/// What the node forwards, and what it sends to pods.
fn postrouting(config: &GateConfig, matcher: &[Rule]) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::from_iter(redirectable(config)?);
    rules.extend(passing(config));
    rules.extend(translated(config)?);
    rules.extend(remembered(config));
    rules.push(own(config.marks));
    rules.extend(unjudged(config.marks));
    rules.extend(hints(config.marks));
    rules.extend_from_slice(matcher);
    rules.push(queue(config));
    Ok(rules)
}

/// Shows the program what it may have redirected from then on. It never matches: the rules behind say what becomes of
/// the packet.
fn redirectable(config: &GateConfig) -> Result<Option<Rule>, Error> {
    let Some(program) = config.redirect.as_ref().filter(|_| config.honour_pass) else {
        return Ok(None);
    };
    let rule = passed(Rule::named("redirect"), config.marks)
        .any_bits(Field::ConntrackState, ct_state::ESTABLISHED)
        .no_bits(Field::ConntrackStatus, TOUCHED);
    Ok(Some(rule.then(compat::bpf(program)?)))
}

/// Only what TC has passed.
fn passed(rule: Rule, marks: Marks) -> Rule {
    let ours = marks.packet().to_ne_bytes();
    rule.masked(Field::Mark, &ours, &marks.pass.to_ne_bytes())
}

/// Marks what the node sends, with two bits that nobody else sets together before the gate. That a packet has no input
/// interface would not tell: a bridge that hands its packets to netfilter forgets where they came in.
fn local(marks: Marks) -> Rule {
    Rule::named("local").mark(0, from_here(marks))
}

/// The node's own traffic: what it sends, and with a source address of its own. A packet that it sends on for somebody,
/// as IPVS does, has another.
fn own(marks: Marks) -> Rule {
    let both = from_here(marks).to_ne_bytes();
    let own = Rule::named("own").masked(Field::Mark, &both, &both);
    own.equals(Field::SourceType, &LOCAL.to_ne_bytes())
        .mark(marks.packet(), 0)
        .accept()
}

/// The packet mark bits of what the node sends.
const fn from_here(marks: Marks) -> u32 {
    marks.pass | marks.reply
}

/// What reaches the node itself. A reply here answers the node, so no pod opened the connection.
fn input(config: &GateConfig, matcher: &[Rule]) -> Vec<Rule> {
    let mut loopback = [0; libc::IFNAMSIZ];
    loopback[..2].copy_from_slice(b"lo");
    let mut rules = vec![
        Rule::named("loopback")
            .equals(Field::InputName, &loopback)
            .accept(),
    ];
    rules.extend(passing(config));
    rules.extend(remembered(config));
    rules.extend(unjudged(config.marks));
    rules.extend(answer());
    rules.extend(hints(config.marks));
    rules.extend_from_slice(matcher);
    rules.push(queue(config));
    rules
}

/// Replies to what the node sent; a SYN is none.
fn answer() -> [Rule; 2] {
    let answer = || reply(Rule::named("answer"));
    let tcp = answer().equals(Field::TransportProtocol, &[TCP]);
    [
        tcp.unlike(Field::TCP_FLAGS, &[SYN | ACK], &[SYN]).accept(),
        answer()
            .unlike(Field::TransportProtocol, &[0xff], &[TCP])
            .accept(),
    ]
}

/// What the conntrack mark says already.
fn remembered(config: &GateConfig) -> Vec<Rule> {
    let marks = config.marks;
    let of_connection = |name, bit| Rule::named(name).any_bits(Field::ConntrackMark, bit);
    let mut rules = vec![of_connection("revoked", marks.revoked).drop()];
    rules.extend(reopened(marks));
    if config.early_datagrams {
        rules.push(
            of_connection("judged", marks.accepted)
                .no_bits(Field::ConntrackStatus, CONFIRMED)
                .accept(),
        );
    }
    rules.extend(accepted(config));
    rules
}

/// What TC has passed with the addresses that the packet has here. Those of a connection whose destination was translated
/// differ, but not those of its replies: their destination was theirs from the start, unless the connection's source was
/// translated as well, and their source becomes the Service's behind POSTROUTING's gate. (At INPUT it has by then, and
/// replies pass there anyway.)
fn passing(config: &GateConfig) -> Vec<Rule> {
    if !config.honour_pass {
        return Vec::new();
    }
    let marks = config.marks;
    // With ACCEPTED it would be kept for the whole connection, and TC does not set that.
    let passed = |name| passed(Rule::named(name), marks);
    let forward = passed("pass").no_bits(Field::ConntrackStatus, DESTINATION_TRANSLATED);
    let reply = reply(passed("pass-reply"))
        .no_bits(Field::ConntrackStatus, SOURCE_TRANSLATED)
        .no_bits(Field::ConntrackMark, marks.revoked | marks.reply);
    vec![settled(forward, config), settled(reply, config)]
}

/// TCP through a Service, for which the rules up to the program's would do nothing: its answer is the same with and without
/// hints. What it does not match it is shown again behind these.
fn translated(config: &GateConfig) -> Result<Option<Rule>, Error> {
    let marks = config.marks;
    let Matcher::Bpf { pass, .. } = &config.matcher else {
        return Ok(None);
    };
    let rule = Rule::named("translated")
        .any_bits(Field::ConntrackStatus, DESTINATION_TRANSLATED)
        .equals(Field::TransportProtocol, &[TCP])
        .no_bits(Field::Mark, marks.packet())
        .no_bits(Field::ConntrackMark, marks.conntrack() | marks.reply);
    Ok(Some(settled(rule.then(compat::bpf(pass)?), config)))
}

/// What was accepted before, unless one of its ends is under review.
fn accepted(config: &GateConfig) -> Vec<Rule> {
    let accepted = || Rule::named("accepted").any_bits(Field::ConntrackMark, config.marks.accepted);
    if config.accept_for_good {
        return vec![accepted().accept()];
    }
    let settled = |family, source, destination, review: Set| {
        let rule = accepted().equals(Field::NetworkProtocol, family);
        let rule = rule.outside(source, review.name);
        rule.outside(destination, review.name).accept()
    };
    vec![
        settled(IPV4, Field::IPV4_SOURCE, Field::IPV4_DESTINATION, REVIEW4),
        settled(IPV6, Field::IPV6_SOURCE, Field::IPV6_DESTINATION, REVIEW6),
    ]
}

/// Takes back what was accepted, once a packet opens a connection against the direction in which it was. From the middle
/// of a connection, conntrack cannot tell who opened it, and a sender that is denied may have pretended to answer. And
/// for as long as a SYN is not answered, or once all is over, conntrack takes one of the other end's for a part of the
/// same connection: a SYN is nobody's answer, so it is judged for itself.
fn reopened(marks: Marks) -> [Rule; 2] {
    let take_back = |rule: Rule, direction| {
        rule.equals(Field::ConntrackDirection, &[direction])
            .equals(Field::TransportProtocol, &[TCP])
            .masked(Field::TCP_FLAGS, &[SYN | ACK], &[SYN])
            .conntrack_mark(marks.accepted | marks.reply, 0)
            .counted()
    };
    let of_connection = |name, bit| Rule::named(name).any_bits(Field::ConntrackMark, bit);
    [
        take_back(of_connection("reopened", marks.reply), ORIGINAL),
        take_back(
            of_connection("crossed", marks.accepted).no_bits(Field::ConntrackMark, marks.reply),
            REPLY,
        ),
    ]
}

/// Lets a packet pass that has its hints, which are spent.
fn hinted(rule: Rule, config: &GateConfig) -> Rule {
    settled(rule.mark(config.marks.packet(), 0), config)
}

/// Lets the packet pass, and where accepted once is accepted for good, its connection.
fn settled(rule: Rule, config: &GateConfig) -> Rule {
    if config.accept_for_good {
        let marks = config.marks;
        // REPLY stays: what was accepted as running the other way is not taken for the other's by its own answer.
        rule.conntrack_mark(marks.conntrack(), marks.accepted)
            .accept()
    } else {
        rule.accept()
    }
}

/// What no policy speaks about. `ICMPv6` is what it is in IPv6 alone: in IPv4 its number is one like any other. Neighbour
/// discovery is for neighbours: what a router has forwarded is none (RFC 4861 §7.1), whatever it says.
fn unjudged(marks: Marks) -> Vec<Rule> {
    let discovery = Rule::named("discovery").equals(Field::NetworkProtocol, IPV6);
    let discovery = discovery
        .equals(Field::HOP_LIMIT, &[255])
        .equals(Field::TransportProtocol, &[ICMPV6])
        .between(TYPE, DISCOVERY.0, DISCOVERY.1);
    let related = |name, family, protocol| {
        let rule = Rule::named(name).equals(Field::NetworkProtocol, family);
        let rule = rule.equals(Field::TransportProtocol, &[protocol]);
        rule.any_bits(Field::ConntrackState, ct_state::RELATED)
            .mark(marks.packet(), 0)
            .accept()
    };
    vec![
        discovery.mark(marks.packet(), 0).accept(),
        related("related", IPV4, ICMP),
        related("related", IPV6, ICMPV6),
    ]
}

/// What needs no verdict of the agent's, or has one.
fn matcher(config: &GateConfig) -> Result<Vec<Rule>, Error> {
    match &config.matcher {
        Matcher::Bpf { pass, deny } => Ok(vec![
            hinted(Rule::named("gate-pass").then(compat::bpf(pass)?), config),
            // A denial is about what its source opens. What a packet under review, or a reply, is part of, the agent
            // knows.
            Rule::named("gate-deny")
                .no_bits(Field::ConntrackMark, config.marks.accepted)
                .no_bits(Field::Mark, config.marks.reply)
                .then(compat::bpf(deny)?)
                .drop(),
        ]),
        Matcher::Sets => {
            let unisolated = |family, source, egress: Set, destination, ingress: Set| {
                let rule = Rule::named("unisolated").equals(Field::NetworkProtocol, family);
                let rule = rule
                    .outside(source, egress.name)
                    .outside(destination, ingress.name);
                hinted(rule, config)
            };
            Ok(vec![
                unisolated(
                    IPV4,
                    Field::IPV4_SOURCE,
                    sets::EGRESS4,
                    Field::IPV4_DESTINATION,
                    sets::INGRESS4,
                ),
                unisolated(
                    IPV6,
                    Field::IPV6_SOURCE,
                    sets::EGRESS6,
                    Field::IPV6_DESTINATION,
                    sets::INGRESS6,
                ),
            ])
        }
    }
}

/// What is known about the packet, for the programs and the agent: whether it runs against its connection, as conntrack
/// has it or, where it was accepted so, the other way round; and whether the connection is new. The bit of the latter is
/// the one that TC passed packets with; here it is spent. Both together say that conntrack was told to leave the packet alone.
fn hints(marks: Marks) -> [Rule; 5] {
    let state = |name, bit| Rule::named(name).any_bits(Field::ConntrackState, bit);
    let reply = reply(Rule::named("reply")).no_bits(Field::ConntrackMark, marks.reply);
    let turned = Rule::named("turned").equals(Field::ConntrackDirection, &[ORIGINAL]);
    let turned = turned.any_bits(Field::ConntrackMark, marks.reply);
    [
        Rule::named("hints").mark(marks.packet(), 0),
        reply.mark(0, marks.reply),
        turned.mark(0, marks.reply),
        state("fresh", ct_state::NEW).mark(0, marks.pass),
        state("untracked", ct_state::UNTRACKED).mark(0, from_here(marks)),
    ]
}

fn reply(rule: Rule) -> Rule {
    rule.equals(Field::ConntrackDirection, &[REPLY])
}

fn queue(config: &GateConfig) -> Rule {
    let queue = compat::queue(config.verb, config.queue, config.queues, config.fail_open);
    Rule::named("queue").counted().then(queue)
}

/// Moves the agent's acceptance from the packet to the connection, and with it that the connection runs against the
/// direction in which conntrack has it. One that was accepted so before stays so. Where conntrack has none, the packet's
/// bits have served their purpose all the same.
fn keep(marks: Marks) -> Vec<Rule> {
    let keep = |rule: Rule, bits| {
        rule.conntrack_mark(marks.conntrack(), bits)
            .mark(marks.packet(), 0)
            .counted()
    };
    let accepted = |name| Rule::named(name).any_bits(Field::Mark, marks.accepted);
    let reversed = accepted("keep-reversed").any_bits(Field::Mark, marks.reply);
    let unmarked = Rule::named("unmarked").no_bits(Field::Mark, marks.accepted);
    vec![
        // Almost every packet.
        unmarked.accept_uncounted(),
        keep(reversed, marks.accepted | marks.reply),
        keep(accepted("keep"), marks.accepted),
        accepted("unkept").mark(marks.packet(), 0),
    ]
}

#[cfg(test)]
mod tests;
