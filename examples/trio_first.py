"""A first look at pgsansio_trio: python examples/trio_first.py postgresql://user:password@host/database"""

import sys

import trio

import pgsansio_trio as pg


async def main(dsn: str) -> None:
    async with pg.connect(dsn) as connection:
        await connection.execute("CREATE TEMPORARY TABLE fruit (id int PRIMARY KEY, name text, picked date)")
        await connection.executemany(
            "INSERT INTO fruit VALUES ($1, $2, current_date)", [(1, "apple"), (2, "pear"), (3, "plum")]
        )

        # Tasks may share the connection: their queries are pipelined.
        async def show(number: int) -> None:
            names[number] = await connection.fetchval("SELECT name FROM fruit WHERE id = $1", number)

        names: dict[int, str] = {}
        async with trio.open_nursery() as nursery:
            for number in (1, 2, 3):
                nursery.start_soon(show, number)
        print(names[1], names[2], names[3])

        # A cancelled query is cancelled on the server, too, and the connection goes on.
        with trio.move_on_after(0.1):
            await connection.execute("SELECT pg_sleep(60)")
        print(await connection.fetchval("SELECT count(*) FROM fruit"))


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
