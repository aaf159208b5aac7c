"""Laws that hold for every option, and the shared mechanics."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgproxy.options import OPTIONS, Background, Blur, Flip, Gravity, Option, Options, Resize, Trim
from tests.options.reading import read, refusal
from tests.options.strategies import BY_OPTION, every_option, option_sets


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_what_an_option_writes_reads_back(kind: type[Option]) -> None:
    @given(BY_OPTION[kind])
    def law(option: Option) -> None:
        options = Options.of(option)
        assert read(str(options)) == options
        assert (str(options) == "") == (option == kind())

    law()


@given(option_sets)
def test_any_set_of_options_reads_back(options: Options) -> None:
    assert read(str(options)) == options
    assert repr(options) == str(options)


@given(option_sets, option_sets)
def test_equal_options_have_equal_texts_and_the_other_way_round(one: Options, other: Options) -> None:
    assert (one == other) == (str(one) == str(other))


@given(option_sets, st.randoms())
def test_the_order_in_which_options_come_does_not_matter(options: Options, dice: object) -> None:
    asked = list(options.asked)
    dice.shuffle(asked)  # pyright: ignore[reportAttributeAccessIssue]
    assert Options.of(*asked) == options
    places = [OPTIONS.index(type(each)) for each in options.asked]
    assert places == sorted(places)


@given(every_option)
def test_options_are_hashable_and_travel(option: Option) -> None:
    assert pickle.loads(pickle.dumps(option)) == option
    assert hash(pickle.loads(pickle.dumps(option))) == hash(option)
    assert len({option, option}) == 1


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_options_are_frozen_and_slotted(kind: type[Option]) -> None:
    option = kind()
    with pytest.raises(FrozenInstanceError):
        setattr(option, next(iter(kind.arguments())), None)
    assert not hasattr(option, "__dict__")


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_an_option_documents_itself(kind: type[Option]) -> None:
    assert kind.__doc__
    assert kind.examples
    assert kind.effect in {"pixels", "encoding", "request", "delivery"}
    arguments = kind.arguments()
    for argument in arguments.values():
        assert argument.meaning.endswith(".")
        assert argument.kind.expects
    for spelling in kind.spellings:
        assert set(spelling.fields) <= set(arguments)
    assert {name for spelling in kind.spellings for name in spelling.fields} == set(arguments)


@pytest.mark.parametrize(("kind", "example"), [(kind, each) for kind in OPTIONS for each in kind.examples], ids=str)
def test_examples_are_read_and_show_their_option(kind: type[Option], example: str) -> None:
    names = {name for spelling in kind.spellings for name in spelling.names}
    assert names & {segment.partition(":")[0] for segment in example.split("/")}
    assert read(read_back := str(read(example))) == read(example), read_back


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("w:300/h:200/rt:fill", "rs:fill:300:200"),
        ("g:no/resize:fit:300", "g:no/rs:fit:300"),
        ("rs:fit:300:0:0", "rs:fit:300"),
        ("g:fp:0.5:0", "g:fp:0.5:0"),  # "fp" needs both
        ("c:100:0:fp:0:0", "c:100:0:fp:0:0"),
        ("ex:1:fp:0.5:0", "ex:1:fp:0.5:0"),
        ("exar:1:fp:0:0", "exar:1:fp:0:0"),
        ("pd:10", "pd:10:10:10:10"),
        ("z:2", "z:2:2"),
        ("t:10::1", "t:10::1"),
        ("mw:5/mh:6", "mw:5/mh:6"),
        ("mh:6", "mh:6"),
        ("pr:b:a", "pr:b:a"),
        ("fn:a%2Fb", "fn:a%2Fb"),
    ],
)
def test_canonical_spelling(text: str, canonical: str) -> None:
    assert str(read(text)) == canonical


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_what_is_not_asked_for_is_not_written(kind: type[Option]) -> None:
    assert list(kind().write()) == []


def test_options_are_looked_up_by_kind() -> None:
    options = read("bl:2/rs:fill:300")
    assert options[Blur].sigma == 2
    assert options[Gravity] == Gravity()
    assert options.without(Blur) == read("rs:fill:300")
    assert not Options.of(Flip(), Background(), Trim()).asked
    assert options[Resize].width == 300


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ("resise:fit", "unknown option 'resise', did you mean 'resize'?"),
        ("xyzzy:1", "unknown option 'xyzzy'"),
        ("RS:fit", "unknown option 'RS'"),
    ],
)
def test_unknown_options(segment: str, reason: str) -> None:
    assert refusal(segment) == reason
