"""Values of PostgreSQL's types through SQLAlchemy: in by a parameter, out by a query, both by RETURNING."""

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.sqlalchemy.drivers import Driver, recreate

pytestmark = [pytest.mark.anyio, pytest.mark.server]


class Color(enum.Enum):
    red = 1
    blue = 2


UTC = dt.UTC
DAY = dt.date(2024, 2, 29)
TIME = dt.datetime(2024, 2, 29, 12, 30, 1, 234567)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
DOCUMENT = {"a": [1, 2.5, None, True], "b": {"c": "ä"}}

#: Type, and values that come back as they went.
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "smallint": (sa.SmallInteger(), [0, -32768, 32767]),
    "integer": (sa.Integer(), [0, -(2**31), 2**31 - 1]),
    "bigint": (sa.BigInteger(), [0, -(2**63), 2**63 - 1]),
    "boolean": (sa.Boolean(), [True, False]),
    "float": (sa.Float(), [0.0, -1.5, 1e300, float("inf")]),
    "real": (pg.REAL(), [0.5, -2.25]),
    "numeric": (sa.Numeric(20, 5), [Decimal("0.00000"), Decimal("-123456.78901")]),
    "numeric as float": (sa.Numeric(20, 5, asdecimal=False), [0.25, -3.5]),
    "string": (sa.String(40), ["", "text", "ä€𝄞", "'quoted' \\ \"text\""]),
    "text": (sa.Text(), ["", "x" * 100_000]),
    "char": (sa.CHAR(3), ["abc"]),
    "bytes": (sa.LargeBinary(), [b"", b"\x00\xff" * 10]),
    "date": (sa.Date(), [DAY, dt.date.min, dt.date(1, 1, 2)]),
    "time": (sa.Time(), [dt.time(0), dt.time(23, 59, 59, 999999)]),
    "datetime": (sa.DateTime(), [TIME, dt.datetime(1, 1, 1, 1)]),
    "datetime with zone": (sa.DateTime(timezone=True), [TIME.replace(tzinfo=UTC)]),
    "interval": (sa.Interval(), [dt.timedelta(0), dt.timedelta(days=-3, hours=5, microseconds=7)]),
    "uuid": (sa.Uuid(), [ID]),
    "uuid as text": (sa.Uuid(as_uuid=False), [str(ID)]),
    "enum": (sa.Enum(Color, name="color"), list(Color)),
    "enum of texts": (sa.Enum("small", "big", name="size"), ["small", "big"]),
    "json": (pg.JSON(), [DOCUMENT, [1, "two"], "text", 7]),
    "jsonb": (pg.JSONB(), [DOCUMENT, [1, "two"], "text", 7]),
    "array": (pg.ARRAY(sa.Integer), [[], [1, None, 3]]),
    "array of arrays": (pg.ARRAY(sa.Text, dimensions=2), [[["a", "b"], ["c", None]]]),
    "array of enums": (pg.ARRAY(pg.ENUM(Color, name="shade")), [[Color.red, Color.blue]]),
    "array of jsonb": (pg.ARRAY(pg.JSONB), [[DOCUMENT, {"x": 1}]]),
    "range": (pg.INT4RANGE(), [Range(1, 5), Range(None, 3), Range(empty=True), Range(None, None, bounds="()")]),
    "range of numerics": (pg.NUMRANGE(), [Range(Decimal(1), Decimal(5), bounds="(]")]),
    "range of times": (pg.TSTZRANGE(), [Range(TIME.replace(tzinfo=UTC), None)]),
    "range of dates": (pg.DATERANGE(), [Range(DAY, dt.date(2025, 1, 1))]),
    "multirange": (pg.INT8MULTIRANGE(), [pg.ranges.MultiRange([Range(1, 3), Range(5, 9)]), pg.ranges.MultiRange([])]),
    "inet": (pg.INET(), [IPv4Address("10.0.0.1")]),
    "cidr": (pg.CIDR(), [IPv4Network("10.0.0.0/8")]),
    "macaddr": (pg.MACADDR(), ["08:00:2b:01:02:03"]),
    "bit": (pg.BIT(5), [pg.BitString("10110")]),
    "oid": (pg.OID(), [0, 2**32 - 1]),
    "text search vector": (pg.TSVECTOR(), ["'fat':2 'rat':3"]),
}

#: json has no equality, and the parameters of the others are sent as texts.
NOT_COMPARED = {"json", "jsonb", "text search vector"}


@pytest.mark.parametrize("name", VALUES)
async def test_values_come_back(engine: AsyncEngine, name: str) -> None:
    kind, values = VALUES[name]
    metadata = sa.MetaData()
    table = sa.Table("values_of_a_type", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("x", kind))
    await recreate(engine, metadata)
    values = [*values, None]
    async with engine.begin() as connection:
        for value in values:
            returned = await connection.execute(sa.insert(table).values(x=value).returning(table.c.x))
            assert returned.scalar_one() == value
        await connection.execute(sa.insert(table), [{"x": value} for value in values])
        stored = (await connection.scalars(sa.select(table.c.x).order_by(table.c.id))).all()
        assert stored == values * 2
        assert all(isinstance(got, type(value)) for got, value in zip(stored, values * 2, strict=True))
        for value in values[:-1]:
            if name not in NOT_COMPARED:
                found = await connection.scalar(sa.select(sa.func.count()).where(table.c.x == value))
                assert found == 2
        await connection.run_sync(metadata.drop_all)


async def test_the_json_functions_of_the_user(driver: Driver) -> None:
    engine = driver.engine(
        json_serializer=lambda value: json.dumps({"wrapped": value}),
        json_deserializer=lambda text: ("read", json.loads(text)),
    )
    async with engine.connect() as connection:
        for kind in (pg.JSON(), pg.JSONB()):
            value = await connection.scalar(sa.select(sa.cast([1], kind)))
            assert value == ("read", {"wrapped": [1]})


async def test_parts_of_json(engine: AsyncEngine) -> None:
    document = sa.cast(DOCUMENT, pg.JSONB)
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(document["a"][1])) == 2.5
        assert await connection.scalar(sa.select(document["b"]["c"].astext)) == "ä"
        assert await connection.scalar(sa.select(document[("b", "c")])) == "ä"
        assert await connection.scalar(sa.select(document.contains({"b": {"c": "ä"}}))) is True


async def test_network_addresses_as_texts(driver: Driver) -> None:
    engine = driver.engine(native_inet_types=False)
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.cast("10.0.0.1/8", pg.INET))) == "10.0.0.1/8"
        assert await connection.scalar(sa.select(sa.cast("10.0.0.0/8", pg.CIDR))) == "10.0.0.0/8"


async def test_text_search(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        matches = pg.to_tsvector("english", "fat rats").bool_op("@@")(pg.to_tsquery("english", "rat & fat"))
        assert await connection.scalar(sa.select(matches)) is True


async def test_key_value_texts(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        available = sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'hstore'")
        if not await connection.scalar(available):
            pytest.skip("this server has no hstore")
        await connection.execute(sa.text("CREATE EXTENSION hstore"))
        value = {"a": "1", "b": None, 'c"': "ä, =>"}
        assert await connection.scalar(sa.select(sa.cast(value, pg.HSTORE))) == value
        await connection.rollback()


async def test_composite_values(driver: Driver, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("CREATE TYPE pair AS (a int, b text)"))
        value = await connection.scalar(sa.text("SELECT ROW(1, 'x')::pair"))
        assert isinstance(value, driver.module.Record)
        assert dict(value) == {"a": 1, "b": "x"}
        await connection.rollback()


async def test_an_enum_that_grows(engine: AsyncEngine) -> None:
    """DDL by SQLAlchemy forgets what the driver knows of types."""
    before, after = (sa.MetaData() for _ in range(2))
    old = sa.Table("enums", before, sa.Column("x", sa.Enum("a", name="grows")))
    new = sa.Table("enums", after, sa.Column("x", pg.ARRAY(sa.Enum("a", "b", name="grows"))))
    await recreate(engine, before)
    async with engine.begin() as connection:
        await connection.execute(sa.insert(old).values(x="a"))
        assert (await connection.scalars(sa.select(old.c.x))).all() == ["a"]
        await connection.run_sync(before.drop_all)
        await connection.run_sync(after.create_all)
        await connection.execute(sa.insert(new).values(x=["a", "b"]))
        assert (await connection.scalars(sa.select(new.c.x))).all() == [["a", "b"]]
        await connection.run_sync(after.drop_all)


async def test_reflection(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "reflected",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, comment="the key"),
        sa.Column("x", pg.ARRAY(sa.Numeric(5, 2)), nullable=False),
        sa.Index("by_x", "x"),
    )
    await recreate(engine, metadata)
    async with engine.begin() as connection:
        found = sa.MetaData()
        await connection.run_sync(lambda own: found.reflect(own, only=["reflected"]))
        table = found.tables["reflected"]
        assert [repr(column.type) for column in table.columns] == ["INTEGER()", "ARRAY(NUMERIC(precision=5, scale=2))"]
        assert table.c.id.comment == "the key"
        assert {index.name for index in table.indexes} == {"by_x"}
        await connection.run_sync(metadata.drop_all)
