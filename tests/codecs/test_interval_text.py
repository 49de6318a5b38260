"""interval as text: read in every style that the server prints, written so that it is read alike under all of them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsansio.codecs.date_time import CODECS as DATE_TIME_CODECS
from pgsansio.codecs.date_time import decode_interval, decode_interval_text

#: Bytes of a value, and its texts in the styles postgres, postgres_verbose, sql_standard and iso_8601. Got once from
#: PostgreSQL 14, 16 and 18 by hand, which agreed.
STYLES = (
    (
        "000000000000000000000005fffffff2",
        (b"-1 years -2 mons +5 days", b"@ 1 year 2 mons -5 days ago", b"-1-2 +5 +0:00:00", b"P-1Y-2M5D"),
    ),
    (
        "00000000000000003b9ac9ff00000000",
        (b"999999999 days", b"@ 999999999 days", b"999999999 0:00:00", b"P999999999D"),
    ),
    (
        "000000000007a12000000000ffffffff",
        (b"-1 mons +00:00:00.5", b"@ 1 mon -0.5 secs ago", b"-0-1 +0 +0:00:00.5", b"P-1MT0.5S"),
    ),
    (
        "00000000000f4240ffffffff00000000",
        (b"-1 days +00:00:01", b"@ 1 day -1 sec ago", b"+0-0 -1 +0:00:01", b"P-1DT1S"),
    ),
    (
        "ffffffff25c992c0fffffffd00000000",
        (b"-3 days -01:01:01", b"@ 3 days 1 hour 1 min 1 sec ago", b"-3 1:01:01", b"P-3DT-1H-1M-1S"),
    ),
    ("ffffffff2973fd200000000000000000", (b"-00:59:59.5", b"@ 59 mins 59.5 secs ago", b"-0:59:59.5", b"PT-59M-59.5S")),
    ("00000000000000000000000000000000", (b"00:00:00", b"@ 0", b"0", b"PT0S")),
    (
        "000000036c97ca88000000030000000e",
        (
            b"1 year 2 mons 3 days 04:05:06.789",
            b"@ 1 year 2 mons 3 days 4 hours 5 mins 6.789 secs",
            b"+1-2 +3 +4:05:06.789",
            b"P1Y2M3DT4H5M6.789S",
        ),
    ),
    (
        "fffffffc93683578fffffffdfffffff2",
        (
            b"-1 years -2 mons -3 days -04:05:06.789",
            b"@ 1 year 2 mons 3 days 4 hours 5 mins 6.789 secs ago",
            b"-1-2 -3 -4:05:06.789",
            b"P-1Y-2M-3DT-4H-5M-6.789S",
        ),
    ),
    ("00000000000000000000000000000001", (b"1 mon", b"@ 1 mon", b"0-1", b"P1M")),
    ("000000000000000000000000ffffffff", (b"-1 mons", b"@ 1 mon ago", b"-0-1", b"P-1M")),
    ("fffffffffff0bdc00000000100000000", (b"1 day -00:00:01", b"@ 1 day -1 sec", b"+0-0 +1 -0:00:01", b"P1DT-1S")),
    (
        "fffffffc93743f80fffffffd00000000",
        (b"-3 days -04:05:06", b"@ 3 days 4 hours 5 mins 6 secs ago", b"-3 4:05:06", b"P-3DT-4H-5M-6S"),
    ),
    ("fffffffc93743f800000000000000000", (b"-04:05:06", b"@ 4 hours 5 mins 6 secs ago", b"-4:05:06", b"PT-4H-5M-6S")),
    ("fffffffffff85ee00000000000000000", (b"-00:00:00.5", b"@ 0.5 secs ago", b"-0:00:00.5", b"PT-0.5S")),
    ("00000000000000010000000000000000", (b"00:00:00.000001", b"@ 0.000001 secs", b"0:00:00.000001", b"PT0.000001S")),
    ("00000000000f42400000000000000000", (b"00:00:01", b"@ 1 sec", b"0:00:01", b"PT1S")),
    ("fffffffffff0bdc00000000000000000", (b"-00:00:01", b"@ 1 sec ago", b"-0:00:01", b"PT-1S")),
    ("00000000039387000000000000000000", (b"00:01:00", b"@ 1 min", b"0:01:00", b"PT1M")),
    (
        "ffffffff296c5c00fffffffb0000000e",
        (b"1 year 2 mons -5 days -01:00:00", b"@ 1 year 2 mons -5 days -1 hours", b"+1-2 -5 -1:00:00", b"P1Y2M-5DT-1H"),
    ),
    ("007fe5ce55565c000000000000000000", (b"9999999:00:00", b"@ 9999999 hours", b"9999999:00:00", b"PT9999999H")),
    ("0000000000000000000000000000000c", (b"1 year", b"@ 1 year", b"1-0", b"P1Y")),
    ("000000000000000000000000fffffff4", (b"-1 years", b"@ 1 year ago", b"-1-0", b"P-1Y")),
    ("fffffffffc6c7900ffffffff00000000", (b"-1 days -00:01:00", b"@ 1 day 1 min ago", b"-1 0:01:00", b"P-1DT-1M")),
    (
        "fffffffffffc2f700000000000000001",
        (b"1 mon -00:00:00.25", b"@ 1 mon -0.25 secs", b"+0-1 +0 -0:00:00.25", b"P1MT-0.25S"),
    ),
)

_, TEXT = next(pair for pair in DATE_TIME_CODECS if pair[0].name == "interval")


@pytest.mark.parametrize(("data", "texts"), STYLES)
def test_all_styles_say_the_same(data: str, texts: tuple[bytes, ...]) -> None:
    expected = decode_interval(bytes.fromhex(data))
    assert [decode_interval_text(text) for text in texts] == [expected] * 4


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"@",
        b"@ago",
        b"P",
        b"1 day ",
        b"1 day1 mon",
        b"1 mon 1 year",
        b"1 week",
        b"00:00",
        b"--1 days",
        b"1-2 3",
        b"+1-2 +3",
        b"1.5 days",
        b"P1DT1.S",
        b"12345678901 days",
        b"1" * 5000 + b" days",
        b"0:00:00.1234567",
        "\N{ARABIC-INDIC DIGIT ONE} day".encode(),
        b"\xff",
    ],
)
def test_what_no_style_prints(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode_interval_text(text)


@pytest.mark.parametrize("text", [b"infinity", b"-infinity"])
def test_infinity(text: bytes) -> None:
    with pytest.raises(ValueError, match=f"interval {text.decode()} is out of range for datetime.timedelta"):
        decode_interval_text(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(), b"P0DT0.000000S"),
        (timedelta(microseconds=-1), b"P-1DT86399.999999S"),
        (timedelta.max, b"P999999999DT86399.999999S"),
        (timedelta.min, b"P-999999999DT0.000000S"),
    ],
)
def test_written_as_iso_8601(value: timedelta, text: bytes) -> None:
    # The server reads these under every IntervalStyle as the same bytes that the binary format has for them.
    assert TEXT.encode(value) == text
    assert TEXT.decode(text) == value


fields = st.integers(-(2**31), 2**31 - 1)


@given(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000), fields)
def test_signs_of_iso_8601_and_postgres(months: int, days: int, microseconds: int) -> None:
    data = b"".join((microseconds.to_bytes(8, "big", signed=True), days.to_bytes(4, "big", signed=True)))
    expected = decode_interval(data + months.to_bytes(4, "big", signed=True))
    sign = "-" if microseconds < 0 else ""
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"
    assert decode_interval_text(f"P{months}M{days}DT{sign}{seconds}.{fraction:06}S".encode()) == expected
    assert decode_interval_text(f"{months} mons {days} days {clock}".encode()) == expected
    assert decode_interval_text(f"@ {months} mons {days} days {sign}{seconds}.{fraction:06} secs".encode()) == expected
    ago = decode_interval_text(f"@ {months} mons {days} days {sign}{seconds}.{fraction:06} secs ago".encode())
    assert ago == -expected
