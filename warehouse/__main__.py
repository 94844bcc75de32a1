"""`python -m warehouse DIR` prints the current release's DuckDB file; exits 1 with what to do where there is none."""

import sys
from pathlib import Path

from warehouse.errors import WarehouseError
from warehouse.release import release_path


def main(arguments: list[str]) -> int:
    """Print the path of the release in force in the given folder."""
    try:
        path = release_path(Path(arguments[0] if arguments else "var/warehouse"))
    except WarehouseError as error:
        sys.stderr.write(f"{error}: run `make demo`, or the pipelines, first\n")
        return 1
    sys.stdout.write(f"{path.resolve()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
