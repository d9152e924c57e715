#!/bin/sh
# Tries from a pod whether a lock on the NFS server is a fence. Two pods on two nodes run it on one file, which no client
# uses:
#
#   fence-probe.sh hold FILE     locks it, and writes through the lock every second, until that fails
#   fence-probe.sh want FILE     tries to lock it every second, until it has it
#
# What it says is judged by storage_fence.
set -u

mode=$1
file=$2
nap=${PROBE_NAP:-1}

trap 'exit 143' TERM INT
exec 9<> "$file" || exit 1

if [ "$mode" = hold ]; then
    flock -n 9 || {
        echo 'probe: not locked'
        exit 1
    }
    echo 'probe: locked'
    while words=$(printf . | LC_ALL=C dd bs=1 conv=notrunc,fsync 2>&1 >&9); do
        echo 'probe: wrote'
        sleep "$nap" 9>&-
    done
    printf 'probe: write refused: %s\n' "$(printf '%s' "$words" | tr '\n' ' ')"
    exit 0
fi

said=no
while ! flock -n 9; do
    [ "$said" = yes ] || echo 'probe: refused'
    said=yes
    sleep "$nap" 9>&-
    # As a pod that waits does: what has the name now.
    exec 9<> "$file" || exit 1
done
echo 'probe: locked'
