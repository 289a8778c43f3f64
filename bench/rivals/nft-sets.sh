#!/bin/sh
# nftables sets and no agent: who may connect to whom is one lookup, however many policies there are. Nothing follows a
# change; it is what an enforcer comes to that has been told everything.
#
#   sluice-bench compare --modes conntrack,external,hybrid --external bench/rivals/nft-sets.sh
set -eu
here=$(dirname "$0")

awk -f "$here/facts.awk" "$SLUICE_BENCH_MANIFESTS"/*.yaml | awk -v node="$SLUICE_BENCH_NODE" '
    function family(address) { return address ~ /:/ ? 6 : 4 }
    BEGIN {
        print "add table inet rival"
        print "add chain inet rival forward { type filter hook forward priority filter; policy accept; }"
        print "add rule inet rival forward ct state established,related accept"
        for (f = 4; f <= 6; f += 2) {
            ip = f == 4 ? "ip" : "ip6"
            type = f == 4 ? "ipv4_addr" : "ipv6_addr"
            print "add set inet rival isolated" f " { type " type "; }"
            print "add set inet rival allowed" f " { type " type " . " type " . inet_proto . inet_service; flags interval; }"
            print "add rule inet rival forward " ip " saddr . " ip " daddr . meta l4proto . th dport @allowed" f " accept"
            print "add rule inet rival forward " ip " daddr @isolated" f " drop"
        }
    }
    $2 != node { next }
    $1 == "isolated" { print "add element inet rival isolated" family($3) " { " $3 " }" }
    $1 == "allow" && $3 != "-" {
        count = split($6, ports, ",")
        for (i = 1; i <= count; i++)
            print "add element inet rival allowed" family($4) " { " $3 " . " $4 " . " $5 " . " ports[i] " }"
    }
' | nft -f -

trap 'nft delete table inet rival; exit 0' TERM INT
echo ready
while :; do
    sleep 3600 &
    wait $!
done
