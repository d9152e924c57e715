"""What a site finds outside: the execution client and the providers of checkpoints of inventory/testnet.

The program that is the chain serves both; here is where, and what it takes for the machines to find and trust them.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from lab import ROOT
from lab.errors import LabError
from lab.layout import EXECUTION_ADDRESS, PROVIDER_ADDRESS, Layout

INVENTORY = ROOT / "inventory" / "testnet" / "group_vars" / "all"
PASSWORD = ROOT / "lab" / "machine-files" / "example-vault-password"
#: Where a machine keeps authorities of its own, and the bundle that is made from all of them.
_OWN, _BUNDLE = "/usr/local/share/ca-certificates/rehearsal.crt", "/etc/ssl/certs/ca-certificates.crt"


def providers() -> list[str]:
    """The names of the providers of checkpoints that the inventory has."""
    given = yaml.safe_load((INVENTORY / "site.yml").read_text())["prysm_checkpoint_sync_url"]
    urls = given if isinstance(given, list) else [given]
    return [url.partition("://")[2].partition("/")[0] for url in urls]


def secret() -> str:
    """The secret that the inventory's beacon node shares with its execution client."""
    from ansible.parsing.vault import VaultLib, VaultSecret

    vault = VaultLib([("default", VaultSecret(PASSWORD.read_bytes().strip()))])
    content = yaml.safe_load(vault.decrypt((INVENTORY / "vault.yml").read_bytes()))
    return str(content["vault_prysm_jwt_secret"])


def options(layout: Layout) -> list[str]:
    """What the chain's program has to be told."""
    return [
        f"--engine={EXECUTION_ADDRESS}:8551",
        f"--engine-secret-file={layout.engine_secret}",
        f"--provider={PROVIDER_ADDRESS}:443",
        f"--provider-names={','.join(providers())}",
    ]


def trust(layout: Layout) -> str:
    """A shell command that makes a machine trust the providers' authority, also after its bundle is made anew."""
    path: Path = layout.chain / "authority.pem"
    try:
        text = path.read_text()
    except OSError as exc:
        raise LabError(f"The chain has made no authority: see {layout.logs}/chain.log.") from exc
    return (
        f"install -d {Path(_OWN).parent} && printf %s '{text}' > {_OWN} && "
        f'{{ grep -qF "$(sed -n 6p {_OWN})" {_BUNDLE} || cat {_OWN} >> {_BUNDLE}; }}'
    )
