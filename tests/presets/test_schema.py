"""What the schema accepts the reader accepts, and the other way round."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import imgproxy
from imgproxy.errors import BadOption
from imgproxy.formats import BY_NAME
from imgproxy.options import OPTIONS, Preset
from imgproxy.presets.definition import Mistakes
from imgproxy.presets.files import PRESET_KEYS, read_files
from imgproxy.presets.forms import option_schemas
from imgproxy.presets.schema import schema, schema_text
from imgproxy.presets.typed import WORDS, as_toml, read_typed
from tests.presets.validation import Validator

ROOT = Path(__file__).parents[2]
SCHEMA = schema()
OPTION_SCHEMAS = option_schemas()
NEW, OLD = Validator(SCHEMA), Validator(SCHEMA, modern=False)
HEAD = 'version = 1\nowner = "team"\n'


def read(text: str) -> Mistakes:
    mistakes: Mistakes = []
    read_files([("a.toml", text)], ":", mistakes)
    return mistakes


def plain(value: Any) -> Any:
    """A TOML value as editors hand it to a validator."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [plain(each) for each in cast("list[Any]", value)]
    return value.isoformat() if isinstance(value, date) else value


def test_the_file_that_editors_read_is_this_schema() -> None:
    file = Path(imgproxy.__file__).parent / "presets" / "schema.json"
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(schema_text()) == SCHEMA


@pytest.mark.parametrize("file", sorted((ROOT / "presets").glob("*.toml")), ids=lambda file: file.name)
def test_the_example_files_name_it_and_fit(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    named = re.match(r"#:schema (\S+)\n", text)
    assert named is not None
    assert json.loads((file.parent / named[1]).read_text(encoding="utf-8")) == SCHEMA
    assert NEW.accepts(plain(tomllib.loads(text)))
    assert OLD.accepts(plain(tomllib.loads(text)))
    assert not read(text)


def test_every_key_says_what_it_is_for() -> None:
    preset = SCHEMA["$defs"]["preset"]["properties"]
    for key in PRESET_KEYS:
        assert preset[key]["description"]
    named = {spelling.names[0] for option in OPTIONS if option is not Preset for spelling in option.spellings}
    assert OPTION_SCHEMAS.keys() == named
    for each in OPTION_SCHEMAS.values():
        assert each["description"]
        assert "\n" not in each["description"].replace("\n\n", "")


@pytest.mark.parametrize("name", OPTION_SCHEMAS)
def test_examples_are_good(name: str) -> None:
    for example in OPTION_SCHEMAS[name].get("examples", ()):
        assert Validator(OPTION_SCHEMAS[name]).accepts(example)
        assert read_typed(name, example)


def test_most_options_have_examples() -> None:
    without = {name for name, each in OPTION_SCHEMAS.items() if "examples" not in each}
    assert without == {"resizing_type", "enlarge"}


WORD = st.sampled_from(
    [*WORDS, *WORDS.values(), *BY_NAME, "fit", "auto", "fast", "", "#", "#fff", "ffcc00", "a b", "x"]
)
NUMBER = st.one_of(
    st.integers(-3, 400),
    st.sampled_from([-90, 90, 10**15, 10**15 + 1, 2**31 - 1, 2**31, 2**53, 2**53 + 1, -(10**16)]),
    # No whole ones: a schema cannot tell 3.0 from 3. And none that counts as zero, though it is above it.
    st.integers(-30, 4000).filter(lambda n: n % 10).map(lambda n: n / 10),
)
SCALAR = st.one_of(st.booleans(), NUMBER, WORD)
KEYS = sorted(
    {
        key
        for each in OPTION_SCHEMAS.values()
        for form in each.get("anyOf", [each])
        for key in form.get("properties", {})
    }
)
VALUE = st.one_of(
    SCALAR,
    st.lists(SCALAR, max_size=6),
    st.dictionaries(st.sampled_from(KEYS), SCALAR, max_size=4),
    st.just([]).map(lambda _: [[]]),
)


@st.composite
def likely(draw: st.DrawFn) -> tuple[str, object]:
    """An option, and a value that its schema hardly refuses: keys that it has, lists of about the right kinds."""
    name = draw(st.sampled_from(sorted(OPTION_SCHEMAS)))
    forms = OPTION_SCHEMAS[name].get("anyOf", [OPTION_SCHEMAS[name]])
    properties: dict[str, Any] = next((form["properties"] for form in forms if "properties" in form), {})
    items: list[Any] = next((form["prefixItems"] for form in forms if "prefixItems" in form), [])
    table = st.fixed_dictionaries({}, optional={key: fitting(each) for key, each in properties.items()})
    lists = st.tuples(*(fitting(each) for each in items)).map(list)
    cut = st.tuples(lists, st.integers(1, 6)).map(lambda pair: pair[0][: pair[1]])
    return name, draw(st.one_of(table, cut, SCALAR) if items else st.one_of(table, SCALAR))


def fitting(schema: Any) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.one_of(st.sampled_from(schema["enum"]), st.sampled_from(schema["enum"]), WORD)
    kinds: dict[str, st.SearchStrategy[Any]] = {"boolean": st.booleans(), "string": WORD}
    return kinds.get(schema["type"], NUMBER)


def agree(name: str, value: object) -> None:
    try:
        read_typed(name, value)
        reads = True
    except BadOption:
        reads = False
    rooted = {**OPTION_SCHEMAS[name], "$defs": SCHEMA["$defs"]}
    assert Validator(rooted).accepts(value) == reads
    if reads:
        assert Validator(rooted, modern=False).accepts(value)


@given(likely())
def test_schema_and_reader_agree_on_likely_values(pair: tuple[str, object]) -> None:
    agree(*pair)


@given(st.sampled_from(sorted(OPTION_SCHEMAS)), VALUE)
def test_schema_and_reader_agree_on_any_value(name: str, value: object) -> None:
    agree(name, value)


TABLES: dict[str, st.SearchStrategy[Any]] = {
    "description": st.sampled_from(["d", "d", "d", "", " ", 1]),
    "options": st.sampled_from(["w:5", "w:5", "", 1]),
    "extends": st.sampled_from(["b", ["b"], [], "", [""], 1]),
    "widths": st.sampled_from([[5], 5, [5, 6], [5, 5], [], [0], [65_536], ["5"], True]),
    "allow": st.sampled_from([[], "width", ["width", "dpr"], ["w"], "", [1], 1]),
    "tags": st.sampled_from(["a", ["a", "b"], [], "", ["a b"], ["ä"], ["a" * 128], ["a" * 129], ["-~!"], ["'"], 1]),
    "alias": st.sampled_from(["b", "", 1]),
    "deprecated": st.sampled_from(
        [True, False, {}, {"since": date(2026, 1, 1)}, {"note": "n"}, {"note": ""}, {"sinc": "x"}, {"remove": 5}, 1]
    ),
    "canary": st.sampled_from(
        [
            {"share": 0.5, "width": 5},
            {"share": 1, "options": "w:5"},
            {"share": 0.5, "options": "w:5", "width": 5},
            {"share": 0.5},
            {"share": 2, "width": 5},
            {"share": True, "width": 5},
            {"width": 5},
            {"share": 0.5, "widths": [5]},
            1,
        ]
    ),
    "width": st.sampled_from([5, 5, -1]),
    "quality": st.sampled_from([{"avif": 5}, 5, {}, {"av": 5}]),
    "wdth": st.just(5),
}  # fmt: skip
USUAL = {key: strategy for key, strategy in TABLES.items() if key not in {"wdth", "description"}}


@given(
    st.sampled_from(["presets.a", "defaults"]),
    st.one_of(
        st.fixed_dictionaries({"description": st.just("d")}, optional=USUAL),
        st.fixed_dictionaries({}, optional=TABLES),
        st.sets(st.sampled_from(sorted(TABLES)), max_size=3).flatmap(
            lambda keys: st.fixed_dictionaries({key: TABLES[key] for key in keys})
        ),
    ),
)
def test_schema_and_reader_agree_on_presets(name: str, table: dict[str, Any]) -> None:
    document: dict[str, Any] = {"version": 1, "owner": "t"}
    document |= {"defaults": table} if name == "defaults" else {"presets": {"a": table}}
    lines = (
        f"{key} = {value.isoformat() if isinstance(value, date) else toml(value)}\n" for key, value in table.items()
    )
    good = not read(f"{HEAD}[{name}]\n{''.join(lines)}")
    assert NEW.accepts(plain(document)) == OLD.accepts(plain(document)) == good


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in cast("dict[str, Any]", value).items()) + " }"
    return value.isoformat() if isinstance(value, date) else as_toml(value)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (HEAD, True),
        ("version = 1", False),
        ('owner = "x"', False),
        ('version = 2\nowner = "x"', False),
        ('version = true\nowner = "x"', False),
        ('version = 1\nowner = " "', False),
        (HEAD + "presents = 1", False),
        (HEAD + "presets = 1", False),
        (HEAD + '[presets."a b"]\ndescription = "d"', False),
        (HEAD + '[presets."-a"]\ndescription = "d"', False),
        (HEAD + '[presets.a-b_c]\ndescription = "d"', True),
        (HEAD + "[presets]\na = 1", False),
        (HEAD + "[defaults]\nquality = 5", True),
    ],
)  # fmt: skip
def test_schema_and_reader_agree_on_files(text: str, good: bool) -> None:
    assert (not read(text)) == good
    assert NEW.accepts(tomllib.loads(text)) == OLD.accepts(tomllib.loads(text)) == good
