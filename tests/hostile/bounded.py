"""What a command under limits did, and what must hold of every one."""

import os
import signal
from dataclasses import dataclass

SECONDS = int(os.environ.get("COREMERGE_SECONDS", "5"))  # of processor time that any file of a stranger may cost
CEILING = 200e6  # bytes of memory
MORE = int(os.environ.get("COREMERGE_HOSTILE", "1"))  # times the random damages; `make hostile` sets it
SAID = {signal.SIGXCPU: f"took more than {SECONDS} s of processor time", signal.SIGALRM: "hung"}


@dataclass(frozen=True)
class Outcome:
    """Exit code (negative: the signal that ended it), output, and peak memory in bytes."""

    code: int
    stdout: str
    stderr: str
    peak: int

    def check(self, ceiling: float) -> None:
        """Ends as it should: done or refused in one line, nothing raw on the terminal, within the ceilings."""
        assert self.code >= 0, f"{SAID.get(-self.code, f'signal {-self.code}')}: {self.stderr[-2000:]}"
        assert "Traceback" not in self.stderr, self.stderr[-3000:]
        assert self.code in (0, 1, 2), (self.code, self.stderr[-2000:])
        for text in (self.stdout, self.stderr):
            raw = {c for c in text if not c.isprintable()} - {"\n"}
            assert not raw, f"raw on the terminal: {sorted(map(repr, raw))}"
        if self.code:
            lines = self.stderr.splitlines()
            if not lines[0].startswith("Usage: "):  # of the options themselves, as command lines have it
                assert lines[-1].startswith("coremerge: error: "), self.stderr[-2000:]
                assert all(line.startswith("note: ") for line in lines[:-1]), self.stderr[-2000:]
            assert len(lines[-1]) <= 2000, f"a message of {len(lines[-1])} characters"
        assert self.peak <= ceiling, f"{self.peak / 1e6:.0f} MB"

    @property
    def message(self) -> str:
        """What was said of a refusal."""
        assert self.code == 2, (self.code, self.stdout[-500:])
        return self.stderr.splitlines()[-1]
