"""The examples of the documentation do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.test_verbs import VERBS
from tests.documents import ROOT, Example, examples, failures
from tests.serving import free_port

DOCS = ROOT / "docs"
RUN = ("cli.md", "presets.md", "quickstart.md")


@pytest.mark.e2e
@pytest.mark.parametrize("name", RUN)
def test_the_examples_of_a_page(name: str, tmp_path: Path) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    for port in ("8080", "8082"):
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (tmp_path / "imgproxy").symlink_to(ROOT / "imgproxy")
    if name != "presets.md":  # it writes its own
        (tmp_path / "presets").symlink_to(ROOT / "presets")
    assert failures(text, tmp_path, {"IMGPROXY_WORKERS": "1"}) == []


@pytest.mark.parametrize("verb", sorted({verb[0] for verb in VERBS}))
def test_every_verb_has_a_section_with_an_example(verb: str) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {verb}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"docs/cli.md has no section ## {verb}"
    assert re.search(rf"^(\$ )?(.*[^\w])?imgproxy {verb}\b", section[1], re.MULTILINE)


PAGE = """
```console
$ echo one \\
  two
one … two
$ cat <<END
$ no command
END
$ no command
   ```
```

```sh
$ rm -rf /
```
"""


def test_examples_are_found() -> None:
    found = list(examples(PAGE.replace("   ```\n", "")))
    assert [each.line for each in found][:2] == [3, 6]
    assert found[0] == Example("echo one \\\n  two", ("one … two",), 3)
    assert not any("rm" in each.command for each in found)


@pytest.mark.parametrize(
    ("expected", "output", "missing"),
    [
        ((), "x", ""),
        (("a … c", "d"), "a b c\nd", ""),
        (("d", "a"), "a\nd", "a"),
        (("a … z",), "a b", "z"),
    ],
)
def test_what_is_expected(expected: tuple[str, ...], output: str, missing: str) -> None:
    assert Example("x", expected, 1).misses(output) == missing


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    page = "```console\n$ export A=1\n$ echo $A\n2\n$ false\n$ echo $A\n1\n```\n"
    told = failures(page, tmp_path, {})
    assert [each.splitlines()[0] for each in told] == ["line 3: echo $A", "line 5: false"]
    (tmp_path / "other").mkdir()
    assert "ended early" in failures("```console\n$ exit 3\n```\n", tmp_path / "other", {})[0]
