"""What a check of `fairseq-latent doctor` is: a function of the machine that returns one line of the report."""

from collections.abc import Callable
from dataclasses import dataclass

from fairseq_latent.doctor.machine import Machine

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True)
class Result:
    """One line of the report; every WARN and FAIL has its remedy."""

    status: str
    name: str
    found: str
    remedy: str = ""


Check = Callable[[Machine], Result]
