"""`python -m warehouse COMMAND`: which releases there are, what is in one, roll back with a hold, resume, label, prune, waive.

`python -m warehouse DIR` prints the current release's DuckDB file, as `path` does. Faults end with 1 and one line, misuse with 2.
With `--url` of a lake on object storage its releases are meant, and DIR is this machine's copy of them.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

from warehouse import commands, commands_remote
from warehouse.errors import NoRelease, WarehouseError
from warehouse.mirror import Mirror, refuse_local_change
from warehouse.object_store import is_object_url, location_of_driver
from warehouse.remote import open_remote
from warehouse.retention import Retention


def main(arguments: list[str]) -> int:
    """Run one command; its text goes to standard output."""
    parser = _parser()
    # The short form `python -m warehouse DIR` came first and stays.
    is_short = not arguments or (arguments[0] not in _COMMANDS and not arguments[0].startswith("-"))
    asked = parser.parse_args(["path", "--warehouse", *(arguments or ["var/warehouse"])] if is_short else arguments)
    try:
        if is_object_url(asked.url):
            mirror = Mirror(open_remote(location_of_driver(asked.url)), asked.warehouse)
            lines = list(_REMOTE[asked.command](mirror, asked))
        else:
            if asked.command not in _READING:
                refuse_local_change(asked.warehouse)
            lines = list(_COMMANDS[asked.command](asked))
    except NoRelease as error:
        sys.stderr.write(f"{error}: run `make demo`, or the pipelines, first\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"--url {asked.url}: {error}\n")
        return 2
    except (WarehouseError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


_COMMANDS = {
    "path": lambda asked: commands.path(asked.warehouse, asked.release_id),
    "list": lambda asked: commands.listing(asked.warehouse),
    "show": lambda asked: commands.show(asked.warehouse, asked.release_id),
    "activate": lambda asked: commands.activated(asked.warehouse, asked.release_id, by=asked.by, reason=asked.reason),
    "resume": lambda asked: commands.resumed(asked.warehouse),
    "label": lambda asked: commands.labelled(asked.warehouse, asked.release_id, asked.text),
    "prune": lambda asked: commands.pruned(asked.warehouse, _retention(asked)),
    "waive": lambda asked: commands.waived(asked.warehouse, asked.gate, by=asked.by, reason=asked.reason),
}
# What changes nothing may be asked of a copy as it stands, without its storage.
_READING = frozenset({"path", "list", "show"})
_REMOTE: dict[str, Callable[[Mirror, argparse.Namespace], Iterable[str]]] = {
    "path": lambda mirror, asked: commands_remote.path(mirror, asked.release_id),
    "list": lambda mirror, _: commands_remote.listing(mirror),
    "show": lambda mirror, asked: commands_remote.show(mirror, asked.release_id),
    "activate": lambda mirror, asked: commands_remote.activated(
        mirror, asked.release_id, by=asked.by, reason=asked.reason
    ),
    "resume": lambda mirror, _: commands_remote.resumed(mirror),
    "label": lambda mirror, asked: commands_remote.labelled(mirror, asked.release_id, asked.text),
    "prune": lambda mirror, asked: commands_remote.pruned(mirror, _retention(asked)),
    "waive": lambda mirror, asked: commands_remote.waived(mirror, asked.gate, by=asked.by, reason=asked.reason),
}


def _retention(asked: argparse.Namespace) -> Retention:
    return Retention(count=asked.keep, age=timedelta(days=asked.days), keep_last_of_month=not asked.drop_month_ends)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--warehouse", type=Path, default=Path("var/warehouse"), metavar="DIR", help="its folder")
    common.add_argument(
        "--url", default="", help="the lake, where it is on object storage; its keys stand in the environment"
    )
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--by", required=True, metavar="NAME", help="who decides this")
    named.add_argument("--reason", required=True, metavar="TEXT", help="why")
    parser = argparse.ArgumentParser(prog="python -m warehouse", description="Releases of one warehouse.")
    commands_of = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands_of.add_parser(name, help=text, description=text, parents=[common, *parents])

    path = command("path", "print the DuckDB file of a release, by default of the one in force")
    path.add_argument("release_id", nargs="?", metavar="ID")
    command("list", "list the kept releases, newest first, and the refused builds")
    command("show", "show what a release is made of, its checks and waivers, or why a build was refused").add_argument(
        "release_id", metavar="ID"
    )
    command("activate", "put a kept release in force and hold it until `resume`", named).add_argument(
        "release_id", metavar="ID"
    )
    command("resume", "end the hold and put the newest release in force")
    label = command("label", "label a release, so that it is never pruned; an empty text takes the label away")
    label.add_argument("release_id", metavar="ID")
    label.add_argument("text", metavar="TEXT")
    prune = command("prune", "delete releases that nobody uses and the policy lets go, and what crashes left behind")
    prune.add_argument("--keep", type=_whole, default=Retention().count, metavar="N", help="newest releases that stay")
    prune.add_argument("--days", type=_whole, default=Retention().age.days, metavar="N", help="younger ones stay too")
    prune.add_argument("--drop-month-ends", action="store_true", help="let the last release of each month go as well")
    waive = command("waive", "let the next release break one gate, once", named)
    waive.add_argument("gate", metavar="GATE")
    return parser


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
