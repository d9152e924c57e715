/*
 * What playbooks do to clients: a key moves from one client to another (-DMOVE_KEY), an older release takes over across a
 * change of layout (-DROLLBACK), a client moves from a node to another (-DMOVE_CLIENT). Each playbook may be cut off before
 * every step and is run again, or is given up, and nodes freeze meanwhile. In the first two Kubernetes does what it likes:
 * pods are deleted by force, or wanted again by whoever scales them up, with any release. Nothing is left to it there.
 *
 * One process a client is enough here: that two pods of one client never sign together is what fence.pml proves, and
 * a process whose lock was given to another is as good as ended. So a signature is one step here: looked up, written
 * down and sent. -DUNFENCED is a site without that fence.
 */

#ifndef SLOTS
#define SLOTS 2
#endif

#define EACH 0
#define DOUBLE 1
#define LESS 2
#define TWO 3
#ifndef ASK
#define ASK EACH
#endif
#define asked(what) (ASK == EACH || ASK == what)

#define WORKS 0
#define AWAY 1          /* frozen, or without power */

#define DOWN 0
#define HELD 1          /* guard.sh, wait_for_hold */
#define WAITS 2         /* take(): it waits for .validator-lock, however long that takes */
#define LOCKED 3        /* it has the lock, and looks again whether it is held back */
#define CHECKED 4       /* nothing held it back, and the history is there */
#define SIGNER 5        /* Prysm */

bit node[2];
byte pod[2];
byte view[2];           /* the highest slot of the key that the process knows */
bool has[2];            /* the process has the key: it read its wallet when it started */

bool hold[2];           /* .validator-hold */
bool busy[2];           /* the playbook holds both locks (slashing_protection_replace, prysm_wallet_import) */
bool wallet[2];         /* the key is in the wallet */
byte db[2];             /* the highest slot of the key in validator.db */
bool below[2];          /* another file took the name of the one that the process has open */
bool grace;             /* the NFS server has just started: a lock that is held reads as free */

byte slot = 1;
byte top;
byte sent;

#ifdef ROLLBACK
#define OLD 1
#define NEW 2
byte runs = NEW;        /* the release of the pod */
byte layout = NEW;      /* of the database */
byte noted = NEW;       /* .validator-version */
#endif

#ifdef MOVE_CLIENT
/* Two nodes for the pod of one client, which has one data directory: the second is the node it goes to. */
#define of(c) 0
bool object[2];         /* the API server has its pod, on this node */
bool wants;             /* the StatefulSet wants a pod */
byte record;            /* the highest slot on record: .history/record.json and its copies */
#define may_run(c) (object[c] && wants)
#else
#define may_run(c) true
#define of(c) c
#endif

#define ended(c) (pod[c] < LOCKED)
#ifdef UNFENCED
#define lock_is_free(c) true            /* no lock is seen from elsewhere */
#define may_lock(c) true
#define may_write true
#else
#ifdef NO_GRACE_WAIT
#define lock_is_free(c) (ended(c) || grace)
#else
#define lock_is_free(c) (ended(c) && !grace)
#endif
#ifdef MOVE_CLIENT
#define may_lock(c) (!grace && ended(1 - c))
#else
#define may_lock(c) (!busy[c] && !grace)
#endif
#define may_write (!grace)
#endif

inline forget(c) {
    pod[c] = DOWN; view[c] = 0; has[c] = false; below[c] = false
}

#ifdef ROLLBACK
/* guard.sh, check_version. */
#ifdef NO_VERSION_NOTE
#define version_is_right true
#else
#define version_is_right (runs >= noted)
#endif
#else
#define version_is_right true
#endif

/* guard.sh: "All could have changed while we waited." */
#ifdef NO_SECOND_LOOK
#define held_back(c) false
#else
#define held_back(c) hold[c]
#endif

proctype client(byte c) {
    do
    /* The kubelet starts a container. */
    :: d_step { pod[c] == DOWN && node[c] == WORKS && may_run(c) ->
#ifdef ROLLBACK
        if :: runs = OLD :: runs = NEW fi;
#endif
        pod[c] = HELD }
    :: d_step { pod[c] == HELD && node[c] == WORKS && !hold[c] -> pod[c] = WAITS }
    :: d_step { pod[c] == WAITS && node[c] == WORKS && may_lock(c) -> pod[c] = LOCKED }
    :: d_step { pod[c] == LOCKED && node[c] == WORKS && held_back(c) -> pod[c] = HELD }
    :: d_step { pod[c] == LOCKED && node[c] == WORKS && !held_back(c) ->
        if :: version_is_right -> pod[c] = CHECKED :: else -> pod[c] = DOWN fi }
    :: d_step { pod[c] == CHECKED && node[c] == WORKS ->
        pod[c] = SIGNER;
        has[c] = wallet[of(c)];
        view[c] = (has[c] -> db[of(c)] : 0);
#ifdef ROLLBACK
        /* An older release sees nothing of the newer layout; a newer one brings the older layout up. */
        if :: runs < layout -> view[c] = 0 :: else -> layout = runs fi;
        if :: noted < runs -> noted = runs :: else fi;
#endif
        skip }

    /* On a node that stands still this is a record that was on its way to the server, which takes it while the lock is
       the node's. */
    :: d_step { pod[c] == SIGNER && has[c] && slot > view[c] && may_write ->
        assert(!asked(TWO) || pod[1 - c] != SIGNER || !has[1 - c]);     /* two signers */
        assert(!asked(LESS) || view[c] >= top);                         /* less history */
        assert(!asked(DOUBLE) || !(sent & (1 << slot)));                /* double signature */
        if :: slot > top -> top = slot :: else fi;
        sent = sent | (1 << slot);
        if :: !below[c] -> db[of(c)] = slot :: else fi;
#if defined(MOVE_CLIENT) && !defined(LATE_RECORD)
        record = slot;                                  /* the history watcher, and record.yml */
#endif
        view[c] = slot }

    /* It crashes; or the kubelet ends it, because it is not wanted any more. */
    :: d_step { pod[c] != DOWN && node[c] == WORKS -> forget(c) }
    od
}

#ifdef MOVE_CLIENT
/* The StatefulSet makes its pod on one node, and ends it there before it makes another. */
proctype cluster(byte c) {
    do
    :: d_step { wants && !object[0] && !object[1] -> object[c] = true }
    :: d_step { !wants && object[c] && node[c] == WORKS && pod[c] == DOWN -> object[c] = false }
    /* Deleted by force, its process may live. While a client is wanted that is two signers where nothing fences them,
       and nobody must do it (docs/safety.md). */
#ifdef UNFENCED
    :: d_step { !wants && object[c] -> object[c] = false }
#else
    :: d_step { object[c] -> object[c] = false }
#endif
    od
}

/* While it is stopped its whole directory is put back from a backup: the notes beside the database are as old as it is. */
proctype operator() {
    do
    :: d_step { !wants && pod[0] == DOWN && pod[1] == DOWN && db[0] > 0 -> db[0] = db[0] - 1 }
    od
}
#endif

proctype fate(byte c) {
    do
    :: d_step { node[c] == WORKS -> node[c] = AWAY }
    :: d_step { node[c] == AWAY -> node[c] = WORKS }
    /* Its power goes; or the lease of a silent node ends, and what it signs later is refused. */
    :: d_step { node[c] == AWAY && pod[c] != DOWN -> forget(c) }
    od
}

proctype server() {
    do
    :: d_step { !grace -> grace = true }
    /* Who was away all the time has lost its locks. */
    :: d_step { grace ->
        grace = false;
#ifndef UNFENCED
        if :: node[0] == AWAY && pod[0] >= LOCKED -> forget(0) :: else fi;
        if :: node[1] == AWAY && pod[1] >= LOCKED -> forget(1) :: else fi
#endif
        }
    :: d_step { slot < SLOTS -> slot++ }
#ifdef LATE_RECORD
    /* prysm_wallet_history_interval: what was signed since is on no record yet. */
    :: d_step { record < db[0] -> record = db[0] }
#endif
    od
}

#define max(a, b) (a > b -> a : b)

/* A step of a playbook; or the run is cut off before it, or refuses, and the next one begins. */
#define step(...) if :: d_step { __VA_ARGS__ } :: d_step { busy[0] = false; busy[1] = false }; goto begin fi

/* prysm_helm, stop.yml: scaled to nothing, and proved stopped. */
inline stop(c) {
#ifdef MOVE_CLIENT
    step(wants = false);
    step(!object[c]);                                   /* validator_stopped: no pod at the API server */
#endif
#ifndef NO_STOP_PROOF
#ifndef NO_NODE_PROOF
    /* validator_stopped, processes.yml: nothing of it runs on any machine; one that does not answer is no proof. */
    step(node[c] == WORKS && pod[c] == DOWN);
#endif
#ifndef NO_LOCK_PROOF
    step(lock_is_free(c));                              /* validator_lock */
#endif
#endif
    skip
}

inline put_on_hold(c) {
#ifdef NO_HOLD
    skip
#else
    step(hold[c] = true)
#endif
}

/* Both locks of a client are taken, or it is refused: one runs, or waits for them. */
#if defined(NO_LOCKS_HELD) || defined(UNFENCED)
#define can_take(c) true
#else
#define can_take(c) (ended(c) && !grace)
#endif

/* slashing_protection_replace: what is put there is proved against what is there, and against what is wanted in it. */
#ifdef NO_REPLACE_PROOF
#define is_proved(c, new, wanted) true
#else
#define is_proved(c, new, wanted) (new >= db[c] && new >= wanted)
#endif
inline put_there(c, new) {
    db[c] = new;
    below[c] = pod[c] == SIGNER
}

#ifdef MOVE_KEY
proctype playbook() {
    byte exported, made;
    bool abort;
begin:
    skip;
    d_step { exported = 0; made = 0; abort = false };
    /* move_check.yml: given up only while the key is in its wallet. */
    if
    :: true
#ifdef NO_ABORT_RULE
    :: abort = true
#else
    :: wallet[0] -> abort = true
#endif
    fi;
    if
    :: !abort && !hold[0] && !hold[1] && wallet[1] && !wallet[0]        /* done */
    :: else ->
        /* move_key.yml, move_key_abort.yml */
        if :: !abort -> put_on_hold(0); put_on_hold(1) :: else fi;
        stop(0);
        stop(1);
        if
        :: abort
        :: else ->
            /* move_key_history.yml: exported, imported into a copy, and the copy put there with a proof. */
#ifndef NO_MERGE
            step(exported = db[0]; made = max(exported, db[1]));
            step(can_take(1) -> busy[1] = true);
            step(is_proved(1, made, exported) -> put_there(1, made); exported = 0; made = 0);
            step(busy[1] = false);
#endif
            /* move_wallets.yml: out of the one, with a tombstone, and then into the other; each with both locks held. */
            step(can_take(0) -> busy[0] = true);
            step(wallet[0] = false; busy[0] = false);
            step(can_take(1) -> busy[1] = true);
            step(wallet[1] = true; busy[1] = false)
        fi
    fi;
    /* move_key_finish.yml, start.yml */
    step(hold[0] = false);
    step(hold[1] = false);
    goto begin
}
#endif

#ifdef ROLLBACK
proctype playbook() {
    byte backup, exported;
    bool done, kept, abort;
begin:
    skip;
    d_step { abort = false; exported = 0 };
    if
    :: true
    :: hold[0] -> abort = true
    fi;
    if
    :: abort ->
        stop(0)                                         /* rollback_abort_client.yml */
    :: else ->
        /* rollback_client.yml. One that begins anew has a name of its own: no copy, and nothing done. */
        d_step { if :: !hold[0] -> kept = false; done = false; backup = 0 :: else fi };
        put_on_hold(0);
        if
        :: done
        :: else ->
            stop(0);
            /* Only once: after a replacement that was cut off the database is the new one. */
            if :: !kept -> step(backup = db[0]; kept = true) :: else fi;
#ifdef NO_REWRITE
            step(noted = OLD);
#else
            step(exported = db[0]);
            step(can_take(0) -> busy[0] = true);
            step(is_proved(0, exported, backup) -> put_there(0, exported); exported = 0; layout = OLD; noted = OLD);
#endif
            step(busy[0] = false);
            step(done = true)
        fi
    fi;
    step(hold[0] = false);
    goto begin
}
#endif

#ifdef MOVE_CLIENT
/* prysm_helm, move.yml */
proctype playbook() {
begin:
    stop(0);
    stop(1);
    /* start.yml, history.yml: not with less than is on record. That it is put back between the two is left out. */
#ifdef NO_RECORD_CHECK
    step(wants = true);
#else
    step(db[0] >= record -> wants = true);
#endif
    goto begin
}
#endif

init {
    atomic {
        wallet[0] = true;
#ifdef MOVE_CLIENT
        wants = true; object[0] = true;
        run cluster(0); run cluster(1); run operator();
#endif
        run client(0); run fate(0);
#ifndef ROLLBACK
        run client(1); run fate(1);
#endif
        run server(); run playbook()
    }
}
