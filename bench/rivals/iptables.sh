#!/bin/sh
# A chain of iptables rules, as the first enforcers had it: for each policy one rule of TCP and one of UDP, asked one after
# another. A policy that is about peers who are not there has rules all the same, about addresses that nobody has.
#
#   sluice-bench compare --modes conntrack,external,hybrid --external bench/rivals/iptables.sh
set -eu
here=$(dirname "$0")

# The rules of a family, as iptables-restore reads them.
rules() {
    awk -f "$here/facts.awk" "$SLUICE_BENCH_MANIFESTS"/*.yaml | awk -v node="$SLUICE_BENCH_NODE" -v family="$1" '
        BEGIN {
            print "*filter"
            print ":RIVAL - [0:0]"
            print "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
        }
        { address = $1 == "isolated" ? $3 : $4 }
        $2 != node || (address ~ /:/ ? 6 : 4) != family { next }
        $1 == "isolated" { print "-A FORWARD -d " address " -j RIVAL" }
        $1 == "allow" {
            number++
            nobody = family == 4 ? sprintf("198.18.%d.%d", number / 256 % 256, number % 256) \
                                 : sprintf("2001:db8::%x", number)
            gsub("-", ":", $6)
            print "-A RIVAL -s " ($3 == "-" ? nobody : $3) " -d " address " -p " $5 \
                " -m multiport --dports " $6 " -j ACCEPT"
        }
        END {
            print "-A RIVAL -j DROP"
            print "COMMIT"
        }
    '
}

rules 4 | iptables-restore --noflush --wait
rules 6 | ip6tables-restore --noflush --wait

undo() {
    for program in iptables ip6tables; do
        "$program" --wait --flush FORWARD
        "$program" --wait --flush RIVAL
        "$program" --wait --delete-chain RIVAL
    done
    exit 0
}
trap undo TERM INT
echo ready
while :; do
    sleep 3600 &
    wait $!
done
