"""Reading a spec.json. Every fault is listed at once: whoever writes one corrects it in one go."""

import msgspec

from scoring import spec_faults
from scoring.spec import Spec, parsed

MAX_BYTES = 1024 * 1024


class SpecError(ValueError):
    """The description cannot be used; `faults` says everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_spec(data: bytes | str) -> Spec:
    """Raises SpecError with every fault found."""
    if len(data) > MAX_BYTES:
        raise SpecError([f"the description is larger than {MAX_BYTES} bytes"])
    try:
        plain = parsed(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SpecError([f"the description is not JSON: {error}"]) from error
    if faults := list(spec_faults.of_shape(plain)):
        raise SpecError(faults)
    spec = msgspec.convert(plain, Spec)
    if faults := list(spec_faults.of_meaning(spec)):
        raise SpecError(faults)
    return spec
