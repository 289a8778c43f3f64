// The definitions of AdminNetworkPolicy and BaselineAdminNetworkPolicy, as releases 0.1 have them.
module sluice/v1alpha1

go 1.25.0

require sigs.k8s.io/network-policy-api v0.1.7
