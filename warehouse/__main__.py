"""`python -m warehouse COMMAND`: which releases there are, what is in one, roll back with a hold, resume, label, prune, waive.

`python -m warehouse DIR` prints the current release's DuckDB file, as `path` does. Faults end with 1 and one line, misuse with 2.
"""

import argparse
import sys
from datetime import timedelta
from pathlib import Path

from warehouse import commands
from warehouse.errors import NoRelease, WarehouseError
from warehouse.retention import Retention


def main(arguments: list[str]) -> int:
    """Run one command; its text goes to standard output."""
    parser = _parser()
    # The short form `python -m warehouse DIR` came first and stays.
    is_short = not arguments or (arguments[0] not in _COMMANDS and not arguments[0].startswith("-"))
    asked = parser.parse_args(["path", "--warehouse", *(arguments or ["var/warehouse"])] if is_short else arguments)
    try:
        lines = list(_COMMANDS[asked.command](asked))
    except NoRelease as error:
        sys.stderr.write(f"{error}: run `make demo`, or the pipelines, first\n")
        return 1
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
    "prune": lambda asked: commands.pruned(
        asked.warehouse,
        Retention(count=asked.keep, age=timedelta(days=asked.days), keep_last_of_month=not asked.drop_month_ends),
    ),
    "waive": lambda asked: commands.waived(asked.warehouse, asked.gate, by=asked.by, reason=asked.reason),
}


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--warehouse", type=Path, default=Path("var/warehouse"), metavar="DIR", help="its folder")
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
