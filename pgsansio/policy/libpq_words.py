"""libpq's words that `connect()` takes as keyword arguments, beside asyncpg's."""

from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

from pgsansio.policy.parameter_sources import PathLike

__all__ = ["LIBPQ_WORDS", "LibpqWords", "check_words"]


class LibpqWords(TypedDict, total=False):
    """Manual, "Parameter Key Words" of libpq. None and "" are not given; what is annotated as a number may be a str."""

    #: An address in place of each host, whose name then serves TLS, Kerberos and the password file only.
    hostaddr: str | Sequence[str] | None
    #: Seconds for each address, or no limit if it is not above 0.
    connect_timeout: float | str | None
    #: disable or random: the order in which hosts, and the addresses of one name, are tried.
    load_balance_hosts: str | None
    application_name: str | None
    fallback_application_name: str | None
    #: Command-line options for the server, as "-c geqo=off".
    options: str | None
    #: UTF8, and nothing else.
    client_encoding: str | None
    keepalives: bool | str | None
    #: Seconds.
    keepalives_idle: int | str | None
    keepalives_interval: int | str | None
    keepalives_count: int | str | None
    #: Milliseconds.
    tcp_user_timeout: int | str | None
    gssencmode: str | None
    #: 1: let the server act in our name towards others, by Kerberos.
    gssdelegation: bool | str | None
    sslmode: str | None
    sslnegotiation: str | None
    sslcert: str | PathLike | None
    sslkey: str | PathLike | None
    sslpassword: str | None
    sslrootcert: str | PathLike | None
    sslcrl: str | PathLike | None
    sslcrldir: str | PathLike | None
    sslcertmode: str | None
    sslsni: bool | str | None
    sslkeylogfile: str | PathLike | None
    ssl_min_protocol_version: str | None
    ssl_max_protocol_version: str | None
    #: Of PostgreSQL's protocol: 3.0, 3.2 or latest.
    min_protocol_version: str | None
    max_protocol_version: str | None
    require_auth: str | None
    channel_binding: str | None
    requirepeer: str | None


LIBPQ_WORDS: Final = frozenset(LibpqWords.__annotations__)


def check_words(words: Iterable[str]) -> None:
    """
    Raises:
        TypeError: there is no such keyword argument.
    """
    for word in words:
        if word not in LIBPQ_WORDS:
            raise TypeError(f"connect() got an unexpected keyword argument {word!r}")
