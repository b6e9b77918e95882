"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return once the condition holds; fail after so many seconds.

    In a browser in place of Playwright's wait_for_function, which the page's content
    policy forbids: it evaluates a text as a script.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.001)
