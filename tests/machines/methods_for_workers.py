"""A method that workers can import, during which something happens to them."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np

FLAG, ALWAYS, SLOW = "killed-once", "kill-always", "be-slow"
FOLDER = "COREMERGE_TEST_FOLDER"  # in the environment: where these files are


def total(M: np.ndarray) -> np.ndarray:
    """The sum. In a worker it kills its process the first time, or always, or is slow, as files ask for it."""
    if multiprocessing.parent_process() is not None:
        folder = Path(os.environ[FOLDER])
        if (folder / SLOW).exists():
            time.sleep(0.2)
        elif (folder / ALWAYS).exists() or not (folder / FLAG).exists():
            (folder / FLAG).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return M.sum(axis=0)
