"""Where the model server is: one spelling of its address, and a refusal to send invoices to a public one."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import ConfigError

# Names that the public name system never resolves: RFC 6761, 6762 and 8375, and ICANN's reservation of `.internal`.
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
# What people paste after the server's root; all of it is replaced by the one path that takes tool calls.
_API_PATHS = ("/v1/chat/completions", "/v1/models", "/api/v1/models", "/api/v0/models", "/api/v1", "/api/v0", "/v1")


def api_base(base_url: str, *, allow_public_host: bool = False) -> str:
    """Return the address in the form `http://host:port/v1`, or raise `ConfigError`.

    LM Studio answers 200 to an unknown path and 400 to a doubled slash, so the path is never left to chance: `/v1` is
    added where it is missing.
    """
    parts = _split(base_url)
    if not allow_public_host and not is_private_host(parts.hostname or ""):
        raise ConfigError(
            f"base_url {base_url!r} points at a public host: documents would leave this network",
            hint="use a loopback or private address, or set allow_public_host = true",
        )
    return f"{parts.scheme}://{parts.netloc}{_root_path(parts.path)}/v1"


def server_root(address: str) -> str:
    """Return an address made by `api_base` without its `/v1`."""
    return address.removesuffix("/v1")


def is_private_host(host: str) -> bool:
    """Say whether a host name or address stays on this machine or network; no name is looked up."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return _is_private_name(name)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not (address.is_global or address.is_multicast)


def _split(base_url: str) -> SplitResult:
    text = base_url.strip()
    if not text:
        raise ConfigError("base_url is empty", hint="put LM Studio's address there, usually http://localhost:1234/v1")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise ConfigError(f"base_url {base_url!r} is not an address: {error}", hint=_ADDRESS_HINT) from error
    if not usable or parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"base_url {base_url!r} is not the address of a model server", hint=_ADDRESS_HINT)
    return parts


_ADDRESS_HINT = "write it as http://host:port/v1; a key belongs into api_key"


def _root_path(path: str) -> str:
    clean = "/" + "/".join(part for part in path.split("/") if part)
    for known in _API_PATHS:
        if clean.endswith(known):
            return clean.removesuffix(known)
    return clean.rstrip("/")


def _is_private_name(name: str) -> bool:
    last_label = name.rpartition(".")[2]
    # The C library reads 134744072, 0x08080808 and 010.8.8.8 as addresses, so a name that ends in a number is none.
    if not last_label or last_label[0].isdigit():
        return False
    return "." not in name or name.endswith(_PRIVATE_SUFFIXES)
