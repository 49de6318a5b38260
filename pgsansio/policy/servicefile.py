"""Service files: which are to be looked into, and what they say. The files are read by others.

Source: manual, "The Connection Service File".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.connection_string import ConnectionString, of_words
from pgsansio.policy.parameter_sources import Given, Layer, Sources, check_text, check_type, path_text
from pgsansio.types.secret import Secret

__all__ = ["ServiceFile", "ServiceFilesNeeded", "ServiceRequest", "find_service", "wanted_service"]


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file to look into."""

    path: str
    #: Who has named it; None: it is where libpq keeps it, and need not exist.
    origin: str | None


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """A service that somebody has named."""

    name: Given
    #: In this order; the first that knows the service counts.
    files: tuple[ServiceFile, ...]


class ServiceFilesNeeded(Exception):
    """A service is asked for, and its files were not read yet: read them, and ask again."""

    def __init__(self, request: ServiceRequest) -> None:
        super().__init__(request)
        self.request = request


def wanted_service(
    sources: Sources, *, service: str | None, servicefile: object, home: str | None, platform: str
) -> ServiceRequest | None:
    """The service that is asked for, and where to look for it; None: nobody asks for one.

    Args:
        service, servicefile: the keyword arguments of `connect`.
        home, platform: as of `resolve_settings`.
    Raises:
        ClientConfigurationError: a name is none.
    """
    servicefile = path_text(servicefile)
    check_type("servicefile", servicefile, str | None, "a str")
    name = sources.find("service", service, variable="PGSERVICE")
    named = sources.find("servicefile", servicefile, variable="PGSERVICEFILE")  # type: ignore[arg-type]
    if name is None:
        return None
    check_text("service", name)
    files: list[ServiceFile] = []
    if named is not None:
        files.append(ServiceFile(check_text("servicefile", named), named.origin))
    elif platform == "win32":
        folder = sources.variable("APPDATA")
        if folder is not None:
            files.append(ServiceFile(f"{folder.value}\\postgresql\\.pg_service.conf", None))
    elif home:
        files.append(ServiceFile(f"{home}/.pg_service.conf", None))
    system = sources.variable("PGSYSCONFDIR")
    if system is not None:
        files.append(ServiceFile(f"{system.value}/pg_service.conf", None))
    return ServiceRequest(name, tuple(files))


def find_service(request: ServiceRequest, texts: Mapping[str, Secret[str] | None]) -> Layer:
    """What the files say of the service.

    Args:
        texts: by path, of each file of the request; None where there is none that can be read.
    Raises:
        ClientConfigurationError: a file that somebody has named cannot be read, the service is in none of them, or
            what they say of it cannot be understood.
    """
    for file in request.files:
        text = texts[file.path]
        if text is not None:
            found = text.use(partial(_lookup, service=request.name.value, path=file.path))
            if found is not None:
                return Layer(found, f"service {request.name.value!r} of {file.path!r}")
        elif file.origin is not None:
            raise ClientConfigurationError(
                f"servicefile {file.path!r} from {file.origin} does not exist or cannot be read"
            )
    looked_into = ", ".join(repr(file.path) for file in request.files) or "no file: there is no home directory"
    raise ClientConfigurationError(
        f"definition of service {request.name.shown} from {request.name.origin} not found; looked into {looked_into}",
        hint="Other files are named by servicefile, PGSERVICEFILE, or the folder PGSYSCONFDIR.",
    )


def _lookup(text: str, service: str, path: str) -> ConnectionString | None:
    """The words of the first section of this name; None: there is no such section. The first of equal words counts."""
    words: dict[str, str] | None = None
    for number, untrimmed in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = untrimmed.strip()
        if not line or line[0] in "#;":  # the second one for asyncpg's sake
            continue
        if line.startswith("["):
            if words is not None:
                break
            name, bracket, _ = line[1:].partition("]")
            if not bracket:
                raise ClientConfigurationError(
                    f"service file {path!r}, line {number}: it is expected to be a section's name in brackets"
                )
            if name == service:
                words = {}
            continue
        if words is None:
            continue
        name, equals, value = line.partition("=")
        word = name.strip().lower()
        where = f"service {service!r} of {path!r}, line {number}"
        # The line is not shown: it may be a password's.
        if not equals or not word:
            raise ClientConfigurationError(f"{where}: it is expected to be keyword=value")
        if word in ("service", "servicefile"):
            raise ClientConfigurationError(f"{where}: a service cannot name another one ({word})")
        words.setdefault(word, value.strip())
    return None if words is None else of_words(words)
