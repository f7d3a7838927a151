"""Each key of a TOML file has the line at which a person would look for it."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.lines import Path, ScanError, key_lines

CASES: list[tuple[str, str, dict[Path, int]]] = [
    ("empty", "", {}),
    ("comments only", "# one\n\n  # two", {}),
    ("a header and keys", "[a]\nx = 1\n\ny = 2 # [b]\n", {("a",): 1, ("a", "x"): 2, ("a", "y"): 4}),
    ("CRLF", "[a]\r\nx = 1\r\n\r\ny = 2\r\n", {("a",): 1, ("a", "x"): 2, ("a", "y"): 4}),
    ("dotted header", "\n[a . b]\nx=1", {("a",): 2, ("a", "b"): 2, ("a", "b", "x"): 3}),
    ("a header wins over what implied it", "[a.b]\n[a]\nx=1", {("a", "b"): 1, ("a",): 2, ("a", "x"): 3}),
    ("dotted keys", "a.b = 1\na.c = 2", {("a",): 1, ("a", "b"): 1, ("a", "c"): 2}),
    ("quoted keys", '"a.b" = 1\n\'c]\' = 2\n"\\u0041\\n" = 3', {("a.b",): 1, ("c]",): 2, ("A\n",): 3}),
    ("quoted header", '["x y"."[z]"]\nk=1', {("x y",): 1, ("x y", "[z]"): 1, ("x y", "[z]", "k"): 2}),
    (
        "an array of tables",
        "[[t]]\na=1\n[[t]]\n[t.sub]\nb=1",
        {("t",): 1, ("t", 0): 1, ("t", 0, "a"): 2, ("t", 1): 3, ("t", 1, "sub"): 4, ("t", 1, "sub", "b"): 5},
    ),
    (
        "an array of tables in one",
        "[[a]]\n[[a.b]]\n[[a.b]]\n[[a]]\n[[a.b]]",
        {("a",): 1, ("a", 0): 1, ("a", 0, "b"): 2, ("a", 0, "b", 0): 2, ("a", 0, "b", 1): 3}
        | {("a", 1): 4, ("a", 1, "b"): 5, ("a", 1, "b", 0): 5},
    ),
    (
        "an array over lines",
        "x = [ # one ]\n  1,\n  2, # three\n\n]\ny = 1",
        {("x",): 1, ("x", 0): 2, ("x", 1): 3, ("y",): 6},
    ),
    (
        "inline tables",
        "x = { a = 1, b.c = [2] }\ny = [\n {a=1},\n {}\n]",
        {("x",): 1, ("x", "a"): 1, ("x", "b"): 1, ("x", "b", "c"): 1, ("x", "b", "c", 0): 1}
        | {("y",): 2, ("y", 0): 3, ("y", 0, "a"): 3, ("y", 1): 4},
    ),
    ("multi-line basic", 'x = """\na = 1\n[b]\n\\""" "" """\ny = 1', {("x",): 1, ("y",): 5}),
    ("multi-line basic that ends in quotes", 'x = """a"""""\ny = """"b"""\nz=1', {("x",): 1, ("y",): 2, ("z",): 3}),
    ("multi-line literal", "x = '''\na = '1'\n''\n\\'''\ny = 1", {("x",): 1, ("y",): 5}),
    ("strings that look like TOML", 'x = "a # [b] \\" = 1"\ny = \'\\\'\nz = 1', {("x",): 1, ("y",): 2, ("z",): 3}),
    (
        "a date with a blank",
        "x = [2026-01-01 10:00:00, 2026-01-02]\ny=1",
        {("x",): 1, ("x", 0): 1, ("x", 1): 1, ("y",): 2},
    ),
    ("scalars", "a=-1.5e3\nb=inf\nc=true\nd=07:32:00\ne=0x1F # x", {(k,): n for n, k in enumerate("abcde", 1)}),
]


@pytest.mark.parametrize(("text", "lines"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_lines(text: str, lines: dict[Path, int]) -> None:
    assert key_lines(text) == lines
    assert set(lines) == paths(tomllib.loads(text))


@pytest.mark.parametrize("text", ["a", "[a", "[[a]", "a = ", "a = [1", "= 1", "a. = 1", "a = {b"])
def test_what_is_no_toml(text: str) -> None:
    with pytest.raises(ScanError) as caught:
        key_lines(f"\n{text}")
    assert caught.value.line == 2


def paths(data: Any, prefix: Path = ()) -> set[Path]:
    """Return every path of what tomllib has read."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found: set[Path] = set()
    for key, value in items:
        found |= {(*prefix, key)} | paths(value, (*prefix, key))
    return found


KEYS = st.sampled_from(["a", "b-1", '"a.b"', "'#]'", '"\\t\\u00e9"', "a.b", 'c . "d"', "1", "é".encode().hex()])
GAPS = st.sampled_from(["", " ", "\n", " # ] } = '\n", "\n\n\t"])
STRINGS = ['"x"', "'#'", '"\\" ]"', '"""\n"" # [\n\\""""', "'''\n'' ='''", "''", '""', '""""""']
OTHERS = ["1", "-2.5e1", "true", "2026-01-01 01:02:03", "2026-01-01T01:02:03Z", "07:32:00", "nan", "[]", "{}"]
SCALARS = st.sampled_from(STRINGS + OTHERS)


def _nested(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    arrays = st.lists(st.tuples(GAPS, values, GAPS), max_size=3).map(
        lambda parts: "[" + ",".join(f"{before}{value}{after}" for before, value, after in parts) + "]"
    )
    tables = st.lists(st.tuples(KEYS, values), max_size=3).map(
        lambda pairs: "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"
    )
    return arrays | tables


VALUES = st.recursive(SCALARS, _nested, max_leaves=6)
STATEMENTS = st.one_of(
    KEYS.map(lambda key: f"[{key}]"),
    KEYS.map(lambda key: f"[[{key}]] # x"),
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.sampled_from(["", "# [x]", "\t"]),
)


@given(st.lists(STATEMENTS, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_the_paths_are_those_of_tomllib(statements: list[str], newline: str) -> None:
    """Whatever tomllib accepts: the same keys, each within the file."""
    kept: list[str] = []
    for statement in statements:
        try:
            tomllib.loads("\n".join([*kept, statement]))
        except tomllib.TOMLDecodeError:
            continue
        kept.append(statement)
    text = newline.join(part for statement in kept for part in statement.split("\n"))
    lines = key_lines(text)
    assert set(lines) == paths(tomllib.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


@given(st.lists(st.tuples(st.sampled_from(["a", '"é"', "b.c"]), VALUES), max_size=6, unique_by=lambda pair: pair[0]))
def test_each_key_stands_in_its_line(pairs: list[tuple[str, str]]) -> None:
    text, expected, line = "", {}, 1
    for key, value in pairs:
        expected[tuple(key.replace('"', "").split("."))] = line
        text += f"{key} = {value}\n"
        line = text.count("\n") + 1
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert {path: lines[path] for path in expected} == expected
