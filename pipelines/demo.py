"""`make demo`: the whole product on this machine, from source systems to the API and the Dagster UI.

Nothing here is used by a deployment: it starts the same commands that an operator would, in order, and stops them.
"""

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType

from pipelines import settings as environment
from pipelines import site as sites
from pipelines.bootstrap import FAULTS, bootstrap
from pipelines.demo_endpoints import call_every_endpoint
from pipelines.demo_processes import Child, DemoError, free_port, read_environment_file, wait_for_http, wait_until
from pipelines.stages.workspace import open_workspace

SIMULATORS_START_SECONDS = 180.0
API_START_SECONDS = 60.0
DAGSTER_START_SECONDS = 300.0
# Recording and one refresh take some ten seconds; a busy machine may take many times that.
DAGSTER_RUN_SECONDS = 480.0
# Labels recorded in Dagster after the history is loaded: enough for its pages to show a living pipeline.
RECORDED_LABELS = 14


def say(text: str) -> None:
    """One line of progress."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when it ended well, 1 when a step failed, with the step's reason printed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--operator", default="sandbox", help="reference folder: a name or a path")
    parser.add_argument("--check", action="store_true", help="use free ports, call every endpoint, exit 0 or 1")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    # A script that starts the demo in the background lets it inherit an ignored SIGINT.
    signal.signal(signal.SIGINT, _interrupt)
    children: list[Child] = []
    begun = time.perf_counter()
    try:
        return _run(options.operator, check=options.check, children=children)
    except KeyboardInterrupt:
        say("\nStopping …")
        return 0
    except (DemoError, *FAULTS) as error:
        say(f"\nThe demo stopped: {error}")
        return 1
    finally:
        for child in reversed(children):
            child.stop()
        say(f"Everything is stopped ({time.perf_counter() - begun:.0f} s).")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(operator: str, *, check: bool, children: list[Child]) -> int:
    site = sites.load(operator)
    var = Path("var").resolve()
    logs = var / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    api_port, dagster_port = (free_port(), free_port()) if check else environment.demo_ports()
    say(f"Operator {site.operator}: {site.title}" + (" (fictitious)" if site.is_synthetic else ""))

    sources = _start_simulators(operator, var, logs, children)
    variables = environment.inherited() | sources
    variables |= {
        "OPERATOR": operator,
        "LAKE_URL": str(var / "lake"),
        "WAREHOUSE_DIR": str(environment.demo_warehouse(operator).resolve()),
        "SCHEDULES": "running",
        "PORT": str(api_port),
        "DAGSTER_HOME": str(_dagster_home(var, operator)),
        "PYTHONUNBUFFERED": "1",
    }
    release_id = _run_pipelines(variables)
    say(f"Release {release_id} is current.")

    api = Child.start("the API", [sys.executable, "-m", "api"], variables, logs / "api.log")
    children.append(api)
    wait_for_http(api, f"http://127.0.0.1:{api_port}/readyz", API_START_SECONDS)
    failures = call_every_endpoint(f"http://127.0.0.1:{api_port}", say)
    _run_in_dagster(variables, logs)
    dagster = _start_dagster(variables, dagster_port, logs)
    children.append(dagster)
    wait_for_http(dagster, f"http://127.0.0.1:{dagster_port}/server_info", DAGSTER_START_SECONDS)
    say("")
    say(f"API          http://127.0.0.1:{api_port}/api/v1/summary   OpenAPI /api/v1/openapi.json")
    say(f"Dagster UI   http://127.0.0.1:{dagster_port}")
    say(f"Release file {_release_path(Path(variables['WAREHOUSE_DIR']), release_id)}")
    if check:
        say("CHECK " + ("passed: every endpoint answered." if not failures else f"FAILED: {', '.join(failures)}"))
        return 1 if failures else 0
    say("Ctrl-C stops everything.")
    while True:
        for child in children:
            child.raise_if_dead()
        time.sleep(1)


def _release_path(warehouse_dir: Path, release_id: str) -> Path:
    return warehouse_dir / "releases" / release_id / "warehouse.duckdb"


def _start_simulators(operator: str, var: Path, logs: Path, children: list[Child]) -> dict[str, str]:
    say("Starting the source systems …")
    environment_file = var / "simulators.env"
    environment_file.unlink(missing_ok=True)
    history = environment.load_demo_history()
    command = [
        *(sys.executable, "-m", "pipelines.simulators", "--operator", operator),
        *("--data-root", str(var / "simulators"), "--environment-file", str(environment_file)),
        *("--history-days", str(history.history_days), "--pi-days", str(history.pi_days)),
    ]
    child = Child.start("the source systems", command, environment.inherited(), logs / "simulators.log")
    children.append(child)
    wait_until(child, environment_file.exists, SIMULATORS_START_SECONDS, echo=say)
    return read_environment_file(environment_file)


def _run_pipelines(variables: Mapping[str, str]) -> str:
    settings = environment.load(variables)
    workspace = open_workspace(settings, report=_indented, is_bootstrap=True)
    return bootstrap(workspace, settings)


def _indented(text: str) -> None:
    say(f"  {text}")


def _dagster_home(var: Path, operator: str) -> Path:
    """A home for each operator, as for releases: two operators' runs never mix."""
    name = Path(operator).name
    home = var / ("dagster" if name == "sandbox" else f"dagster-{name}")
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("dagster.yaml").resolve())
    return home


def _start_dagster(variables: Mapping[str, str], port: int, logs: Path) -> Child:
    say("Starting the Dagster UI …")
    command = [
        *(sys.executable, "-m", "dagster", "dev", "-m", "pipelines.definitions"),
        *("-h", "127.0.0.1", "-p", str(port)),
    ]
    return Child.start("Dagster", command, variables, logs / "dagster.log")


def _run_in_dagster(variables: Mapping[str, str], logs: Path) -> None:
    """Record what bootstrap has loaded, and refresh the latest closed day by Dagster's own job."""
    last = open_workspace(environment.load(variables)).latest_label
    first = last - timedelta(days=RECORDED_LABELS - 1)
    say(f"Dagster: recording {first} to {last}, then running refresh_current_day …")
    command = [sys.executable, "-m", "pipelines.defs.record", first.isoformat(), last.isoformat(), "--refresh"]
    run = Child.start("the refresh in Dagster", command, variables, logs / "dagster-refresh.log")
    try:
        run.wait(DAGSTER_RUN_SECONDS)
    finally:
        run.stop()


if __name__ == "__main__":
    sys.exit(main())
