"""Places for rows that are being answered: a bounded number at once, of all event loops of the process."""

import threading

from django.utils.translation import gettext as _

from predictions.errors import Busy


class Places:
    """Taken before rows are scored, given back with the answer: whatever is slow, no more than these wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.n_taken = 0

    def take(self, n: int) -> None:
        """Raises Busy."""
        with self._lock:
            if self.n_taken + n > self._most:
                raise Busy(
                    _("Too many predictions are being made right now. Try again in a second."),
                    retry_after_s=1,
                )
            self.n_taken += n

    def give_back(self, n: int) -> None:
        with self._lock:
            self.n_taken -= n
