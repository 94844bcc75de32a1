"""Settings of the whole suite."""

import os
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# How a test asks for the fixture of tests/integration/conftest.py.
_SHARED = "sandbox: Loaded"

# Machines are noisy: a slow example is no fault. Counts stay Hypothesis' own unless a test says otherwise.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


class SharedLoads(LoadFileScheduling):  # type: ignore[misc]
    """A file stays with one worker; so do all files that share the sandbox, which is then loaded once and not once a worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the sandbox" if _shares_sandbox(file) else file


@cache
def _shares_sandbox(file: str) -> bool:
    return _SHARED in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedLoads:
    """How tests are dealt to workers: in the order of the folders, in which the long ones (integration) come before the short."""
    config.option.loadscopereorder = False
    return SharedLoads(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: one more than cores, since integration tests wait for servers, time-outs and other processes."""
    return (os.cpu_count() or 1) + 1
