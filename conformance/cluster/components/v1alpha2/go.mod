// The definition of ClusterNetworkPolicy: in a module of its own, since it is of another release of the same module.
module sluice/v1alpha2

go 1.25.0

require sigs.k8s.io/network-policy-api v0.3.0
