#!/bin/sh
# Fails when a connection that this pod has opened leads nowhere: the liveness probe of a validator client.
#
#   connections.sh [FILE...]     the kernel's tables of connections
#
# A node that dies closes nothing. No release of Prysm asks its connection for a sign of life (gRPC keepalive), so a
# client waits on the dead one until the kernel gives it up after 15 minutes, also when its beacon node has long been
# moved. Started again it opens a new one. What others have opened, as for the metrics, is none of its concern.
#
# The tables (Linux, Documentation/networking/proc_net_tcp.rst): 2nd column local and 3rd remote ADDRESS:PORT, 4th state
# (01 established, 0A listening), 7th retransmissions without an answer, all hexadecimal. The kernel doubles its wait
# each time from 0.2 s on: six are 13 seconds of silence.
set -u

[ $# -gt 0 ] || set -- /proc/net/tcp /proc/net/tcp6

# Fields with leading zeros, and of one length, are compared as text.
port=$(cat "$@" 2> /dev/null | awk '
    { sub(/.*:/, "", $2) }
    $4 == "0A" { accepts[$2] = 1 }
    $4 == "01" && $7 >= "00000006" { sub(/.*:/, "", $3); silent[$2] = $3 }
    END { for (own in silent) if (!(own in accepts)) { print silent[own]; exit } }
')
[ -n "$port" ] || exit 0
echo "guard: nothing answers on the connection to port $((0x$port)) any more, so the client starts anew"
exit 1
