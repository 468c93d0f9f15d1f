"""How merged adapters are written: by the family of readers that its inputs have in common."""

from coremerge_ref.adapters.forms.base import Form
from coremerge_ref.adapters.forms.gguf import GgufForm
from coremerge_ref.adapters.forms.mlx import MlxForm
from coremerge_ref.adapters.forms.peft import PeftForm
from coremerge_ref.adapters.forms.single_file import SingleFileForm

FORMS: dict[str, type[Form]] = {"peft": PeftForm, "single file": SingleFileForm, "mlx": MlxForm, "gguf": GgufForm}
SUFFIXES = {form.suffix for form in FORMS.values() if form.suffix}  # of outputs that are one file
