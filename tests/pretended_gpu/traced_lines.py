"""Which lines of code for GPUs did the tests run? One that none did is a failure."""

import ast
import re
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.files import ROOT

FOLDERS = ("inflib", "ray_jobs")
ELSEWHERE = {
    "inflib/model/sharded.py": "needs several GPUs and NCCL",
}
"""Files whose lines for GPUs cannot run on a pretended one, and why."""


def gpu_lines(source: str) -> set[int]:
    """First lines of the statements of a file that only run where there is a GPU, or
    that ask torch for one."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If) and _asks(node.test) == "for one":
            found |= {statement.lineno for statement in node.body}
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Return):
            found |= {node.lineno} if "torch.cuda." in ast.unparse(node) else set()
    return found


def _asks(test: ast.expr) -> str | None:
    """Whether an if-statement asks for a GPU, or for its absence."""
    text = ast.unparse(test)
    if not re.search("cuda|on_gpu", text):
        return None
    return "for none" if re.search("not |!=", text) else "for one"


class TracedLines:
    """A pytest plugin that traces the files with such lines, and looks at the end."""

    def __init__(self) -> None:
        self.wanted: dict[str, set[int]] = {}
        for folder in FOLDERS:
            for path in sorted((ROOT / folder).rglob("*.py")):
                lines = gpu_lines(path.read_text())
                if lines and str(path.relative_to(ROOT)) not in ELSEWHERE:
                    self.wanted[str(path)] = lines
        self.ran: dict[str, set[int]] = {path: set() for path in self.wanted}

    def pytest_sessionstart(self) -> None:
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        ran = self.ran.get(frame.f_code.co_filename)
        if ran is None:
            return None

        def local(inner: FrameType, event: str, arg: Any) -> Any:
            if event == "line":
                ran.add(inner.f_lineno)
            return local

        return local

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        count = sum(map(len, self.wanted.values()))
        left = self.left()
        print(f"\n{count - len(left)} of {count} statements for GPUs were run")
        for line in left:
            print(f"not run on the pretended GPU: {line}")

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        sys.settrace(None)
        if self.left() and not exitstatus:
            session.exitstatus = 1

    def left(self) -> list[str]:
        """Lines that are wanted and did not run."""
        return [
            f"{Path(path).relative_to(ROOT)}:{line}"
            for path, lines in self.wanted.items()
            for line in sorted(lines - self.ran[path])
        ]
