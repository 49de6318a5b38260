"""date, time, timetz, timestamp, timestamptz, interval.

    date          int32 days since 2000-01-01                          date_send, date_recv
    time          int64 microseconds since midnight, 24:00:00 included time_send, time_recv
    timetz        the same, then int32 seconds *west* of UTC           timetz_send, timetz_recv
    timestamp     int64 microseconds since 2000-01-01 00:00:00         timestamp_send, timestamp_recv
    timestamptz   the same, in UTC                                     timestamptz_send, timestamptz_recv
    interval      int64 microseconds, int32 days, int32 months         interval_send, interval_recv

The extreme integers are -infinity and infinity; Python's extreme values stand for them both ways, as in asyncpg. Python
has PostgreSQL's calendar (proleptic Gregorian), but only for the years 1 to 9999: what lies beyond is a ValueError that
says which value it was, spelled as PostgreSQL prints it.

As text, only what ISO style prints becomes one of Python's types (manual, "Date/Time Output"); what another DateStyle
prints stays str. An interval is read in each of the four styles that IntervalStyle chooses from ("Interval Output").
"""

import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from operator import index
from typing import Any, Final

from pgsansio.codecs.codec import CodecPair, codec_pair, text_encoder, type_name, wrong_length
from pgsansio.codecs.integer import encode_int4, encode_int8
from pgsansio.kernel.contract import Opcode

__all__ = [
    "CODECS",
    "SOURCE",
    "decode_date",
    "decode_interval",
    "decode_time",
    "decode_timestamp",
    "decode_timestamptz",
    "decode_timetz",
    "encode_date",
    "encode_interval",
    "encode_time",
    "encode_timestamp",
    "encode_timestamptz",
    "encode_timetz",
]

#: Section of the manual.
SOURCE: Final = "Date/Time Types"

_unpack_int4 = struct.Struct(">i").unpack
_unpack_int8 = struct.Struct(">q").unpack
_unpack_timetz = struct.Struct(">qi").unpack
_unpack_interval = struct.Struct(">qii").unpack
_pack_interval = struct.Struct(">qii").pack

#: 2000-01-01, where PostgreSQL counts from.
_EPOCH_ORDINAL: Final = date(2000, 1, 1).toordinal()
_EPOCH: Final = datetime(2000, 1, 1)
_EPOCH_UTC: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MAX_ORDINAL: Final = date.max.toordinal()
#: Half the price of a timedelta made from the number of microseconds.
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
#: Days in 400 years, after which the calendar repeats.
_CYCLE: Final = 146_097

_INFINITE_DAYS: Final = 2**31 - 1
_NEGATIVE_INFINITE_DAYS: Final = -(2**31)
_INFINITE_MICROSECONDS: Final = 2**63 - 1
_NEGATIVE_INFINITE_MICROSECONDS: Final = -(2**63)
_INFINITY: Final = _INFINITE_MICROSECONDS.to_bytes(8, "big", signed=True)
_NEGATIVE_INFINITY: Final = _NEGATIVE_INFINITE_MICROSECONDS.to_bytes(8, "big", signed=True)

#: datetime.max and datetime.min in PostgreSQL's microseconds, which are never sent: they mean infinity.
_MAX_MICROSECONDS: Final = (datetime.max - _EPOCH) // _MICROSECOND
_MIN_MICROSECONDS: Final = (datetime.min - _EPOCH) // _MICROSECOND
_MAX_UTC: Final = datetime.max.replace(tzinfo=UTC)
_MIN_UTC: Final = datetime.min.replace(tzinfo=UTC)


# date


def decode_date(data: bytes) -> date:
    """infinity and -infinity are `date.max` and `date.min`."""
    try:
        days: int = _unpack_int4(data)[0]
    except struct.error:
        raise wrong_length("date", data, 4) from None
    try:
        return date.fromordinal(days + _EPOCH_ORDINAL)
    except (ValueError, OverflowError):
        return _extreme_date(days)


def _extreme_date(days: int) -> date:
    if days == _INFINITE_DAYS:
        return date.max
    if days == _NEGATIVE_INFINITE_DAYS:
        return date.min
    raise ValueError("date {}-{:02}-{:02}{} is out of range for datetime.date".format(*_calendar(days)))


def encode_date(value: Any) -> bytes:
    """Whatever has `toordinal`; a datetime loses its time."""
    try:
        ordinal: int = value.toordinal()
    except AttributeError:
        raise TypeError(f"expected a datetime.date or datetime.datetime instance, got '{type_name(value)}'") from None
    if ordinal == _MAX_ORDINAL:
        return b"\x7f\xff\xff\xff"
    if ordinal == 1:
        return b"\x80\x00\x00\x00"
    return encode_int4(ordinal - _EPOCH_ORDINAL)


# time and timetz


def decode_time(data: bytes) -> time:
    try:
        microseconds: int = _unpack_int8(data)[0]
    except struct.error:
        raise wrong_length("time", data, 8) from None
    return _time(microseconds, None)


def encode_time(value: Any) -> bytes:
    """A time of day, whose tzinfo plays no part; or what has its attributes, such as a datetime."""
    return encode_int8(_since_midnight(value))


def decode_timetz(data: bytes) -> time:
    try:
        microseconds, west = _unpack_timetz(data)
    except struct.error:
        raise wrong_length("timetz", data, 12) from None
    return _time(microseconds, _fixed_offset(-west))


def encode_timetz(value: Any) -> bytes:
    """A time with an offset from UTC in whole seconds.

    Raises:
        TypeError: no time. ValueError: no offset, or one of fractional seconds.
    """
    microseconds = _since_midnight(value)
    offset: timedelta | None = value.utcoffset() if hasattr(value, "utcoffset") else None
    if offset is None:
        raise ValueError("a time with a fixed offset from UTC is required")
    if offset.microseconds:
        raise ValueError(f"offset {offset} from UTC is not in whole seconds")
    return encode_int8(microseconds) + encode_int4(-(offset.days * 86_400 + offset.seconds))


def _time(microseconds: int, zone: timezone | None) -> time:
    if not 0 <= microseconds < _DAY:
        name = "24:00:00" if microseconds == _DAY else f"of {microseconds} microseconds"
        raise ValueError(f"time {name} is out of range for datetime.time")
    seconds, microseconds = divmod(microseconds, _SECOND)
    minutes, seconds = divmod(seconds, 60)
    return time(minutes // 60, minutes % 60, seconds, microseconds, zone)


def _since_midnight(value: Any) -> int:
    try:
        # A str would be multiplied, too.
        seconds: int = index(value.hour) * 3600 + value.minute * 60 + value.second
        microseconds: int = value.microsecond
    except AttributeError:
        raise TypeError(f"expected a datetime.time instance, got '{type_name(value)}'") from None
    return seconds * _SECOND + microseconds


@lru_cache(maxsize=256)
def _fixed_offset(seconds: int) -> timezone:
    """Raises ValueError if it is a day or more; the server's limit is 16 hours."""
    return timezone(timedelta(seconds=seconds))


# timestamp and timestamptz


def decode_timestamp(data: bytes) -> datetime:
    """Naive. infinity and -infinity are `datetime.max` and `datetime.min`."""
    try:
        microseconds: int = _unpack_int8(data)[0]
    except struct.error:
        raise wrong_length("timestamp", data, 8) from None
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        return _extreme_datetime("timestamp", microseconds, "", datetime.max, datetime.min)


def decode_timestamptz(data: bytes) -> datetime:
    """Aware, in UTC. infinity and -infinity are `datetime.max` and `datetime.min`, in UTC as well."""
    try:
        microseconds: int = _unpack_int8(data)[0]
    except struct.error:
        raise wrong_length("timestamptz", data, 8) from None
    try:
        return _EPOCH_UTC + microseconds * _MICROSECOND
    except OverflowError:
        return _extreme_datetime("timestamptz", microseconds, "+00", _MAX_UTC, _MIN_UTC)


def _extreme_datetime(
    name: str, microseconds: int, zone: str, infinity: datetime, negative_infinity: datetime
) -> datetime:
    if microseconds == _INFINITE_MICROSECONDS:
        return infinity
    if microseconds == _NEGATIVE_INFINITE_MICROSECONDS:
        return negative_infinity
    days, microseconds = divmod(microseconds, _DAY)
    year, month, day, era = _calendar(days)
    moment = f"{year}-{month:02}-{day:02} {_time(microseconds, None)}{zone}{era}"
    raise ValueError(f"{name} {moment} is out of range for datetime.datetime")


def encode_timestamp(value: Any) -> bytes:
    """A naive datetime, or a date for its midnight.

    Raises:
        TypeError: neither, or an aware datetime.
    """
    delta: timedelta = (value if type(value) is datetime else _as_datetime(value)) - _EPOCH
    return _encode_moment(delta)


def encode_timestamptz(value: Any) -> bytes:
    """An aware datetime; or a naive one or a date, which are taken as local time of this machine, as by asyncpg.

    Raises:
        TypeError: neither. OverflowError or ValueError: local time that is out of range in UTC.
    """
    moment = value if type(value) is datetime else _as_datetime(value)
    if moment.utcoffset() is not None:
        return _encode_moment(moment - _EPOCH_UTC)
    if moment == datetime.max:
        return _INFINITY
    if moment == datetime.min:
        return _NEGATIVE_INFINITY
    return _encode_moment(moment.astimezone(UTC) - _EPOCH_UTC)


def _encode_moment(delta: timedelta) -> bytes:
    microseconds = delta.days * _DAY + delta.seconds * _SECOND + delta.microseconds
    if microseconds == _MAX_MICROSECONDS:
        return _INFINITY
    if microseconds == _MIN_MICROSECONDS:
        return _NEGATIVE_INFINITY
    return encode_int8(microseconds)


def _as_datetime(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise TypeError(f"expected a datetime.date or datetime.datetime instance, got '{type_name(value)}'")


# interval


def decode_interval(data: bytes) -> timedelta:
    """A month counts as 30 days and each twelve of them as 365, as in asyncpg.

    Raises:
        ValueError: beyond 999999999 days, or infinite (since PostgreSQL 17).
    """
    try:
        microseconds, days, months = _unpack_interval(data)
    except struct.error:
        raise wrong_length("interval", data, 16) from None
    return _timedelta(months, days, microseconds)


def _timedelta(months: int, days: int, microseconds: int) -> timedelta:
    days_in_months = 0
    if months:
        if months > 0:
            days_in_months = months // 12 * 365 + months % 12 * 30
        else:
            days_in_months = -(-months // 12 * 365 + -months % 12 * 30)
    try:
        return timedelta(days + days_in_months, 0, microseconds)
    except OverflowError:
        raise _unrepresentable_interval(months, days, microseconds) from None


def _unrepresentable_interval(months: int, days: int, microseconds: int) -> ValueError:
    if (microseconds, days, months) == (_INFINITE_MICROSECONDS, _INFINITE_DAYS, _INFINITE_DAYS):
        name = "infinity"
    elif (microseconds, days, months) == (
        _NEGATIVE_INFINITE_MICROSECONDS,
        _NEGATIVE_INFINITE_DAYS,
        _NEGATIVE_INFINITE_DAYS,
    ):
        name = "-infinity"
    else:
        name = f"of {months} months, {days} days and {microseconds} microseconds"
    return ValueError(f"interval {name} is out of range for datetime.timedelta")


def encode_interval(value: Any) -> bytes:
    """A timedelta, or what has its attributes, as days and microseconds; never months."""
    try:
        microseconds: int = value.seconds * _SECOND + value.microseconds
        return _pack_interval(microseconds, value.days, 0)
    except AttributeError:
        raise TypeError(f"expected a datetime.timedelta instance, got '{type_name(value)}'") from None
    except struct.error:
        raise ValueError(f"value out of range for an interval (got type {type_name(value)})") from None


# Dates that Python does not have


def _calendar(days: int) -> tuple[str, int, int, str]:
    """Year (at least four digits), month, day and era ('' or ' BC') of a day counted from 2000-01-01."""
    cycles, ordinal = divmod(days + _EPOCH_ORDINAL - 1, _CYCLE)
    like = date.fromordinal(ordinal + 1)
    year = like.year + 400 * cycles
    # There is no year 0: the year before 1 is 1 BC.
    return (f"{year:04}", like.month, like.day, "") if year > 0 else (f"{1 - year:04}", like.month, like.day, " BC")


# Text


_DATE: Final = r"(?P<year>\d{4,7})-(?P<month>\d\d)-(?P<day>\d\d)"
_TIME: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?"
_ZONE: Final = r"(?P<sign>[+-])(?P<hours>\d\d)(?::(?P<minutes>\d\d))?(?::(?P<seconds>\d\d))?"
_ERA: Final = r"(?P<era> BC)?"
#: Days that Python does not have, but of which a part may be within its years in UTC: a day, and how far it is off.
_EDGES: Final[Mapping[str, tuple[date, timedelta]]] = {
    "10000-01-01": (date.max, timedelta(days=1)),
    "0001-12-31 BC": (date.min, timedelta(days=-1)),
}
_match_date = re.compile(_DATE + _ERA, re.ASCII).fullmatch
_match_time = re.compile(_TIME, re.ASCII).fullmatch
_match_timetz = re.compile(_TIME + _ZONE, re.ASCII).fullmatch
_match_timestamp = re.compile(f"{_DATE} {_TIME}{_ERA}", re.ASCII).fullmatch
_match_timestamptz = re.compile(f"{_DATE} {_TIME}{_ZONE}{_ERA}", re.ASCII).fullmatch


def decode_date_text(data: bytes) -> date | str:
    text = data.decode()
    if text == "infinity":
        return date.max
    if text == "-infinity":
        return date.min
    match = _match_date(text)
    if match is None:
        return text
    _check_year(match, "date", "date")
    return date(int(match["year"]), int(match["month"]), int(match["day"]))


def decode_time_text(data: bytes) -> time:
    return _time_of_text("time", data, _match_time)


def decode_timetz_text(data: bytes) -> time:
    return _time_of_text("timetz", data, _match_timetz)


def decode_timestamp_text(data: bytes) -> datetime | str:
    text = data.decode()
    if text == "infinity":
        return datetime.max
    if text == "-infinity":
        return datetime.min
    match = _match_timestamp(text)
    return text if match is None else _datetime(match, "timestamp")


def decode_timestamptz_text(data: bytes) -> datetime | str:
    text = data.decode()
    if text == "infinity":
        return _MAX_UTC
    if text == "-infinity":
        return _MIN_UTC
    match = _match_timestamptz(text)
    if match is None:
        return text
    edge = _EDGES.get(text[: match.start("hour") - 1] + (match["era"] or ""))
    # The offset depends on the session's TimeZone, the moment does not.
    shift = -_offset(match)
    try:
        if edge is None:
            local = _datetime(match, "timestamptz")
        else:
            local = datetime.combine(edge[0], _clock(match))
            shift += edge[1]
        return (local + shift).replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"timestamptz {text} is out of range for datetime.datetime") from None


def _time_of_text(name: str, data: bytes, find: Callable[[str], re.Match[str] | None]) -> time:
    match = find(data.decode())
    if match is None:
        raise ValueError(f"invalid {name} text {data[:40]!r}")
    seconds = int(match["hour"]) * 3600 + int(match["minute"]) * 60 + int(match["second"])
    zone = _fixed_offset(_offset(match) // timedelta(seconds=1)) if "sign" in match.groupdict() else None
    return _time(seconds * _SECOND + _fraction(match), zone)


def _datetime(match: re.Match[str], name: str) -> datetime:
    """Naive: without the offset, if the text has one."""
    _check_year(match, name, "datetime")
    return datetime.combine(date(int(match["year"]), int(match["month"]), int(match["day"])), _clock(match))


def _clock(match: re.Match[str]) -> time:
    return time(int(match["hour"]), int(match["minute"]), int(match["second"]), _fraction(match))


def _check_year(match: re.Match[str], name: str, python_type: str) -> None:
    if match["era"] or len(match["year"]) > 4:
        raise ValueError(f"{name} {match[0]} is out of range for datetime.{python_type}")


def _fraction(match: re.Match[str]) -> int:
    return int((match["fraction"] or "").ljust(6, "0"))


def _offset(match: re.Match[str]) -> timedelta:
    """East of UTC."""
    offset = timedelta(
        hours=int(match["hours"]), minutes=int(match["minutes"] or 0), seconds=int(match["seconds"] or 0)
    )
    return -offset if match["sign"] == "-" else offset


# What the styles postgres, postgres_verbose, sql_standard and iso_8601 print. A sign is that of the one number behind
# it, but for `negative` and `ago`, which turn everything around.
_CLOCK: Final = r"(?P<sign>[+-]?)(?P<hours>\d{1,10}):(?P<minutes>\d\d):(?P<seconds>\d\d(?:\.\d{1,6})?)"
_NUMBER: Final = r"(?P<%s>[+-]?\d{1,10})"
_SECONDS: Final = r"(?P<seconds>[+-]?\d{1,10}(?:\.\d{1,6})?)"
_match_interval: Final[tuple[Callable[[str], re.Match[str] | None], ...]] = tuple(
    re.compile(pattern, re.ASCII).fullmatch
    for pattern in (
        f"(?!\\Z)(?:{_NUMBER % 'years'} years?(?: |\\Z))?(?:{_NUMBER % 'months'} mons?(?: |\\Z))?"
        f"(?:{_NUMBER % 'days'} days?(?: |\\Z))?(?:{_CLOCK})?(?<! )",
        f"@(?= )(?: {_NUMBER % 'years'} years?)?(?: {_NUMBER % 'months'} mons?)?(?: {_NUMBER % 'days'} days?)?"
        f"(?: {_NUMBER % 'hours'} hours?)?(?: {_NUMBER % 'minutes'} mins?)?(?: {_SECONDS} secs?)?(?: 0)?(?P<ago> ago)?",
        r"(?P<negative>-?)(?P<years>\d{1,10})-(?P<months>\d{1,2})",
        f"(?P<negative>-?)(?P<days>\\d{{1,10}}) {_CLOCK}",
        rf"(?P<month_sign>[+-])(?P<years>\d{{1,10}})-(?P<months>\d{{1,2}}) {_NUMBER % 'days'} {_CLOCK}",
        f"P(?=.)(?:{_NUMBER % 'years'}Y)?(?:{_NUMBER % 'months'}M)?(?:{_NUMBER % 'days'}D)?"
        f"(?:T(?:{_NUMBER % 'hours'}H)?(?:{_NUMBER % 'minutes'}M)?(?:{_SECONDS}S)?)?",
        "(?P<seconds>0)",
    )
)


def decode_interval_text(data: bytes) -> timedelta:
    text = data.decode("ascii")
    if text in ("infinity", "-infinity"):
        raise ValueError(f"interval {text} is out of range for datetime.timedelta")
    for match_style in _match_interval:
        match = match_style(text)
        if match is not None:
            return _interval(match.groupdict())
    raise ValueError(f"invalid interval text {data[:80]!r}")


def _interval(parts: Mapping[str, str | None]) -> timedelta:
    months = int(parts.get("years") or 0) * 12 + int(parts.get("months") or 0)
    if parts.get("month_sign") == "-":
        months = -months
    whole, _, fraction = (parts.get("seconds") or "0").partition(".")
    microseconds = int(fraction.ljust(6, "0"))
    microseconds = int(whole) * _SECOND + (-microseconds if whole[0] == "-" else microseconds)
    microseconds += (int(parts.get("hours") or 0) * 3600 + int(parts.get("minutes") or 0) * 60) * _SECOND
    if parts.get("sign") == "-":
        microseconds = -microseconds
    days = int(parts.get("days") or 0)
    if parts.get("negative") or parts.get("ago"):
        months, days, microseconds = -months, -days, -microseconds
    return _timedelta(months, days, microseconds)


def _spell_interval(value: timedelta) -> str:
    """In ISO 8601, which is read alike under every IntervalStyle; others make -1 day 00:00:01 one negative value."""
    return f"P{value.days}DT{value.seconds}.{value.microseconds:06}S"


def _spell_date(value: date) -> str:
    return "infinity" if value == date.max else "-infinity" if value == date.min else value.isoformat()


def _spell_datetime(value: datetime) -> str:
    if value in (datetime.max, _MAX_UTC):
        return "infinity"
    if value in (datetime.min, _MIN_UTC):
        return "-infinity"
    return value.isoformat(" ")


CODECS: Final[tuple[CodecPair, ...]] = (
    codec_pair(
        "date",
        Opcode.DATE,
        decode_date,
        encode_date,
        decode_date_text,
        text_encoder(encode_date, decode_date, _spell_date),
    ),
    codec_pair(
        "time",
        Opcode.TIME,
        decode_time,
        encode_time,
        decode_time_text,
        text_encoder(encode_time, decode_time, time.isoformat),
    ),
    codec_pair(
        "timetz",
        Opcode.TIMETZ,
        decode_timetz,
        encode_timetz,
        decode_timetz_text,
        text_encoder(encode_timetz, decode_timetz, time.isoformat),
    ),
    codec_pair(
        "timestamp",
        Opcode.TIMESTAMP,
        decode_timestamp,
        encode_timestamp,
        decode_timestamp_text,
        text_encoder(encode_timestamp, decode_timestamp, _spell_datetime),
    ),
    codec_pair(
        "timestamptz",
        Opcode.TIMESTAMPTZ,
        decode_timestamptz,
        encode_timestamptz,
        decode_timestamptz_text,
        text_encoder(encode_timestamptz, decode_timestamptz, _spell_datetime),
    ),
    codec_pair(
        "interval",
        Opcode.INTERVAL,
        decode_interval,
        encode_interval,
        decode_interval_text,
        text_encoder(encode_interval, decode_interval, _spell_interval),
    ),
)
