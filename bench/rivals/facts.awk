# What the rivals of this directory need to know of manifests that `sluice-bench` wrote, a line each:
#
#   isolated NODE ADDRESS
#   allow NODE FROM TO PROTOCOL PORT[-LAST],...      one for each policy, family and protocol; FROM `-`: nobody has the role
#
# It reads the style that these manifests are written in, and no other YAML.

# What follows `head`, up to the end of the value.
function after(text, head) {
    if (!index(text, head)) return ""
    text = substr(text, index(text, head) + length(head))
    sub(/[],}].*/, "", text)
    gsub(/[" ]/, "", text)
    return text
}

function family(address) { return address ~ /:/ ? 6 : 4 }

/^kind: / { kind = $2 }
kind == "Pod" && /^metadata: / { role = after($0, "role: ") }
kind == "Pod" && /^  nodeName: / { node[role] = $2 }
kind == "Pod" && /^  podIPs: / {
    count = split($0, ips, "ip: ")
    for (i = 2; i <= count; i++) {
        ip = after("ip: " ips[i], "ip: ")
        address[role, family(ip)] = ip
    }
}
kind == "NetworkPolicy" && /^  podSelector: / { subject = after($0, "role: ") }
kind == "NetworkPolicy" && /^  ingress: / {
    number++
    to[number] = subject
    from[number] = after($0, "role: ")
    count = split(substr($0, index($0, "ports: [")), items, "{")
    for (i = 2; i <= count; i++) {
        protocol = items[i] ~ /protocol: UDP/ ? "udp" : "tcp"
        port = after(" " items[i], " port: ")
        last = after(items[i], "endPort: ")
        ports[number, protocol] = ports[number, protocol] "," port (last ? "-" last : "")
    }
}

END {
    for (n = 1; n <= number; n++)
        for (f = 4; f <= 6; f += 2) {
            target = address[to[n], f]
            if (!target) continue
            if (!seen[target]++) print "isolated", node[to[n]], target
            peer = address[from[n], f]
            if (!peer) peer = "-"
            if (ports[n, "tcp"]) print "allow", node[to[n]], peer, target, "tcp", substr(ports[n, "tcp"], 2)
            if (ports[n, "udp"]) print "allow", node[to[n]], peer, target, "udp", substr(ports[n, "udp"], 2)
        }
}
