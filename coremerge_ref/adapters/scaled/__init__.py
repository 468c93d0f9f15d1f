"""One adapter times any number, in its own format: the number goes where the format keeps its scale, tensors stay.

What is written for a family of readers is one file here and one line in the table.
"""

from coremerge_ref.adapters.scaled import gguf, mlx, peft, single_file
from coremerge_ref.adapters.scaled.base import Writer

WRITERS: dict[str, Writer] = {
    "peft": peft.PeftWriter(),
    "single file": single_file.SingleFileWriter(),
    "mlx": mlx.MlxWriter(),
    "gguf": gguf.GgufWriter(),
}
