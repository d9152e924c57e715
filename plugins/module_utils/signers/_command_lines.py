# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Command lines of containers and processes: which of their words starts a client, through shells and wrappers.

Wrappers, entry points and shells of all kinds stand before a program, so the words of a container are looked at one by
one; what a program is given is judged by `_clients`.
"""

from __future__ import annotations

import re
import shlex
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._clients import (
    BY_COMM,
    BY_PROGRAM,
    CONFIG,
    NEVER,
    OF_PRYSM,
    OF_PRYSM_BEACON,
    PRYSM,
    SIGNER,
    TELLING,
    UNKNOWN,
    VALUED,
    WORDS,
    Client,
    Surroundings,
    Verdict,
    flag,
    flags,
    given,
    image_client,
    judge,
    name_set,
    nothing,
    positional,
    program_name,
    sets,
    values,
)

#: Programs whose names are ordinary words as well.
_ORDINARY = frozenset(["validator", "vc", "anchor", "charon", "dirk", "vero", "vouch", "ream", "prysm", "nimbus"])

_SHELLS = frozenset(["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"])
_WRAPPERS = name_set(
    """env exec nohup setsid nice ionice timeout stdbuf unbuffer tini dumb-init catatonit s6-setuidgid su-exec gosu
    setpriv sudo doas su runuser chroot chrt taskset numactl flock time watch xargs command eval builtin unshare nsenter
    systemd-run daemonize start-stop-daemon screen tmux strace ltrace gdb valgrind npx yarn npm pnpm docker-entrypoint
    docker-init entrypoint run start supervise runit faketime with-contenv softlimit prlimit cgexec firejail
    bwrap proot script caffeinate linux32 linux64 setarch"""
)
_INTERPRETERS = re.compile(r"^(java|node|nodejs|bun|deno|python[0-9.]*|pypy3?|perl|ruby|qemu(-[a-z0-9_]+)*|ld-.*|ld)$")
#: What stands between an interpreter and its script.
_RUNS = ("run", "exec", "x", "start", "tool")
#: Programs that do not start others, or print; words they are given are data.
_TOOLS = name_set(
    """echo printf grep egrep fgrep cat ls kubectl test [ [[ pgrep pkill killall kill wget curl tail head which true
    false sleep mkdir chown chmod cp mv rm ln touch sed awk tr cut wc sort uniq tee tar gzip gunzip unzip date hostname
    id whoami export set unset cd umask trap wait read local return exit shift if then else elif fi for while until do
    done case esac in openssl jq yq apk apt-get apt base64 find stat du df dd nc getent nslookup dig ping ip rsync
    rclone restic psql pg_dump aws gsutil mktemp basename dirname source . : rev seq install diff
    journalctl less more vi vim nano git ssh scp docker crictl ctr systemctl helm sync
    flyway migrate ps"""
)

#: Those of them that prepare a pod, or keep one up that is looked into.
_PREPARING = name_set("chown chmod mkdir cp mv rm ln ls cat tail sleep echo touch tar wget curl kubectl openssl")
#: Those of them that write scripts, once their words go to a file.
_WRITING = name_set("echo printf cat tee sed awk tr base64 openssl")
#: Programs that ask others, whose names they are given.
_ASKING = frozenset(["kubectl", "helm", "curl", "wget", "docker", "crictl", "journalctl", "systemctl"])
#: How deep shells in shells are read.
_DEEPEST = 5


def expand(text: str, env: t.Mapping[str, str]) -> str:
    """Kubernetes' $(NAME) in commands and arguments; what is not known stays as it is, and $$ is a plain $."""
    return re.sub(
        r"\$\$|\$\(([A-Za-z_][\w.\-]*)\)",
        lambda found: env.get(found.group(1), found.group(0)) if found.group(1) else "$",
        text,
    )


def _assigned(text: str, env: t.Mapping[str, str]) -> dict[str, str]:
    known = dict(env)
    for found in re.finditer(
        r"(?:^|[\s;&(])([A-Za-z_]\w*)=(\"[^\"$`]*\"|'[^']*'|[^\s;&|\"'$`()]*)(?=$|[\s;&|)])", text
    ):
        known.setdefault(found.group(1), found.group(2).strip("\"'"))
    return known


def _variables(text: str, env: t.Mapping[str, str]) -> str:
    def value(found: t.Match[str]) -> str:
        name, default = found.group(1) or found.group(2), found.group(3)
        return env.get(name, found.group(0) if default is None else default)

    return re.sub(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::?-([^{}]*))?\})", value, text)


def commands(text: str, env: t.Mapping[str, str]) -> list[list[str]]:
    """The simple commands of a shell script, each as its words. Bodies of here-documents count as commands."""
    text = text.replace("\\\n", " ")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    text = _variables("\n".join(lines), _assigned("\n".join(lines), env))
    text = text.replace("\n", " ; ").replace("`", " ; ")
    try:
        tokens = _tokens(text)
    except ValueError:
        tokens = _tokens(re.sub(r"[\"'\\]", " ", text))
    found: list[list[str]] = [[]]
    for token in tokens:
        if token and all(char in "();&|" for char in token):
            found.append([])
        else:
            found[-1].append(token)
    return [words for words in found if words]


def _tokens(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    return list(lexer)


def _is_script(word: str) -> bool:
    return any(char.isspace() or char == ";" for char in word.strip())


def _scripts(words: t.Sequence[str], around: Surroundings) -> dict[int, str]:
    """Which of the words hold, or name, a script; and its text."""
    found: dict[int, str] = {}
    for i, word in enumerate(words):
        before = flag(words[i - 1]) if i else None
        own = flag(word)
        if _is_script(word):
            # What is written on a block is no command.
            told = own if own is not None and own[1] is not None else before
            if told is None or told[0] not in VALUED or (told is before and before[1] is not None):
                found[i] = word if own is None or own[1] is None else own[1]
        elif before is not None and before[1] is None and words[i - 1][-1] == "c" and _shell(words[:i]):
            found[i] = word
        elif word.startswith("/"):
            text = around.read(word)
            if text is not None and (word.endswith("sh") or text.startswith("#!")):
                found[i] = text
    return found


def _shell(words: t.Iterable[str]) -> bool:
    return any(program_name(word) in _SHELLS for word in words)


def _client_of(words: t.Sequence[str], at: int) -> Client | None:
    """The client that the word at a place names as a program."""
    word = words[at]
    if word.startswith("-") or "://" in word or "/ipsec/" in word:  # strongSwan has a charon, too.
        return None
    if not word.startswith("/"):
        for package, name in (("tech.pegasys.teku.", "teku"), ("tech.pegasys.web3signer.", "web3signer")):
            if word.startswith(package):
                return BY_PROGRAM[name]
    name = program_name(word)
    client = BY_PROGRAM.get(name)
    if client is None or name not in _ORDINARY or at == 0:
        return client
    if "/" not in word and program_name(words[0]) in _ASKING:
        return None
    before = flag(words[at - 1])
    if before is None or before[1] is not None:
        return client
    if before[0] in VALUED:
        return None
    # --anything /data/validator is the value of an argument; sudo -E /opt/validator is not.
    launched = any(program_name(one) in _WRAPPERS or _INTERPRETERS.match(program_name(one)) for one in words[:at])
    return client if "/" not in word or before[0] == "jar" or (launched and len(before[0]) == 1) else None


def search(words: t.Sequence[str], around: Surroundings, depth: int = 0) -> list[Verdict]:
    """What the words of a command say of every program they start, wherever it stands."""
    if depth > _DEEPEST:
        return [Verdict(UNKNOWN, True, "its command is nested too deeply to be read", tuple(words), False)]
    found: list[Verdict] = []
    scripts = _scripts(words, around)
    for i, word in enumerate(words):
        if word.endswith("guard.sh") and set(words[i + 1 : i + 2]) & {"beacon", "validator"}:
            # This collection's own guard starts what follows the two dashes, or nothing.
            rest = words[i:]
            if "--" not in rest:
                return [*found, Verdict(UNKNOWN, False, "", tuple(rest))]
            return [*found, *search(rest[rest.index("--") + 1 :], around, depth + 1)]
        if i in scripts:
            for command in commands(scripts[i], around.env):
                found += _script_command(command, around, depth)
        client = _client_of(words, i)
        if client is not None:
            verdict = judge(client, words[i + 1 :], around)
            # A name that stands behind others can be anything: then it has to be told to sign.
            return [*found, verdict if verdict.sure or i == 0 or _starts(words[:i]) else verdict._replace(signs=False)]
    told = _unnamed(words)
    return [*found, told] if told else found


def _unnamed(words: t.Sequence[str]) -> Verdict | None:
    """A program of any name with the arguments of a validator client."""
    telling = given(words, OF_PRYSM) or given(words, TELLING)
    if not telling:
        if "accepttermsofuse" in flags(words) and not given(words, OF_PRYSM_BEACON) and judge(PRYSM, words).signs:
            return Verdict(
                PRYSM, True, "it accepts Prysm's terms of use, and is told nothing of a beacon node", tuple(words)
            )
        return None
    return Verdict(PRYSM if telling in OF_PRYSM else UNKNOWN, True, f"it was given --{telling}", tuple(words))


def _starts(words: t.Sequence[str]) -> bool:
    return all(word.startswith(("-", "/")) or program_name(word) in _WRAPPERS | _SHELLS for word in words)


_ASSIGNED = re.compile(r"^[A-Za-z_]\w*=|^[{}!]$")
_KEYWORDS = ("then", "do", "else", "if", "while", "until", "elif")


def _head(command: t.Sequence[str]) -> str:
    """The program of a simple command."""
    return program_name(next((word for word in command if not _ASSIGNED.match(word) and word not in _KEYWORDS), ""))


def _script_command(command: list[str], around: Surroundings, depth: int) -> list[Verdict]:
    head = _head(command)
    if head == "set" and "--" in command:
        # The words of the script itself: exec "$@" starts them.
        return search(command[command.index("--") + 1 :], around, depth + 1)
    if head not in _TOOLS or (head in _WRITING and any(set(word) <= set("<>") for word in command)):
        return search(command, around, depth + 1)
    if depth > _DEEPEST or head in ("echo", "printf", "grep"):
        return []
    # The words of a tool are data; what it is given in one word may be a command all the same.
    inner = [one for word in command[1:] if _is_script(word) for one in commands(word, around.env)]
    return [verdict for one in inner for verdict in _script_command(one, around, depth + 1)]


def only_tools(words: t.Sequence[str], around: Surroundings) -> bool:
    """Whether a command starts nothing but ordinary tools."""
    if not words:
        return False
    scripts = _scripts(words, around)
    heads = [_head(one) for text in scripts.values() for one in commands(text, around.env)]
    first = program_name(words[0])
    if first not in _SHELLS:
        return first in _PREPARING
    return (len(words) == 1 or bool(scripts)) and all(head in _TOOLS or not head for head in heads)


# -- containers -------------------------------------------------------------------------------------------------------


def container(image: str, command: t.Sequence[str], args: t.Sequence[str], around: Surroundings) -> Verdict | None:
    """What a container runs, if that signs or may."""
    words = [*command, *args]
    found = search(words, around)
    for name, value in around.env.items():
        found += _variable(name, value, around)
    signing = [verdict for verdict in found if verdict.signs]
    of_image = image_client(image)
    if signing:
        if of_image is not None and not command:
            own = judge(of_image, words, around)
            if own.signs and own.sure:
                return own
        best = max(signing, key=lambda verdict: (verdict.sure, verdict.client is not UNKNOWN))
        return best._replace(client=of_image) if best.client is UNKNOWN and of_image is not None else best
    if of_image is None:
        return _told(words, found) or _configured(words, around)
    if any(
        verdict.sure and (verdict.client.name == of_image.name or verdict.client.role == NEVER) for verdict in found
    ):
        return None
    if command and (of_image.role == NEVER or only_tools(words, around)):
        return None
    verdict = judge(of_image, words, around)
    if command and verdict.signs and not verdict.sure:
        return verdict._replace(why=f"its image is of {of_image.name}, and what it runs in it is not known")
    return verdict if verdict.signs else None


def is_decided(image: str, command: t.Sequence[str], args: t.Sequence[str], around: Surroundings) -> bool:
    """Whether it is known what a container runs that does not sign: a client that was told to do something else."""
    if image_client(image) is not None and not command:
        return True
    return any(verdict.sure for verdict in search([*command, *args], around))


def hook(words: t.Sequence[str], around: Surroundings) -> Verdict | None:
    """What a command that a container runs beside its own (a probe, a hook) starts, if that certainly signs."""
    found = search(words, around)
    return next((verdict for verdict in found if verdict.signs and verdict.sure), None)


#: More than any start script.
_LONGEST = 1 << 17
_PLAIN_SCRIPT = re.compile(r"^[^.]+$|\.(ba|da|z|k)?sh$|\.(run|cmd)$", re.I)
_STARTING_LINE = re.compile(r"(?m)^\s*(?:command|ExecStart|[\w-]+:)\s*=?\s*(\S+.*)$")


def script(name: str, text: str, around: Surroundings) -> Verdict | None:
    """What a file that a container can read starts, if it is a script, or a supervisor's list, and certainly signs."""
    if len(text) > _LONGEST:
        return None
    if text.startswith("#!") or _PLAIN_SCRIPT.search(name):
        told = commands(text, around.env)
        if name.lower() == "procfile":
            told += [one for line in _STARTING_LINE.findall(text) for one in commands(line, around.env)]
    elif name.lower().endswith((".conf", ".ini", ".service")):
        told = [one for line in _STARTING_LINE.findall(text) for one in commands(line, around.env)]
    else:
        return None
    for command in told:
        head = _head(command)
        launches = head in BY_PROGRAM or head in _WRAPPERS or head in _SHELLS or bool(_INTERPRETERS.match(head))
        if not launches and not given(command, TELLING):
            continue
        if len(command) < 2 and head in _ORDINARY:
            continue  # The name of a user, say.
        for verdict in _script_command(command, around._replace(read=nothing), 0):
            if verdict.signs and verdict.sure:
                return verdict
    return None


def _variable(name: str, value: str, around: Surroundings) -> list[Verdict]:
    """What the value of a variable starts: entry points take programs and arguments from there."""
    if '"crypto"' in value and '"kdf"' in value:
        return [Verdict(UNKNOWN, True, "a variable of it holds a keystore", ())]
    if "GRAFFITI" in name.upper():
        return []
    if _is_script(value):
        found = [_sentence(command, around) for command in commands(value, {})]
        return [verdict for verdict in found if verdict is not None and verdict.signs and verdict.sure]
    client = BY_PROGRAM.get(program_name(value)) if value.startswith("/") else None
    if client is not None and client.role == SIGNER and program_name(value) not in _ORDINARY:
        return [Verdict(client, True, f"it is {client.name}, by the variable for its program", ())]
    if given([value], TELLING):
        return [Verdict(UNKNOWN, True, "a variable of it gives it keys", (value,))]
    return []


def _sentence(command: list[str], around: Surroundings) -> Verdict | None:
    """A command in a variable, unless it is but a sentence that mentions a client."""
    for i in range(len(command)):
        client = _client_of(command, i)
        if client is not None:
            plain = program_name(command[i]) in _ORDINARY and "/" not in command[i]
            if not _starts(command[:i]) or (plain and not (command[i + 1 : i + 2] or [""])[0].startswith("-")):
                break
            return judge(client, command[i + 1 :], around._replace(env={}, names=()))
    return _unnamed(command)


def _told(words: t.Sequence[str], found: t.Sequence[Verdict]) -> Verdict | None:
    """An unknown program told to be a validator client."""
    if found or (words and program_name(words[0]) in _ASKING):
        return None
    told = next((word for word in positional(words) if word in WORDS), "")
    return Verdict(UNKNOWN, True, f"it is told {told}", tuple(words)) if told else None


def _configured(words: t.Sequence[str], around: Surroundings) -> Verdict | None:
    """An unknown program whose configuration tells it what only a validator client is told."""
    for name in CONFIG:
        for path in values(words, name):
            if path.startswith("/") and sets(around.read(path) or "", TELLING):
                return Verdict(UNKNOWN, True, f"it was given keys ({path})", tuple(words))
    return None


# -- processes --------------------------------------------------------------------------------------------------------


def process(
    words: t.Sequence[str], names: t.Sequence[str], around: Surroundings, also: t.Container[str] = ()
) -> Verdict | None:
    """What a process is, if it is a client. names: its executable, and what the kernel calls it.

    Stricter than a container's command. A machine has many processes whose arguments merely mention a client, and what
    a wrapper or a script has started is a process of its own.
    """
    told = [program_name(name) for name in (*words[:1], *names)]
    for name in told:
        client = BY_PROGRAM.get(name) or BY_COMM.get(name)
        if client is not None and not any("/ipsec/" in path for path in (*words[:1], *names)):
            return judge(client, words[1:], around)
    for name in told:
        if name in also:
            return judge(PRYSM._replace(name=name), words[1:], around)
    found: Verdict | None = None
    if told[:1] and told[0] in _SHELLS:
        found = _scripted(words, around)
    elif any(_INTERPRETERS.match(name) for name in told):
        found = _interpreted(words, around)
    return found or _unnamed(words[1:])


def _scripted(words: t.Sequence[str], around: Surroundings) -> Verdict | None:
    """A shell: what its script is called, what it was told to run, or what a guard starts after two dashes."""
    scripts = _scripts(words, around._replace(read=nothing))
    found = [
        verdict
        for text in scripts.values()
        for command in commands(text, around.env)
        for verdict in _script_command(command, around._replace(read=nothing), 0)
    ]
    for i in range(1, len(words)):
        if i not in scripts and not words[i].startswith("-") and program_name(words[i]) not in _SHELLS:
            client = _client_of(words, i)
            if client is not None:
                found.append(judge(client, words[i + 1 :], around))
            elif "--" in words[i:]:
                found += search(words[i + words[i:].index("--") + 1 :], around)
            break
    return next((verdict for verdict in found if verdict.signs), found[0] if found else None)


def _interpreted(words: t.Sequence[str], around: Surroundings) -> Verdict | None:
    """A program of Java, Node, Python: the class, archive, module or script comes before its own arguments."""
    for i in range(1, len(words)):
        word = words[i]
        client = _client_of(words, i)
        if client is None and program_name(word) in ("main", "__main__", "index", "cli") and "/home/" not in word:
            # .../vero/src/main.py: the directory has the name.
            parts = [program_name(part) for part in word.split("/")[:-1]]
            client = next((BY_PROGRAM[part] for part in parts if part in BY_PROGRAM and part != "validator"), None)
        if client is not None:
            return judge(client, words[i + 1 :], around)
        if not word.startswith("-") and flag(words[i - 1]) is None and word not in _RUNS:
            break
    return None
