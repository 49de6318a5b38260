"""SSLContexts from `TlsSettings`, and TLS sessions over memory.

Contexts are made in a thread, since files are read for it, and kept: the same one serves until a setting or a file
changes. A file counts as changed when its time, size or place on the disk has.
"""

import os
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias, cast

from pgsansio.engine.driven import Engine
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.encryption_mode import ALPN_PROTOCOL, SSLMode
from pgsansio.policy.tls_settings import TlsFile, TlsSettings
from pgsansio.tls import TlsEngine, TlsSession

__all__ = ["tls_context", "tls_engine"]

#: Contexts that are kept; a process rarely needs more than one for each server that it knows.
_MAX_CONTEXTS: Final = 32
#: What says that a default file is not there.
_ABSENT: Final = (FileNotFoundError, NotADirectoryError)

_Stamp: TypeAlias = tuple[object, ...] | None

_contexts: OrderedDict[TlsSettings, tuple[list[_Stamp], ssl.SSLContext]] = OrderedDict()
#: Held by who makes one: a pool that opens many connections at once reads the files once.
_being_made: Final[dict[TlsSettings, threading.Lock]] = {}
_lock: Final = threading.Lock()


def tls_engine(inner: Engine, context: object, server_hostname: str | None) -> TlsEngine:
    """TLS around this engine, with a handshake that has just begun.

    Raises:
        ClientConfigurationError: the context is none, or the host's name cannot be one.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    if not isinstance(context, ssl.SSLContext):
        raise ClientConfigurationError(f"ssl is expected to be an ssl.SSLContext, got {type(context).__name__}")
    if context.check_hostname and not server_hostname:
        # An SSLObject would not mind, and check nothing.
        raise ClientConfigurationError(
            "the context checks the host's name, and there is none that may be sent",
            hint="sslsni=0 forbids to send it.",
        )
    try:
        session = context.wrap_bio(incoming, outgoing, server_hostname=server_hostname)
    except (ValueError, ssl.SSLError) as error:  # UnicodeError is a ValueError
        raise ClientConfigurationError(
            f"no TLS connection to the host {server_hostname!r} can be made: {error}"
        ) from error
    return TlsEngine(inner, cast(TlsSession, session), incoming, outgoing, ssl.SSLWantReadError)


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The context for these settings, from the cache or newly made. Reads files.

    Raises:
        ClientConfigurationError: a file cannot be read or used; the text names it, its parameter and where that came
            from.
    """
    context = _kept_context(settings, _stamps(settings))
    if context is not None:
        return context
    with _lock:
        being_made = _being_made.setdefault(settings, threading.Lock())
    with being_made:
        stamps = _stamps(settings)  # before the files are read: what changes meanwhile counts as changed
        context = _kept_context(settings, stamps)
        try:
            return _make_context(settings, stamps) if context is None else context
        finally:
            with _lock:
                _being_made.pop(settings, None)


def _kept_context(settings: TlsSettings, stamps: list[_Stamp]) -> ssl.SSLContext | None:
    with _lock:
        kept = _contexts.get(settings)
        if kept is None or kept[0] != stamps:
            return None
        _contexts.move_to_end(settings)
        return kept[1]


def _make_context(settings: TlsSettings, stamps: list[_Stamp]) -> ssl.SSLContext:
    context = _new_context(settings)
    with _lock:
        _contexts[settings] = (stamps, context)
        _contexts.move_to_end(settings)
        while len(_contexts) > _MAX_CONTEXTS:
            _contexts.popitem(last=False)
    return context


def _stamps(settings: TlsSettings) -> list[_Stamp]:
    files = (settings.root, settings.crl, settings.certificate, settings.key)
    stamps = [None if file is None else _stamp(file.path) for file in files]
    if settings.system_roots:
        paths = ssl.get_default_verify_paths()
        stamps += [_stamp(str(path)) for path in (paths.cafile, paths.capath)]  # None where there is none
    if settings.crl_dir is not None:
        try:
            with os.scandir(settings.crl_dir.path) as entries:
                stamps += sorted([(entry.name, _stamp(entry.path)) for entry in entries])
        except OSError:
            stamps.append(None)
    return stamps


def _stamp(path: str) -> _Stamp:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _new_context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nobody has renegotiated since PostgreSQL 9.4: a server that begins and never ends would keep what is to be sent.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.check_hostname = settings.mode is SSLMode.verify_full
    if settings.mode < SSLMode.require:
        context.verify_mode = ssl.CERT_NONE
    else:
        _load_roots(context, settings)
    if context.verify_mode is ssl.CERT_REQUIRED:
        _load_revocations(context, settings)
    _load_certificate(context, settings)
    if settings.minimum_version is not None:
        context.minimum_version = _version(settings.minimum_version)
    if settings.maximum_version is not None:
        context.maximum_version = _version(settings.maximum_version)
    context.set_alpn_protocols([ALPN_PROTOCOL])
    if settings.key_log is not None:
        path = settings.key_log.path

        def set_key_log() -> None:
            # For nobody else's eyes, as libpq makes it; OpenSSL would make it as any other file.
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
            context.keylog_filename = path

        _use(settings.key_log, set_key_log)
    return context


def _load_roots(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if settings.system_roots:
        context.load_default_certs()
        return
    root = settings.root
    if root is not None:
        path = root.path
        if _use(root, lambda: context.load_verify_locations(cafile=path)):
            return
    if settings.mode is SSLMode.require:
        context.verify_mode = ssl.CERT_NONE
        return
    path = "~/.postgresql/root.crt" if root is None else root.path
    raise ClientConfigurationError(
        f'root certificate file "{path}" does not exist or cannot be accessed',
        detail=None
        if root is not None
        else "Could not determine location of user home directory "
        "(HOME is either unset, inaccessible, or does not point to a valid directory)",
        hint=f'Provide the certificate file as sslrootcert, make sure "{path}" exists and is readable, '
        "or trust the authorities that this machine trusts: sslrootcert=system.",
    )


def _load_revocations(context: ssl.SSLContext, settings: TlsSettings) -> None:
    crl, folder = settings.crl, settings.crl_dir
    loaded = False
    if crl is not None:
        crl_path = crl.path
        loaded = _use(crl, lambda: context.load_verify_locations(cafile=crl_path))
    if folder is not None:
        # OpenSSL does not mind a folder that is not there, nor would it ever tell.
        path = folder.path
        _use(folder, lambda: os.scandir(path).close())
        context.load_verify_locations(capath=path)
        loaded = True
    if loaded:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    certificate, key = settings.certificate, settings.key
    if certificate is None or not _use(certificate, partial(_look_into, certificate.path)):
        return
    if key is not None and not _use(key, partial(_look_into, key.path)):
        key = None  # it may be in the certificate's file
    try:
        context.load_cert_chain(certificate.path, None if key is None else key.path, password=settings.password.reveal)
    except (OSError, ValueError) as error:
        raise ClientConfigurationError(
            f"{certificate}{'' if key is None else f' and {key}'} cannot be used: {error}",
            hint="The key has to be the certificate's; if it is encrypted, its password is given as sslpassword.",
        ) from error


def _look_into(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _use(file: TlsFile, function: Callable[[], object]) -> bool:
    """Do something with this file; False: it is not there, and need not be.

    Raises:
        ClientConfigurationError: it cannot be done.
    """
    try:
        function()
    except (OSError, ValueError) as error:
        if isinstance(error, ssl.SSLError):
            raise ClientConfigurationError(f"{file} has nothing in it that can be used: {error}") from error
        if file.origin is None and isinstance(error, _ABSENT):
            return False
        what = "root certificate file" if file.parameter == "sslrootcert" else file.parameter
        raise ClientConfigurationError(
            f'{what} "{file.path}" does not exist or cannot be accessed: '
            f"{getattr(error, 'strerror', None) or error} ({file.parameter} from {file.origin or 'the default'})"
        ) from error
    return True


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]
