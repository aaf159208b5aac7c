"""Commands run in this process, with settings of their own."""

from __future__ import annotations

from click.testing import CliRunner, Result

from imgproxy.cli import main


def run(*arguments: str, given: str | bytes | None = None, **settings: str) -> Result:
    """The command with these settings (``ttl="60"`` is IMGPROXY_TTL) and, on standard input, what is ``given``."""
    environment = {f"IMGPROXY_{name.upper()}": value for name, value in settings.items()}
    return CliRunner().invoke(main, arguments, input=given, env=environment)
