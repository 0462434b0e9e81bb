"""What ends a demonstration before its time. Each says what was expected and what came instead."""


class StepFailed(Exception):
    """A step did not come out as it should."""


class NotAsExpected(StepFailed):
    """The console answered, and not what the step counts on."""

    def __init__(self, expected: str, came: object) -> None:
        super().__init__(f"expected {expected}; came {came}")


class Refused(NotAsExpected):
    """A call was answered with a status that repeating does not change. problem: the body that says why."""

    def __init__(self, expected: str, status: int, problem: dict) -> None:
        self.status = status
        self.problem = problem
        words = [str(problem.get("detail", "")), *(str(error) for error in problem.get("errors", []))]
        super().__init__(expected, f"status {status}: {' '.join(words).strip()}")


class NoAnswer(StepFailed):
    """Nothing usable came in time."""


class CannotBegin(Exception):
    """The demonstration does not begin, or not now; the text says why and what to do."""
