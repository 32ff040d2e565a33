"""Parses command lines with the parser of the Azure CLI, without running them.

Input: a JSON list of argument lists, without the `az`. Output: for each, the list of messages from the CLI; [] when valid.
"""

import contextlib
import io
import json
import logging
import sys

from azure.cli.core import CommandIndex, get_default_cli

# Skip the index of all modules: an unknown command then takes 0.1 s instead of 10 s.
CommandIndex.get_packaged_core_index = lambda self: {}


class Parsed(BaseException):
    """Raised in place of running the command. A BaseException, because the CLI catches Exception."""


def stop(cli, args=None, **_):
    cli.invocation.resolve_warnings(args.func, args)  # logs deprecated commands and flags
    raise Parsed


def complaints(arguments):
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    handler.setLevel(logging.WARNING)
    cli = get_default_cli()
    cli.register_event("CommandInvoker.OnPostParseArgs", stop)
    for name in ("cli", "az"):
        logging.getLogger(name).handlers[:] = [handler]
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.invoke(arguments)
            return ["runs no command"]
        except Parsed:
            pass
        except SystemExit:
            return logged.getvalue().splitlines() or ["rejected without a message"]
    return logged.getvalue().splitlines() + [line for line in printed.getvalue().splitlines() if "WARNING" in line]


json.dump([complaints(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
