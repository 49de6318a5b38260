"""Names of prepared statements: what they stand for, and when one may be given again."""

from hypothesis import given
from hypothesis import strategies as st

from pgsansio.policy.statement_names import StatementNames, own_name_in

texts = st.text(max_size=20)
oids = st.lists(st.integers(0, 2**32 - 1), max_size=4)


@given(texts, oids, texts, oids)
def test_one_name_for_one_content(text: str, types: list[int], other_text: str, other_types: list[int]) -> None:
    name = StatementNames().take(text, types)
    assert name == StatementNames().take(text, tuple(types))
    assert (name == StatementNames().take(other_text, other_types)) is ((text, types) == (other_text, other_types))


def test_it_is_short_and_known_again() -> None:
    names = StatementNames()
    first, second = names.take("A", ()), names.take("A", ())
    assert first == "__pgsansio_b444864740a19550a7233214"
    assert second == f"{first}_1"
    for name in (first, second):
        assert own_name_in(f"l'instruction préparée « {name} » n'existe pas") == name
    assert own_name_in('prepared statement "a" does not exist') is None
    assert own_name_in('prepared statement "__pgsansio_probe" does not exist') is None
    assert own_name_in(None) is None


def test_texts_that_cannot_be_encoded() -> None:
    assert StatementNames().take("\udc80", ()) != StatementNames().take("\udc81", ())


def test_a_name_is_free_when_its_close_was_acknowledged() -> None:
    names = StatementNames()
    name = names.take("A", ())
    assert names.to_close([name]) == (name,)
    assert names.take("A", ()) == f"{name}_1"
    names.free([name])
    assert names.take("A", ()) == name
    assert names.take("A", ()) == f"{name}_2"


def test_each_is_closed_once() -> None:
    names = StatementNames()
    name = names.take("A", ())
    assert names.to_close([name, "user's", name, "user's"]) == (name, "user's")
    assert names.to_close([name]) == ()
    names.not_closed([name])
    assert names.to_close([name]) == (name,)
    names.free([name])
    # By now it may stand for another one.
    assert names.to_close([name]) == ()


def test_what_the_server_holds() -> None:
    names = StatementNames()
    one, other = names.take("A", ()), names.take("B", ())
    assert not names.is_held(one)
    names.parsed(one)
    names.parsed(other)
    names.parsed("user's")
    assert names.is_held(one)
    assert names.is_held(other)
    assert not names.is_held("user's")
    names.to_close([one])
    assert not names.is_held(one)
    assert names.is_held(other)
    names.discarded()
    assert not names.is_held(other)
    assert names.take("B", ()) == f"{other}_1"
    names.clear()
    assert names.take("B", ()) == other


@given(st.lists(st.tuples(st.sampled_from("takecpf"), st.integers(0, 5))))
def test_no_name_is_given_twice(program: list[tuple[str, int]]) -> None:
    """Against a server that knows exactly what it was told, in order."""
    names = StatementNames()
    server: set[str] = set()
    released: list[str] = []
    closing: list[str] = []
    for what, which in program:
        if what in "take":
            name = names.take("AB"[which % 2], ())
            assert name not in server
            assert name not in closing
            server.add(name)
            names.parsed(name)
        elif what == "c":
            released += sorted(server)[which : which + 1] * 2
            due, released = names.to_close(released), []
            assert len(set(due)) == len(due)
            closing += due
        elif what == "p" and closing:
            name = closing.pop()
            server.remove(name)  # a KeyError: it was closed before
            names.free([name])
        elif what == "f" and closing:
            names.not_closed([closing.pop()])
