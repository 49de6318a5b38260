"""Security contexts of GSSAPI (package gssapi) and SSPI (package sspilib), imported when a server asks for them."""

import importlib
from typing import Any

from pgsansio.client.port import GssContext
from pgsansio.errors import InterfaceError
from pgsansio.policy.gss import GssTarget

__all__ = ["gss_context"]


def gss_context(target: GssTarget) -> GssContext:
    """A new context of the client's side.

    Raises:
        InterfaceError: the package for it is not installed, or does not work here.
        Exceptions of that package.
    """
    return _Sspi(target) if target.library == "sspi" else _Gssapi(target)


class _Gssapi:
    def __init__(self, target: GssTarget) -> None:
        gssapi = _module("gssapi")
        self._mutual = gssapi.RequirementFlag.mutual_authentication
        flags = [self._mutual, gssapi.RequirementFlag.delegate_to_peer] if target.delegate else [self._mutual]
        name = gssapi.Name(target.host_based_name, gssapi.NameType.hostbased_service)
        self._context = gssapi.SecurityContext(name=name, flags=flags, usage="initiate")

    def step(self, token: bytes | None) -> tuple[bytes | None, bool]:
        answer = self._context.step(token)
        if not self._context.complete:
            return answer, False
        if self._mutual not in self._context.actual_flags:
            raise InterfaceError("the server was to prove who it is, and the GSSAPI mechanism does without it")
        return answer, True


class _Sspi:
    def __init__(self, target: GssTarget) -> None:
        sspilib = _module("sspilib")
        wanted = sspilib.raw.IscReq
        # Mutual authentication is asked for without these flags, too; but NTLM cannot do it, so nobody insists.
        flags = wanted.ISC_REQ_MUTUAL_AUTH | wanted.ISC_REQ_DELEGATE if target.delegate else None
        self._context = sspilib.ClientSecurityContext(
            target_name=target.principal,
            credential=sspilib.UserCredential(protocol="Negotiate" if target.negotiate else "Kerberos"),
            flags=flags,
        )

    def step(self, token: bytes | None) -> tuple[bytes | None, bool]:
        answer = self._context.step(token)
        return answer, self._context.complete


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InterfaceError(
            f"{name} module not found; please install pgsansio[gssauth] to use pgsansio with "
            "Kerberos/GSSAPI/SSPI authentication"
        ) from error
    except ImportError as error:  # of a library of the system
        raise InterfaceError(f"{name} module cannot be imported: {error}") from error
