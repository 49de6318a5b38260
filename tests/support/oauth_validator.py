"""A module that lets a real server check OAuth tokens: PostgreSQL 18 has such an interface, and comes with none."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["ValidatorError", "build_validator"]

#: The token "token-of-NAME" is the user NAME's, and any other nobody's.
_SOURCE: Final = r"""
#include "postgres.h"
#include "fmgr.h"
/* What these libraries add to the server's structures is not looked at here, and their headers are rarely there. */
#undef ENABLE_GSS
#undef USE_OPENSSL
#include "libpq/oauth.h"

PG_MODULE_MAGIC;

static const char prefix[] = "token-of-";

static bool
check_token(const ValidatorModuleState *state, const char *token, const char *role, ValidatorModuleResult *result)
{
    size_t length = sizeof(prefix) - 1;

    result->authorized = strncmp(token, prefix, length) == 0;
    if (result->authorized)
        result->authn_id = pstrdup(token + length);
    return true;
}

static const OAuthValidatorCallbacks callbacks = {PG_OAUTH_VALIDATOR_MAGIC, .validate_cb = check_token};

const OAuthValidatorCallbacks *
_PG_oauth_validator_module_init(void)
{
    return &callbacks;
}
"""


class ValidatorError(Exception):
    """It cannot be built here; the text says why."""


def build_validator(bin_dir: str) -> bytes:
    """The shared library, for the server with these programs.

    Raises:
        ValidatorError: the server has no headers, or is older than 18; or there is no C compiler.
    """
    header = next((path for path in Path(bin_dir).resolve().parent.rglob("libpq/oauth.h")), None)
    if header is None:
        raise ValidatorError(f"the server in {bin_dir} has no header libpq/oauth.h")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ValidatorError("there is no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "validator.c"), Path(folder, "validator.so")
        source.write_text(_SOURCE)
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-O1",
            "-I",
            str(header.parent.parent),
            str(source),
            "-o",
            str(library),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise ValidatorError(f"{' '.join(command)}: {done.stderr[-1000:]}")
        return library.read_bytes()
