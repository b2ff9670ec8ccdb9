"""Which rows have a key of an index: the same answer as a set of tuples gives."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batuta.runtime.worker.merge import KeyIndex

KEYS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("xyz"), st.booleans()), max_size=12)
NAMES = ("a", "b", "c")


def table(keys: list[tuple[int, str, bool]]) -> pa.Table:
    types = (pa.int64(), pa.string(), pa.bool_())
    columns = [pa.array([k[i] for k in keys], t) for i, t in enumerate(types)]
    return pa.table(dict(zip(NAMES, columns, strict=True)))


@given(KEYS, KEYS)
def test_a_row_is_met_where_its_whole_key_is_in_the_index(
    ours: list[tuple[int, str, bool]], theirs: list[tuple[int, str, bool]]
) -> None:
    index = KeyIndex.of(table(ours), NAMES)

    assert index.hits(table(theirs)).tolist() == [key in set(ours) for key in theirs]
    codes = index.encode(table(ours)).tolist()
    assert len(index.codes) == len(set(ours))
    assert len(set(zip(codes, ours, strict=True))) == len(set(ours)) == len(set(codes))


def test_keys_of_many_wide_columns_do_not_run_over() -> None:
    """Each column has a million values: their product is beyond 64 bits, and wrapped around."""
    rows = 1_000_000
    names = tuple("abcd")
    order = np.random.default_rng(7)
    columns = {name: order.permutation(rows) for name in names}
    index = KeyIndex.of(pa.table(columns), names)
    others = {**columns, "d": np.roll(columns["d"], 1)}

    assert index.hits(pa.table(columns)).all()
    assert len(index.codes) == rows
    assert not index.hits(pa.table(others)).any()
