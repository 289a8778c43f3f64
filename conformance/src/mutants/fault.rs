//! Every fault, each of them one slip that an enforcer could have made.

macro_rules! faults {
    ($($name:ident $id:literal $sentence:literal)*) => {
        /// What an evaluator gets wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault {
            $($name),*
        }

        impl Fault {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in reports, which stays.
            pub(super) const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id),*
                }
            }

            /// What an evaluator with it does.
            pub(super) const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence),*
                }
            }
        }
    };
}

faults! {
    // Selectors.
    EmptySelectorNothing "selector-empty-nothing" "an empty selector matches nothing"
    NotInNeedsKey "selector-not-in-needs-key" "NotIn does not match where the key is missing"
    NotInAny "selector-not-in-any" "NotIn matches what differs from one of its values"
    InFirstValue "selector-in-first-value" "In looks at the first of its values alone"
    ExistsAsDoesNotExist "selector-exists-as-does-not-exist" "Exists is read as DoesNotExist"
    ExistsNeedsValue "selector-exists-needs-value" "Exists does not match an empty value"
    DoesNotExistIgnored "selector-does-not-exist-ignored" "DoesNotExist always matches"
    ExpressionsIgnored "selector-expressions-ignored" "matchExpressions are not looked at"
    LabelsIgnored "selector-labels-ignored" "matchLabels are not looked at where there are matchExpressions"
    RequirementsAsOr "selector-requirements-as-or" "one requirement of several is enough"
    LastOfKey "selector-last-of-key" "of several requirements of one key the last replaces the others"
    LabelKeyAlone "selector-label-key-alone" "of a label in matchLabels the key is compared, and not the value"
    KeyPrefixDropped "selector-key-prefix-dropped" "the prefix of a label's key is not compared"

    // Who is isolated.
    SubjectIgnored "subject-ignored" "a policy isolates every pod of its namespace"
    OtherNamespaces "subject-other-namespaces" "a policy isolates pods of other namespaces"
    OnlyIngress "types-only-ingress" "egress is not enforced"
    OnlyEgress "types-only-egress" "ingress is not enforced"
    DefaultEgressAlways "types-default-egress-always" "policyTypes that are missing are both"
    DefaultEgressNever "types-default-egress-never" "policyTypes that are missing are Ingress, whatever egress rules there are"
    TypesIgnored "types-ignored" "a policy isolates in the directions that it has rules of"
    RulesAddTypes "types-from-rules" "a policy isolates in the directions that it has rules of, besides its policyTypes"
    BothDirections "types-both" "a policy isolates in both directions, whichever it is about"
    NoRulesAllowAll "rules-none-allow" "a policy without rules allows everything"
    EmptyRuleNothing "rules-empty-nothing" "a rule without peers and ports allows nothing"
    FirstRule "rules-first" "rules behind the first are not looked at"
    RulesCrossed "rules-crossed" "the peers of one rule go with the ports of another"
    FirstPolicy "stack-first" "of several policies the first decides"
    LastPolicy "stack-last" "of several policies the last decides"
    EveryPolicy "stack-every" "every policy that isolates a pod must allow a connection"
    EvenPolicies "stack-even" "a pod that an even number of policies isolates is not isolated"
    EitherEnd "ends-either" "it is enough that one end of a connection allows it"
    BothWays "ends-both-ways" "a connection that is allowed one way is allowed the other way too"
    SctpFree "sctp-free" "SCTP is not enforced"
    UdpFree "udp-free" "UDP is not enforced"
    Ipv6Free "ipv6-free" "IPv6 is not enforced"
    SecondAddressUnknown "address-second-unknown" "a pod is known by the first of its addresses alone"

    // Peers.
    PeersMissingNobody "peers-missing-nobody" "a rule without peers allows nobody"
    FirstPeer "peers-first" "peers behind the first are not looked at"
    EveryPeer "peers-every" "all peers of a rule must match"
    OrForAnd "peers-or-for-and" "of a namespaceSelector and a podSelector in one peer either is enough"
    NamespaceAbsentAll "peers-namespace-absent-all" "a podSelector alone is about all namespaces"
    NamespaceEmptyOwn "peers-namespace-empty-own" "an empty namespaceSelector is about the policy's own namespace"
    NamespaceNotOwn "peers-namespace-not-own" "a namespaceSelector does not match the policy's own namespace"
    NamespaceIgnored "peers-namespace-ignored" "beside a podSelector the namespaceSelector is not looked at"
    NamespaceAloneNobody "peers-namespace-alone-nobody" "a namespaceSelector alone matches no pods"
    NamespaceWithoutName "peers-namespace-without-name" "namespaces have no label kubernetes.io/metadata.name"

    // Blocks.
    ExceptIgnored "blocks-except-ignored" "exceptions of a block are not looked at"
    ExceptFirst "blocks-except-first" "exceptions behind the first are not looked at"
    ExceptOneAddress "blocks-except-one-address" "an exception is its first address alone"
    ExceptDeniesPeers "blocks-except-denies-peers" "an exception denies what other peers of its rule allow"
    ExceptDeniesRules "blocks-except-denies-rules" "an exception denies what other rules of its policy allow"
    ExceptDeniesPolicies "blocks-except-denies-policies" "an exception denies what other policies allow"
    BlocksNotPods "blocks-not-pods" "a block does not match the addresses of pods"
    BlocksBothFamilies "blocks-both-families" "a block of all addresses is one of both families"
    BlocksOneAddress "blocks-one-address" "a block is its first address alone"
    BlocksWholeOctets "blocks-whole-octets" "a prefix counts as whole octets, rounded down"
    BlocksWithoutIpv6 "blocks-without-ipv6" "blocks of IPv6 match nothing"
    LongestBlock "blocks-longest" "of several blocks with an address the ports of the longest alone count"

    // Ports.
    EndIgnored "ports-end-ignored" "endPort is not looked at"
    EndExclusive "ports-end-exclusive" "a range ends before endPort"
    EndOpen "ports-end-open" "a range has no end"
    StartExclusive "ports-start-exclusive" "a range begins behind its port"
    ProtocolIgnored "ports-protocol-ignored" "protocols of ports are not compared"
    ProtocolDefaultAny "ports-protocol-default-any" "a port without a protocol is of every protocol"
    UdpOpensTcp "ports-udp-opens-tcp" "a port of UDP is one of TCP too"
    SctpAsTcp "ports-sctp-as-tcp" "what is not UDP is TCP"
    NumberMissingNothing "ports-number-missing-nothing" "a protocol without a port matches nothing"
    PortsMissingTcp "ports-missing-tcp" "a rule without ports is about TCP"
    FirstPort "ports-first" "ports behind the first are not looked at"
    UndeclaredClosed "ports-undeclared-closed" "a number matches ports alone that a container declares"
    NameWithoutProtocol "names-without-protocol" "a port's name is compared, and not its protocol"
    NameOneNumber "names-one-number" "a name has one number, that of the first pod with it"
    NameEveryNumber "names-every-number" "a name has all numbers that pods have under it"
    NameOfSubject "names-of-subject" "names are looked up on the pod that the policy isolates"
    NameOfSource "names-of-source" "names are looked up on the source"
    NameMissingAny "names-missing-any" "a name that the destination lacks is every port"
    NameNothing "names-nothing" "names match nothing"
    NameNotInBlocks "names-not-in-blocks" "names match nothing in rules whose peers are blocks"

    // Nodes.
    NodeDenied "node-denied" "what comes from a pod's own node is subject to its policies"
    NodesAllowed "nodes-allowed" "what comes from any node is allowed"
    HostsSelected "hosts-selected" "pods in the network of their node are matched by selectors"
    HostsIsolated "hosts-isolated" "pods in the network of their node are isolated"

    // What is not valid.
    InvalidIgnored "invalid-ignored" "an invalid NetworkPolicy is not looked at"
    UnreadableNobody "invalid-subject-nobody" "a policy whose podSelector cannot be read selects nobody"
    UnreadableIngress "invalid-types-ingress" "policyTypes that cannot be read are Ingress"
    UnreadableEverything "invalid-entries-everything" "peers and ports that cannot be read are all there are"

    // What changes.
    KeepsLabels "change-keeps-labels" "pods keep the labels that they had first"
    KeepsLostLabels "change-keeps-lost-labels" "a label that a pod loses stays"
    KeepsNamespaceLabels "change-keeps-namespace-labels" "namespaces keep the labels that they had first"
    KeepsDeletedPolicies "change-keeps-deleted-policies" "a policy that is deleted stays"
    KeepsSelector "change-keeps-selector" "a policy that is changed keeps its former podSelector"
    KeepsRules "change-keeps-rules" "a policy that is changed keeps its former rules"
    AddsRules "change-adds-rules" "a policy that is changed has its former rules too"
    LatePodsFree "change-late-pods-free" "a pod that is made after a policy is not isolated by it"
    LatePoliciesIgnored "change-late-policies-ignored" "a policy that is made after a pod does not isolate it"
    KeepsNamedPorts "change-keeps-named-ports" "a pod has the ports that the first one of its name had"
    KeepsAddresses "change-keeps-addresses" "an address stays with the pod that had it first"
    KeepsDeletedTiers "change-keeps-deleted-tiers" "an admin policy that is deleted stays"
    KeepsTiers "change-keeps-tiers" "an admin policy that is changed stays as it was first"

    // Tiers.
    PriorityReversed "tiers-priority-reversed" "of two policies the one with the higher number comes first"
    PriorityAsText "tiers-priority-as-text" "priorities are compared as texts"
    PriorityIgnored "tiers-priority-ignored" "policies of a tier are asked in the order of their names"
    LastRule "tiers-last-rule" "of several rules that match the last decides"
    DenyWins "tiers-deny-wins" "a rule that denies comes before those that accept"
    PassAccepts "tiers-pass-accepts" "Pass is read as Accept"
    PassDenies "tiers-pass-denies" "Pass is read as Deny"
    PassNothing "tiers-pass-nothing" "Pass goes on with the next rule of the tier"
    PassSkipsNetworkPolicy "tiers-pass-skips-network-policy" "Pass goes on with the Baseline tier"
    AdminIgnored "tiers-admin-ignored" "the Admin tier is not asked"
    BaselineIgnored "tiers-baseline-ignored" "the Baseline tier is not asked"
    NetworkPolicyFirst "tiers-network-policy-first" "NetworkPolicy comes before the Admin tier"
    BaselineFirst "tiers-baseline-first" "the Baseline tier comes before NetworkPolicy"
    AllowNotFinal "tiers-allow-not-final" "what a NetworkPolicy allows the Baseline tier can deny"
    DenyNotFinal "tiers-deny-not-final" "what a NetworkPolicy denies the Baseline tier can allow"
    AcceptIsolates "tiers-accept-isolates" "a rule that accepts denies everything else"
    UnknownAcceptsAll "tiers-unknown-accepts-all" "an Accept of an unknown peer is one of every peer"
    UnknownIgnored "tiers-unknown-ignored" "a Deny or Pass of an unknown peer is not looked at"
    SubjectPodsIgnored "tiers-subject-pods-ignored" "a subject is all pods of its namespaces"
    PeerPodsIgnored "tiers-peer-pods-ignored" "a peer is all pods of its namespaces"
    NetworksNotPods "tiers-networks-not-pods" "networks do not match the addresses of pods"
    NodesNobody "tiers-nodes-nobody" "nodes match nothing"
    RangeExclusive "tiers-range-exclusive" "a range ends before its last port"
    TierPortsIgnored "tiers-ports-ignored" "the ports of a rule are not looked at"
    TierNamesNothing "tiers-names-nothing" "ports by name match nothing"
    TierIngressAlone "tiers-ingress-alone" "egress rules of the tiers are not looked at"
    VersionTwoIgnored "tiers-v1alpha2-ignored" "ClusterNetworkPolicies are not looked at"
}

/// An evaluator's fault, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faulty(pub(super) Option<Fault>);

impl Faulty {
    pub(super) fn has(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }
}
