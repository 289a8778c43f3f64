//! The expectations of Kubernetes' own end-to-end suite for network policies, as data: 42 cases in TCP, 3 in UDP and 3 in
//! SCTP, each on all nine pods and with its IP blocks in both families.

use sluice_policy::Protocol;

use crate::{Case, Expectation, Step};

/// An expectation of TCP, UDP or SCTP.
const fn tcp(port: u16, except: &'static str) -> Expectation {
    Expectation {
        port,
        protocol: Protocol::Tcp,
        except,
    }
}

const fn udp(port: u16, except: &'static str) -> Expectation {
    Expectation {
        port,
        protocol: Protocol::Udp,
        except,
    }
}

const fn sctp(port: u16, except: &'static str) -> Expectation {
    Expectation {
        port,
        protocol: Protocol::Sctp,
        except,
    }
}

/// All cases, in the suite's order. One line per policy and one for what is expected.
#[rustfmt::skip]
pub const CASES: &[Case] = &[
    Case { id: "np-01", title: "default deny of ingress", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/*")],
        },
    ] },
    Case { id: "np-02", title: "default deny of both directions", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress, Egress], ingress: [], egress: []"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/*; X x/* > *")],
        },
    ] },
    Case { id: "np-03", title: "ingress from pods of the same namespace by podSelector", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . x/b > x/a")],
        },
    ] },
    Case { id: "np-04", title: "ingress for one pod beside a default deny", steps: &[
        Step {
            policies: &[
                ("x/deny", "podSelector: {}, policyTypes: [Ingress], ingress: []"),
                ("x/allow", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/*; . * > x/a")],
        },
    ] },
    Case { id: "np-05", title: "ingress from all namespaces", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "")],
        },
    ] },
    Case { id: "np-06", title: "ingress from one namespace only", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/* > x/a")],
        },
    ] },
    Case { id: "np-07", title: "podSelector with matchExpressions", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, values: [b]}]}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . x/b > x/a")],
        },
    ] },
    Case { id: "np-08", title: "namespaceSelector with matchExpressions", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: In, values: [y]}]}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/* > x/a")],
        },
    ] },
    Case { id: "np-09", title: "podSelector or namespaceSelector", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}, {podSelector: {matchLabels: {pod: b}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/* > x/a; . x/b > x/a")],
        },
    ] },
    Case { id: "np-10", title: "podSelector and namespaceSelector", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}, podSelector: {matchLabels: {pod: b}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/b > x/a; . z/b > x/a")],
        },
    ] },
    Case { id: "np-11", title: "podSelector with several values and namespaceSelector", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}, podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/b > x/a; . y/c > x/a; . z/b > x/a; . z/c > x/a")],
        },
    ] },
    Case { id: "np-12", title: "any of several podSelectors", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}, {podSelector: {matchLabels: {pod: c}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . x/b > x/a; . x/c > x/a")],
        },
    ] },
    Case { id: "np-13", title: "ingress from one pod of another namespace", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: a}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/a > x/a")],
        },
    ] },
    Case { id: "np-14", title: "ingress by port", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81, protocol: TCP}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/a; . y/* > x/a"), tcp(80, "X * > x/a")],
        },
    ] },
    Case { id: "np-15", title: "stacked policies with overlapping selectors", steps: &[
        Step {
            policies: &[
                ("x/p81", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81, protocol: TCP}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/a; . y/* > x/a"), tcp(80, "X * > x/a")],
        },
        Step {
            policies: &[
                ("x/p81", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81, protocol: TCP}]}]"),
                ("x/p80", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 80, protocol: TCP}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/a; . y/* > x/a"), tcp(80, "X * > x/a; . y/* > x/a")],
        },
    ] },
    Case { id: "np-16", title: "a policy that allows everything", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: [{}]"),
            ],
            labels: &[], expect: &[tcp(80, ""), tcp(81, "")],
        },
    ] },
    Case { id: "np-17", title: "ingress on a named port", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: serve-81-tcp}]}]"),
            ],
            labels: &[], expect: &[tcp(81, ""), tcp(80, "X * > x/*")],
        },
    ] },
    Case { id: "np-18", title: "ingress from a namespace on a named port", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: serve-80-tcp, protocol: TCP}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/* > x/a"), tcp(81, "X * > x/a")],
        },
    ] },
    Case { id: "np-19", title: "egress on a named port", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: serve-80-tcp}]}]"),
            ],
            labels: &[], expect: &[tcp(80, ""), tcp(81, "X x/* > *")],
        },
    ] },
    Case { id: "np-20", title: "a policy that is updated", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: [{}]"),
            ],
            labels: &[], expect: &[tcp(81, "")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/*")],
        },
    ] },
    Case { id: "np-21", title: "a namespace whose labels are updated", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns2: updated}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns2: updated}}}]}]"),
            ],
            labels: &[("y", "ns2: updated")], expect: &[tcp(80, "X * > x/a; . y/* > x/a")],
        },
    ] },
    Case { id: "np-22", title: "a peer whose labels are updated", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: b, pod2: updated}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: b, pod2: updated}}}]}]"),
            ],
            labels: &[("x/b", "pod2: updated")], expect: &[tcp(80, "X * > x/a; . x/b > x/a")],
        },
    ] },
    Case { id: "np-23", title: "ingress from the own namespace only", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/*; . x/* > x/*")],
        },
    ] },
    Case { id: "np-24", title: "a pod that becomes selected", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {target: isolated}}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[], expect: &[tcp(80, "")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {target: isolated}}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[("x/a", "target: isolated")], expect: &[tcp(80, "X * > x/a")],
        },
    ] },
    Case { id: "np-25", title: "deny of egress for one pod", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: []"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > *")],
        },
    ] },
    Case { id: "np-26", title: "deny of egress for a namespace", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Egress], egress: []"),
            ],
            labels: &[], expect: &[tcp(80, "X x/* > *")],
        },
    ] },
    Case { id: "np-27", title: "ingress and egress in one policy", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress, Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}], egress: [{ports: [{port: 80}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . x/b > x/a"), tcp(81, "X * > x/a; . x/b > x/a; X x/a > *")],
        },
    ] },
    Case { id: "np-28", title: "egress denied though the other side allows", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: a}}}]}]"),
                ("y/a", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: a}}}]}]"),
                ("y/b", "podSelector: {matchLabels: {pod: b}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}, podSelector: {matchLabels: {pod: a}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > *; X * > y/a; X * > y/b; . x/a > y/a")],
        },
    ] },
    Case { id: "np-29", title: "egress to one pod of another namespace", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: a}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > *; . x/a > y/a")],
        },
    ] },
    Case { id: "np-30", title: "any port of one protocol", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP}]}]"),
            ],
            labels: &[], expect: &[tcp(80, ""), udp(80, "X * > x/a")],
        },
    ] },
    Case { id: "np-31", title: "several ingress policies, one of which allows everything", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/*")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]"),
                ("x/all", "podSelector: {}, policyTypes: [Ingress], ingress: [{}]"),
            ],
            labels: &[], expect: &[tcp(81, "")],
        },
    ] },
    Case { id: "np-32", title: "several egress policies, one of which allows everything", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X x/* > *")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]"),
                ("x/all", "podSelector: {}, policyTypes: [Egress], egress: [{}]"),
            ],
            labels: &[], expect: &[tcp(81, "")],
        },
    ] },
    Case { id: "np-33", title: "policies that are deleted", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress, Egress], ingress: [], egress: []"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/*; X x/* > *")],
        },
        Step {
            policies: &[],
            labels: &[], expect: &[tcp(80, "")],
        },
    ] },
    Case { id: "np-34", title: "egress to a network", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.244.0.5/32}}, {ipBlock: {cidr: 'fd00:10:244::5/128'}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > *; . x/a > y/b")],
        },
    ] },
    Case { id: "np-35", title: "egress to a network with an exception", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/4, except: [10.244.0.2/32]}}, {ipBlock: {cidr: 'f000::/4', except: ['fd00:10:244::2/128']}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > x/b")],
        },
    ] },
    Case { id: "np-36", title: "an address that was an exception and is then allowed", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/4, except: [10.244.0.2/32]}}, {ipBlock: {cidr: 'f000::/4', except: ['fd00:10:244::2/128']}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > x/b")],
        },
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.244.0.2/32}}, {ipBlock: {cidr: 'fd00:10:244::2/128'}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > *; . x/a > x/b")],
        },
    ] },
    Case { id: "np-37", title: "directions are independent", steps: &[
        Step {
            policies: &[
                ("x/egress", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{}]"),
            ],
            labels: &[], expect: &[tcp(80, "")],
        },
        Step {
            policies: &[
                ("x/egress", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{}]"),
                ("x/ingress", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a")],
        },
    ] },
    Case { id: "np-38", title: "SCTP is not TCP", steps: &[
        Step {
            policies: &[
                ("x/deny", "podSelector: {}, policyTypes: [Ingress], ingress: []"),
                ("x/sctp", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{ports: [{port: 81, protocol: SCTP}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/*"), sctp(81, "X * > x/*; . * > x/a")],
        },
    ] },
    Case { id: "np-39", title: "a policy for SCTP alone isolates", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{ports: [{port: 80, protocol: SCTP}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/a"), sctp(80, "")],
        },
    ] },
    Case { id: "np-40", title: "no TCP where only UDP is allowed", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{ports: [{port: 81, protocol: UDP}]}]"),
            ],
            labels: &[], expect: &[tcp(81, "X * > x/a"), udp(81, "")],
        },
    ] },
    Case { id: "np-41", title: "the default label of namespaces in matchLabels", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X * > x/a; . y/* > x/a")],
        },
    ] },
    Case { id: "np-42", title: "the default label of namespaces in matchExpressions", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [y]}]}}]}]"),
            ],
            labels: &[], expect: &[tcp(80, "X x/a > y/*")],
        },
    ] },
    Case { id: "np-udp-1", title: "default deny of ingress in UDP", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[], expect: &[udp(80, "X * > x/*")],
        },
    ] },
    Case { id: "np-udp-2", title: "ingress by port in UDP", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81, protocol: UDP}]}]"),
            ],
            labels: &[], expect: &[udp(81, "X * > x/a; . y/* > x/a"), tcp(81, "X * > x/a")],
        },
    ] },
    Case { id: "np-udp-3", title: "ingress from one pod of another namespace in UDP", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: a}}}]}]"),
            ],
            labels: &[], expect: &[udp(80, "X * > x/a; . y/a > x/a")],
        },
    ] },
    Case { id: "np-sctp-1", title: "default deny of ingress in SCTP", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {}, policyTypes: [Ingress], ingress: []"),
            ],
            labels: &[], expect: &[sctp(80, "X * > x/*")],
        },
    ] },
    Case { id: "np-sctp-2", title: "ingress by port in SCTP", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}], ports: [{port: 81, protocol: SCTP}]}]"),
            ],
            labels: &[], expect: &[sctp(81, "X * > x/a; . y/* > x/a"), tcp(81, "X * > x/a")],
        },
    ] },
    Case { id: "np-sctp-3", title: "ingress from one pod of another namespace in SCTP", steps: &[
        Step {
            policies: &[
                ("x/p", "podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: a}}}]}]"),
            ],
            labels: &[], expect: &[sctp(80, "X * > x/a; . y/a > x/a")],
        },
    ] },
];
