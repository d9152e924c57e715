/*
 * Two pods of one validator client on two nodes, the NFS server, and all that can happen to them.
 *
 * A step of the model is one thing that the real code does, or that the world does to it; comments name the code. Time
 * is left out: whatever takes long may take any time, so what holds here holds for every lease and every pause.
 * docs/model.md says what is proved, and what is left out. tests/unit/test_model.py runs it.
 *
 * A signature is sent for a slot. Prysm looks whether it has signed for that slot (view), writes the slot to
 * validator.db on the server, and sends the signature after that; so a process that thaws has one write under way at
 * most. The history of a key is the highest slot.
 */

#ifndef SLOTS
#define SLOTS 2
#endif

#define NOBODY 2

/* -- what is asked: -DASK=... asks for one of these only; without it all are asked ---------------------------------- */
#define EACH 0
#define DOUBLE 1
#define LESS 2
#define TWO 3
#ifndef ASK
#define ASK EACH
#endif
#ifdef LIVE
#define asked(what) false
#else
#define asked(what) (ASK == EACH || ASK == what)
#endif

/* A node works, or the server does not hear of it: it is frozen, cut off, or has no power. The first two are one here, as
   a step that can be taken may always be left out. */
#define WORKS 0
#define AWAY 1

/* -- how a pod's data directory is mounted -------------------------------------------------------------------------- */
#define GOOD 0          /* NFS 4.1 or later, hard, locks at the server */
#define LOCAL 1         /* local_lock=all, or no network file system: nobody else sees the lock */
#define V3 2            /* NFSv3: the server takes a write from whoever sends it */
#define ELSEWHERE 3     /* another directory, in which nothing was ever signed */

/* -- how far a pod has come ----------------------------------------------------------------------------------------- */
#define DOWN 0          /* no process */
#define WAITS 1         /* guard.sh, take(): tries the lock every second */
#define LOCKED 2        /* it holds .validator-lock, as descriptor 8 */
#define CHECKED 3       /* check_history, check_identity, check_transaction are behind it */
#define STARTS 4        /* pulse.sh has proved the lock and becomes Prysm, which has not opened its database */
#define SIGNER 5        /* Prysm: has validator.db open, and locked */
#define WRITES 6        /* the record of its next signature is under way to the server */
#define SENDS 7         /* it was told that the record is written; the signature is not sent yet */

byte node[2];
byte mount[2];
byte pod[2];
byte view[2];           /* the highest slot that the process knows to be signed */
byte act[2];            /* the slot that it is about to sign for */
bit file[2];            /* which validator.db it has open */

/* -- the NFS server, and what a node's kernel has learned of it ----------------------------------------------------- */
#define FINE 0
#define EXPIRED 1       /* the server has dropped all state of the node, which has not heard of it */
#define RESTARTED 2     /* the server has started anew, and the node has not talked to it since */

bool grace;             /* since a restart: locks can only be taken back */
byte lock = NOBODY;     /* who holds .validator-lock, by the server; this file is never replaced */
byte locked[2] = {NOBODY, NOBODY};      /* who holds each validator.db: Prysm's own lock */
byte known[2];          /* FINE, EXPIRED, RESTARTED */
bool listed[2];         /* on the server's disk: may take its locks back after a restart (nfsdcld) */
bool lost8[2];          /* the kernel refuses writes by descriptor 8: NFS lost a lock */
bool lostdb[2];         /* and by that of validator.db */
#ifdef DELEGATIONS
bool delegated[2];      /* the lock is the node's own business, and the server has only a delegation on record */
#endif

/* -- what lies on the server ---------------------------------------------------------------------------------------- */
/* The file called validator.db, and one that has lost that name to another, but is still open. */
#define NAMED 0
#define BELOW 1
byte db[2];             /* the highest slot in each */
byte note;              /* .validator-transaction, which guard.sh and the history watcher raise */

/* -- what only we know ---------------------------------------------------------------------------------------------- */
byte slot = 1;
byte top;               /* the highest slot that was ever written down for a signature */
byte sent;              /* a bit for each slot for which a signature was sent */
#ifdef LIVE
bool calm;              /* faults are over */
bool signs;             /* a signature was sent, and the next duty has not begun */
#endif

/* The server answers what a node asks. During the grace period it answers "later". */
#define served(n) (node[n] == WORKS && !grace)
#define by_server(n) (mount[n] == GOOD || mount[n] == V3)
#define starting(n) (pod[n] == CHECKED || pod[n] == STARTS)

/* Would the server take a write of this process to its validator.db now? This is the fence. */
#ifdef DELEGATIONS
#define holds(n) (locked[file[n]] == n || delegated[n])
#else
#define holds(n) (locked[file[n]] == n)
#endif
#ifdef NO_FENCED_WRITES
#define accepted(n) true
#else
#define accepted(n) (mount[n] != GOOD || (known[n] == FINE && !lostdb[n] && holds(n)))
#endif
/* pulse.sh, beat(): a signer whose first lock is lost is ended, before its next duty. */
#ifdef NO_BEAT
#define kept(n) true
#else
#define kept(n) (!lost8[n])
#endif

#define uses(n, one) (pod[n] >= SIGNER && file[n] == one)
/* For the question whether one signs in the end (-DLIVE) there are no slots, but faults that end. */
#ifdef LIVE
#define trouble (!calm)
#define works(n) (node[n] == WORKS)
#define due(n) works(n)
#else
#define trouble true
#define works(n) true
#define due(n) (slot > view[n])
#endif

#define could_sign(n) (pod[n] >= SIGNER && kept(n) && accepted(n))

/* The history watcher (_watch.py) reads the file behind the name, and one that has lost its name to another. It looks
   every two seconds; here it has looked before the next guard checks. */
#if defined(NO_HISTORY_WATCHER) || defined(LATE_WATCHER)
#define watched(n) false
#else
#ifdef NO_WATCH_BELOW
#define watched(n) (file[n] == NAMED)
#else
#define watched(n) true
#endif
#endif
#ifdef LATE_WATCHER
#define unseen(one) (db[one] > note)
#else
#define unseen(one) false
#endif

/* Nobody puts a copy there in the moment between the guard's check and Prysm's open. */
#ifdef BACK_DURING_START
#define may_come true
#else
#define may_come (!starting(0) && !starting(1))
#endif

inline drop(n) {
    if :: lock == n -> lock = NOBODY :: else fi;
    if :: locked[0] == n -> locked[0] = NOBODY :: else fi;
    if :: locked[1] == n -> locked[1] = NOBODY :: else fi
}

/* The Linux client after its state is gone: nfs.recover_lost_locks=N, so no lock is taken anew behind a process's back. */
inline lose(n) {
    lost8[n] = pod[n] >= LOCKED;
    lostdb[n] = pod[n] >= SIGNER
}

/* Any talk between a node and the server: what the node did not know, it learns now. */
inline talk(n) {
    if
    :: known[n] == EXPIRED ->
        known[n] = FINE;
#ifdef RECOVER_LOST_LOCKS
        if
        :: pod[n] >= SIGNER && lock == NOBODY && locked[file[n]] == NOBODY -> lock = n; locked[file[n]] = n
        :: else -> known[n] = EXPIRED
        fi
#else
        lose(n)
#endif
    :: known[n] == RESTARTED ->
        known[n] = FINE;
#ifdef NO_CLIENT_LIST
        listed[n] = true;
#endif
        if
        :: grace && listed[n] && !lost8[n] && !lostdb[n] && pod[n] >= LOCKED && lock == NOBODY &&
           (pod[n] < SIGNER || locked[file[n]] == NOBODY) ->
#ifdef DELEGATIONS
            /* Seen with a recall under way: the delegation is gone, and the lock was never told. */
            if
            :: !delegated[n] -> lock = n; if :: pod[n] >= SIGNER -> locked[file[n]] = n :: else fi
            :: else
            fi
#else
#ifndef NO_LOCK_ACROSS_EXEC
            lock = n;
#endif
            if :: pod[n] >= SIGNER -> locked[file[n]] = n :: else fi
#endif
        :: else -> lose(n)
        fi
    :: else
    fi;
    listed[n] = true
}

inline forget(n) {
#ifdef DELEGATIONS
    delegated[n] = false;
#endif
    pod[n] = DOWN; view[n] = 0; act[n] = 0; file[n] = NAMED; lost8[n] = false; lostdb[n] = false;
    if :: uses(0, BELOW) || uses(1, BELOW) || unseen(BELOW) :: else -> db[BELOW] = 0 fi
}

/* A process ends, and its files are closed; the server hears of it. */
inline end(n) {
    if :: by_server(n) -> drop(n) :: else fi;
    forget(n)
}

/* guard.sh, check_mount and check_identity. */
inline mount_is_right(n, yes) {
    yes = mount[n] == GOOD;
#ifdef UNFENCED
    yes = yes || mount[n] == LOCAL;         /* persistentVolumeType is not nfs: any mount will do */
#endif
#ifdef NO_LOCAL_LOCK_CHECK
    yes = yes || mount[n] == LOCAL;
#endif
#ifdef NO_VERSION_CHECK
    yes = yes || mount[n] == V3;
#endif
#ifdef NO_IDENTITY_CHECK
    yes = yes || mount[n] == ELSEWHERE;
#endif
}

/* guard.sh, check_history and check_transaction. */
#ifdef NO_HISTORY_CHECK
#define history_is_there(n) true
#else
#define history_is_there(n) (db[NAMED] >= note || mount[n] == ELSEWHERE)
#endif

#ifdef ONE_REPLICA
#ifdef FORCE
#define gone(n) true
#else
#define gone(n) (node[n] == WORKS && pod[n] == DOWN)
#endif
byte home;              /* the node that Kubernetes has bound the one pod to */
#define wanted(n) (home == n)
#else
#define wanted(n) true
#endif

proctype a_pod(byte n) {
    bool right;
    do
    /* The kubelet starts the container: a new pod, or one that ended; also where the API server has forgotten it. */
    :: d_step { pod[n] == DOWN && served(n) && wanted(n) ->
        talk(n);
        mount_is_right(n, right);
#ifdef CHECK_BEFORE_LOCK
        right = right && history_is_there(n);
#endif
        if :: right -> pod[n] = WAITS :: else fi;
        right = false }

    /* guard.sh: take "$data/.$kind-lock" 8 */
    :: d_step { pod[n] == WAITS && served(n) && (lock == NOBODY || !by_server(n)) ->
        talk(n);
        if :: by_server(n) -> lock = n :: else fi;
#ifdef DELEGATIONS
        delegated[n] = by_server(n);
#endif
        pod[n] = LOCKED }

    /* guard.sh: take "$database" 9, check_history .. write_note, with descriptor 8 held. */
    :: d_step { pod[n] == LOCKED && served(n) && (locked[NAMED] == NOBODY || !by_server(n)) ->
        talk(n);
#ifdef CHECK_BEFORE_LOCK
        pod[n] = CHECKED
#else
        if
        :: history_is_there(n) ->
            pod[n] = CHECKED;
            if :: mount[n] != ELSEWHERE -> view[n] = db[NAMED] :: else fi
        :: else -> end(n)
        fi
#endif
        }

    /* pulse.sh: proved || refuse; then it becomes Prysm. */
    :: d_step { pod[n] == CHECKED && served(n) ->
        talk(n);
        /* guard.sh: write_note .validator-transaction, of what was read before: the node may have stood still since, and
           whether the lock is still held is asked only then. */
        right = true;
#ifndef CHECK_BEFORE_LOCK
        if
#if !defined(NO_RISING_NOTE) && !defined(NO_HISTORY_CHECK)
        :: note > view[n] && mount[n] != ELSEWHERE -> right = false
#endif
        :: else -> if :: mount[n] != ELSEWHERE -> note = view[n] :: else fi
        fi;
        view[n] = 0;
#endif
        if
        :: lost8[n] || !right -> end(n)
        :: else ->
            pod[n] = STARTS;
#ifdef NO_LOCK_ACROSS_EXEC
            if :: lock == n -> lock = NOBODY :: else fi
#endif
        fi;
        right = false }

    /* Prysm opens validator.db and locks it (bbolt); after a second without the lock it gives up. */
    :: d_step { pod[n] == STARTS && served(n) ->
        talk(n);
        if
        :: mount[n] == ELSEWHERE -> pod[n] = SIGNER; view[n] = 0
        :: else ->
            if
            :: locked[NAMED] == NOBODY || !by_server(n) ->
                pod[n] = SIGNER; file[n] = NAMED; view[n] = db[NAMED];
                if :: by_server(n) -> locked[NAMED] = n :: else fi
            :: else -> end(n)
            fi
        fi }

    /* A duty. The beat (pulse.sh, proved) has ended a signer by now whose first lock is lost, when the node knows it. */
    :: d_step { pod[n] == SIGNER && due(n) && kept(n) ->
#ifdef LIVE
        signs = false;
#endif
        act[n] = slot; pod[n] = WRITES }

    /* The server gets the record; the node may have frozen since it sent it. */
    :: d_step { pod[n] == WRITES && (!grace || !by_server(n)) && accepted(n) ->
        assert(!asked(TWO) || !could_sign(1 - n));              /* two signers */
        assert(!asked(LESS) || view[n] >= top);                 /* less history */
        if :: act[n] > top -> top = act[n] :: else fi;
        if
        :: mount[n] == ELSEWHERE
        :: else ->
            db[file[n]] = act[n];
            if
            :: act[n] > note && watched(n) -> note = act[n]
            :: else
            fi
        fi;
        pod[n] = SENDS }

    /* EIO: Prysm ends. */
    :: d_step { pod[n] == WRITES && served(n) && !accepted(n) ->
        talk(n);
        if :: lostdb[n] -> end(n) :: else fi }

    /* It knows that the record is written, and sends the signature. */
    :: d_step { pod[n] == SENDS && works(n) ->
        assert(!asked(DOUBLE) || !(sent & (1 << act[n])));      /* double signature */
        sent = sent | (1 << act[n]);
#ifdef LIVE
        signs = true;
#else
        view[n] = act[n];
#endif
        act[n] = 0;
        pod[n] = SIGNER }

    /* Any end: a pod is deleted, evicted, crashes; or the beat ends it, because its lock is lost. */
    :: d_step { pod[n] != DOWN && served(n) && (trouble || lost8[n]) -> talk(n); end(n) }

    /* The beat and the NFS client itself talk to the server; only this is heard during the grace period. */
    :: d_step { known[n] != FINE && node[n] == WORKS -> talk(n) }
    od
}

/* What happens to nodes. */
proctype fate(byte n) {
    do
    /* It freezes, or is cut off from the server. */
    :: d_step { node[n] == WORKS && trouble -> node[n] = AWAY }
    /* Its power goes: what it had is still its, by the server. */
    :: d_step { pod[n] != DOWN && trouble -> node[n] = AWAY; forget(n) }
    /* It thaws or is heard again, with all that it was about to do; or it boots. Then it is a new client to the server,
       which drops what the old one had. */
    :: d_step { node[n] == AWAY && trouble ->
        node[n] = WORKS;
        if :: pod[n] == DOWN -> drop(n); known[n] = FINE; listed[n] = true :: else fi }
#ifdef ONE_REPLICA
    /* The StatefulSet makes its pod anew elsewhere once the node has said that the old one is gone; a deletion by force
       (or of the Node object) does not wait for that. */
    :: d_step { home == n && gone(n) -> home = 1 - n }
#endif
    od
}

inline expire(n) {
    drop(n);
    if :: known[n] == FINE -> known[n] = EXPIRED :: else fi;
    listed[n] = false
}

#define has_one(n) (lock == n || locked[NAMED] == n || locked[BELOW] == n)
/* eth2xk8s-expire (_expiry.py), and the server after the lease: a node that is silent and has the lock for which one
   waits that is not. Whoever has or wants it touches the server every second (guard.sh, pulse.sh). */
#define silent(n) (node[n] == AWAY && works(1 - n) && (pod[1 - n] == WAITS || pod[1 - n] == LOCKED))

/* Any node may be expired at any time, also one that lives: that must never do harm. Only the question whether one signs
   in the end needs a right verdict. */
#ifdef LIVE
#ifdef TOO_EAGER
#define expires(n) true
#else
#ifdef NO_EXPIRY
#define expires(n) false
#else
#define expires(n) (trouble || silent(n))
#endif
#endif
#else
#define expires(n) true
#endif

proctype expiry() {
    do
    :: d_step { !grace && has_one(0) && expires(0) -> expire(0) }
    :: d_step { !grace && has_one(1) && expires(1) -> expire(1) }
    od
}

/* The server starts anew, and knows no lock. */
proctype restarts() {
    do
    :: d_step { !grace && trouble ->
        lock = NOBODY; locked[NAMED] = NOBODY; locked[BELOW] = NOBODY; known[0] = RESTARTED; known[1] = RESTARTED;
#ifndef NO_GRACE
        grace = true
#endif
        }
    od
}

/* Who has not come back by the end of the grace period is not on the list of the next one. */
proctype end_of_grace() {
    do
    :: d_step { grace ->
        grace = false;
        if :: known[0] == RESTARTED -> listed[0] = false :: else fi;
        if :: known[1] == RESTARTED -> listed[1] = false :: else fi }
    od
}

/* Time goes on; or, asked whether one signs in the end, faults are over while there is one good node. */
proctype clock() {
    do
#ifdef LIVE
    :: d_step { !calm && ((node[0] == WORKS) || (node[1] == WORKS && mount[1] == GOOD)) -> calm = true }
#else
    :: d_step { slot < SLOTS -> slot++ }
#endif
    od
}

/* Somebody puts a copy of any age in the place of validator.db, by a rename: who has the old file open keeps it. */
inline put(age) {
    if
    :: uses(0, NAMED) || uses(1, NAMED) || unseen(NAMED) -> db[BELOW] = db[NAMED]; locked[BELOW] = locked[NAMED]
    :: else -> locked[BELOW] = NOBODY
    fi;
    if :: uses(0, NAMED) -> file[0] = BELOW :: else fi;
    if :: uses(1, NAMED) -> file[1] = BELOW :: else fi;
    db[NAMED] = age;
    locked[NAMED] = NOBODY
#ifdef NOTE_BACK
    ; note = age
#endif
#ifdef LOCK_REPLACED
    ; lock = NOBODY
#endif
}

/* One file without a name at a time is enough. */
#define may_put (!unseen(BELOW) && !uses(0, BELOW) && !uses(1, BELOW) && locked[BELOW] == NOBODY && may_come)

#ifdef LATE_WATCHER
proctype history_watcher() {
    do
    :: d_step { unseen(NAMED) -> note = db[NAMED] }
    :: d_step { unseen(BELOW) -> note = db[BELOW]; if :: !uses(0, BELOW) && !uses(1, BELOW) -> db[BELOW] = 0 :: else fi }
    od
}
#endif

proctype operator() {
    do
    :: d_step { may_put -> put(0) }
    :: d_step { may_put && db[NAMED] > 1 -> put(db[NAMED] - 1) }
    :: d_step { may_put && db[NAMED] > 0 -> put(db[NAMED]) }
    od
}

init {
    atomic {
        /* One of the two nodes may have been set up wrongly. */
#ifdef UNFENCED
        mount[0] = LOCAL; mount[1] = LOCAL;
#else
        if :: mount[1] = ELSEWHERE :: mount[1] = V3 :: mount[1] = LOCAL :: mount[1] = GOOD fi;
#endif
        listed[0] = true; listed[1] = true;
        run a_pod(0); run a_pod(1); run fate(0); run fate(1); run expiry(); run restarts();
        run end_of_grace(); run clock();
#ifdef LATE_WATCHER
        run history_watcher();
#endif
#if !defined(LIVE) && !defined(NO_COPIES)
        run operator();
#endif
        skip
    }
}

#ifdef LIVE
ltl in_the_end { [] (calm -> <> signs) }
#endif
