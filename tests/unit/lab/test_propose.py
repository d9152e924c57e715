"""What the source of a release says that the version table does not."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

from lab import propose

CONTENT: dict[str, t.Any] = yaml.safe_load((propose.CHART / "files/versions.yaml").read_text(encoding="utf-8"))

FEATURES = """package features

var (
	hoodiTestnet = &cli.BoolFlag{
		Name:  "hoodi",
		Usage: "Runs Prysm configured for Hoodi.",
	}
	enableTracing = &cli.BoolFlag{
		Name:  "enable-tracing",
	}
	noop = &cli.StringFlag{
		Name:   novelName,
		Usage:  `Does
		something novel.`,
		Aliases: []string{"novel-too"},
	}
)

const novelName = "novel"

var E2EBeaconChainFlags = make([]string, 0)

var deprecated = []cli.Flag{
	noop,
}

var BeaconChainFlags = combinedFlags([]cli.Flag{
	hoodiTestnet, // enableNothing,
	enableTracing,
}, deprecated)

var ValidatorFlags = append(deprecated, []cli.Flag{
	hoodiTestnet,
}...)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A release that takes whatever the table says it takes, and has three arguments more."""
    table = propose.Table(CONTENT)
    for program, folder in propose.PROGRAMS.items():
        given = {
            name: bool(interval.get("value"))
            for name, interval in CONTENT["allowedArgs"][program].items()
            if table.within("v7.3.1", interval) and name != "enable-tracing"
        }
        if program == "beacon":
            for name in propose.own_arguments(table.features("v7.3.1")):
                given.setdefault(name, True)
        package, lines, listed = folder.replace("-", ""), [], []
        for number, (name, value) in enumerate(given.items()):
            variable = f"Flag{number}"
            kind = "String" if value else "Bool"
            lines.append(f'\t{variable} = &cli.{kind}Flag{{\n\t\tName: "{name}",\n\t}}')
            listed.append(f"\t{package}.{variable},")
        place = tmp_path / "cmd" / folder
        (place / "flags").mkdir(parents=True)
        (place / "flags/flags.go").write_text(f"package {package}\n\nvar (\n" + "\n".join(lines) + "\n)\n")
        features = "features.BeaconChainFlags" if program == "beacon" else "features.ValidatorFlags"
        (place / "main.go").write_text(
            "package main\n\nvar appFlags = []cli.Flag{\n" + "\n".join(listed) + "\n}\n\n"
            f"func init() {{\n\tappFlags = cmd.WrapFlags(append(appFlags, {features}...))\n}}\n"
        )
    (tmp_path / "config/features").mkdir(parents=True)
    (tmp_path / "config/features/flags.go").write_text(FEATURES)
    params = tmp_path / "config/params"
    params.mkdir()
    (params / "testnet_sepolia_config.go").write_text(
        "\tcfg.ElectraForkEpoch = 222464 // 1\n\tcfg.FuluForkEpoch = 272640\n\tcfg.GloasForkEpoch = 353024\n"
        "\tcfg.DenebForkEpoch = 132608\n\tcfg.CapellaForkEpoch = 56832\n"
    )
    return tmp_path


def test_what_is_new_is_proposed_with_its_kind_and_its_words(source: Path) -> None:
    found = propose.propose(source, "v7.3.1", CONTENT)
    assert found == [
        f"{program} takes --{name}, of which the table knows nothing: to refusedArgs with a reason, to allowedArgs as "
        f"`{name}: {{first: 7.3.1, value: true}}`, or neither. Does something novel."
        for program in ("beacon", "validator")
        for name in ("novel", "novel-too")
    ]


def test_what_the_release_before_had_is_not_proposed_again(source: Path) -> None:
    assert propose.propose(source, "v7.3.1", CONTENT, source) == []


def test_a_release_the_table_does_not_list_is_proposed(source: Path) -> None:
    assert "releases: add 7.4.0; newest is 7.3.1" in propose.propose(source, "v7.4.0", CONTENT, source)


def edit(source: Path, file: str, before: str, after: str) -> None:
    path = source / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("cmd/beacon-chain/flags/flags.go", '"p2p-max-peers"', '"p2p-peers"',
         "allowedArgs.beacon.p2p-max-peers: v7.3.1 does not take it; `last:` is the release before"),
        ("cmd/beacon-chain/flags/flags.go", '"jwt-secret"', '"jwt"',
         "the chart's templates give v7.3.1 --jwt-secret, which it does not take"),
        ("config/features/flags.go", "enableTracing = &cli.BoolFlag", "enableTracing = &cli.StringFlag",
         "allowedArgs.beacon.enable-tracing: it is no switch in v7.3.1"),
        ("config/params/testnet_sepolia_config.go", "353024", "353025",
         "networks.sepolia.follow: v7.3.1 takes Gloas at 353025, the table says 353024"),
        ("config/params/testnet_sepolia_config.go", "353024", "math.MaxUint64",
         "networks.sepolia.follow: v7.3.1 does not know the Gloas fork, and the table says it does"),
        ("config/params/testnet_sepolia_config.go", "cfg.GloasForkEpoch = 353024",
         "cfg.GloasForkEpoch = 353024\n\tcfg.HezeForkEpoch = 400000",
         "networks.sepolia.follow: v7.3.1 takes the Heze fork at epoch 400000 (Unix time 1809333600)"),
    ],
)  # fmt: skip
def test_every_difference_is_one_line(source: Path, file: str, before: str, after: str, words: str) -> None:
    edit(source, file, before, after)
    found = propose.propose(source, "v7.3.1", CONTENT, source)
    assert any(line.startswith(words) for line in found), found


def test_another_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no source tree of Prysm"):
        propose.propose(tmp_path, "v7.3.1", CONTENT)


def test_the_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert propose.main(["somewhere"]) == 2
    assert "SOURCE RELEASE" in capsys.readouterr().err
