"""Progress of long work: a line a step with its time, and the last thing it said."""

from __future__ import annotations

import threading
import time
import types

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from lab.commands import Log


class Step:
    """One line of progress."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.began = time.monotonic()
        self.said = ""


class Progress:
    """Shows steps as they run; on a terminal it moves, elsewhere each step is a line when it begins."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.title = title
        self.steps: list[Step] = []
        self._lock = threading.Lock()
        self._spinner = Spinner("dots")
        self._live = Live(console=console, refresh_per_second=6, get_renderable=self._render, transient=False)
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        else:
            self.console.print(self.title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()
        total = time.monotonic() - self._began
        self.console.print(f"{self.title}: {'stopped' if kind else 'done'} after {total:.1f} s")

    def step(self, title: str) -> Log:
        """Begin a step; call what is returned with each line the step says."""
        step = Step(title)
        with self._lock:
            self.steps.append(step)
        if not self.console.is_terminal:
            self.console.print(f"  {time.monotonic() - self._began:6.1f} s  {title}", highlight=False)

        def log(line: str) -> None:
            step.said = line.strip()

        return log

    def _render(self) -> Group:
        with self._lock:
            shown = list(self.steps)
        lines: list[Text | Spinner] = []
        for number, step in enumerate(shown):
            current = number == len(shown) - 1
            elapsed = (shown[number + 1].began if not current else time.monotonic()) - step.began
            text = Text.assemble((f"{elapsed:7.1f} s  ", "dim"), (step.title, "bold" if current else ""))
            if step.said:
                text.append(f"  {step.said[:60]}", style="dim")
            lines.append(text)
        self._spinner.update(text=Text(self.title, style="bold"))
        return Group(*lines, self._spinner)
