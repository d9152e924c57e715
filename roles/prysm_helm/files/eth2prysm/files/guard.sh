#!/bin/sh
# Runs before Prysm in each pod. It lets Prysm start only when the database is the one that belongs here and nobody else
# holds it. Prysm waits one second for its lock and then exits; this waits for as long as it takes, without a crash loop.
#
#   guard.sh beacon|validator DATA_DIR nfs|other SECONDS [WALLET_DIR]
set -u

kind=$1
data=$2
storage=$3
pause=$4
wallet=${5:-}
mounts=${GUARD_MOUNTS:-/proc/mounts}
nap=${GUARD_NAP:-2}

# Told by us, beside the database: "there is history here" and "do not start".
expected="$data/.validator-db-expected"
hold="$data/.validator-hold"

trap 'exit 143' TERM INT

say() {
    echo "guard: $*"
}

refuse() {
    say "REFUSED: $*"
    exit 1
}

rest() {
    sleep "$1" &
    wait $!
}

# An NFS client may believe in a name (or its absence) for a minute. Making and removing a file here makes it look again,
# and shows that the directory can be written.
look_again() {
    probe="$data/.guard-$$"
    if ! (printf '' > "$probe") 2> /dev/null; then
        refuse "$data cannot be written as $(id -u):$(id -g)"
    fi
    rm -f "$probe"
}

# The lock is only a fence on NFSv4.1 and later with locks kept by the server, and a soft mount may lose writes.
check_mount() {
    options=$(awk -v dir="$data" '$2 == dir { found = $3 "," $4 } END { print found }' "$mounts")
    case ",$options," in
        ,nfs4,*) ;;
        *) refuse "$data should be on NFSv4 but is mounted as '$options'" ;;
    esac
    case ",$options," in
        *,vers=4.1,* | *,vers=4.2,*) ;;
        *) refuse "$data needs NFS 4.1 or later: '$options'" ;;
    esac
    case ",$options," in
        *,local_lock=none,*) ;;
        *) refuse "locks on $data would not reach the server: '$options'" ;;
    esac
    case ",$options," in
        *,hard,*) ;;
        *) refuse "$data is not a hard mount, so writes could be lost: '$options'" ;;
    esac
}

wait_for_hold() {
    said=0
    look_again
    while cat "$hold" > /dev/null 2>&1; do
        if [ "$said" -eq 0 ]; then
            say "held back by $hold: $(head -n 1 "$hold" 2> /dev/null)"
            said=1
        fi
        rest "$nap"
        look_again
    done
}

wait_for_lock() {
    # Opened for writing, because NFS gives an exclusive lock to nothing else; descriptor 9 closes, and lets go, at the end.
    (exec 9<> "$1") 2> /dev/null || refuse "$1 cannot be opened for writing as $(id -u):$(id -g)"
    exec 9<> "$1"
    tries=0
    until flock -n 9; do
        if [ $((tries % 15)) -eq 0 ]; then
            say "waiting: another process still holds the lock on $1"
        fi
        tries=$((tries + 1))
        rest "$nap"
    done
}

check_history() {
    if [ -e "$data/validator-client-data" ]; then
        refuse "$data holds a minimal slashing protection database, which has no lock. Convert it to validator.db first"
    fi
    if [ -s "$data/validator.db" ]; then
        return
    fi
    if [ -e "$expected" ]; then
        refuse "$data/validator.db is missing or empty, but these keys have signed before ($(head -n 1 "$expected"))." \
            "Starting now would forget what they signed. Bring the newest validator.db back; never an older copy"
    fi
    if [ -n "$wallet" ] && [ -e "$wallet/direct/validator.db" ]; then
        refuse "the history of this wallet is in $wallet/direct/validator.db, not in $data. Move it first"
    fi
}

if ! command -v flock > /dev/null; then
    refuse "the image of the guard has no flock, so it cannot see who holds the database. Set guard.image to busybox"
fi
if [ "$storage" = nfs ]; then
    check_mount
fi

if [ "$kind" = validator ]; then
    wait_for_hold
    check_history
    database="$data/validator.db"
else
    look_again
    database="$data/beaconchaindata/beaconchain.db"
fi

if [ "$pause" -gt 0 ]; then
    say "waiting $pause seconds, as validatorStartWaitTime asks"
    rest "$pause"
fi

if [ -e "$database" ]; then
    wait_for_lock "$database"
    if [ "$kind" = validator ]; then
        # Both could have changed while we waited.
        wait_for_hold
        check_history
        if [ ! -e "$expected" ]; then
            echo "seen $(date -u +%Y-%m-%dT%H:%M:%SZ)" > "$expected"
        fi
    fi
    say "$database is free"
else
    say "$database does not exist yet: first start"
fi
