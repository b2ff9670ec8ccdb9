"""What a worker tells of its progress comes to what it was given to read, whatever the rows say."""

from hypothesis import given
from hypothesis import strategies as st

from batuta.model.transfer import Partition
from batuta.runtime.worker.share import Share

SIZES = st.integers(0, 10_000)


@given(
    parts=st.lists(st.tuples(SIZES, st.none() | st.integers(0, 500)), max_size=4),
    batches=st.lists(st.integers(0, 200), max_size=12),
)
def test_the_whole_is_told_once_and_never_more(
    parts: list[tuple[int, int | None]], batches: list[int]
) -> None:
    share = Share.of(
        Partition(id=str(number), size_bytes=size, rows=rows)
        for number, (size, rows) in enumerate(parts)
    )

    told = [share.next(rows) for rows in batches]

    assert min(told, default=0) >= 0
    assert sum(told) <= sum(size for size, _ in parts)
    assert sum(told) + share.rest() == sum(size for size, _ in parts)
    assert share.rest() == 0


def test_half_of_the_rows_are_half_of_it() -> None:
    share = Share.of([Partition(id="a", size_bytes=1000, rows=10)])

    assert [share.next(5), share.next(5)] == [500, 500]


def test_what_an_earlier_run_has_read_is_not_told_again() -> None:
    share = Share.of([Partition(id="a", size_bytes=1000, rows=10)], resumed=True)

    assert share.next(2) == 200
    assert share.rest() == 0
