"""require_auth, channel_binding and requirepeer -> `AuthenticationRules`: what a server may ask for, and has to prove.

Only the words are read here. Who obeys them is the start-up phase, and (requirepeer) who opens the stream.

Source: manual, "Parameter Key Words" of libpq, require_auth, channel_binding and requirepeer.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.parameter_sources import Given, Sources, check_text, choice

__all__ = [
    "ALL_METHODS",
    "ANY_AUTHENTICATION",
    "AuthenticationMethod",
    "AuthenticationRules",
    "ChannelBinding",
    "resolve_authentication",
]


class AuthenticationMethod(Enum):
    """A way of authentication that a server may ask for; the values are libpq's words."""

    #: In clear text.
    PASSWORD = "password"
    MD5 = "md5"
    GSS = "gss"
    SSPI = "sspi"
    #: With channel binding and without.
    SCRAM_SHA_256 = "scram-sha-256"
    OAUTH = "oauth"
    #: The server asks for nothing: trust, or a client's certificate.
    NONE = "none"


class ChannelBinding(Enum):
    """channel_binding: whether the server has to prove that it is the other end of the TLS connection."""

    DISABLE = "disable"
    #: Where both ends can.
    PREFER = "prefer"
    REQUIRE = "require"


ALL_METHODS: Final = frozenset(AuthenticationMethod)


@dataclass(frozen=True, slots=True)
class AuthenticationRules:
    """How a server may authenticate us, and has to authenticate itself. The default allows what libpq's allows."""

    #: What the server may ask for. A list of what it must not ask for ("!password,!md5") has become all the others.
    methods: frozenset[AuthenticationMethod] = ALL_METHODS
    channel_binding: ChannelBinding = ChannelBinding.PREFER
    #: What `methods` was made of, for errors; "" if nobody has asked for anything.
    require_auth: str = ""
    #: Whom the system has to call the owner of the other end of a Unix socket; "": anybody.
    required_peer: str = ""


#: Where nobody has asked for anything.
ANY_AUTHENTICATION: Final = AuthenticationRules()


def resolve_authentication(sources: Sources) -> AuthenticationRules:
    """Decide on what a server may ask for.

    Raises:
        ClientConfigurationError: a word is not known; the text names the parameter and where it came from.
    """
    binding = sources.find("channel_binding", variable="PGCHANNELBINDING")
    required = sources.find("require_auth", variable="PGREQUIREAUTH")
    peer = sources.find("requirepeer", variable="PGREQUIREPEER")
    return AuthenticationRules(
        methods=ALL_METHODS if required is None else _methods(required),
        channel_binding=ChannelBinding.PREFER
        if binding is None
        else choice("channel_binding", binding, {word.value: word for word in ChannelBinding}),
        require_auth="" if required is None else required.value,
        required_peer="" if peer is None else check_text("requirepeer", peer),
    )


def _methods(given: Given) -> frozenset[AuthenticationMethod]:
    words = given.value.split(",")
    known = {method.value: method for method in AuthenticationMethod}
    negated = [word.startswith("!") for word in words]
    if any(negated) and not all(negated):
        raise ClientConfigurationError(
            f"require_auth {given.shown} from {given.origin} mixes methods with and without !, "
            "which is expected before all of them or none"
        )
    named = [choice("require_auth", Given(word.removeprefix("!"), given.origin), known) for word in words]
    methods = frozenset(named)
    if len(methods) != len(named):
        raise ClientConfigurationError(f"require_auth {given.shown} from {given.origin} has a method more than once")
    return ALL_METHODS - methods if negated[0] else methods
