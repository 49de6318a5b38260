"""What is asked of TLS, from every place that may ask."""

import ssl
from typing import Any

import pytest

from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.encryption_mode import SSLMode
from pgsansio.policy.tls_settings import TlsFile, TlsSettings
from pgsansio.types.secret import Secret
from tests.policy.test_conninfo import resolve


def tls(dsn: str | None = "host=h", *, env: dict[str, str] | None = None, **keywords: Any) -> TlsSettings:
    return resolve(dsn, env=env, **keywords).tls


def default(parameter: str, name: str) -> TlsFile:
    return TlsFile(f"/home/me/.postgresql/{name}", parameter, None)


@pytest.mark.checklist("TLS-1")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "mode"),
    [
        (None, {"host": "h"}, {}, SSLMode.prefer),
        (None, {"host": "/tmp"}, {}, SSLMode.disable),
        (None, {"host": "h", "ssl": False}, {"PGSSLMODE": "require"}, SSLMode.disable),
        (None, {"host": "h", "ssl": True}, {"PGSSLMODE": "disable"}, SSLMode.verify_full),
        (None, {"host": "h", "ssl": "allow"}, {"PGSSLMODE": "require"}, SSLMode.allow),
        (None, {"host": "h", "ssl": SSLMode.prefer}, {}, SSLMode.prefer),
        (None, {"host": "h", "ssl": SSLMode.verify_ca}, {}, SSLMode.verify_ca),
        (None, {"host": "h"}, {"PGSSLMODE": "require"}, SSLMode.require),
        ("postgresql://h?sslmode=allow", {}, {"PGSSLMODE": "disable"}, SSLMode.allow),
        ("host=h sslmode=verify-full", {}, {}, SSLMode.verify_full),
        (None, {"host": "/tmp", "ssl": "verify-full"}, {}, SSLMode.verify_full),
        ("sslmode=disable sslnegotiation=postgres host=h", {}, {"PGSSLNEGOTIATION": "direct"}, SSLMode.disable),
        ("postgresql://h", {"direct_tls": False}, {"PGSSLNEGOTIATION": "direct"}, SSLMode.prefer),
        # What the machine trusts proves little but the name.
        ("host=h sslrootcert=system", {}, {}, SSLMode.verify_full),
        ("host=/tmp sslrootcert=system", {}, {}, SSLMode.disable),
        ("host=h sslrootcert=system sslmode=disable", {}, {}, SSLMode.disable),
    ],
)
def test_sslmode(dsn: str | None, keywords: dict[str, Any], env: dict[str, str], mode: SSLMode) -> None:
    settings = resolve(dsn, env=env, **keywords)
    assert settings.tls.mode is settings.sslmode is mode


@pytest.mark.checklist("TLS-1")
def test_a_context_of_ones_own_demands_tls_and_is_taken_as_it_is() -> None:
    context = ssl.create_default_context()
    settings = tls(ssl=context)
    assert settings.mode is SSLMode.require
    assert settings.context is context


@pytest.mark.checklist("TLS-9")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "direct"),
    [
        ("host=h sslmode=require", {}, {}, False),
        ("host=h sslmode=require", {"direct_tls": True}, {}, True),
        ("host=h sslmode=require sslnegotiation=direct", {}, {}, True),
        ("host=h sslmode=verify-ca", {}, {"PGSSLNEGOTIATION": "direct"}, True),
        ("host=h sslmode=require sslnegotiation=direct", {"direct_tls": False}, {}, False),
        ("host=h", {"ssl": True, "direct_tls": True}, {}, True),
    ],
)
def test_direct_tls(dsn: str, keywords: dict[str, Any], env: dict[str, str], direct: bool) -> None:
    assert tls(dsn, env=env, **keywords).direct is direct


@pytest.mark.checklist("TLS-5", "TLS-6", "TLS-7")
def test_files_are_where_libpq_has_them() -> None:
    settings = tls("host=h sslmode=verify-full")
    assert settings.root == default("sslrootcert", "root.crt")
    assert settings.crl == default("sslcrl", "root.crl")
    assert settings.certificate == default("sslcert", "postgresql.crt")
    assert settings.key == default("sslkey", "postgresql.key")
    assert settings.crl_dir is settings.key_log is None
    assert settings.password == Secret("")
    assert not settings.system_roots


@pytest.mark.checklist("TLS-7")
def test_without_a_home_there_are_no_files() -> None:
    settings = tls("host=h sslmode=verify-full", home=None)
    assert settings.root is settings.crl is settings.certificate is settings.key is None


@pytest.mark.checklist("TLS-5", "TLS-6", "TLS-7", "TLS-11")
@pytest.mark.parametrize(
    ("word", "variable", "field"),
    [
        ("sslrootcert", "PGSSLROOTCERT", "root"),
        ("sslcrl", "PGSSLCRL", "crl"),
        ("sslcrldir", "PGSSLCRLDIR", "crl_dir"),
        ("sslcert", "PGSSLCERT", "certificate"),
        ("sslkey", "PGSSLKEY", "key"),
        ("sslkeylogfile", "SSLKEYLOGFILE", "key_log"),
    ],
)
def test_named_files(word: str, variable: str, field: str) -> None:
    assert getattr(tls(f"host=h {word}=/d"), field) == TlsFile("/d", word, "the DSN")
    of_variable = TlsFile("/v", word, f"the environment variable {variable}")
    assert getattr(tls(env={variable: "/v"}), field) == of_variable
    assert getattr(tls(f"host=h {word}=/d", env={variable: "/v"}), field) == TlsFile("/d", word, "the DSN")


@pytest.mark.checklist("TLS-1")
def test_true_trusts_the_machine_unless_authorities_are_named() -> None:
    assert tls(ssl=True).system_roots
    assert tls(ssl=True).root is None
    assert tls("host=h sslrootcert=/r", ssl=True).root == TlsFile("/r", "sslrootcert", "the DSN")
    assert not tls("host=h sslrootcert=/r", ssl=True).system_roots
    assert tls("host=h sslrootcert=system").system_roots


def test_the_password_of_a_key_is_shown_nowhere() -> None:
    settings = tls("host=h sslpassword=S3CR3T")
    assert settings.password == Secret("S3CR3T")
    assert "S3CR3T" not in repr(settings)


@pytest.mark.checklist("TLS-8")
@pytest.mark.parametrize(
    ("words", "env", "versions"),
    [
        ("", {}, ("TLSv1.2", None)),
        ("ssl_min_protocol_version=TLSv1.3", {}, ("TLSv1.3", None)),
        ("ssl_min_protocol_version=tlsv1", {}, ("TLSv1", None)),
        ("ssl_max_protocol_version=TLSv1.2", {}, ("TLSv1.2", "TLSv1.2")),
        ("ssl_max_protocol_version=TLSv1.1", {}, ("TLSv1.1", "TLSv1.1")),
        ("", {"PGSSLMINPROTOCOLVERSION": "TLSv1.3", "PGSSLMAXPROTOCOLVERSION": "TLSv1.3"}, ("TLSv1.3", "TLSv1.3")),
    ],
)
def test_versions(words: str, env: dict[str, str], versions: tuple[str | None, str | None]) -> None:
    settings = tls(f"host=h {words}", env=env)
    assert (settings.minimum_version, settings.maximum_version) == versions


def test_the_name_and_the_certificate_can_be_kept_back() -> None:
    assert tls().send_server_name
    assert tls("host=h sslsni=1").send_server_name
    assert not tls("host=h sslsni=0").send_server_name
    assert not tls(env={"PGSSLSNI": "0"}).send_server_name
    assert tls("host=h sslcert=/c sslcertmode=disable").certificate is None
    assert tls("host=h sslcert=/c sslcertmode=allow").certificate is not None


def test_gss_encryption_is_done_without() -> None:
    assert tls("host=h gssencmode=prefer") == tls("host=h gssencmode=disable") == tls()


@pytest.mark.checklist("TLS-1", "TLS-8", "TLS-9")
@pytest.mark.parametrize(
    ("dsn", "keywords", "env", "message"),
    [
        (None, {"ssl": False, "sslmode": "verify-full"}, {}, "ssl and sslmode 'verify-full' are both given as keyword"),
        (None, {"ssl": ssl.create_default_context(), "sslmode": "disable"}, {}, "ssl and sslmode 'disable' are both"),
        (
            "host=h sslmode=require",
            {"direct_tls": False, "sslnegotiation": "direct"},
            {},
            "direct_tls and sslnegotiation 'direct' are both given",
        ),
        (None, {"ssl": "bogus"}, {}, "`sslmode` .* one of: disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=bogus", {}, {}, "got 'bogus' from the DSN"),
        (None, {}, {"PGSSLMODE": "verify_ca"}, "got 'verify_ca' from the environment variable PGSSLMODE"),
        (None, {"ssl": 5}, {}, "ssl is expected to be a bool, an ssl.SSLContext or a str, got int"),
        (None, {"direct_tls": True}, {}, "direct TLS requires sslmode=require, verify-ca, or verify-full"),
        ("sslnegotiation=direct", {}, {}, "direct TLS requires"),
        ("host=h sslmode=prefer sslnegotiation=direct", {}, {}, "direct TLS requires"),
        (None, {}, {"PGSSLNEGOTIATION": "direct"}, "direct TLS requires"),
        ("sslnegotiation=x", {}, {}, "is expected to be one of 'postgres', 'direct', got 'x' from the DSN"),
        ("ssl_min_protocol_version=SSLv3", {}, {}, "one of 'TLSv1', .* got 'SSLv3' from the DSN"),
        (
            None,
            {},
            {"PGSSLMAXPROTOCOLVERSION": "9"},
            "ssl_max_protocol_version .* from the environment variable PGSSLM",
        ),
        ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", {}, {}, "'TLSv1.3' is higher than"),
        ("host=h sslrootcert=system sslmode=require", {}, {}, "weak sslmode 'require' may not be used with .* the DSN"),
        ("host=h", {"ssl": "prefer"}, {"PGSSLROOTCERT": "system"}, "weak sslmode 'prefer' .* variable PGSSLROOTCERT"),
        ("sslsni=2", {}, {}, "sslsni is expected to be one of '0', '1', got '2' from the DSN"),
        (
            "host=h sslmode=verify-full sslsni=0",
            {},
            {},
            "sslsni '0' from the DSN cannot be used with sslmode verify-ful",
        ),
        ("sslcertmode=require", {}, {}, "sslcertmode 'require' from the DSN is not possible: Python's ssl module does"),
        ("sslcertmode=x", {}, {}, "sslcertmode is expected to be one of 'disable', 'allow', 'require', got 'x' from"),
        ("gssencmode=require", {}, {}, "gssencmode 'require' from the DSN is not supported by this version"),
        (None, {}, {"PGGSSENCMODE": "require"}, "gssencmode 'require' from the environment variable PGGSSENCMODE"),
        ("gssencmode=x", {}, {}, "gssencmode is expected to be one of"),
        ("postgresql://h?sslcert=a%00b", {}, {}, "sslcert in the DSN has a NUL character"),
        ("postgresql://h?sslpassword=S3CR3T%00b", {}, {}, "^sslpassword in the DSN has a NUL character$"),
    ],
)
def test_impossible_tls_words(dsn: str | None, keywords: dict[str, Any], env: dict[str, str], message: str) -> None:
    with pytest.raises(ClientConfigurationError, match=message):
        resolve(dsn, env=env, **keywords)


def test_where_a_file_comes_from() -> None:
    assert str(TlsFile("/r.pem", "sslrootcert", "PGSSLROOTCERT")) == "sslrootcert '/r.pem' from PGSSLROOTCERT"
    assert str(TlsFile("/r.pem", "sslrootcert", None)) == "sslrootcert '/r.pem' from the default"
