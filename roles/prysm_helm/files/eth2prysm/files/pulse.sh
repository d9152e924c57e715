#!/bin/sh
# Stands between guard.sh and Prysm where a standby waits for the lock on another node.
#
#   pulse.sh LOCK PROGRAM ARG...     becomes PROGRAM, with a beat beside it. Descriptor 8 holds the lock on LOCK: guard.sh
#                                    has taken it, and PROGRAM inherits it
#   pulse.sh beat LOCK SIGNER        that beat, until the process SIGNER has ended
#
# The beat opens LOCK every second, so that the NFS server hears of this node: an idle node says nothing for longer than
# its watcher waits. And it writes through descriptor 8: the kernel refuses that once the server has given the lock to
# another node, and then SIGNER is ended. Prysm itself would find that out only when it writes to validator.db. SIGNER is
# ended as well when LOCK is another file than the one that is locked: somebody who puts a directory back from a backup
# may have replaced it, and the new one has a lock that another pod can take.
set -u

nap=${PULSE_NAP:-1}
# A proof is a write to the server's disk, so it is made at every fifth beat only.
every=${PULSE_PROOF_EVERY:-5}
# Seconds to end after SIGTERM, and after SIGQUIT.
patience=${PULSE_PATIENCE:-5}

say() {
    printf 'pulse: %s\n' "$*"
}

refuse() {
    # In the words of the guard: what it refuses becomes part of the pod's status.
    printf 'guard: REFUSED: %s\n' "$*"
    exit 1
}

# Is the lock still ours? One byte at a time: the descriptor's place in the file cannot be set back from here.
# A full disk is no answer; everything else that is not a success counts as a loss.
proved() {
    if words=$(printf . | LC_ALL=C dd bs=1 conv=notrunc,fsync 2>&1 >&8); then
        return 0
    fi
    case "$words" in
        *'No space left on device'* | *'Disk quota exceeded'*)
            say "$lock cannot be written, so the lock is not proved: the disk is full"
            return 0
            ;;
    esac
    return 1
}

# Is LOCK another file by now? It is opened for that, as only an open asks the server.
replaced() {
    now=$(stat -L -c %d:%i /proc/self/fd/7 7< "$lock" 2> /dev/null) && [ "$now" != "$opened" ]
}

# One that has ended, and that nobody has looked after yet, still takes signals.
alive() {
    { kill -0 "$signer" && read -r state < "/proc/$signer/stat"; } 2> /dev/null || return 1
    case "${state##*) }" in
        [ZX]*) return 1 ;;
    esac
}

# SIGNAL: send it, and wait for the end.
end_by() {
    kill -s "$1" "$signer" 2> /dev/null
    left=$patience
    while [ "$left" -gt 0 ]; do
        alive || return 0
        sleep 1 8>&-
        left=$((left - 1))
    done
    ! alive
}

# QUIT ends Go's runtime at once, also as the first process of a container, which KILL does not reach from within.
end_it() {
    say "$* Prysm ends here, and starts again as the standby"
    end_by TERM || end_by QUIT || end_by KILL
}

# An open is answered by the server each time, whatever is cached here. By itself, as a proof can take as long as the
# server's disk does.
touch_server() {
    while alive; do
        if replaced; then
            end_it "$lock was replaced, so another pod may lock the new one. Nothing may remove it."
            return
        fi
        sleep "$nap"
    done
}

beat() {
    touch_server 8>&- &
    turn=0
    while alive; do
        if [ $((turn % every)) -eq 0 ] && ! proved; then
            end_it "the lock on $lock is lost: the NFS server has heard nothing of this node, and another may sign by" \
                "now ($words)."
            return
        fi
        turn=$((turn + 1))
        sleep "$nap" 8>&-
    done
}

if [ "${1:-}" = beat ]; then
    lock=$2 signer=$3
    opened=$(stat -L -c %d:%i /proc/self/fd/8 2> /dev/null) || exit 1
    beat
    exit 0
fi

[ $# -ge 2 ] || refuse "pulse.sh LOCK PROGRAM ARG...: arguments are missing"
lock=$1
shift
[ -f "$1" ] && [ -x "$1" ] ||
    refuse "this image has no program $1. Is image.version the release that it holds? (entrypoints in versions.yaml)"
opened=$(stat -L -c %d:%i /proc/self/fd/8 2> /dev/null) && [ "$opened" = "$(stat -L -c %d:%i "$lock" 2> /dev/null)" ] ||
    refuse "descriptor 8 is not $lock, so the lock is not held"
# What earlier beats have written, before the first of this start. Its lock is held, and the file stays the same one.
(: > "$lock") 2> /dev/null || refuse "$lock cannot be written"
# The node may have stood still since the lock was taken.
proved || refuse "the lock on $lock is lost before the start ($words)"
sh "$0" beat "$lock" $$ &
exec "$@"
