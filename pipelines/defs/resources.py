"""The process's settings and workspace, made once, and the executor."""

import logging
from functools import cache

import dagster as dg

from pipelines import settings as environment
from pipelines.settings import Settings
from pipelines.stages.workspace import Workspace, open_workspace


@cache
def settings() -> Settings:
    """Settings of this code location."""
    return environment.load()


@cache
def workspace() -> Workspace:
    """The workspace that assets share; each run gets its own run id by `dataclasses.replace`."""
    return open_workspace(settings(), report=logging.getLogger("pipelines").info)


@dg.definitions
def defs() -> dg.Definitions:
    """The executor: in-process for jobs of seconds, where the multiprocess default costs seconds a step."""
    is_light = settings().executor == "in_process"
    return dg.Definitions(executor=dg.in_process_executor if is_light else dg.multiprocess_executor)
