"""Addresses of model servers: one spelling, and none that is public."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from pipeline.llm.address import api_base, server_root


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://localhost:1234/v1", "http://localhost:1234/v1"),
        ("http://localhost:1234", "http://localhost:1234/v1"),
        ("http://localhost:1234/v1/", "http://localhost:1234/v1"),
        ("localhost:1234", "http://localhost:1234/v1"),
        (" http://localhost:1234//v1// ", "http://localhost:1234/v1"),
        ("http://localhost:1234/api/v1", "http://localhost:1234/v1"),
        ("http://localhost:1234/api/v0/models", "http://localhost:1234/v1"),
        ("http://localhost:1234/v1/chat/completions", "http://localhost:1234/v1"),
        ("https://gpu.local/lmstudio", "https://gpu.local/lmstudio/v1"),
        ("http://[::1]:1234", "http://[::1]:1234/v1"),
    ],
)
def test_every_spelling_becomes_one(written: str, meant: str) -> None:
    """What people paste is brought into the one form that takes tool calls."""
    assert api_base(written) == meant
    assert server_root(api_base(written)) + "/v1" == meant


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.7",
        "172.20.0.2",
        "100.64.1.1",
        "[fd00::1]",
        "[fe80::1%25eth0]",
        "gpu",
        "gpu.local",
        "host.docker.internal",
        "LOCALHOST.",
        "box.lan",
        "box.home.arpa",
    ],
)
def test_hosts_of_this_machine_and_network_are_taken(host: str) -> None:
    """Loopback, private and single-label hosts need no permission."""
    assert api_base(f"http://{host}:1234").startswith("http://")


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "api.openai.com",
        "local.example.com",
        "[2001:4860:4860::8888]",
        "[::ffff:8.8.8.8]",
        "134744072",
        "0x08080808",
        "010.8.8.8",
        "localhost.example.com",
        "224.0.0.1",
    ],
)
def test_public_hosts_need_permission(host: str) -> None:
    """A public host is refused with the setting that permits it, also where it is written in disguise."""
    with pytest.raises(ConfigError, match="public host") as caught:
        api_base(f"http://{host}/v1")
    assert "allow_public_host" in caught.value.hint
    assert api_base(f"http://{host}/v1", allow_public_host=True) == f"http://{host}/v1"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "   ",
        "ftp://localhost",
        "http://",
        "http://localhost:99999",
        "http://user:pw@localhost:1234",
        "http://[::1",
        "http://localhost@example.com/?x=1",
        "http://localhost:1234/v1?key=1",
    ],
)
def test_what_is_no_address_is_an_error_with_a_remedy(address: str) -> None:
    """Anything else names what is wrong and shows the right form."""
    with pytest.raises(ConfigError) as caught:
        api_base(address)
    assert "http://" in caught.value.hint
