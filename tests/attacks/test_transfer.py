"""Data moves between local folders behind the walls; `test_walls` shows that nothing else can."""

import pytest

from tests.attacks.harness import SOMEBODY, call_here, users
from tests.attacks.transfer import ROWS
from tests.kernel import requires_kernel

pytestmark = requires_kernel("user namespaces", "network namespaces", "seccomp", "landlock")


@pytest.mark.parametrize("who", ["runner" if uid is None else "somebody" for uid in users()])
@pytest.mark.parametrize("output", ["parquet", "ald"])
@pytest.mark.parametrize("level", ["isolated", "sealed"])
def test_a_fully_sovereign_transfer_completes(level: str, output: str, who: str) -> None:
    uid = SOMEBODY if who == "somebody" else None
    done = call_here("tests.attacks.transfer:transfer", uid=uid, level=level, output=output)

    assert done == {"status": "done", "rows": ROWS}
