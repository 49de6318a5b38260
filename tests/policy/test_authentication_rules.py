"""What the words require_auth and channel_binding come to."""

from itertools import chain, combinations

import pytest

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.authentication_rules import (
    ALL_METHODS,
    AuthenticationMethod,
    AuthenticationRules,
    ChannelBinding,
    resolve_authentication,
)
from pgsansio.policy.parameter_sources import Sources


def resolve(require_auth: str | None = None, channel_binding: str | None = None, **env: str) -> AuthenticationRules:
    keywords = {"require_auth": require_auth, "channel_binding": channel_binding}
    return resolve_authentication(Sources((), env, keywords))


def test_nobody_has_asked_for_anything() -> None:
    assert resolve() == AuthenticationRules(ALL_METHODS, ChannelBinding.PREFER, "")


def test_each_list_and_its_opposite() -> None:
    methods = list(AuthenticationMethod)
    for some in chain.from_iterable(combinations(methods, n) for n in range(1, len(methods) + 1)):
        assert resolve(",".join(method.value for method in some)).methods == frozenset(some)
        assert resolve(",".join(f"!{method.value}" for method in some)).methods == ALL_METHODS - frozenset(some)


def test_where_it_comes_from() -> None:
    rules = resolve(PGREQUIREAUTH="md5", PGCHANNELBINDING="require")
    assert rules == AuthenticationRules(frozenset({AuthenticationMethod.MD5}), ChannelBinding.REQUIRE, "md5")
    rules = resolve("!none", "disable", PGREQUIREAUTH="md5", PGCHANNELBINDING="require")
    assert rules.methods == ALL_METHODS - {AuthenticationMethod.NONE}
    assert rules.channel_binding is ChannelBinding.DISABLE
    assert rules.require_auth == "!none"
    assert resolve("", PGREQUIREAUTH="md5").require_auth == "md5"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"require_auth": "scram-sha-256,foo"},
            "require_auth is expected to be one of 'password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'oauth', 'none', "
            "got 'foo' from the keyword argument require_auth",
        ),
        ({"require_auth": "md5,"}, "require_auth is expected to be one of .* got ''"),
        ({"require_auth": "MD5"}, "require_auth is expected to be one of .* got 'MD5'"),
        ({"require_auth": "!!md5"}, "require_auth is expected to be one of .* got '!md5'"),
        ({"require_auth": "md5,!password"}, "require_auth 'md5,!password' from .* mixes methods with and without !"),
        ({"PGREQUIREAUTH": "md5,md5"}, "'md5,md5' from the environment variable PGREQUIREAUTH has a method more than"),
        ({"require_auth": ["md5"]}, "require_auth is expected to be a str, got list"),
        (
            {"PGCHANNELBINDING": "x"},
            "channel_binding is expected to be one of 'disable', 'prefer', 'require', "
            "got 'x' from the environment variable PGCHANNELBINDING",
        ),
    ],
)
def test_refused(keywords: dict[str, str], message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        resolve(**keywords)
