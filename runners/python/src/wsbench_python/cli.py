"""The command line of the runner: `describe`, `serve` and `drive`, by the letter of docs/PROTOCOL.md."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from . import spec
from .drive import DriveError
from .protocol import CommandError, Control, emit

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 3


class Row(Protocol):
    """One library as a server and as a client."""

    def describe(self) -> dict[str, object]: ...

    def serve(self, spec: spec.ServeSpec) -> None: ...

    def drive(self, spec: spec.DriveSpec, control: Control) -> tuple[dict[str, object], bool]: ...


def _asyncio_row(uvloop: bool) -> Row:
    from .asyncio_row import Row

    return Row(uvloop)


def _trio_row() -> Row:
    from .trio_row import Row

    return Row()


# A row's libraries are imported with it: one that is missing takes no other row away.
ROWS: dict[str, Callable[[], Row]] = {
    "python-trio": _trio_row,
    "python-asyncio": lambda: _asyncio_row(uvloop=False),
    "python-asyncio-uvloop": lambda: _asyncio_row(uvloop=True),
}


def main() -> None:
    # An interrupt ends the process at once, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = spec.Parser(prog="runner-python", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="describe|serve|drive")
    for name in ("describe", "serve", "drive"):
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("--row", default=next(iter(ROWS)))
        if name == "serve":
            spec.add_serve_flags(command)
        if name == "drive":
            spec.add_load_flags(command)
        if name != "describe":
            spec.add_socket_flags(command)
    arguments = parser.parse_args()
    if arguments.row not in ROWS:
        parser.error(f"this runner has no row `{arguments.row}`; it has: {', '.join(ROWS)}")
    sys.exit(_carry_out(parser, arguments))


def _carry_out(parser: spec.Parser, arguments: argparse.Namespace) -> int:
    row_name = arguments.row
    try:
        if arguments.command != "serve":
            # The client's histograms.
            import_module("hdrh.histogram")
        row = ROWS[row_name]()
    except ImportError as error:
        sys.stderr.write(f"{row_name}: not available here: {error}\n")
        return EXIT_UNAVAILABLE
    try:
        if arguments.command == "describe":
            print(json.dumps(_row_info(row_name, row)))
        elif arguments.command == "serve":
            row.serve(spec.serve_spec(parser, row_name, arguments))
        else:
            drive_spec = spec.drive_spec(parser, row_name, arguments)
            report, well = row.drive(drive_spec, Control())
            emit("drove", **report)
            return 0 if well else EXIT_FAILED
    except (DriveError, CommandError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED
    return 0


def _row_info(row_name: str, row: Row) -> dict[str, object]:
    return {
        "protocol": 1,
        "row": row_name,
        **row.describe(),
        "status": None,
        "max_threads": 1,
        "environment": {},
        "services": spec.SERVICES,
        "workloads": spec.WORKLOADS,
        "flush": spec.FLUSH,
        "build": None,
    }
