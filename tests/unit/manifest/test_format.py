"""`fmt` changes the layout of a manifest and nothing else."""

import pytest

from batuta.manifest.compose import compose
from batuta.manifest.format import comments, format_text

MESSY = """# head
apiVersion:   batuta.dev/v1   # api
kind: Dataset

metadata: {name: orders,   tags: {a: "x", b: 'y'}}
# before spec
spec:
    source:
        address: delta+data/orders # c1
        version: 0x1F
        columns:
            include:
            - a # first
            # between
            - 'b'
        where: |
          a > 1
          # not a comment
    protect: True
    destination: out/orders/
---
# second
apiVersion: batuta.dev/v1
kind: Workspace
spec: {}
# end
"""
TIDY = """# head
apiVersion: batuta.dev/v1  # api
kind: Dataset

metadata: {name: orders, tags: {a: "x", b: 'y'}}
# before spec
spec:
  source:
    address: delta+data/orders  # c1
    version: 0x1F
    columns:
      include:
        - a  # first
        # between
        - 'b'
    where: |
      a > 1
      # not a comment
  protect: True
  destination: out/orders/
---
# second
apiVersion: batuta.dev/v1
kind: Workspace
spec: {}
# end
"""


def test_indentation_and_blanks_are_set_right_and_comments_and_scalars_stay() -> None:
    assert format_text("a.yaml", MESSY.encode()) == (TIDY.encode(), [])


def test_formatting_twice_is_formatting_once() -> None:
    assert format_text("a.yaml", TIDY.encode()) == (TIDY.encode(), [])


def test_line_ends_of_windows_and_a_byte_order_mark_go() -> None:
    windows = b"\xef\xbb\xbf" + MESSY.replace("\n", "\r\n").encode()
    assert format_text("a.yaml", windows) == (TIDY.encode(), [])


@pytest.mark.parametrize("text", ["a: [\n", "a: 1\na: 2\n", "a: \0\n"])
def test_a_file_with_an_error_is_left_as_it_is(text: str) -> None:
    content, found = format_text("a.yaml", text.encode())
    assert content == text.encode()
    assert found[0].code.startswith("MAN10")


@pytest.mark.parametrize(
    "text",
    [
        "", "# only a comment\n", "--- # here\na: 1\n", "---\n---\na: 1\n", "a:\n",
        "a: |\n  ---\n  x\n", "a: 'it''s'\nb: \"x\\ty\"\n", "a: >-\n  folded\n  text\n\n  more\n",
        "a:\n- b: 1\n  c: 2\n-   - 3\n    - 4\n", "a: &x {b: 1}\nc: *x\n", "a: {}  # e\nb: []\n",
        "a: [1,\n  # inside\n  2]\n", "---\n# c\n---\n# d\n", "- a\n- b\n",
        "a: 1 # one\n\n\n# two\n\nb: 2\n# three\n", "a: long " + "text " * 60 + "\n",
        "a:\n  # first\n  b: 1\n\n  # last\nc: 2\n", "no: yes\n0o7: 1_000\n", "? a\n: 1\n",
    ],
)  # fmt: skip
def test_values_and_comments_survive_and_the_result_is_stable(text: str) -> None:
    content, found = format_text("a.yaml", text.encode())
    if found:
        assert (content, [d.code for d in found]) == (text.encode(), ["MAN134"])
        return
    before, after = compose("a", text.encode()), compose("a", content)
    assert [d.value for d in after.documents] == [d.value for d in before.documents]
    assert comments(content.decode()) == comments(text)
    assert format_text("a.yaml", content) == (content, [])


def test_a_comment_is_what_stands_between_tokens() -> None:
    text = "a: 'x # y'  # one\nb: x#y\n# two \nc: |\n  # text\n"
    assert comments(text) == ["# one", "# two"]
