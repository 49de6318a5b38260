"""What a server can do, by the parameters that it reports."""

import pytest

from pgsansio.policy.capabilities import detect

EVERYTHING = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;"


@pytest.mark.checklist("CN-12")
@pytest.mark.parametrize(
    ("reported", "reset_query", "copy_where"),
    [
        ({}, EVERYTHING, True),
        ({"server_version": "18.0"}, EVERYTHING, True),
        ({"server_version": "12.0"}, EVERYTHING, True),
        ({"server_version": "11.22"}, EVERYTHING, False),
        ({"server_version": "9.6.1"}, EVERYTHING, False),
        ({"server_version": "who knows"}, EVERYTHING, True),
        ({"server_version": "1.26.0/bouncer"}, "", False),
        ({"server_version": "16.0", "padb_revision": "1"}, "RESET ALL;", False),
        ({"server_version": "16.0", "crdb_version": "CockroachDB 24"}, "", False),
        ({"server_version": "16.0", "crate_version": "5"}, "", False),
    ],
)
def test_what_is_told_by_parameters(reported: dict[str, str], reset_query: str, copy_where: bool) -> None:
    capabilities = detect(reported)
    assert capabilities.reset_query == reset_query
    assert capabilities.copy_where is copy_where
