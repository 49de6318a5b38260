"""host, hostaddr and port -> addresses, in the order they are written.

Source: manual, "Parameter Key Words" and "Specifying Multiple Hosts" of libpq; the folders of Unix sockets, asyncpg.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import repeat
from typing import Final, TypeAlias, cast

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.parameter_sources import Given, Sources, check_text, check_type, shown_value

__all__ = ["DEFAULT_PORT", "Address", "TcpAddress", "UnixAddress", "resolve_addresses"]


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A name or address, and a port."""

    host: str
    port: int
    #: Where to connect to, so that the name is not looked up; None: wherever the name leads to.
    hostaddr: str | None = None

    @property
    def passfile_host(self) -> str:
        """The host to look for in a password file."""
        return self.host


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a socket, and the port that its name stands for."""

    path: str
    port: int

    @property
    def passfile_host(self) -> str:
        """The host to look for in a password file."""
        return "localhost"


Address: TypeAlias = TcpAddress | UnixAddress

DEFAULT_PORT: Final = 5432

#: Where servers of the usual packages put their sockets, then TCP (as asyncpg does).
_UNIX_HOSTS: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp", "/private/tmp", "localhost")


@dataclass(frozen=True, slots=True)
class _List:
    """The values of one place."""

    values: Sequence[object]
    origin: str
    #: 0 is the strongest.
    rank: int


def resolve_addresses(
    host: object, port: object, hostaddr: object, sources: Sources, platform: str
) -> tuple[Address, ...]:
    """The addresses to try; at least one.

    Args:
        host, port, hostaddr: the keyword arguments of `connect`.
    Raises:
        ClientConfigurationError: an address is none, or there is not one of the others for each.
    """
    dsn = [layer.string for layer in sources.layers]
    hosts = _list("host", host, [string.hosts for string in dsn], "PGHOST", sources)
    written = [string.words.get("hostaddr", "") for string in dsn]
    addresses = _list(
        "hostaddr", hostaddr, [value.split(",") if value else () for value in written], "PGHOSTADDR", sources
    )
    if addresses is not None and hosts is not None and addresses.rank > hosts.rank:
        # Somebody names another host than the one whose address this is; libpq would go to the address all the same.
        addresses = None
    numbers = None if addresses is None else [_hostaddr(value, addresses.origin) for value in addresses.values]
    if hosts is None:
        default = ("localhost",) if platform == "win32" else _UNIX_HOSTS
        hosts = _List(default, "the default", 0) if addresses is None else addresses
    names = [_text("host", name, hosts.origin) for name in hosts.values]
    if addresses is not None and numbers is not None and len(numbers) != len(names):
        raise ClientConfigurationError(
            f"could not match {len(numbers)} hostaddr values from {addresses.origin} to {len(names)} hosts"
        )
    if not all(names):
        raise ClientConfigurationError(f"host in {hosts.origin} has an empty name")
    return tuple(map(_address, names, _resolve_ports(port, sources, len(names)), numbers or repeat(None)))


def _list(
    name: str, keyword: object, written: Sequence[Sequence[str]], variable: str, sources: Sources
) -> _List | None:
    """The first that is given: a list, or a text with commas."""
    if keyword:
        values = keyword.split(",") if isinstance(keyword, str) else _sequence(name, keyword)
        return _List(values, f"the keyword argument {name}", 0)
    for rank, (values, layer) in enumerate(zip(written, sources.layers, strict=True), 1):
        if values:
            return _List(values, layer.origin, rank)
    given = sources.variable(variable)
    return None if given is None else _List(given.value.split(","), given.origin, len(written) + 1)


def _text(name: str, value: object, origin: str) -> str:
    check_type(name, value, str, "a str or a list of str")
    return check_text(name, Given(cast("str", value), origin))


def _hostaddr(value: object, origin: str) -> str | None:
    text = _text("hostaddr", value, origin)
    if not text:
        return None  # as libpq: this one's name is looked up
    try:
        ip_address(text)
    except ValueError:
        raise ClientConfigurationError(
            f"hostaddr in {origin} is expected to be an IPv4 or IPv6 address, got {Given(text, origin).shown}"
        ) from None
    return text


def _address(host: str, port: int, hostaddr: str | None) -> Address:
    if hostaddr is not None or not host.startswith("/"):
        return TcpAddress(host, port, hostaddr)
    if ".s.PGSQL." not in host:
        host = f"{host.rstrip('/')}/.s.PGSQL.{port}"
    return UnixAddress(host, port)


def _sequence(name: str, value: object) -> Sequence[object]:
    check_type(name, value, list | tuple, "one value or a list")
    return cast("Sequence[object]", value)


def _resolve_ports(keyword: object, sources: Sources, count: int) -> list[int]:
    if isinstance(keyword, int):
        keyword = [keyword] if keyword else None
    given = _list("port", keyword, [layer.string.ports for layer in sources.layers], "PGPORT", sources)
    ports = [DEFAULT_PORT] if given is None else [_port(value, given.origin) for value in given.values]
    if len(ports) == 1:
        return ports * count
    if len(ports) != count:
        raise ClientConfigurationError(f"could not match {len(ports)} port numbers to {count} hosts")
    return ports


def _port(value: object, origin: str) -> int:
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return DEFAULT_PORT  # as libpq: "5433,,5434"
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if not 1 <= number <= 65535:
        # Out of a DSN the value is not shown: it may be a part of a password with a slash in it.
        shown = "" if origin == "the DSN" else f", got {shown_value(value)}"
        raise ClientConfigurationError(f"port in {origin} is expected to be an integer from 1 to 65535{shown}")
    return number
