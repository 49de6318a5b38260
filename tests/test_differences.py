from tests.support.generate_differences import PAGE, generate


def test_the_page_of_differences_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == generate(), "run python -m tests.support.generate_differences"
