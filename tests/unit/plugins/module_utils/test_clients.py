"""Every way to start a client that signs is seen, and nothing ordinary is: tables, and what must hold for each row."""

from __future__ import annotations

import copy
import random
import shlex

import pytest

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _clients, _command_lines, _signers
from tests.unit.plugins.module_utils.signing_forms import ORDINARY, SIGNING, Form, form

FORMS = {f"{family}: {name}": container for family, forms in SIGNING.items() for name, container in forms.items()}
#: What hid a signer, and what else might: sub-commands of others, values, things people write.
HARMLESS = [
    "web",
    "wallet",
    "db",
    "accounts",
    "account",
    "list",
    "import",
    "create",
    "export",
    "help",
    "version",
    "beacon",
    "sync",
    "true",
    "x",
    "0",
    "--",
    "/data",
    "slashing-protection",
    "generate-auth-token",
    "eth2",
    "mainnet",
    "1.2.3.4",
    "http://b:4000",
    "name=value",
]
#: Where the program's own command is open, a word that is a complete command of it decides.
OWN = {
    "sigp/lighthouse:v8 ['lighthouse', '$(MODE)']": ("beacon", "db"),
    "sigp/lighthouse:v8 []": ("beacon", "db"),
    "obolnetwork/charon:v1 []": ("create", "version", "help"),
}


@pytest.mark.parametrize("container", FORMS.values(), ids=FORMS)
def test_signs(container: Form) -> None:
    assert _signers.signs(container)


@pytest.mark.parametrize("container", ORDINARY.values(), ids=ORDINARY)
def test_does_not_sign(container: Form) -> None:
    found = _signers.judge(container)
    assert found is None, found.why


@pytest.mark.parametrize("container", FORMS.values(), ids=FORMS)
def test_no_word_anywhere_hides_a_signer(container: Form) -> None:
    for place in ("command", "args"):
        for at in range(len(container[place]) + 1):
            if place == "command" and not container[place]:
                continue  # A command of its own instead of the image's is another container.
            for word in HARMLESS:
                if word in OWN.get(f"{container['image']} {container['args']}", ()):
                    continue
                changed = copy.deepcopy(container)
                changed[place].insert(at, word)
                assert _signers.signs(changed), (place, at, word)


@pytest.mark.parametrize("container", FORMS.values(), ids=FORMS)
def test_no_flag_at_the_end_hides_a_signer(container: Form) -> None:
    for flag in ("--graffiti=web", "--log=accounts list", "--verbose", "-v", "--network=beacon"):
        changed = copy.deepcopy(container)
        changed["args"].append(flag)
        assert _signers.signs(changed), flag


def test_pairs_of_words_hide_no_client_that_was_given_a_wallet() -> None:
    dice = random.Random(7)
    base = ["--wallet-dir=/w", "--datadir", "/d", "--graffiti", "hello", "--wallet-password-file=/p"]
    for _ in range(500):
        args = list(base)
        for _ in range(dice.randint(1, 4)):
            args.insert(dice.randint(0, len(args)), dice.choice(HARMLESS))
        assert _signers.signs(form("registry.local/app:1", *args)), args
        assert _signers.signs(form("x/validator", *args)), args


@pytest.mark.parametrize(
    "prefix", ["", "registry.local/", "registry.local:5000/mirror/", "localhost/", "10.0.0.1:32000/a/b/", "docker.io/"]
)
@pytest.mark.parametrize(
    "image",
    ["prysmaticlabs/prysm/validator", "Prysm-Validator", "consensys/Web3Signer", "statusim/nimbus-validator-client",
     "serenita/VERO", "attestant/dirk", "attestant-vouch", "ssvlabs/ssv-node", "stakewiselabs/v3-operator"],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["", ":latest", ":v1.2.3", "@sha256:" + "a" * 64, ":1@sha256:" + "b" * 64])
def test_images_of_signers_are_known_in_any_registry(prefix: str, image: str, suffix: str) -> None:
    assert _signers.signs(form(prefix + image + suffix))


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("/app/cmd/validator/validator", "validator"),
        ("validator-v7.1.6-linux-amd64", "validator"),
        ("Lighthouse.exe", "lighthouse"),
        ("/opt/teku-25.4.1.jar", "teku"),
        ("lighthouse-v8.0.1-x86_64-unknown-linux-gnu", "lighthouse"),
        ("/a/lodestar.js", "lodestar"),
        ("nimbus_beacon_node", "nimbus_beacon_node"),
        ("validator-exporter", "validator-exporter"),
        ("validator1", "validator1"),
        ("python3.11", "python"),
    ],
)
def test_names_of_programs(word: str, name: str) -> None:
    assert _clients.program_name(word) == name


def test_no_program_is_of_two_clients() -> None:
    names = [name for client in _clients.CLIENTS for name in client.programs]
    assert len(names) == len(set(names))
    # What the table says is what program_name() would give, or it would never be found.
    assert [name for name in names if _clients.program_name(name) != name] == []


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("a b; c && d || e & f", [["a", "b"], ["c"], ["d"], ["e"], ["f"]]),
        ("exec x \\\n --y", [["exec", "x", "--y"]]),
        ("# x y\nz", [["z"]]),
        ("echo 'a; b'", [["echo", "a; b"]]),
        ("A=1; run $A ${B:-2} $C", [["A=1"], ["run", "1", "2", "$C"]]),
        ("it's", [["it", "s"]]),
    ],
)
def test_reads_scripts(script: str, found: list[list[str]]) -> None:
    assert _command_lines.commands(script, {}) == found


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("validator-keys: /k:/p", True),
        ('validators-external-signer-url: "http://w"', True),
        ('{"validator-keys": "/k:/p"}', True),
        ("validators-dir = '/k'", True),
        ("data-path: /d\nnetwork: hoodi\n", False),
        ("validator-api-enabled: false", False),
        ("# validator-keys: /k", False),
        ("validators-graffiti: validator-keys", False),
    ],
)
def test_a_configuration_tells_whether_keys_are_given(text: str, given: bool) -> None:
    around = _clients.Surroundings({}, (), {"/c": text}.get)
    for words in (["--config-file=/c"], ["--config-file", "/c"], ["-config-file=/c"]):
        found = _command_lines.container("consensys/teku", [], words, around)
        assert (found is not None) is given
        if text.startswith("validators-dir"):
            continue
        assert (_command_lines.container("consensys/teku", ["teku"], words, around) is not None) is given
    unread = _command_lines.container("consensys/teku", [], ["--config-file=/elsewhere"], around)
    assert unread is not None and not unread.sure and "/elsewhere" in unread.why


def test_shells_in_shells_are_read_and_what_is_too_deep_is_danger() -> None:
    script = "lighthouse vc"
    for depth in range(9):
        script = f"sh -c {shlex.quote(script)}"
        assert _signers.signs(form("a/b", command=["sh", "-c", script])), depth


def test_the_client_is_named_by_its_image() -> None:
    found = _signers.judge(SIGNING["Lodestar"]["image"])
    assert found is not None and found.client.name == "Lodestar"
    found = _signers.judge(SIGNING["Grandine"]["one-process"])
    assert found is not None and found.client.name == "Grandine"
    found = _signers.judge(SIGNING["Prysm"]["renamed-wallet"])
    assert found is not None and found.client.name == "Prysm"
