"""Forms in which validator clients are started, and ordinary containers: test data, in words of our own.

Each is a container as the API server describes one. Charts in public start clients in these ways.
"""

from __future__ import annotations

import typing as t

Form = dict[str, t.Any]


def form(image: str, *args: str, command: t.Sequence[str] = (), **more: t.Any) -> Form:
    """A container; without a command its image's own entry point gets the arguments."""
    return {"name": "main", "image": image, "command": list(command), "args": list(args), **more}


def shell(image: str, script: str, *head: str, **more: t.Any) -> Form:
    return form(image, command=[*(head or ("sh", "-c")), script], **more)


def env(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


_KEYSTORE = '{"crypto": {"kdf": {"function": "pbkdf2"}}, "pubkey": "8e48", "version": 4}'

#: Family -> forms that sign.
SIGNING: dict[str, dict[str, Form]] = {
    "Prysm": {
        "image": form("gcr.io/prysmaticlabs/prysm/validator:v7.1.6", "--datadir=/data"),
        "new-owner": form("gcr.io/offchainlabs/prysm/validator:v7.1.6", "--datadir=/data"),
        "capitals": form("REGISTRY.local:5000/Prysm/Validator:V7", "--datadir=/data"),
        "digest": form("localhost:5000/validator@sha256:" + "0" * 64),
        "tag-and-digest": form("gcr.io/prysmaticlabs/prysm/validator:v7@sha256:" + "0" * 64),
        "flat-mirror": form("registry.local/gcr.io-prysmaticlabs-prysm-validator:v7", "--datadir=/data"),
        "dappnode": form("validator.prysm.dnp.dappnode.eth:1.0"),
        "renamed-wallet": form("registry.local/app:1", "--wallet-dir=/w", "--datadir=/d"),
        "renamed-single-dash": form("registry.local/app:1", "-wallet-dir=/w"),
        "renamed-two-words": form("registry.local/app:1", "--wallet-password-file", "/p"),
        "renamed-beacon": form("registry.local/app:1", "--beacon-rpc-provider=beacon:4000"),
        "renamed-interop": form("registry.local/app:1", "--interop-num-validators=8"),
        "renamed-path": form("registry.local/app:1", command=["/app/cmd/validator/validator", "--datadir=/d"]),
        "release-name": form("debian:12", command=["/opt/validator-v7.1.6-linux-amd64", "--datadir=/d"]),
        "config-file": form("gcr.io/prysmaticlabs/prysm/validator", "--config-file=/data/config.yaml"),
        "remote-signer": form("registry.local/app:1", "--validators-external-signer-url=http://w:9000"),
        "shell": shell("x/y", "exec /app/cmd/validator/validator --datadir=/data", "/bin/bash", "-ac"),
        "launcher": form("debian:12", command=["./prysm.sh", "validator", "--datadir=/d"]),
        "launcher-in-bash": shell("debian:12", "cd /opt && ./prysm.sh validator --datadir=/d", "bash", "-lc"),
        "graffiti": form("x/validator", "--graffiti", "web", "--wallet-dir=/w"),
        "graffiti-of-a-command": form("x/validator", "--graffiti", "accounts"),
        "short-image": form("registry.local/eth/prysm-vc:1"),
        "terms-and-a-file": form("registry.local/app:7", "--config-file=/c/v.yaml", "--accept-terms-of-use"),
        "terms-and-web": form("registry.local/x:7", "--web", "--datadir=/d", "--accept-terms-of-use"),
        "guarded": form(
            "gcr.io/prysmaticlabs/prysm/validator:v7",
            "--wallet-dir=/w",
            command=[
                "/guard/busybox",
                "sh",
                "/guard/guard.sh",
                "validator",
                "/d",
                "nfs",
                "5",
                "/w",
                "--",
                "/app/validator",
            ],
        ),
        "guarded-mirror": form(
            "registry.local/a:1",
            command=[
                "sh",
                "/guard/guard.sh",
                "validator",
                "/d",
                "nfs",
                "5",
                "/w",
                "--",
                "/app/cmd/validator/validator",
            ],
        ),
    },
    "Lighthouse": {
        "vc": form("sigp/lighthouse:v8", "lighthouse", "vc", "--datadir=/d"),
        "validator": form("sigp/lighthouse:v8", "lighthouse", "validator"),
        "long": form("sigp/lighthouse:v8", "lighthouse", "validator_client"),
        "dashes": form("sigp/lighthouse:v8", "lighthouse", "validator-client"),
        "network-first": form("sigp/lighthouse:v8", "lighthouse", "--network", "hoodi", "--debug-level", "info", "vc"),
        "network-inline": form("sigp/lighthouse:v8", "lighthouse", "--network=hoodi", "vc", "--graffiti", "bn"),
        "entry-point": form("registry.local/lh:1", "vc", "--beacon-nodes=http://b"),
        "args-alone": form("sigp/lighthouse:v8", "vc"),
        "shell": shell("registry.local/app:1", "exec lighthouse vc --datadir=/data", "sh", "-ac"),
        "folded": shell("a/b", "INDEX=$((${HOSTNAME##*-})); exec lighthouse vc --network=hoodi"),
        "here-document": shell("a/b", "cat > /r.sh <<'EOF'\nexec lighthouse vc --datadir=/d\nEOF\nsh /r.sh"),
        "echoed": shell("a/b", "echo 'lighthouse vc --datadir=/d' > /r.sh; sh /r.sh"),
        "nested": shell("a/b", 'while true; do bash -c "timeout 5 lighthouse vc"; done'),
        "background": shell("a/b", "sleep 5 & lighthouse vc || exit 1"),
        "conditional": shell("a/b", "if [ -f /x ]; then lighthouse vc; fi"),
        "continued": shell("a/b", "exec lighthouse \\\n  vc \\\n  --datadir=/d"),
        "backquotes": shell("a/b", "X=`lighthouse vc --datadir=/d`"),
        "broken-quotes": shell("a/b", "echo it's on; exec lighthouse vc"),
        "after-comment": shell("a/b", "# don't wait\nexec lighthouse vc"),
        "one-word-command": form("a/b", command=["lighthouse vc --datadir /d"]),
        "env": form("a/b", command=["/usr/bin/env", "-S", "lighthouse vc"]),
        "env-with-variables": form("a/b", command=["env", "X=1", "lighthouse", "vc"]),
        "script-as-argument": form("a/b", "set -e; lighthouse vc", command=["/bin/sh", "-c"]),
        "short": form("ethpandaops/lighthouse:unstable", "v", command=["lighthouse"]),
        "in-a-function": shell("a/b", "run() { lighthouse vc; }; run"),
        "in-a-subshell": shell("a/b", "(cd /x && lighthouse vc)"),
        "in-a-substitution": shell("a/b", 'X="$(lighthouse vc)"'),
        "in-a-case": shell("a/b", 'case "$M" in b) lighthouse bn;; v) lighthouse vc;; esac'),
        "evaluated": shell("a/b", "eval 'lighthouse vc'"),
        "wrapped": form("a/b", command=["tini", "--", "nice", "-n", "5", "lighthouse", "vc"]),
        "su": form("a/b", command=["su", "-s", "/bin/sh", "user", "-c", "lighthouse vc"]),
        "eth-docker": form("lighthouse:local", "lighthouse", "vc", command=["docker-entrypoint-vc.sh"]),
        "dollar-at": form("a/b", "--", "lighthouse", "vc", command=["sh", "-c", 'exec "$@"']),
        "by-variable": form("a/b", "$(MODE)", command=["lighthouse"], env=env(MODE="vc")),
        "by-variable-in-shell": shell("a/b", "exec lighthouse $MODE", env=env(MODE="vc")),
        "by-default-in-shell": shell("a/b", "exec lighthouse ${MODE:-vc}"),
        "assigned": shell("a/b", "MODE=vc; exec lighthouse $MODE"),
        "whole-in-variable": form("registry.local/app:1", env=env(CMD="exec lighthouse vc --datadir=/d")),
        "unknown-command": form("sigp/lighthouse:v8", "lighthouse", "$(MODE)"),
        "own-image": form("registry.local/lighthouse-validator:1", "--network=hoodi"),
        "architecture": form("debian", command=["/opt/lighthouse-v8.0.1-x86_64-unknown-linux-gnu", "vc"]),
        "unknown-script": form("sigp/lighthouse:v8", command=["/entrypoint.sh"]),
        "own-words": shell("a/b", 'set -- lighthouse vc; exec "$@"'),
        "short-image": form("registry.local/lighthouse-vc:1", "--network=hoodi"),
    },
    "Teku": {
        "vc": form("consensys/teku:25", "vc", "--beacon-node-api-endpoint=http://b"),
        "validator-client": form("consensys/teku:25", "validator-client", "--network=auto"),
        "options-first": form("consensys/teku:25", "--network=hoodi", "--data-path", "/d", "validator-client"),
        "one-process": form("consensys/teku:25", "--validator-keys=/k:/p", "--data-path=/d"),
        "one-process-two-words": form("consensys/teku:25", "--data-path", "/d", "--validator-keys", "/k:/p"),
        "one-process-mirror": form("registry.local/app:1", "--validator-keys=/k:/p"),
        "one-process-shell": shell("consensys/teku", "exec /opt/teku/bin/teku --validator-keys=/k:/p", "sh", "-ac"),
        "remote": form("consensys/teku:25", "--validators-external-signer-url=http://w"),
        "api": form("consensys/teku:25", "--validator-api-enabled=true"),
        "variable": form("consensys/teku:25", env=env(TEKU_VALIDATOR_KEYS="/k:/p")),
        "secret-variable": form(
            "consensys/teku:25",
            env=[{"name": "TEKU_VALIDATOR_KEYS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        ),
        "unreadable-config": form("consensys/teku:25", "--config-file=/data/teku.yaml"),
        "unreadable-config-in-short": form("consensys/teku:25", "-c", "/c/teku.yaml"),
        "config-by-variable": form("consensys/teku:25", env=env(TEKU_CONFIG_FILE="/data/teku.yaml")),
        "java": form("openjdk:21", command=["java", "-Xmx4g", "-jar", "/opt/teku-25.4.1.jar", "validator-client"]),
        "class": form("openjdk:21", command=["java", "-cp", "/opt/teku/lib/*", "tech.pegasys.teku.Teku", "vc"]),
    },
    "Nimbus": {
        "client-image": form("statusim/nimbus-validator-client:multiarch-latest", "--data-dir=/d"),
        "client-path": form("a/b", command=["/home/user/nimbus-eth2/build/nimbus_validator_client", "--data-dir=/d"]),
        "one-process": form("statusim/nimbus-eth2:v25", "--validators-dir=/k", "--secrets-dir=/s"),
        "colon": form("statusim/nimbus-eth2:v25", "--validators-dir:/k"),
        "camel": form("statusim/nimbus-eth2:v25", "--validatorsDir=/k"),
        "one-process-shell": shell(
            "a/b", "exec /home/user/nimbus-eth2/build/nimbus_beacon_node --data-dir=/d --validators-dir=/k"
        ),
        "in-process": form("statusim/nimbus-eth2:v25", "--data-dir=/d", "--in-process-validators=true"),
        "short-image": form("registry.local/nimbus-vc:1"),
        "remote": form("statusim/nimbus-eth2:v25", "--web3-signer-url=http://w"),
        "key-manager": form("statusim/nimbus-eth2:v25", "--keymanager=true"),
        "variable": form("statusim/nimbus-eth2:v25", env=env(NIMBUS_BEACON_NODE_VALIDATORS_DIR="/k")),
        "signing-node": form("a/b", command=["nimbus_signing_node", "--validators-dir=/k"]),
        "unreadable-config": form("statusim/nimbus-eth2:v25", "--config-file=/data/nimbus.toml"),
    },
    "Lodestar": {
        "image": form("chainsafe/lodestar:v1", "validator", "--network", "hoodi"),
        "options-first": form("chainsafe/lodestar:v1", "--network", "hoodi", "validator"),
        "shell": shell("chainsafe/lodestar", "node /usr/app/packages/cli/bin/lodestar validator --dataDir=/d"),
        "script": form("node:22", command=["node", "--max-old-space-size=8192", "/a/bin/lodestar.js", "validator"]),
        "npx": form("node:22", command=["npx", "lodestar", "validator"]),
        "dev": form("chainsafe/lodestar:v1", "dev", "--genesisValidators=8"),
        "mirror": form("registry.local/ls:1", "validator", "--beaconNodes=http://b"),
        "keystores": form("registry.local/app:1", "--importKeystores=/k"),
    },
    "Grandine": {
        "one-process": form("sifrai/grandine:1", "--keystore-dir=/k", "--keystore-password-file=/p"),
        "shell": shell("sifrai/grandine:1", "exec grandine --data-dir=/d --keystore-dir=/k", "sh", "-ac"),
        "remote": form("sifrai/grandine:1", "--web3signer-urls=http://w"),
        "variable": form("sifrai/grandine:1", env=env(GRANDINE_KEYSTORE_DIR="/k")),
        "api": form("ghcr.io/grandinetech/grandine:2", "--enable-validator-api"),
        "mirror": form("registry.local/app:1", "--keystore-dir", "/k"),
    },
    "remote and distributed": {
        "vero": form("ghcr.io/serenita-org/vero:v1", "--remote-signer-url=http://w"),
        "vero-mirror": form("registry.local/app:1", command=["python", "src/main.py", "--remote-signer-url=http://w"]),
        "vero-module": form("python:3.12", command=["python3", "-m", "vero"]),
        "vouch": form("attestant/vouch:1.9"),
        "vouch-command": form("a/b", command=["/app/vouch", "--base-dir=/d"]),
        "dirk": form("attestant/dirk:1.2"),
        "web3signer": form("consensys/web3signer:25", "--config-file=/c.yaml", "eth2"),
        "web3signer-shell": shell("a/b", "exec /opt/web3signer/bin/web3signer --key-store-path=/k eth2"),
        "web3signer-mirror": form("registry.local/tools/web3signer-fork:1", "eth2"),
        "web3signer-renamed": form("registry.local/w3s:1", "eth2", "--slashing-protection-db-url=jdbc:x"),
        "pluto": form("nethermind/pluto:1", "run"),
        "ssv-signer": form("a/b", command=["/go/bin/ssv-signer"]),
        "stader": form("staderlabs/permissionless-node:v1", command=["/go/bin/stader", "node"]),
        "commit-boost-one-program": form("a/b", command=["/usr/local/bin/commit-boost", "signer"]),
        "charon": form("obolnetwork/charon:v1", "run"),
        "charon-default": form("obolnetwork/charon:v1"),
        "charon-path": form("a/b", "run", command=["/usr/local/bin/charon"]),
        "charon-unsafe": form("obolnetwork/charon:v1", "unsafe", "run"),
        "ssv": form("ssvlabs/ssv-node:v2", "start-node", command=["make"]),
        "ssv-old": form("bloxstaking/ssv-node:v1", "make", "BUILD_PATH=/go/bin/ssvnode", "start-node"),
        "ssv-mirror": form(
            "registry.local/app:1", command=["make", "start-node"], env=env(BUILD_PATH="/go/bin/ssvnode")
        ),
        "anchor": form("sigp/anchor:v1", "anchor", "node"),
        "rocket-pool": form("rocketpool/smartnode:v1", "node", command=["/go/bin/rocketpoold"]),
        "rocket-pool-image": form("rocketpool/smartnode:v1", "-s", "/.rocketpool/user-settings.yml", "node"),
        "stakewise": form("europe-west4-docker.pkg.dev/stakewiselabs/public/v3-operator:v3", "src/main.py", "start"),
        "commit-boost": form("ghcr.io/commit-boost/signer:v1"),
    },
    "others": {
        "start-script": form("registry.local/app:1", command=["/opt/start-validator.sh"]),
        "entry-point": form("registry.local/app:1", command=["docker-entrypoint-vc.sh"]),
        "word": form("registry.local/app:1", "--network=hoodi", "validator_client"),
        "keystore-in-variable": form("bash:latest", command=["bash", "-c", "sleep 1"], env=env(NODE_0_KEY_0=_KEYSTORE)),
    },
}

#: Ordinary containers of a cluster.
ORDINARY: dict[str, Form] = {
    "coredns": form("coredns/coredns:1.12", "-conf", "/etc/coredns/Corefile"),
    "calico": form(
        "docker.io/calico/node:v3.29", env=env(CALICO_NETWORKING_BACKEND="vxlan", WAIT_FOR_DATASTORE="true")
    ),
    "calico-kube-controllers": form("docker.io/calico/kube-controllers:v3.29"),
    "metrics-server": form("registry.k8s.io/metrics-server/metrics-server:v0.7", "--cert-dir=/tmp"),
    "kube-proxy": form("registry.k8s.io/kube-proxy:v1.33", command=["/usr/local/bin/kube-proxy", "--config=/c.conf"]),
    "grafana": form("grafana/grafana:11", env=env(GF_SECURITY_ADMIN_USER="admin", GF_TITLE="Every validator of ours")),
    "prometheus": form(
        "quay.io/prometheus/prometheus:v3", "--config.file=/etc/prometheus.yml", "--web.listen-address=:1"
    ),
    "node-exporter": form("quay.io/prometheus/node-exporter:v1.8", "--path.rootfs=/host/root"),
    "alertmanager": form("quay.io/prometheus/alertmanager:v0.27", "--config.file=/c.yml"),
    "loki": form("grafana/loki:3", "-config.file=/c.yaml"),
    "postgres": form("postgres:16", env=env(POSTGRES_DB="web3signer", POSTGRES_USER="validator")),
    "dump": shell("postgres:16", "pg_dump web3signer > /b/web3signer.sql"),
    "own-words": shell("alpine", "set -- a b; wget -qO- http://validator1:8081/metrics"),
    "nginx": form("nginx:1.27", command=["nginx", "-g", "daemon off;"]),
    "cert-manager": form("quay.io/jetstack/cert-manager-controller:v1.16", "--v=2", "--leader-election-namespace=k"),
    "redis": form("redis:7", command=["redis-server", "--save", ""]),
    "busybox": form("busybox", command=["sh", "-c", "echo waiting for the lighthouse validator; sleep 3600"]),
    "kubectl": form("bitnami/kubectl", command=["kubectl", "rollout", "restart", "statefulset", "validator"]),
    "geth": form("ethereum/client-go:v1.15", "--datadir", "/data/validator", "--http"),
    "geth-shell": shell(
        "ethereum/client-go", "exec geth --datadir=/data --authrpc.jwtsecret=/data/jwt.hex", "sh", "-ac"
    ),
    "reth": form("ghcr.io/paradigmxyz/reth:v1", "node", "--datadir=/d"),
    "nethermind": form("nethermind/nethermind:1.30", "--datadir=/d", "--config=mainnet"),
    "besu": form("hyperledger/besu:25", "--data-path=/d", "--engine-jwt-secret=/j"),
    "erigon": form("erigontech/erigon:v3", "--datadir=/d", "--externalcl"),
    "nimbus-execution": form("statusim/nimbus-eth1:master", "--data-dir=/d"),
    "commit-boost": form("ghcr.io/commit-boost/pbs:v0.9"),
    "mev-boost": form("flashbots/mev-boost:1.9", "-mainnet", "-relay-check", "-relays", "https://r"),
    "vouch-proxy": form("quay.io/vouch/vouch-proxy:0.40"),
    "lighthouse-of-web-pages": form("femtopixel/google-lighthouse:v12", "https://site"),
    "strongswan": form("strongx509/strongswan:6", command=["/usr/lib/ipsec/charon"]),
    "exporter": form("ethpandaops/ethereum-validator-metrics-exporter:1", "--config=/c.yaml"),
    "validator-exporter": form("x/validator-exporter:v1"),
    "nvidia-validator": form("nvcr.io/nvidia/cloud-native/gpu-operator-validator:v24", command=["sh", "-c", "sleep 1"]),
    "prysm-beacon": form(
        "gcr.io/offchainlabs/prysm/beacon-chain:v7", "--datadir=/data/validator", "--http-web3provider=x"
    ),
    "prysm-beacon-renamed": form(
        "registry.local/bc:v7", "--accept-terms-of-use", "--datadir=/d", "--execution-endpoint=http://e:8551"
    ),
    "nimbus-beacon-without-keys": form("statusim/nimbus-eth2:v25", "--in-process-validators=false"),
    "prysm-beacon-words": form("gcr.io/offchainlabs/prysm/beacon-chain:v7", "--datadir", "/data/validator"),
    "prysm-beacon-shell": shell("a/b", "exec /app/cmd/beacon-chain/beacon-chain --datadir=/d", "/bin/bash", "-ac"),
    "prysm-beacon-guarded": form(
        "gcr.io/offchainlabs/prysm/beacon-chain:v7",
        command=["sh", "/guard/guard.sh", "beacon", "/d", "nfs", "0", "--", "/app/cmd/beacon-chain/beacon-chain"],
    ),
    "guard-of-a-validator": form(
        "busybox", "validator", "/d", "nfs", "5", "/w", command=["/bin/sh", "/guard/guard.sh"]
    ),
    "prysm-fetch": form("gcr.io/offchainlabs/prysm/validator:v7", "--version"),
    "prysm-fetch-beacon": form("gcr.io/offchainlabs/prysm/beacon-chain:v7", "--version"),
    "prysm-import": form(
        "gcr.io/offchainlabs/prysm/validator:v7",
        "--accept-terms-of-use",
        "slashing-protection",
        "import",
        "--accept-terms-of-use",
        "--datadir=/d",
        "--slashing-protection-json-file=/d/h.json",
    ),
    "prysm-history": form("x/validator:v1", "slashing-protection-history", "import", "--datadir=/x"),
    "prysm-launcher": form("debian", command=["./prysm.sh", "beacon-chain", "--datadir=/d"]),
    "lighthouse-beacon": form("sigp/lighthouse:v8", "lighthouse", "bn", "--graffiti", "vc", "--staking"),
    "lighthouse-beacon-named": form("sigp/lighthouse:v8", "lighthouse", "--network=hoodi", "beacon_node"),
    "lighthouse-beacon-unknown-option": form("sigp/lighthouse:v8", "lighthouse", "--logfile-max-size", "200", "bn"),
    "lighthouse-beacon-shell": shell("sigp/lighthouse", "exec lighthouse beacon_node --datadir=/data", "sh", "-ac"),
    "lighthouse-graffiti": form("sigp/lighthouse:v8", "lighthouse", "bn", "--graffiti=exec lighthouse vc"),
    "lighthouse-boot": form("sigp/lighthouse:v8", "lighthouse", "boot_node", "--datadir=/d"),
    "lighthouse-import": shell("sigp/lighthouse", "lighthouse account validator import --datadir=/d --directory=/k"),
    "teku-beacon": form("consensys/teku:25", "--p2p-port", "9000", "--data-path=/d", "--ee-endpoint=http://e"),
    "teku-beacon-recipient": form(
        "consensys/teku:25",
        "--data-path=/d",
        "--validators-proposer-default-fee-recipient=0x00",
        "--validator-api-enabled=false",
    ),
    "teku-beacon-shell": shell("a/b", "exec /opt/teku/bin/teku --data-path=/data --p2p-port=9000", "sh", "-ac"),
    "nimbus-beacon": form("statusim/nimbus-eth2:v25", "--data-dir=/d", "--web3-url=http://e", "--nat", "extip:1.2.3.4"),
    "nimbus-beacon-shell": shell("a/b", ". /env/p; exec /home/user/build/nimbus_beacon_node --data-dir=/d --rest=true"),
    "nimbus-sync": shell("a/b", "exec nimbus_beacon_node trustedNodeSync --data-dir=/d --trusted-node-url=http://b"),
    "lodestar-beacon": form("chainsafe/lodestar:v1", "beacon", "--dataDir=/d"),
    "lodestar-beacon-shell": shell(
        "a/b", "node /usr/app/packages/cli/bin/lodestar.js beacon --dataDir=/d", "sh", "-ac"
    ),
    "grandine-beacon": form("sifrai/grandine:1", "--data-dir=/d", "--eth1-rpc-urls=http://e"),
    "grandine-beacon-shell": shell("a/b", "exec grandine --data-dir=/data --network hoodi", "sh", "-ac"),
    "charon-relay": form("obolnetwork/charon:v1", "relay", "--http-address=0.0.0.0:3640"),
    "chown-with-a-clients-image": shell("sigp/lighthouse:v8", "mkdir -p /d; chown -R 1000 /d"),
    "graffiti-in-variable": form("a/b", env=env(GRAFFITI="exec lighthouse vc")),
}
