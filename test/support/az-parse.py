"""Has the parser of the real Azure CLI judge command lines, and runs none of them.

In: a JSON list of argument lists, without the `az`. Out: for each, the list of what the CLI says against it.
"""

import contextlib
import io
import json
import logging
import sys

from azure.cli.core import CommandIndex, get_default_cli

# Without the index of what all its modules would offer, an unknown command costs 0.1 s and not 10.
CommandIndex.get_packaged_core_index = lambda self: {}


class Parsed(BaseException):
    """Thrown where the command would start; nothing in the CLI catches it."""


def stop(cli, args=None, **_):
    cli.invocation.resolve_warnings(args.func, args)  # deprecated commands and flags
    raise Parsed


def judge(arguments):
    said = io.StringIO()
    tap = logging.StreamHandler(said)
    tap.setLevel(logging.WARNING)
    cli = get_default_cli()
    cli.register_event("CommandInvoker.OnPostParseArgs", stop)
    for name in ("cli", "az"):
        logging.getLogger(name).handlers[:] = [tap]
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.invoke(arguments)
            return ["does nothing"]
        except Parsed:
            pass
        except SystemExit:
            return said.getvalue().splitlines() or ["refused without a word"]
    return said.getvalue().splitlines() + [line for line in printed.getvalue().splitlines() if "WARNING" in line]


json.dump([judge(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
