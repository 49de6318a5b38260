"""Who is compared: each client on each loop that it can be used on."""

import enum
import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Final

from benchmarks.clients.client import Client

__all__ = ["BASELINE", "RUNNERS", "Kind", "Runner"]

#: Whom the others are compared with.
BASELINE: Final = "asyncpg"


class Kind(enum.Enum):
    OURS = "ours"
    PEER = "peer"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Runner:
    """One client on one loop.

    Attributes:
        loop: "asyncio", "uvloop", "trio", or "blocking".
        client: where its class is, as "module:class" under benchmarks.clients; imported in its own process.
        packages: distributions whose versions say what was measured.
        environment: variables of its process.
    """

    name: str
    loop: str
    kind: Kind
    client: str
    packages: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def in_series(self) -> bool:
        """Whether it is measured at many sizes: ours and asyncpg."""
        return (self.kind is Kind.OURS and not self.environment) or self.name.removesuffix("-uvloop") == BASELINE

    @property
    def compared_on(self) -> str:
        """The loop whose asyncpg it is compared with: uvloop, or else asyncio."""
        return "uvloop" if self.loop == "uvloop" else "asyncio"

    @property
    def absent(self) -> list[str]:
        """Packages that it needs and that are not installed."""

        def is_absent(name: str) -> bool:
            try:
                importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return True
            return False

        return [name for name in self.packages if is_absent(name)]

    def load(self) -> type[Client]:
        """Its class, which needs none of its packages yet."""
        module, _, name = self.client.partition(":")
        found: type[Client] = getattr(importlib.import_module(f"benchmarks.clients.{module}"), name)
        return found

    def versions(self) -> dict[str, str]:
        """Of its packages; of ours, the kernel, too.

        Raises:
            ImportError: one of them is not installed.
        """
        versions = {name: importlib.metadata.version(name) for name in self.packages}
        if self.kind is Kind.OURS:
            from pgsansio import __version__, kernel

            name = "pgsansio (pure)" if self.environment else "pgsansio"
            versions[name] = f"{__version__}, kernel {kernel.NAME}"
        return versions


def _both_loops(name: str, kind: Kind, client: str, *packages: str) -> list[Runner]:
    return [
        Runner(name, "asyncio", kind, client, packages),
        Runner(f"{name}-uvloop", "uvloop", kind, client, (*packages, "uvloop")),
    ]


#: It imports the third without asking for it.
_TRIOPG: Final = ("triopg", "asyncpg", "async-generator")

RUNNERS: Final = {
    runner.name: runner
    for runner in [
        *_both_loops("asyncpg", Kind.PEER, "asyncpg_api:Asyncpg", "asyncpg"),
        *_both_loops("pgsansio", Kind.OURS, "asyncpg_api:PgsansioAsyncio"),
        *_both_loops("pgsansio-multiplex", Kind.OURS, "asyncpg_api:Multiplexed"),
        *_both_loops("pgsansio-pipeline", Kind.OURS, "asyncpg_api:Grouped"),
        *_both_loops("pgsansio-terminate", Kind.OURS, "asyncpg_api:Terminating"),
        Runner("pgsansio-pure", "asyncio", Kind.OURS, "asyncpg_api:Pure", environment=(("PGSANSIO_KERNEL", "pure"),)),
        *_both_loops("asyncpg-dedicated", Kind.PEER, "asyncpg_api:Dedicated", "asyncpg"),
        *_both_loops("psycopg", Kind.PEER, "psycopg_api:Psycopg", "psycopg", "psycopg-binary", "psycopg-pool"),
        *_both_loops("psycopg-pipeline", Kind.PEER, "psycopg_api:Pipelined", "psycopg", "psycopg-binary"),
        *_both_loops("psqlpy", Kind.PEER, "psqlpy_api:Psqlpy", "psqlpy"),
        *_both_loops("floor", Kind.FLOOR, "floor:AsyncioFloor"),
        Runner("pg8000", "blocking", Kind.PEER, "pg8000_api:Pg8000", ("pg8000",)),
        Runner("triopg", "trio", Kind.PEER, "asyncpg_api:Triopg", _TRIOPG),
        Runner("pgsansio-trio", "trio", Kind.OURS, "asyncpg_api:PgsansioTrio", ("trio",)),
        Runner("pgsansio-trio-bare", "trio", Kind.OURS, "asyncpg_api:Bare", ("trio",)),
        Runner("floor-trio", "trio", Kind.FLOOR, "floor:TrioFloor", ("trio",)),
    ]
}
