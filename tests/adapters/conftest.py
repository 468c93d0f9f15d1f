"""Makes the helpers beside these tests importable, and quiets libraries that warn about themselves."""

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # PEFT asks the hub about base models; tests ask nobody
sys.path.insert(0, str(Path(__file__).parent))
