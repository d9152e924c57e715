#!/bin/sh
# Lets Prysm start only with the database that belongs here, and only while nobody else can use it.
#
#   guard.sh beacon|validator DATA_DIR nfs|other SECONDS [WALLET_DIR] [-- PROGRAM ARG...]
#
# Without a PROGRAM it checks, waits and ends (init container). With one it takes DATA_DIR/.validator-lock, checks again
# and becomes PROGRAM, which inherits the lock for as long as it lives; so it runs at every start of the container, and
# no second pod can come in between the check and the start.
#
# For the data of a validator, each of these files beside validator.db is noted at a start and only ever rises:
#   .validator-transaction  the number of the database's last transaction: a lower one is an older copy
#   .validator-version      "LAYOUT vX.Y.Z": the newest layout and release that opened it
# and .validator-id is the same as in the wallet and in the release (GUARD_IDENTITY).
# Environment: GUARD_VERSION, GUARD_LAYOUT, GUARD_IDENTITY; GUARD_INSTALL, a directory to copy a static busybox into;
# GUARD_HOSTS, names of services whose addresses are written to the file hosts there.
set -u

kind=${1:-}
data=${2:-}
storage=${3:-}
pause=${4:-}
mounts=${GUARD_MOUNTS:-/proc/mounts}
nap=${GUARD_NAP:-1}
# Seconds in which who holds the lock on a file that was replaced ends (two beats, SIGTERM, SIGQUIT).
settle=${GUARD_SETTLE:-15}
version=${GUARD_VERSION:-}
layout=${GUARD_LAYOUT:-}
identity=${GUARD_IDENTITY:-}
# What the checks below are made of.
tools='flock od stat cat ls awk tr grep head mv rm cp chmod ln sleep dd date id'
newline='
'

trap 'exit 143' TERM INT

say() {
    printf 'guard: %s\n' "$*"
}

refuse() {
    say "REFUSED: $*"
    exit 1
}

usage() {
    refuse "guard.sh beacon|validator DATA_DIR nfs|other SECONDS [WALLET_DIR] [-- PROGRAM ARG...]: $*"
}

rest() {
    # Without our locks: what sleeps on must not hold them when this process has ended.
    sleep "$1" 8>&- 9>&- &
    wait $!
}

me() {
    echo "$(id -u):$(id -g)"
}

# Is there anything of this name? To `test` every error is a "no"; the list of the directory is not silent.
there() {
    if [ -e "$1" ] || [ -L "$1" ]; then
        return 0
    fi
    set -- "$1" "${1%/*}"
    if names=$(ls -a "${2:-/}" 2> /dev/null); then
        case "$newline$names$newline" in
            *"$newline${1##*/}$newline"*) return 0 ;;
        esac
        return 1
    fi
    # A directory that is not there has nothing in it.
    if [ -n "$2" ] && ! there "$2"; then
        return 1
    fi
    refuse "${2:-/} cannot be read as $(me), so it is not known whether $1 is there"
}

regular() {
    [ -f "$1" ] && [ ! -L "$1" ]
}

# A natural number that the shell can compare.
natural() {
    case "$1" in
        '' | *[!0123456789]* | 0?*) return 1 ;;
    esac
    [ ${#1} -le 18 ]
}

# vX.Y.Z, with what a release candidate or a hotfix carries behind it -> $plain, without that
release() {
    plain=${1%%-*}
    case "$plain" in
        v*) ;;
        *) return 1 ;;
    esac
    left=${plain#v}.
    for _ in major minor patch; do
        natural "${left%%.*}" || return 1
        left=${left#*.}
    done
    [ -z "$left" ]
}

# Is release $1 newer than $2? Both are plain.
newer() {
    left=${1#v}. right=${2#v}.
    while [ -n "$left" ]; do
        if [ "${left%%.*}" -ne "${right%%.*}" ]; then
            [ "${left%%.*}" -gt "${right%%.*}" ]
            return
        fi
        left=${left#*.} right=${right#*.}
    done
    return 1
}

# ---- What is noted beside the database: one line a file, written whole or not at all.

# FILE -> $note; false when there is none. One that is not as it was written is no licence to start.
read_note() {
    there "$1" || return 1
    regular "$1" || refuse "$1 is not a regular file. $known_only"
    size=$(stat -c %s "$1" 2> /dev/null) && note=$(head -c 200 "$1" 2> /dev/null) ||
        refuse "$1 cannot be read as $(me). $known_only"
    [ "$size" -eq $((${#note} + 1)) ] || refuse "$1 does not hold one line. $known_only"
    case "$note" in
        *"$newline"*) refuse "$1 does not hold one line. $known_only" ;;
    esac
}
known_only="Without it, it is not known which database belongs here. Bring the file back, or remove it once you know that \
validator.db is the newest: the next start writes it anew"

# FILE VALUE: is more noted there by now? Transactions and releases only ever rise.
outdone() {
    read_note "$1" || return 1
    case "$1" in
        */.validator-transaction) natural "$note" && [ "$note" -gt "$2" ] ;;
        */.validator-version)
            natural "${note%% *}" && release "${note#* }" || return 1
            [ "${note%% *}" -gt "${2%% *}" ] || newer "$plain" "${2#* }"
            ;;
        *) return 1 ;;
    esac
}

write_note() {
    draft="$data/.guard-note-$$"
    if ! (umask 077 && rm -f "$draft" && printf '%s\n' "$2" | dd of="$draft" conv=fsync) 2> /dev/null; then
        refuse "$1 cannot be written as $(me)"
    fi
    # What takes long is done. While this node stood still, its lock may have gone to another pod, which has noted more.
    if outdone "$1" "$2"; then
        rm -f "$draft" 2> /dev/null
        refuse "$1 says $note by now, and would say $2: another pod has gone on with $database since it was checked here." \
            "The next start checks it anew"
    fi
    mv -f "$draft" "$1" 2> /dev/null || refuse "$1 cannot be written as $(me)"
    if ! read_note "$1" || [ "$note" != "$2" ]; then
        refuse "$1 does not hold what was written to it: $2"
    fi
}

# ---- Waiting.

# An NFS client may believe in a name (or its absence) for a minute. Making and removing a file here makes it look again,
# and shows that the directory can be written.
look_again() {
    probe="$data/.guard-$$"
    if ! (printf '' > "$probe") 2> /dev/null; then
        refuse "$data cannot be written as $(me)"
    fi
    rm -f "$probe"
}

hold="$data/.validator-hold"

held_back() {
    [ "$kind" = validator ] || return 1
    look_again
    there "$hold"
}

# A hold counts in any form: one that cannot be read still says "do not start".
wait_for_hold() {
    said=no
    while held_back; do
        if [ "$said" = no ]; then
            if regular "$hold" && why=$(head -n 1 "$hold" 2> /dev/null); then
                say "on hold ($hold): $why"
            else
                say "on hold ($hold), which cannot be read as $(me)"
            fi
            said=yes
        fi
        rest "$nap"
    done
}

# FILE DESCRIPTOR: is the open file still the one of this name?
same() {
    [ "$(stat -L -c %d:%i "$1" 2> /dev/null)" = "$(stat -L -c %d:%i "/proc/self/fd/$2" 2> /dev/null)" ]
}

# FILE DESCRIPTOR: hold the lock on a file, however long that takes. It is opened anew each time, as it may be another
# file by now; for writing, because NFS gives an exclusive lock to nothing else.
take() {
    tries=0
    waited_for=
    while :; do
        if [ -L "$1" ] || { [ -e "$1" ] && [ ! -f "$1" ]; }; then
            refuse "$1 is not a regular file, so its lock says nothing"
        fi
        if ! (umask 077 && eval "exec $2<> \"\$1\"") 2> /dev/null; then
            refuse "$1 cannot be opened for writing as $(me)"
        fi
        eval "exec $2<> \"\$1\""
        opened=$(stat -L -c %d:%i "/proc/self/fd/$2" 2> /dev/null)
        if flock -n "$2" && same "$1" "$2"; then
            # Of a database that was replaced the checks to come will tell.
            if [ "$2" -ne 8 ] || [ "${waited_for:-$opened}" = "$opened" ]; then
                return
            fi
            # Who holds the lock on the file of before has to find out first.
            say "$1 was replaced while another process held its lock: waiting $settle seconds until that has ended"
            rest "$settle"
            waited_for=
            continue
        fi
        waited_for=${waited_for:-$opened}
        if [ $((tries % 30)) -eq 0 ]; then
            say "waiting: another process still holds the lock on $1"
        fi
        tries=$((tries + 1))
        rest "$nap"
    done
}

let_go() {
    exec 8>&- 9>&-
}

# ---- Checks.

# The mount decides, not what the values say. The lock is only a fence on NFSv4.1 and later with locks kept by the
# server, and a soft mount may lose writes.
check_mount() {
    place=$(cd "$data" 2> /dev/null && pwd -P) || refuse "$data is no directory that $(me) can enter"
    options=$(GUARD_PLACE=$place awk '
        {
            dir = $2
            gsub(/\\040/, " ", dir); gsub(/\\011/, "\t", dir); gsub(/\\012/, "\n", dir); gsub(/\\134/, "\\", dir)
            if (dir == "/" || dir == ENVIRON["GUARD_PLACE"] || index(ENVIRON["GUARD_PLACE"], dir "/") == 1) {
                if (length(dir) >= longest) { longest = length(dir); found = $3 "," $4 }
            }
        }
        END { print found }' "$mounts" 2> /dev/null) || refuse "$mounts cannot be read as $(me)"
    [ -n "$options" ] || refuse "$mounts does not say what $data is mounted from"
    case "$options" in
        nfs4,*) ;;
        nfs,*) refuse "$data should be on NFSv4 but is mounted as '$options'" ;;
        *)
            [ "$storage" = other ] || refuse "$data should be on NFSv4 but is mounted as '$options'"
            return
            ;;
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

lost() {
    refuse "$database is missing or empty, but these keys have signed before ($*). Starting now would forget what they" \
        "signed. Bring the newest validator.db back; never an older copy"
}

# Is the history there that should be? Asked before the lock on it can be waited for, and after.
check_history() {
    if there "$data/validator-client-data"; then
        refuse "$data holds a minimal slashing protection database, which has no lock. Convert it to validator.db first"
    fi
    if there "$database"; then
        regular "$database" || refuse "$database is not a regular file: a link, say, leads to a history of another place"
        size=$(stat -c %s "$database" 2> /dev/null) || refuse "$database cannot be read as $(me)"
        [ "$size" -eq 0 ] || return 0
    fi
    for name in .validator-db-expected .validator-transaction .validator-version; do
        if there "$data/$name"; then
            words=
            regular "$data/$name" && words=$(head -n 1 "$data/$name" 2> /dev/null)
            lost "$name: ${words:-it is there}"
        fi
    done
    if there "$database"; then
        refuse "$database is empty. Bring the newest one back, or remove it if these keys have never signed"
    fi
    if [ -n "$wallet" ] && there "$wallet/direct/validator.db"; then
        refuse "the history of this wallet is in $wallet/direct/validator.db, not in $data. Move it first"
    fi
    if [ -n "$wallet" ]; then
        # One that the pod cannot look into is said to be so, not to be empty.
        entries=$(ls -A "$wallet" 2> /dev/null) || refuse "$wallet, the wallet's directory, is missing or cannot be read" \
            "as $(me), and there is no database either. Is the data disk mounted?"
        [ -n "$entries" ] || refuse "there is neither a wallet in $wallet nor a database in $data. Is the data disk" \
            "mounted? A wallet is filled before its client starts for the first time"
    fi
}

# The 64 bytes behind a page's header, in hexadecimal -> $number, $size_of_page, $pages; false when they are no state of
# a bbolt database. Numbers are little-endian; the last eight bytes are the FNV-1a hash of those before them.
state() {
    [ $# -eq 64 ] && [ "$1$2$3$4$5$6$7$8" = edda0ced02000000 ] || return 1
    hash=-3750763034362895579
    sum=$((0x${60}${59}${58}${57})) high=$((0x${64}${63}${62}${61}))
    size_of_page=$((0x${12}${11}${10}$9))
    pages=$((0x${48}${47}${46}${45}${44}${43}${42}${41}))
    number=$((0x${56}${55}${54}${53}${52}${51}${50}${49}))
    left=56
    for octet in "$@"; do
        [ "$left" -gt 0 ] || break
        hash=$(((hash ^ 0x$octet) * 1099511628211))
        left=$((left - 1))
    done
    [ $((hash & 0xffffffff)) -eq "$sum" ] && [ $(((hash >> 32) & 0xffffffff)) -eq "$high" ] && natural "$number"
}

state_at() {
    # shellcheck disable=SC2046 # 64 words are wanted
    state $(od -An -v -tx1 -j "$(($1 + 16))" -N 64 "$database" 2> /dev/null)
}

damaged() {
    refuse "$database is damaged: $*. Prysm would take an older state for the newest, or end. Bring the newest" \
        "validator.db back; never an older copy"
}

# -> $transaction. bbolt keeps its last two states, one at the start of each of the first two pages; the higher counts.
# Prysm opens a database with one of them damaged and then knows less than it signed: a state is written in one sector,
# so that is never an interrupted write.
read_transaction() {
    state_at 0 || damaged "its first page holds no valid state"
    transaction=$number one=$size_of_page end=$pages
    [ "$one" -ge 512 ] || damaged "it has pages of $one bytes"
    state_at "$one" || damaged "its second page holds no valid state"
    if [ "$number" -gt "$transaction" ]; then
        transaction=$number end=$pages
    fi
    size=$(stat -c %s "$database" 2> /dev/null) || refuse "$database cannot be read as $(me)"
    [ "$size" -ge $((end * one)) ] || damaged "it has $size bytes, and should have $((end * one))"
}

check_transaction() {
    read_transaction
    read_note "$data/.validator-transaction" || return 0
    natural "$note" || refuse "$data/.validator-transaction does not hold a number. $known_only"
    [ "$transaction" -ge "$note" ] || refuse "$database is an older copy: it ends with transaction $transaction, and the" \
        "one that was used here had reached $note. The keys would forget what they signed since. Bring the newest" \
        "validator.db back; if it is lost, do not start these keys here before you have read docs/safety.md"
}

# A database that nothing is noted of was opened by a release of the second layout if it was migrated to it.
migrated() {
    found=$({ tr -cs 'a-z_0-9' '\n' < "$database" || printf '\nunreadable\n'; } 2> /dev/null |
        grep -e source_target_epochs_bucket_0 -e '^unreadable$' | head -n 1)
    [ "$found" != unreadable ] || refuse "$database cannot be read as $(me)"
    [ -n "$found" ]
}

# -> $noted_layout, $noted_version
check_version() {
    noted_layout=0 noted_version=v0.0.0
    if read_note "$data/.validator-version"; then
        noted_layout=${note%% *} noted_version=${note#* }
        natural "$noted_layout" && [ "$note" != "$noted_layout" ] && release "$noted_version" ||
            refuse "$data/.validator-version does not hold a layout and a release. $known_only"
        noted_version=$plain
    elif [ -n "$layout" ] && [ "$layout" -lt 2 ] && migrated; then
        noted_layout=2 noted_version='v1.3.0 or later'
    fi
    if [ -z "$layout" ]; then
        return
    fi
    [ "$layout" -ge "$noted_layout" ] || refuse "$database was opened by Prysm $noted_version (layout $noted_layout of the" \
        "database). $version (layout $layout) would not see all of its history. Go back with playbooks/rollback.yml, which" \
        "takes the history along, or start the release again that used it last"
}

check_identity() {
    [ -n "$identity" ] || return 0
    [ -n "$wallet" ] || refuse "GUARD_IDENTITY is set, but there is no wallet directory to compare it with"
    for place in "$data" "$wallet"; do
        read_note "$place/.validator-id" || refuse "$place has no .validator-id, but this client's database and wallet have" \
            "the identity $identity. Another directory may be mounted here. If it is the right one, run site.yml"
        [ "$note" = "$identity" ] || refuse "$place has the identity $note, but this client's is $identity: a wallet or a" \
            "database of another client. Put back what belongs here"
    done
}

# ---- A busybox that runs in any image.

# FILE OFFSET COUNT -> the number there, in the file's own order of bytes
number_at() {
    # shellcheck disable=SC2046
    set -- $(od -An -v -tx1 -j "$2" -N "$3" "$1" 2> /dev/null)
    hex=
    for octet in "$@"; do
        if [ "$order" = 02 ]; then hex=$hex$octet; else hex=$octet$hex; fi
    done
    echo $((0x${hex:-ffffffff}))
}

# Does a program run without libraries of its image? Then none of its segments names an interpreter (type 3).
static() {
    # shellcheck disable=SC2046
    set -- "$1" $(od -An -v -tx1 -N 6 "$1" 2> /dev/null)
    [ $# -eq 7 ] && [ "$2$3$4$5" = 7f454c46 ] || return 1
    order=$7
    if [ "$6" = 02 ]; then
        set -- "$1" "$(number_at "$1" 32 8)" "$(number_at "$1" 54 2)" "$(number_at "$1" 56 2)"
    else
        set -- "$1" "$(number_at "$1" 28 4)" "$(number_at "$1" 42 2)" "$(number_at "$1" 44 2)"
    fi
    [ "$4" -gt 0 ] && [ "$4" -lt 100 ] || return 1
    segment=0
    while [ "$segment" -lt "$4" ]; do
        segment_type=$(number_at "$1" $(($2 + segment * $3)) 4)
        if [ "$segment_type" -eq 3 ] || [ "$segment_type" -eq 4294967295 ]; then
            return 1
        fi
        segment=$((segment + 1))
    done
}

# NAME -> $found, its file. A busybox that prefers its own applets has no path to say for them.
find_file() {
    directories=$PATH:
    while [ -n "$directories" ]; do
        found=${directories%%:*}/$1
        if [ -f "$found" ] && [ -x "$found" ]; then
            return
        fi
        directories=${directories#*:}
    done
    return 1
}

install_tools() {
    into=$1
    advice="Set guard.image to an image with a static busybox, such as docker.io/library/busybox:1.37.0-musl"
    find_file busybox || refuse "the image of the guard has no busybox. $advice"
    static "$found" || refuse "$found in the image of the guard is not static, so it cannot run beside Prysm. $advice"
    put "$found" busybox
    for tool in sh $tools; do
        case "$newline$("$into/busybox" --list)$newline" in
            *"$newline$tool$newline"*) ln -sf busybox "$into/$tool" ;;
            *)
                find_file "$tool" && static "$found" || refuse "the image of the guard has no $tool in its busybox," \
                    "and no static one beside it. $advice"
                put "$found" "$tool"
                ;;
        esac
    done
}

# Prysm asks for its beacon node by name at every start, and by then the node with the cluster's DNS may be gone. So the
# addresses are looked up while the pod begins, and Prysm's container has them as /etc/hosts. They last as long as the
# services do. A name that is not found here is asked of the DNS, as ever.
write_hosts() {
    domain=$(awk '$1 == "search" { print $2; exit }' "${GUARD_RESOLV:-/etc/resolv.conf}" 2> /dev/null)
    known='127.0.0.1 localhost
::1 localhost'
    for name in $GUARD_HOSTS; do
        # Behind the server's own address. An older busybox numbers what it finds.
        found=$(timeout 6 "${GUARD_LOOKUP:-nslookup}" "$name.$domain" 2> /dev/null | awk -v name="$name" '
            $1 == "Name:" { behind = 1 }
            behind && /^Address/ { print ($2 ~ /^[0-9]+:$/ ? $3 : $2), name }
        ')
        [ -n "$found" ] || say "$name has no address yet, so the cluster's DNS is asked for it at each start"
        known=$known$newline$found
    done
    if ! { printf '%s\n' "$known" > "$1/.new" && chmod 0444 "$1/.new" && mv -f "$1/.new" "$1/hosts"; }; then
        refuse "$1/hosts cannot be written as $(me)"
    fi
}

# FILE NAME: copied whole or not at all, as an earlier start may have left one that is in use.
put() {
    if ! { cp "$1" "$into/.new" && chmod 0555 "$into/.new" && mv -f "$into/.new" "$into/$2"; }; then
        refuse "$into/$2 cannot be written as $(me)"
    fi
}

# ---- In order.

[ $# -ge 4 ] || usage "arguments are missing"
shift 4
wallet=
if [ $# -gt 0 ] && [ "$1" != -- ]; then
    wallet=$1
    shift
fi
if [ $# -gt 0 ]; then
    [ "$1" = -- ] || usage "'$1' is one argument too many"
    shift
    [ $# -gt 0 ] || usage "no program behind --"
fi
case "$kind" in
    beacon) database="$data/beaconchaindata/beaconchain.db" ;;
    validator) database="$data/validator.db" ;;
    *) usage "'$kind' is neither beacon nor validator" ;;
esac
case "$storage" in
    nfs | other) ;;
    *) usage "'$storage' is neither nfs nor other" ;;
esac
natural "$pause" || usage "'$pause' is no number of seconds"

for tool in $tools; do
    command -v "$tool" > /dev/null || refuse "the image of the guard has no $tool, so it cannot see whose the database is." \
        "Set guard.image to docker.io/library/busybox:1.37.0-musl"
done
if [ -n "${GUARD_INSTALL:-}" ]; then
    install_tools "$GUARD_INSTALL"
    [ -z "${GUARD_HOSTS:-}" ] || write_hosts "$GUARD_INSTALL"
fi
if [ "$kind" = validator ] && { [ $# -gt 0 ] || [ -n "$layout$version" ]; }; then
    natural "$layout" && release "$version" || refuse "GUARD_VERSION ('$version') and GUARD_LAYOUT ('$layout') do not say" \
        "what Prysm is to open the database"
    version=$plain
fi
# Of `busybox sh pulse.sh LOCK PRYSM` the last one, too: a standby that cannot start must not come to its turn.
program=${1:-}
case "${3:-}" in
    */pulse.sh) program=${5:-} ;;
esac
if [ $# -gt 0 ] && ! { [ -f "$1" ] && [ -x "$1" ] && [ -f "$program" ] && [ -x "$program" ]; }; then
    refuse "this image has no program $program. Is image.version the release that it holds? (entrypoints in versions.yaml)"
fi

check_mount
if [ "$pause" -gt 0 ]; then
    wait_for_hold
    say "waiting $pause seconds, as validatorStartWaitTime asks"
    rest "$pause"
fi

while :; do
    wait_for_hold
    look_again
    # Held from before the checks until the pod ends.
    take "$data/.$kind-lock" 8
    if [ "$kind" = validator ]; then
        check_history
    fi
    if there "$database"; then
        # An old client, or one that was started by hand, holds only this. Prysm takes it itself, so it is let go again.
        take "$database" 9
    fi
    # All could have changed while we waited.
    if ! held_back; then
        break
    fi
    # Whoever holds us back may want the locks.
    let_go
done

if [ "$kind" = validator ]; then
    check_history
    check_identity
    if there "$database"; then
        check_transaction
        check_version
        if ! there "$data/.validator-db-expected"; then
            write_note "$data/.validator-db-expected" "seen $(date -u +%Y-%m-%dT%H:%M:%SZ)"
        fi
        if [ $# -gt 0 ]; then
            write_note "$data/.validator-transaction" "$transaction"
            [ "$layout" -ge "$noted_layout" ] && noted_layout=$layout
            newer "$version" "$noted_version" && noted_version=$version
            write_note "$data/.validator-version" "$noted_layout $noted_version"
        fi
    fi
fi
if there "$database"; then
    say "$database is free"
else
    say "$database does not exist yet: first start"
fi
[ $# -gt 0 ] || exit 0

same "$data/.$kind-lock" 8 || refuse "$data/.$kind-lock was replaced while it was held. Nothing may remove it"
exec 9>&-
exec "$@"
