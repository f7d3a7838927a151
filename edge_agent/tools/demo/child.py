"""What runs in the demo's child processes: the real daemon with a mock pin, the embedded broker, another program.

`python -m edge_agent.tools.demo.child PARENT KIND ARGUMENT…`; each ends when its parent does, however that happens.
"""

import ctypes
import os
import runpy
import signal
import sys

from edge_agent.tools.demo import contact

_PR_SET_PDEATHSIG = 1


def tie_to(parent: int) -> None:
    """Have the kernel end this process (and the program that it may become) when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before that
        sys.exit("the demo has ended")


def run_agent(config: str, level: str) -> None:
    """Run `edge-agent --config CONFIG run`, the program itself; the contact is moved through its standard input."""
    contact.follow_commands(contact.install_pin(level), sys.stdin, sys.stdout)
    sys.argv = ["edge-agent", "--config", config, "run"]
    runpy.run_module("edge_agent", run_name="__main__", alter_sys=True)


def run_program(program: str, *arguments: str) -> None:
    """Become another program."""
    os.execv(program, [program, *arguments])  # noqa: S606 - no shell is wanted


def main(parent: str, kind: str, *arguments: str) -> None:
    """Do what the command line says."""
    tie_to(int(parent))
    if kind == "agent":
        run_agent(*arguments)
    elif kind == "broker":
        from edge_agent.tools.demo.broker import serve_embedded

        serve_embedded(int(arguments[0]))
    else:
        run_program(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
