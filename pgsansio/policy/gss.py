"""Whom a security context of GSSAPI or SSPI is made for, and with what."""

from dataclasses import dataclass

__all__ = ["GssTarget"]


@dataclass(frozen=True, slots=True)
class GssTarget:
    """What a context is made from."""

    #: gssapi or sspi.
    library: str
    #: Kerberos service name (krbsrvname).
    service: str
    #: The host's name as the user gave it: an address has no Kerberos principal, as a rule.
    host: str
    #: SSPI alone: whether NTLM will do where there is no Kerberos; the server has to say so.
    negotiate: bool = False
    #: Let the server act in our name towards others (gssdelegation).
    delegate: bool = False

    @property
    def host_based_name(self) -> str:
        """As GSSAPI wants it (GSS_C_NT_HOSTBASED_SERVICE)."""
        return f"{self.service}@{self.host}"

    @property
    def principal(self) -> str:
        """As SSPI wants it (a service principal name)."""
        return f"{self.service}/{self.host}"
