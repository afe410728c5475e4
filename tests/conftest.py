"""What all tests share: a slow machine is no failure of a property."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.model_servers",)

settings.register_profile(
    "lethe",
    deadline=None,  # speed is measured in benchmarks, never in tests
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)
settings.load_profile("lethe")
