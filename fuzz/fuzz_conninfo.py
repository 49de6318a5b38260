"""What users write: connection strings, service and password files, and SQL as far as its words matter.

Input: what it is for, how it is put together; then the text, in parts separated by 0xff.
"""

import random
from typing import Final
from urllib.parse import quote

from fuzz.choices import pick
from fuzz.mutation import mutated
from pgsansio.errors import ClientConfigurationError
from pgsansio.policy.conninfo import parse_dsn, redact_dsn, resolve_settings, start_up_parameters
from pgsansio.policy.keywords import classify, percent_placeholder_hint, split_statements
from pgsansio.policy.libpq_words import LIBPQ_WORDS
from pgsansio.policy.passfile import lookup
from tests.support.leaks import shown_by

__all__ = ["PREFIX_BYTES", "mutate", "target"]

PREFIX_BYTES: Final = 2
_SECRET: Final = "s3cr3t-s3cr3t"
#: Where passwords stand; the rest is the input's.
_TEMPLATES: Final = (
    "postgresql://user:{secret}{0}@{1}",
    "postgresql://{user}:{secret}@{1}",
    "postgres://{user}/{1}?{2}&password={secret}",
    "postgresql://{user}?password={secret}&{1}",
    "{0} password={secret}",
    "host={0} password='{secret}{1}' {2}",
    "password = {secret} {0}",
)
#: The characters of a long text that is one piece, many times.
_LONG: Final = 20_000


def mutate(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    return mutated(data, corpus, chance, PREFIX_BYTES)


def target(data: bytes) -> None:
    choices, rest = data[:PREFIX_BYTES].ljust(PREFIX_BYTES, b"\0"), data[PREFIX_BYTES:]
    texts = [part.decode("utf-8", "surrogateescape") for part in rest.split(b"\xff")] + ["", "", ""]
    match choices[0] % 7:
        case 0:
            _dsn(texts[0])
        case 1:
            user = quote(texts[0].encode(errors="surrogateescape"), safe="")
            _secret_dsn(pick(_TEMPLATES, choices[1]).format(*texts, user=user, secret=_SECRET))
        case 2:
            password = lookup(texts[0], texts[1], 5432, "database", "user")
            assert password is None or len(password) <= len(texts[0])
        case 3:
            _sql(texts[0])
        case 4:
            piece = texts[0][: 1 + choices[1] % 16]
            _sql((texts[1][:4] + piece * (_LONG // (len(piece) or 1)))[:_LONG])
        case 5:
            _service(*texts[:2])
        case _:
            _word(pick(sorted(LIBPQ_WORDS), choices[1]), texts[0])


def _dsn(text: str) -> None:
    redact_dsn(text)
    try:
        words = parse_dsn(text)
        assert all(words.values())
        settings = resolve_settings(
            text, environment={"PGUSER": text[:3]}, os_user="user", home="/home/user", platform="linux"
        )
        for pair in start_up_parameters(settings):
            assert "\0" not in "".join(pair)
    except ClientConfigurationError:
        pass


def _secret_dsn(text: str) -> None:
    assert _SECRET not in redact_dsn(text), redact_dsn(text)
    try:
        settings = resolve_settings(text, environment={}, os_user="user", home="/home/user", platform="linux")
    except ClientConfigurationError as error:
        # Behind a quote that is not closed, the password is part of another word's value.
        shown = "" if set(text) & set("'\\") else shown_by(error) if _is_password_alone(text) else str(error)
    else:
        # A password that was taken for something else is shown: nothing can be done about that.
        shown = repr(settings) if settings.password is not None and _SECRET in settings.password.reveal() else ""
        shown = shown.replace(str(settings.addresses), "")
    assert _SECRET not in shown, shown


def _is_password_alone(text: str) -> bool:
    """Whether nothing else has been taken for a part of the password, or the whole text is none."""
    try:
        words = parse_dsn(text)
    except ClientConfigurationError:
        return True
    return not any(_SECRET in name or (_SECRET in value and name != "password") for name, value in words.items())


def _service(before: str, after: str) -> None:
    text = f"{before}\n[s]\n{before}\npassword={_SECRET}\n{after}"
    try:
        settings = resolve_settings(
            service="s",
            servicefile="/services",
            service_texts={"/services": text},
            environment={},
            os_user="user",
            home=None,
            platform="linux",
        )
    except ClientConfigurationError as error:
        shown = shown_by(error)
    else:
        shown = repr(settings)
    assert _SECRET not in shown, shown


def _word(word: str, value: str) -> None:
    if word == "sslpassword":
        value += _SECRET
    for arguments in ({word: value}, {"dsn": f"postgresql://?{word}={quote(value, safe='', errors='replace')}"}):
        try:
            settings = resolve_settings(
                **arguments,  # type: ignore[arg-type]
                environment={},
                os_user="user",
                home="/home/user",
                platform="linux",
            )
        except ClientConfigurationError as error:
            shown = f"{error} {error!r} {error.__cause__}"
        else:
            shown = repr(settings)
            for pair in start_up_parameters(settings):
                assert "\0" not in "".join(pair)
        assert _SECRET not in shown, shown


def _sql(text: str) -> None:
    kind = classify(text)
    percent_placeholder_hint(text)
    at = 0
    statements = split_statements(text)
    for statement in statements:
        at = text.index(statement, at) + len(statement)
        assert statement
    # To `classify` a statement of nothing but parentheses is none; the server refuses the whole text.
    assert kind.several or len(statements) < 2 or "(" in text
