"""Fixtures that any test may use."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.golden"]

# Laws are about values, not about time: a busy machine, or the first run, which builds Unicode tables, is no failure.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")
