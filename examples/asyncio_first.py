"""A first look at pgsansio_asyncio: python examples/asyncio_first.py postgresql://user:password@host/database"""

import asyncio
import sys

import pgsansio_asyncio as pg


async def main(dsn: str) -> None:
    async with pg.connect(dsn) as connection:
        await connection.execute("CREATE TEMPORARY TABLE fruit (id int PRIMARY KEY, name text, picked date)")
        await connection.executemany(
            "INSERT INTO fruit VALUES ($1, $2, current_date)", [(1, "apple"), (2, "pear"), (3, "plum")]
        )

        # Rows are like tuples, with names; values have the types that PostgreSQL says.
        for row in await connection.fetch("SELECT * FROM fruit WHERE id >= $1 ORDER BY id", 2):
            print(row["id"], row["name"], type(row["picked"]).__name__)

        # A transaction; an exception that leaves the block rolls it back.
        try:
            async with connection.transaction():
                await connection.execute("DELETE FROM fruit")
                await connection.execute("INSERT INTO fruit VALUES (1, $1, NULL), (1, $1, NULL)", "quince")
        except pg.UniqueViolationError as error:
            print(error.sqlstate, error.constraint_name)

        # Tasks may share the connection: their queries are pipelined.
        names = await asyncio.gather(
            *(connection.fetchval("SELECT name FROM fruit WHERE id = $1", number) for number in (1, 2, 3))
        )
        print(*names)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
