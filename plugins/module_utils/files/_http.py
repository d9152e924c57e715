# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""One HTTP question with a time limit, and in words why there was no answer."""

from __future__ import annotations

import calendar
import contextlib
import http.client
import ipaddress
import json
import os
import socket
import ssl
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request

#: Where Debian and Ubuntu keep the authorities, whether or not Python looks there by itself.
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
#: Names that a machine knows by itself. This collection writes those of the site's machines there.
_HOSTS = "/etc/hosts"
_CHUNK = 1 << 16


class Unreachable(Exception):
    """No answer; the text says why, for a sentence that names the address."""


class Answer(t.NamedTuple):
    """What came back; of the body no more than was asked for."""

    status: int
    body: bytes
    #: The server's clock by its Date header, in Unix seconds; None where it gives none.
    date: float | None
    #: Where it sends its caller instead.
    location: str = ""


class AddressError(ValueError):
    """An address that cannot be asked; the text says what it has to be."""


def shown(url: str) -> str:
    """The address without what may be a secret in it: user, password, path and query."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "the address"
    if not parts.scheme or not host:
        return "the address"
    host = f"[{host}]" if ":" in host else host
    more = "/…" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{more}"


def check(url: str) -> str:
    """The address without a slash at its end; an AddressError where it is none that Prysm can be given."""
    form = "it has to be http://HOST:PORT or https://HOST"
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise AddressError(f"is not an address: {form}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or any(c.isspace() for c in url):
        raise AddressError(f"is not an address: {form}")
    if parts.username is not None or parts.password is not None:
        raise AddressError(
            "has a user or password in it, which everybody could read in the arguments of the pod: leave it out"
        )
    if parts.query or parts.fragment:
        raise AddressError("has a query or fragment (? or #) in it: leave it out")
    if _named_here(parts.hostname):
        raise AddressError(
            f"has a name that this machine knows from {_HOSTS}, which pods do not read: give its address"
        )
    return url.rstrip("/")


def _named_here(host: str) -> bool:
    try:
        with open(_HOSTS, encoding="utf-8", errors="replace") as lines:
            return any(host in line.partition("#")[0].lower().split()[1:] for line in lines)
    except OSError:
        return False


def leads_back(url: str) -> bool:
    """Whether a pod that asks this address asks itself, whatever a machine finds there."""
    try:
        host = (urllib.parse.urlsplit(url.strip()).hostname or "").rstrip(".")
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_unspecified


def parse(body: bytes) -> t.Any:
    """The JSON of an answer; a ValueError where it is none, however deep it is."""
    try:
        return json.loads(body)
    except RecursionError as exc:
        raise ValueError("is nested too deep") from exc


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Followed as Go does, for what is only read. A question with a token goes to the address it was made for alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: t.Any, code: int, msg: str, headers: t.Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.data is not None or not newurl.startswith(("http://", "https://")):
            return None
        # Python before 3.11 does not know 308.
        return super().redirect_request(req, fp, 307 if code == 308 else code, msg, headers, newurl)

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    with contextlib.suppress(OSError, ssl.SSLError):
        context.load_verify_locations(_AUTHORITIES)
    return context


def has_authorities() -> bool:
    """Whether this machine can check a certificate at all; a bare one may not have ca-certificates yet."""
    try:
        return os.stat(_AUTHORITIES).st_size > 0
    except OSError:
        return bool(_context().get_ca_certs())


def _reason(cause: t.Any, timeout: float) -> str:
    if isinstance(cause, urllib.error.URLError) and not isinstance(cause, urllib.error.HTTPError):
        cause = cause.reason
    if isinstance(cause, socket.gaierror):
        return "its name has no address on this machine"
    if isinstance(cause, (socket.timeout, TimeoutError)):
        return f"no answer within {timeout:g} s: is the address right, and does a firewall let this machine through?"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message or cause.reason}"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS there: {cause.reason or cause}"
    if isinstance(cause, (ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected)):
        return "the connection was closed without an answer"
    if isinstance(cause, http.client.HTTPException):
        return "what answers there is not HTTP"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__


def _date(headers: t.Any) -> float | None:
    value = headers.get("Date") if headers is not None else None
    if not value:
        return None
    try:
        return float(http_date(value))
    except ValueError:
        return None


def http_date(value: str) -> int:
    """Unix seconds of a Date header."""
    return calendar.timegm(time.strptime(value, "%a, %d %b %Y %H:%M:%S GMT"))


def _read(response: t.Any, limit: int, deadline: float) -> bytes:
    body = b""
    while len(body) < limit:
        part = response.read1(min(_CHUNK, limit - len(body))) if hasattr(response, "read1") else response.read(limit)
        if not part:
            break
        body += part
        if time.monotonic() > deadline:
            raise socket.timeout("timed out")
    return body


def ask(
    url: str,
    body: bytes | None = None,
    headers: t.Mapping[str, str] | None = None,
    timeout: float = 10,
    limit: int = 1 << 20,
) -> Answer:
    """The answer of an address, whatever its status. Through no proxy: Prysm's pods know of none."""
    request = urllib.request.Request(url, data=body, headers={"User-Agent": "eth2xk8s", **(headers or {})})
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _Redirects()]
    if url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=_context()))
    opener = urllib.request.build_opener(*handlers)
    deadline = time.monotonic() + timeout
    try:
        try:
            response = opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as exc:
            response = exc
        with response:
            found = response.headers
            status = int(response.status or response.code)
            return Answer(status, _read(response, limit, deadline), _date(found), found.get("Location") or "")
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise Unreachable(_reason(exc, timeout)) from exc
