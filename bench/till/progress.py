"""One progress bar a part of a measurement."""

from bench.demo.progress import Progress


class Bar:
    """Progress through a part, named."""

    def __init__(self, matter: str, steps: int) -> None:
        self._progress = Progress(steps)
        self._progress.phase(matter)

    def step(self) -> None:
        """One more is done."""
        self._progress.step()

    def end(self) -> None:
        """Leave the line."""
        self._progress.end()
