"""What all commands have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from imgproxy.cli import main
from tests.cli.commands import run

SERVERS = {"serve", "demo"}


def verbs(group: click.Group = main, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command, with the groups that lead to it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, *before, name)
        else:
            yield (*before, name)


VERBS = list(verbs())


def test_there_are_verbs() -> None:
    assert {("warm",), ("config",), ("doctor",), ("bench",), ("purge",)} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help_has_an_example(verb: tuple[str, ...]) -> None:
    text = run(*verb, "--help").output
    assert re.search(rf"^ +(?:[A-Z_]+=\S+ )*imgproxy {' '.join(verb)}\b", text, re.MULTILINE)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb[0] not in SERVERS], ids=" ".join)
def test_whatever_ends_can_answer_in_json(verb: tuple[str, ...]) -> None:
    assert "--json" in run(*verb, "--help").output


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(verb: tuple[str, ...]) -> None:
    done = run(*verb, "--no-such-option")
    assert done.exit_code == 2
    assert "--no-such-option" in done.stderr
