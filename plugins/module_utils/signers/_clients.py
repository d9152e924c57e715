# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The programs that can sign with validator keys, and what their arguments and images say of that.

One table, for containers (`_signers`) and for processes (`signing_process_info`). Arguments are parsed, never searched
for words: a word counts as a sub-command only where the program may read one. What cannot be decided counts.
"""

from __future__ import annotations

import posixpath
import re
import typing as t

#: Always a signer, unless it was told a complete command that ends without signing.
SIGNER = "signer"
#: Signs with some of its sub-commands only.
COMMANDS = "commands"
#: A beacon node that signs in the same process once it is given keys.
KEYS = "keys"
#: Never signs, whatever it is told.
NEVER = "never"


class Client(t.NamedTuple):
    """A program, its names, and what makes it sign."""

    name: str
    role: str
    #: Names of its executables, as program_name() gives them.
    programs: tuple[str, ...]
    #: Sub-commands that sign.
    signing: tuple[str, ...] = ()
    #: Complete commands that do not sign, each as the sub-commands that begin it.
    harmless: tuple[tuple[str, ...], ...] = ()
    #: Arguments that give it keys, as flag() spells them.
    keys: tuple[str, ...] = ()
    #: Groups of words, one of which the name of an image has in full.
    images: tuple[tuple[str, ...], ...] = ()
    #: What the names of variables that stand for arguments begin with.
    env: str = ""


class Verdict(t.NamedTuple):
    """What a command line says of its program."""

    client: Client
    signs: bool
    #: Why it signs, or may; empty when it does not.
    why: str
    #: Its arguments.
    words: tuple[str, ...] = ()
    #: False when it may sign and cannot be looked into.
    sure: bool = True


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def name_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _each(*commands: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(command.split()) for command in commands)


_PRYSM_HARMLESS = _each(
    *(
        f"{group} {command}"
        for group, commands in (
            ("accounts", "list import create delete backup exit voluntary-exit deposit migrate"),
            ("wallet", "create edit-config edit recover"),
            ("slashing-protection", "import export"),
            ("slashing-protection-history", "import export"),
            ("db", "migrate restore convert-complete-to-minimal"),
            ("web", "generate-auth-token"),
        )
        for command in commands.split()
    )
)
#: Arguments that no program has but one that signs: they tell it whatever its name.
TELLING = name_set(
    """walletdir walletpasswordfile walletpassword interopnumvalidators validatorsexternalsignerurl
    validatorsexternalsignerpublickeys validatorsexternalsignerkeyfile remotesignerurl remotesignerkeys
    beaconrpcprovider beaconrpcgatewayprovider beaconrestapiprovider proposersettingsfile proposersettingsurl
    validatorkeys validatorsdir secretsdir validatorapienabled beaconnodeapiendpoint beaconnodeapiendpoints
    beaconnodes web3signerurl web3signerurls web3signerapiurls web3signerpublickeys keystoresdir importkeystores
    importkeystorespassword externalsignerurl keystoredir keystorepasswordfile keystorestoragepasswordfile
    keystorespath keystorespasswordfile enablevalidatorapi beaconnodeurls keystorespasswordspath
    slashingprotectionenabled slashingprotectiondburl slashingprotectiondbusername slashingprotectionpruningenabled
    slashingprotectiondbpoolconfigurationfile"""
)
#: Those of them that only Prysm has.
OF_PRYSM = name_set(
    """walletdir walletpasswordfile interopnumvalidators beaconrpcprovider beaconrpcgatewayprovider
    beaconrestapiprovider proposersettingsfile proposersettingsurl"""
)
#: Those that only a beacon node of Prysm takes; what else accepts its terms of use may be its validator client.
OF_PRYSM_BEACON = name_set(
    """executionendpoint httpweb3provider fallbackweb3provider web3provider jwtsecret checkpointsyncurl checkpointstate
    checkpointblock genesisbeaconapiurl genesisstate minsyncpeers bootstrapnode peer depositcontract
    contractdeploymentblock p2ptcpport p2pudpport p2pquicport p2phostip p2pmaxpeers subscribeallsubnets
    historicalslasherdb"""
)
#: Arguments after which the next word is a value, whatever it says.
VALUED = name_set(
    """graffiti validatorsgraffiti graffitifile network datadir datapath database databasepath basedir name db
    databasepath databeaconpath datavalidatorpath walletdir walletpasswordfile validatorkeys validatorsdir secretsdir
    keystoredir keystoresdir keystorepath keystorespath config configfile rcconfig paramsfile testnetdir loglevel
    logfile logformat debuglevel verbosity jwtsecret executionjwt executionendpoint executionendpoints beaconnodes
    beaconnodeapiendpoint beaconnodeapiendpoints beaconrpcprovider beaconrestapiprovider checkpointsyncurl
    suggestedfeerecipient feerecipient metricsaddress metricsport httpaddress httpport port address host bootnodes
    namespace selector label container user group chown genesisstate chainconfigfile web3url el nat tcpport udpport
    spec trustednodeurl nodename clientname component"""
)
CONFIG = ("configfile", "config", "rcconfig", "c")
#: Words by which a validator client is told to be one, where the program itself is not known.
WORDS = ("vc", "validator", "validator_client", "validator-client", "validator_node")

CLIENTS: tuple[Client, ...] = (
    Client(
        "Prysm",
        SIGNER,
        ("validator", "prysm-validator", "prysm_validator", "validator-client-prysm"),
        harmless=_PRYSM_HARMLESS,
        images=_each(
            "prysm validator", "prysm vc", "prysmaticlabs validator", "offchainlabs validator", "prylabs validator"
        ),
    ),
    Client(
        "Prysm's launcher",
        COMMANDS,
        ("prysm",),
        signing=("validator",),
        harmless=_each("beacon-chain", "prysmctl", "client-stats", "slasher"),
    ),
    Client(
        "Prysm's beacon node",
        NEVER,
        ("beacon-chain", "beacon-chain-prysm", "prysm-beacon-chain", "prysmctl", "client-stats"),
    ),
    Client(
        "Lighthouse",
        COMMANDS,
        ("lighthouse",),
        signing=("vc", "v", "validator", "validator_client", "validator-client"),
        harmless=_each(
            "bn",
            "b",
            "beacon",
            "beacon_node",
            "beacon-node",
            "boot_node",
            "boot-node",
            "bootnode",
            "database_manager",
            "db",
            "validator_manager",
            "vm",
            "validator-manager",
            *(
                f"{group} {kind} {command}"
                for group in ("account", "account_manager", "am", "a")
                for kind, commands in (
                    ("validator", "create deposit import list modify recover exit slashing-protection"),
                    ("wallet", "create list recover"),
                )
                for command in commands.split()
            ),
        ),
        images=_each("lighthouse"),
    ),
    Client(
        "Teku",
        KEYS,
        ("teku",),
        signing=("validator-client", "vc"),
        harmless=_each(
            "genesis",
            "transition",
            "peer",
            "slashing-protection",
            "debug-tools",
            "migrate-database",
            "admin",
            "bootnode",
            "help",
        ),
        keys=_words("""validatorkeys validatorkeysfile validatorsexternalsignerurl validatorsexternalsignerpublickeys
            validatorapienabled datavalidatorpath interopenabled interopnumberofvalidators xinteropenabled
            xinteropownedvalidatorcount interopownedvalidatorcount"""),
        images=_each("teku"),
        env="TEKU_",
    ),
    Client(
        "Nimbus",
        SIGNER,
        ("nimbus_validator_client", "nimbus-validator-client", "nimbus_signing_node", "nimbus-signing-node"),
        images=_each("nimbus validator", "nimbus vc", "nimbus signing"),
    ),
    Client(
        "Nimbus",
        KEYS,
        ("nimbus_beacon_node", "nimbus-beacon-node", "nimbus-eth2", "nimbus"),
        harmless=_each(
            "trustednodesync",
            "deposits",
            "wallets",
            "record",
            "web3",
            "slashingdb",
            "createtestnet",
            "nonode",
            "executionclient",
        ),
        keys=_words("""validatorsdir secretsdir web3signerurl verifyingweb3signerurl keymanager keymanagertokenfile
            keymanagerport inprocessvalidators"""),
        images=_each("nimbus"),
        env="NIMBUS_BEACON_NODE_",
    ),
    Client(
        "Lodestar",
        COMMANDS,
        ("lodestar",),
        signing=("validator", "dev"),
        harmless=_each("beacon", "lightclient", "bootnode", "help"),
        images=_each("lodestar"),
    ),
    Client(
        "Grandine",
        KEYS,
        ("grandine",),
        harmless=_each("export", "import", "replay", "help"),
        keys=_words("""keystoredir keystorepassworddir keystorepasswordfile keystorestoragepasswordfile web3signerurls
            web3signerapiurls web3signerpublickeys enablevalidatorapi validatorapiaddress validatorapiport
            usevalidatorkeycache validatorapitokenfile"""),
        images=_each("grandine"),
    ),
    Client("Vero", SIGNER, ("vero",), images=_each("vero")),
    Client("Vouch", SIGNER, ("vouch",), images=_each("vouch")),
    Client("Dirk", SIGNER, ("dirk",), images=_each("dirk")),
    Client("Web3Signer", SIGNER, ("web3signer", "eth2signer"), images=_each("web3signer", "eth2signer")),
    Client(
        "Charon",
        COMMANDS,
        ("charon",),
        signing=("run",),
        harmless=_each(
            "relay",
            "bootnode",
            "enr",
            "create",
            "version",
            "dkg",
            "combine",
            "exit",
            "help",
            "test",
            "alpha",
            "deposit",
            "feerecipient",
            "completion",
            "edit",
        ),
        images=_each("charon", "nethermind pluto", "nethermindeth pluto"),
    ),
    Client(
        "SSV", SIGNER, ("ssvnode", "ssv-node", "ssv_node", "ssv-signer"), images=_each("ssv node", "ssvnode", "ssv")
    ),
    Client(
        "Anchor",
        COMMANDS,
        ("anchor",),
        signing=("node",),
        harmless=_each("keygen", "keysplit", "help"),
        images=_each("sigp anchor"),
    ),
    Client(
        "Rocket Pool",
        COMMANDS,
        ("rocketpoold", "rocketpool"),
        signing=("node", "watchtower", "n", "w"),
        harmless=_each("service", "s", "api", "a", "help"),
        images=_each("rocketpool smartnode", "smartnode"),
    ),
    Client("Hyperdrive", SIGNER, ("hyperdrived",), images=_each("hyperdrive")),
    Client(
        "StakeWise operator",
        SIGNER,
        ("stakewise-operator", "v3-operator"),
        images=_each("stakewise operator", "stakewiselabs operator", "v3 operator"),
    ),
    Client("Commit-Boost signer", SIGNER, ("commit-boost-signer",), images=_each("commit boost signer")),
    Client(
        "Commit-Boost",
        COMMANDS,
        ("commit-boost", "commit-boost-cli"),
        signing=("signer",),
        harmless=_each("pbs", "init", "help"),
        images=_each("commit boost"),
    ),
    Client(
        "Stader",
        COMMANDS,
        ("stader",),
        signing=("node", "guardian", "n", "g"),
        harmless=_each("api", "a", "service", "s", "help"),
        images=_each("staderlabs node", "staderlabs permissionless", "stader node"),
    ),
    Client("SafeStake", SIGNER, ("safestake",), images=_each("safestake")),
    Client("Diva", SIGNER, (), images=_each("diva operator", "diva client", "divalabs")),
    Client(
        "Ream",
        COMMANDS,
        ("ream",),
        signing=("validator_node", "lean_node"),
        harmless=_each("beacon_node", "account_manager", "generate_private_key", "voluntary_exit"),
        images=_each("ream"),
    ),
    Client(
        "a start script of a validator client",
        SIGNER,
        tuple(
            f"{head}{name}"
            for head in ("", "docker-entrypoint-", "entrypoint-", "start-", "run-", "launch-", "start_", "run_")
            for name in ("vc", "validator-client", "validator_client", "validator")
            if (head, name) != ("", "validator")
        ),
    ),
)
#: Where the words of a command name no program: the first of them is a sub-command of an unknown one.
UNKNOWN = Client("a validator client", SIGNER, ())
PRYSM = CLIENTS[0]
BY_PROGRAM: dict[str, Client] = {name: client for client in CLIENTS for name in client.programs}
#: The kernel keeps 15 characters of a process's name.
BY_COMM: dict[str, Client] = {name[:15]: client for name, client in BY_PROGRAM.items()}
_FLAG = re.compile(r"^--?([A-Za-z][A-Za-z0-9._\-]*?)(?:[=:](.*))?$", re.S)
_NO_LETTER = re.compile(r"[-_.]")
_SUFFIX = re.compile(r"\.(exe|jar|js|mjs|cjs|py|sh|bash|pex|bin|appimage)$")
_VERSION = re.compile(r"(?<=[a-z0-9])[-_.]?v?\d+\.\d+.*$|(?<=[a-z])[-_]v?\d+$")
_PLATFORM = re.compile(
    r"([-_.](linux|darwin|amd64|arm64|x86[-_]64|aarch64|x64|modern|portable|stable|unstable|latest|debug|release|musl"
    r"|gnu|unknown|bin|real|orig|old|new|bak|deleted))+$"
)
_ASKED = ("--version", "--help")
_FALSE = ("false", "0", "no", "off", "")


def program_name(word: str) -> str:
    """The name of a program behind a path: no directory, suffix, version or platform; lower case."""
    name = posixpath.basename(word.rstrip("/")).lower()
    for pattern in (_SUFFIX, _VERSION, _PLATFORM, _SUFFIX):
        name = pattern.sub("", name)
    return name


def flag(word: str) -> tuple[str, str | None] | None:
    """(name, value) of an argument with one or two dashes; names without dashes and capitals, as programs take them."""
    found = _FLAG.match(word)
    if found is None:
        return None
    return _NO_LETTER.sub("", found.group(1)).lower(), found.group(2)


def flags(words: t.Iterable[str]) -> dict[str, str | None]:
    """Every argument with dashes; of those given twice the last counts, unless the first was not switched off."""
    found: dict[str, str | None] = {}
    for word in words:
        pair = flag(word)
        if pair is not None and (pair[0] not in found or not _off(pair[1])):
            found[pair[0]] = pair[1]
    return found


def values(words: t.Sequence[str], name: str) -> list[str]:
    """Every value given for an argument, in order, as --name=value or --name value."""
    wanted, found = _NO_LETTER.sub("", name.lstrip("-")).lower(), []
    for i, word in enumerate(words):
        pair = flag(word)
        if pair is None or pair[0] != wanted:
            continue
        if pair[1] is not None:
            found.append(pair[1])
        elif i + 1 < len(words):
            found.append(words[i + 1])
    return found


def _off(value: str | None) -> bool:
    return value is not None and value.strip("\"'").lower() in _FALSE


def positional(words: t.Sequence[str]) -> list[str]:
    """The words that are neither arguments with dashes nor, for certain, the value of one."""
    found, skip = [], False
    for word in words:
        pair = flag(word)
        if pair is not None:
            skip = pair[1] is None and pair[0] in VALUED
        elif word.startswith("-") or skip:
            skip = False
        else:
            found.append(word.lower())
    return found


def free(words: t.Sequence[str]) -> list[str]:
    """The words that cannot be the value of an argument: the others stand after one that was given none."""
    found, before = [], False
    for word in words:
        pair = flag(word)
        if pair is None and not word.startswith("-") and not before:
            found.append(word.lower())
        before = pair is not None and pair[1] is None
    return found


def given(words: t.Sequence[str], names: t.Container[str]) -> str:
    """The first of these arguments that is given and not switched off."""
    for name, value in flags(words).items():
        if name in names and not _off(value):
            return name
    return ""


def sets(text: str, names: t.Iterable[str]) -> bool:
    """Whether a configuration (YAML, TOML, JSON, properties) sets one of these arguments."""
    wanted = set(names)
    for found in re.finditer(r"(?m)^[\s{,\"'-]*([A-Za-z][\w.\-]*)[\"']?\s*[:=]\s*(\S*)", text):
        if _NO_LETTER.sub("", found.group(1)).lower() in wanted and not _off(found.group(2) or None):
            return True
    return False


class Surroundings(t.NamedTuple):
    """What a command line is read with."""

    #: Variables whose values are known.
    env: t.Mapping[str, str]
    #: Names of all variables.
    names: t.Sequence[str]
    #: The text of a file; None when it cannot be looked into.
    read: t.Callable[[str], str | None]


def nothing(_path: str) -> str | None:
    """Reads no file."""
    return None


BARE = Surroundings({}, (), nothing)


def judge(client: Client, words: t.Sequence[str], around: Surroundings = BARE) -> Verdict:
    """Whether a program that was given these arguments signs."""
    args = tuple(words)

    def yes(why: str, sure: bool = True) -> Verdict:
        return Verdict(client, True, why, args, sure)

    no = Verdict(client, False, "", args)
    if client.role == NEVER or (len(args) == 1 and args[0] in _ASKED):
        return no
    plain = positional(args)
    harmless = next((one for one in client.harmless for form in (plain, free(args)) if form[: len(one)] == [*one]), ())
    if client.role == SIGNER:
        return no if harmless and not given(args, TELLING) else yes(f"it is {client.name}")
    for word in harmless:
        plain.remove(word)
    told = next((word for word in plain if word in client.signing), "")
    if told:
        return yes(f"it is {client.name}, told {told}")
    if client.role == COMMANDS:
        # strongSwan's charon is no client.
        harmless = harmless or tuple(name for name in ("usesyslog",) if name in flags(args))
        return no if harmless else yes(f"it may be {client.name} that signs: its command is not known", False)
    return _judge_keys(client, args, around, bool(harmless))


def _judge_keys(client: Client, args: tuple[str, ...], around: Surroundings, harmless: bool) -> Verdict:
    """A beacon node: it signs when it was given keys, by arguments, variables or a configuration file."""
    found = given(args, client.keys)
    if found:
        return Verdict(client, True, f"it is {client.name} and was given keys (--{found})", args)
    files = [value for name in CONFIG for value in values(args, name)]
    for name in around.names:
        key = _NO_LETTER.sub("", name).lower()
        # Entry points of images have prefixes of their own, or none.
        if key.endswith(client.keys) and not _off(around.env.get(name)):
            return Verdict(client, True, f"it is {client.name} and was given keys ({name})", args)
        if client.env and name.startswith(client.env) and key[len(_NO_LETTER.sub("", client.env)) :] in CONFIG:
            files.append(around.env.get(name, f"${name}"))
    for path in files:
        text = around.read(path)
        if text is None:
            why = f"it is {client.name}, and {path}, which may give it keys, cannot be looked into"
            return Verdict(client, True, why, args, False)
        if sets(text, (*client.keys, *TELLING)):
            return Verdict(client, True, f"it is {client.name} and was given keys ({path})", args)
    unknown = () if harmless else free(args)
    if unknown:
        why = f"it may be {client.name} that signs: what {unknown[0]} stands for is not known"
        return Verdict(client, True, why, args, False)
    return Verdict(client, False, "", args)


# -- images -----------------------------------------------------------------------------------------------------------

#: What only watches; and namesakes (a proxy that vouches for people, a lighthouse for web pages).
_WATCHERS = name_set(
    """exporter metrics monitor monitoring watcher dashboard explorer checker alerts alertmanager ui docs
    website notifier ejector deposits proxy google lhci pbs"""
)


def image_words(image: str) -> tuple[list[str], list[str]]:
    """The words of an image's name, and those of its last part; without registry, tag and digest."""
    name = image.lower().partition("@")[0]
    parts = name.split("/")
    parts[-1] = parts[-1].partition(":")[0]
    if len(parts) > 1 and re.search(r"[.:]|^localhost$", parts[0]):
        parts = parts[1:]
    return re.split(r"[-_./]+", "/".join(parts)), re.split(r"[-_.]+", parts[-1])


def image_client(image: str) -> Client | None:
    """The client that an image is of, by its name in any registry."""
    every, last = image_words(image)
    if _WATCHERS.intersection(last):
        return None
    if last in (["validator"], ["validator", "client"], ["vc"]):
        return PRYSM
    if "beacon" in last and "chain" in last:
        return BY_PROGRAM["beacon-chain"]
    for client in CLIENTS:
        for group in client.images:
            if set(group) <= set(every) and set(group) & set(last):
                if client.name == "Nimbus" and {"eth1", "execution", "light"} & set(last):
                    return None
                if client.role != SIGNER and {"validator", "vc"} & set(last):
                    # An image for nothing but the validator client of its family.
                    return client._replace(role=SIGNER, harmless=())
                return client
    return None
