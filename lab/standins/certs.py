"""The cluster's certificates, made with the openssl program."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import tempfile
import time
from pathlib import Path

from .layout import CERTS, ROOT, SERVICE_IP, give_to_group, write
from .system import fail

SERVER_DAYS = 365
"""server.crt and front-proxy-client.crt: MicroK8s renews them only when it is told to."""
COMPONENT_DAYS = 3650

CSR_TEMPLATE = """[ req ]
default_bits = 2048
prompt = no
default_md = sha256
req_extensions = req_ext
distinguished_name = dn

[ dn ]
C = GB
ST = Canonical
L = Canonical
O = Canonical
OU = Canonical
CN = 127.0.0.1

[ req_ext ]
subjectAltName = @alt_names

[ alt_names ]
DNS.1 = kubernetes
DNS.2 = kubernetes.default
DNS.3 = kubernetes.default.svc
DNS.4 = kubernetes.default.svc.cluster
DNS.5 = kubernetes.default.svc.cluster.local
IP.1 = 127.0.0.1
IP.2 = {service_ip}
#MOREIPS

[ v3_ext ]
authorityKeyIdentifier=keyid,issuer:always
basicConstraints=CA:FALSE
keyUsage=keyEncipherment,dataEncipherment,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=@alt_names
"""

# file name: (subject, days); each is signed by the cluster's authority.
COMPONENTS = {
    "client": "/O=system:masters/CN=admin",
    "apiserver-kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "controller": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
}


BROKEN = ROOT / "run/microk8s-openssl-fails"
"""For how long the snap's own openssl fails: until the time in this file."""


def break_openssl(seconds: float) -> None:
    """What a refresh of the base below a running snap does for a while."""
    write(BROKEN, f"{time.time() + seconds}\n")


def openssl_fails() -> bool:
    """Whether it does now."""
    try:
        return time.time() < float(BROKEN.read_text())
    except FileNotFoundError:
        return False


def openssl(*args: str, stdin: str | bytes | None = None) -> bytes:
    """Run openssl and hand back what it printed."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(["openssl", *args], input=data, capture_output=True, check=False)
    if done.returncode:
        fail(f"openssl {args[0]} failed: {done.stderr.decode(errors='replace').strip()}", 4)
    return done.stdout


def new_key(path: Path) -> None:
    """A new EC key, readable by root and the group only."""
    write(path, openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").decode(), 0o660)
    give_to_group(path, "microk8s")


def new_authority(name: str, common_name: str) -> None:
    """A new certificate authority NAME.crt, NAME.key."""
    new_key(CERTS / f"{name}.key")
    crt = openssl(
        *("req", "-x509", "-new", "-sha256", "-key", str(CERTS / f"{name}.key"), "-days", "3650"),
        *("-subj", f"/CN={common_name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
    )
    write(CERTS / f"{name}.crt", crt.decode())


def request(key: Path, subject: str) -> str:
    """A certificate request, as PEM."""
    return openssl("req", "-new", "-sha256", "-key", str(key), "-subj", subject).decode()


def sign(csr: str, authority: str = "ca", days: int = COMPONENT_DAYS, extensions: str = "") -> str:
    """Sign a request: the certificate as PEM."""
    text = extensions or (
        "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
        "extendedKeyUsage=clientAuth,serverAuth\n"
    )
    with tempfile.TemporaryDirectory() as tmp:
        ext = Path(tmp) / "ext"
        ext.write_text(text)
        section = ("-extensions", "v3_ext") if "[ v3_ext ]" in text else ()
        return openssl(
            *(
                "x509",
                "-req",
                "-sha256",
                "-CA",
                str(CERTS / f"{authority}.crt"),
                "-CAkey",
                str(CERTS / f"{authority}.key"),
            ),
            *("-set_serial", "0x" + hashlib.sha256(csr.encode()).hexdigest()[:32]),
            *("-days", str(days), "-extfile", str(ext), *section),
            stdin=csr,
        ).decode()


def server_config(addresses: list[str]) -> str:
    """The request template with the node's own addresses."""
    template = CERTS / "csr.conf.template"
    text = template.read_text() if template.exists() else CSR_TEMPLATE.format(service_ip=SERVICE_IP)
    more = "\n".join(f"IP.{number} = {address}" for number, address in enumerate(addresses, 100))
    return text.replace("#MOREIPS", more)


def new_server(addresses: list[str]) -> None:
    """A new server.crt for these addresses."""
    conf = server_config(addresses)
    write(CERTS / "csr.conf", conf)
    key = CERTS / "server.key"
    if not key.exists():
        new_key(key)
    csr = openssl("req", "-new", "-sha256", "-key", str(key), "-config", str(CERTS / "csr.conf")).decode()
    write(CERTS / "server.crt", sign(csr, days=SERVER_DAYS, extensions=conf))


def new_front_proxy() -> None:
    """A new front-proxy-client.crt."""
    key = CERTS / "front-proxy-client.key"
    if not key.exists():
        new_key(key)
    csr = request(key, "/CN=front-proxy-client")
    write(CERTS / "front-proxy-client.crt", sign(csr, "front-proxy-ca", SERVER_DAYS))


def new_component(name: str, subject: str) -> None:
    """A new NAME.crt, NAME.key signed by the cluster's authority."""
    new_key(CERTS / f"{name}.key")
    write(CERTS / f"{name}.crt", sign(request(CERTS / f"{name}.key", subject)))


def new_components(node: str) -> None:
    """The certificates of all components, after the authority is there."""
    for name, subject in {**COMPONENTS, "kubelet": f"/O=system:nodes/CN=system:node:{node}"}.items():
        new_component(name, subject)


def new_all(node: str, addresses: list[str]) -> None:
    """Everything a fresh node has."""
    CERTS.mkdir(parents=True, exist_ok=True)
    write(CERTS / "csr.conf.template", CSR_TEMPLATE.format(service_ip=SERVICE_IP))
    new_authority("ca", SERVICE_IP)
    new_authority("front-proxy-ca", "front-proxy-ca")
    key = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048").decode()
    write(CERTS / "serviceaccount.key", key, 0o660)
    give_to_group(CERTS / "serviceaccount.key", "microk8s")
    new_server(addresses)
    new_front_proxy()
    new_components(node)


def fingerprint() -> str:
    """The part of server.crt's hash that a join connection string carries."""
    return hashlib.sha256(der((CERTS / "server.crt").read_text())).hexdigest()[:12]


def der(pem: str) -> bytes:
    """The first certificate of a PEM text, as DER."""
    body = pem.split("-----BEGIN CERTIFICATE-----")[1].split("-----END CERTIFICATE-----")[0]
    return base64.b64decode(body)


def days_left(path: Path) -> int:
    """Whole days until a certificate ends."""
    import ssl
    import time

    end = openssl("x509", "-noout", "-enddate", "-in", str(path)).decode().strip().split("=", 1)[1]
    return int((ssl.cert_time_to_seconds(end) - time.time()) // 86400)


def subject(path: Path) -> str:
    """A certificate's subject."""
    return openssl("x509", "-noout", "-subject", "-in", str(path)).decode().strip()
