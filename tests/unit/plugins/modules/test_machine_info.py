"""The probe of the host roles: what it says of paths, units, packages and disks."""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.modules import setup

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _machine
from ansible_collections.eth2xk8s.staking.plugins.modules import machine_info


def run(capsys: pytest.CaptureFixture[str], **params: t.Any) -> dict[str, t.Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        machine_info.main()
    return json.loads(capsys.readouterr().out)


def test_paths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a1").write_text("x")
    (tmp_path / "a2").mkdir(mode=0o711)
    (tmp_path / "null").symlink_to("/dev/null")
    result = run(capsys, paths=[f"{tmp_path}/a*", f"{tmp_path}/null", f"{tmp_path}/gone"])
    assert result["changed"] is False
    found = {Path(path).name: entry for path, entry in result["paths"].items()}
    assert set(found) == {"a1", "a2", "null"}
    assert (found["a1"]["type"], found["a2"]["type"], found["null"]["target"]) == ("file", "directory", "/dev/null")
    assert found["a2"]["mode"] == "0711"
    assert found["a1"]["sha256"].startswith("2d711642")


def test_space_of_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    assert _machine.space(f"{tmp_path}/not/yet")["size"] == _machine.space(str(tmp_path))["size"]


UNITS = """\
Names=rpcbind.service
ActiveState=inactive
UnitFileState=masked

Names=ssh.service sshd.service
ActiveState=active
UnitFileState=enabled
"""


def test_units() -> None:
    found = _machine.parse_units(UNITS)
    assert found["rpcbind.service"] == {"active": False, "file_state": "masked"}
    assert found["sshd.service"] == {"active": True, "file_state": "enabled"}


@pytest.mark.parametrize(
    ("line", "installed", "broken"),
    [
        pytest.param("ii \tufw", ["ufw"], [], id="installed"),
        pytest.param("hi \tmicrok8s", ["microk8s"], [], id="held"),
        pytest.param("rc \tntp", [], [], id="removed-with-configuration"),
        pytest.param("iF \tchrony", [], ["chrony"], id="half-configured"),
        pytest.param("iU \tchrony", [], ["chrony"], id="unpacked"),
        pytest.param("iHR\tchrony", [], ["chrony"], id="needs-reinstallation"),
        pytest.param("it \tman-db", [], ["man-db"], id="trigger-pending"),
    ],
)
def test_packages(line: str, installed: list[str], broken: list[str]) -> None:
    assert _machine.parse_packages(line + "\n") == (installed, broken)


def test_files_that_are_not_as_they_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "conf"
    as_seen = _machine.look
    owner = 0
    monkeypatch.setattr(_machine, "look", lambda place: {**(as_seen(place) or {}), "uid": owner, "gid": owner})

    def differs(content: str) -> bool:
        return bool(_machine.differing({str(path): content}))

    assert differs("a\n")
    path.write_text("a\n")
    path.chmod(0o644)
    assert not differs("a\n")
    assert differs("b\n")
    owner = 1
    assert differs("a\n"), "somebody else's"
    owner = 0
    path.chmod(0o666)
    assert differs("a\n"), "anybody could write it"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("elsewhere")
    assert differs("a\n"), "a link is not the file"


def test_questions_of_others_are_answered_as_if_asked_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("one\n")
    mine: dict[str, t.Any] = {"paths": [str(tmp_path)]}
    question = {"paths": [f"{tmp_path}/a.conf"], "texts": [f"{tmp_path}/*.conf"], "disks": [str(tmp_path)]}
    told = run(capsys, **mine, also={"timesync": question})
    alone = run(capsys, **question)
    fleeting = {"time", "disks", "package_lists_age_seconds"}
    assert {key: value for key, value in told["also"]["timesync"].items() if key not in fleeting} == {
        key: value for key, value in alone.items() if key in told["also"]["timesync"] and key not in fleeting
    }
    assert list(told["paths"]) == [str(tmp_path)]
    assert told["also"]["timesync"]["texts"] == {f"{tmp_path}/a.conf": "one\n"}
    wrong = run(capsys, also={"timesync": {"path": ["/etc"]}})
    assert wrong["failed"] and "also.timesync" in wrong["msg"]


def test_files_are_judged_by_what_was_seen_of_them_before() -> None:
    seen = {"/a": {"type": "file", "uid": 0, "gid": 0, "mode": "0644", "sha256": hashlib.sha256(b"a").hexdigest()}}
    assert _machine.unlike({"/a": "a"}, seen) == []
    assert _machine.unlike({"/a": "b", "/c": ""}, seen) == ["/a", "/c"]
    assert _machine.unlike({"/a": "a"}, {"/a": {**seen["/a"], "mode": "0600"}}) == ["/a"]


def test_a_service_differs_by_a_file_a_directory_or_a_unit() -> None:
    sha256 = hashlib.sha256(b"a").hexdigest()
    machine: dict[str, t.Any] = {
        "paths": {
            "/a": {"type": "file", "uid": 0, "gid": 0, "mode": "0644", "sha256": sha256},
            "/key": {"type": "file", "uid": 0, "gid": 0, "mode": "0600", "sha256": sha256},
            "/dir": {"type": "directory", "uid": 0, "gid": 0, "mode": "0700"},
        },
        "units": {
            "run.service": {"active": True, "file_state": "enabled"},
            "check.service": {"active": False, "file_state": "enabled"},
        },
    }
    wanted: dict[str, t.Any] = {
        "files": {"/a": "a"},
        "private_files": {"/key": "a"},
        "directories": {"/dir": "0700"},
        "units": {"run.service": "running", "check.service": "enabled"},
    }
    differing = _machine.service_differing
    assert differing(wanted, machine) == []
    assert differing({"files": {"/a": "b"}}, machine) == ["/a"]
    assert differing({"files": {"/key": "a"}}, machine) == ["/key"]
    assert differing({"private_files": {"/a": "a"}}, machine) == ["/a"]
    assert differing({"directories": {"/dir": "0755", "/none": "0700"}}, machine) == ["/dir", "/none"]
    assert differing({"directories": {"/a": "0644"}}, machine) == ["/a"]
    for name, state in (("check.service", "running"), ("off.service", "running"), ("off.service", "enabled")):
        off = {"off.service": {"active": True, "file_state": "disabled"}}
        assert differing({"units": {name: state}}, {"units": {**machine["units"], **off}}) == [name]


def test_what_files_mention_is_said_and_nothing_else_of_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a").write_text('proxy "user:secret";\nunattended-upgrade::automatic-reboot "true";\n')
    (tmp_path / "b").write_text("nothing\n")
    (tmp_path / "c").mkdir()
    asked = [f"{tmp_path}/*", f"{tmp_path}/gone"]
    result = run(capsys, mentions={"Automatic-Reboot": asked, "other": [f"{tmp_path}/b"]})
    assert result["mentions"] == {"Automatic-Reboot": [f"{tmp_path}/a", f"{tmp_path}/c"], "other": []}
    assert "secret" not in json.dumps({key: value for key, value in result.items() if key != "invocation"})


def test_what_cannot_be_looked_at_is_not_absent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    long = f"{tmp_path}/{'n' * 300}"
    asked = [long, f"{tmp_path}/file/below", f"{tmp_path}/gone"]
    result = run(capsys, paths=asked, texts=asked)
    assert (result["paths"], result["texts"]) == ({long: {"type": "unreadable"}}, {})


def test_texts_and_differing_files_are_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("one\n")
    (tmp_path / "b.conf").write_text("two\n")
    result = run(
        capsys,
        texts=[f"{tmp_path}/*.conf", f"{tmp_path}/gone"],
        files={f"{tmp_path}/a.conf": "x", f"{tmp_path}/c": "y"},
    )
    assert result["texts"] == {f"{tmp_path}/a.conf": "one\n", f"{tmp_path}/b.conf": "two\n"}
    assert result["differing"] == [f"{tmp_path}/a.conf", f"{tmp_path}/c"]


# apt-get --simulate --auto-remove dist-upgrade, Debian 13.
SIMULATED = """\
Reading package lists... Done
Calculating upgrade... Done
The following packages will be upgraded:
  libssl3t64
1 upgraded, 0 newly installed, 1 to remove and 0 not upgraded.
Remv linux-image-6.12.1 [6.12.1-1]
Inst libssl3t64 [3.5.1-1] (3.5.1-2 Debian-Security:13/stable-security [amd64])
Conf libssl3t64 (3.5.1-2 Debian-Security:13/stable-security [amd64])
"""


@pytest.mark.parametrize(
    ("rc", "out", "err", "pending"),
    [
        pytest.param(0, SIMULATED, "", ["Remv linux-image-6.12.1", "Inst libssl3t64"], id="something-to-do"),
        pytest.param(0, "0 upgraded, 0 newly installed, 0 to remove\n", "", [], id="nothing-to-do"),
        pytest.param(100, "", "E: dpkg was interrupted", ["E: dpkg was interrupted"], id="it-cannot-tell"),
        pytest.param(1, "", "", ["apt-get failed"], id="it-says-nothing"),
    ],
)
def test_what_an_upgrade_would_do(rc: int, out: str, err: str, pending: list[str]) -> None:
    assert _machine.parse_pending(rc, out, err) == pending


class Simulation:
    """Stands where AnsibleModule does: how often apt was asked, and what it answers."""

    def __init__(self, answer: tuple[int, str, str] = (0, "0 upgraded\n", ""), check_mode: bool = False) -> None:
        self.answer, self.check_mode, self.asked = answer, check_mode, 0

    def run_command(self, command: list[str], **_options: t.Any) -> tuple[int, str, str]:
        assert command[:2] == ["apt-get", "--simulate"]
        self.asked += 1
        return self.answer


@pytest.fixture
def apt(tmp_path: Path) -> _machine.Apt:
    for name in ("apt/sources.list.d/debian.sources", "lists/InRelease", "dpkg/status"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1")
    known = [str(tmp_path / name) for name in ("apt", "lists", "gone", "dpkg/status")]
    return _machine.Apt(known, str(tmp_path / "cache/kept"))


def ask(apt: _machine.Apt, *given: t.Any, **more: t.Any) -> tuple[list[str], int]:
    """What would be done, and how often apt was asked for it."""
    module = Simulation(*given, **more)
    return _machine.pending(t.cast("t.Any", module), apt), module.asked


def test_apt_is_asked_again_only_once_something_has_changed(apt: _machine.Apt, tmp_path: Path) -> None:
    assert ask(apt, check_mode=True) == ([], 1)
    assert not (tmp_path / "cache").exists()
    assert [ask(apt), ask(apt), ask(apt, check_mode=True)] == [([], 1), ([], 0), ([], 0)]
    changes: list[t.Callable[[], t.Any]] = [
        lambda: (tmp_path / "lists/InRelease").write_text("22"),
        lambda: (tmp_path / "lists/InRelease").touch(),
        lambda: (tmp_path / "apt/preferences").touch(),
        lambda: (tmp_path / "gone").touch(),
        lambda: (tmp_path / "apt/sources.list.d/debian.sources").unlink(),
        lambda: (tmp_path / "new").write_text("1") and (tmp_path / "new").replace(tmp_path / "dpkg/status"),
        lambda: Path(apt.kept).write_text("x"),
    ]
    for change in changes:
        change()
        assert [ask(apt), ask(apt)] == [([], 1), ([], 0)]


@pytest.mark.parametrize("answer", [(0, SIMULATED, ""), (100, "", "E: dpkg was interrupted")])
def test_only_that_nothing_is_to_be_done_is_kept(apt: _machine.Apt, answer: tuple[int, str, str]) -> None:
    assert ask(apt, answer)[1] == ask(apt, answer)[1] == 1
    assert ask(apt, answer)[0]


def test_what_cannot_be_kept_is_asked_again(apt: _machine.Apt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    assert [ask(apt), ask(apt)] == [([], 1), ([], 1)]

    def fail(path: str) -> t.NoReturn:
        raise StakingError(path)

    monkeypatch.setattr(_machine, "is_there", fail)
    assert [ask(apt), ask(apt)] == [([], 1), ([], 1)]


def test_lists_of_packages_that_are_not_there_are_old_whatever_their_directory_says(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    assert _machine.lists_age(str(lists)) == _machine.NEVER
    (lists / "deb.debian.org_debian_dists_trixie_InRelease").touch()
    assert _machine.lists_age(str(lists)) < 60


def test_memory() -> None:
    assert _machine.memory("MemTotal:        8000000 kB\nMemFree: 1 kB\n") == 8192000000


def test_facts_as_setup_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    facts = run(capsys, system=True)["ansible_facts"]
    subset = ["!all", "!min", "distribution", "platform", "python"]
    with patch_module_args({"gather_subset": subset}), pytest.raises(SystemExit):
        setup.main()
    told = json.loads(capsys.readouterr().out)["ansible_facts"]
    assert facts.pop("ansible_service_mgr") == ("systemd" if Path("/run/systemd/system").exists() else "unknown")
    assert facts == {name: told[name] for name in facts}
    assert "ansible_facts" not in run(capsys)


@pytest.mark.parametrize(
    ("seen", "lately"),
    [
        pytest.param({}, False, id="nobody-has-asked"),
        pytest.param({"skipped": True}, False, id="not-asked-here"),
        pytest.param({"time": 2000}, True, id="now"),
        pytest.param({"time": 1401}, True, id="nearly-ten-minutes"),
        pytest.param({"time": 1400}, False, id="ten-minutes"),
        pytest.param({"time": 2700}, False, id="by-a-clock-that-is-ahead"),
    ],
)
def test_what_was_seen_is_of_use_for_ten_minutes(seen: dict[str, t.Any], lately: bool) -> None:
    assert _machine.seen_at(seen, 2000.0) is lately
