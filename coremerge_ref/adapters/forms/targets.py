"""The formats that one adapter can be converted to."""

from coremerge_ref.adapters.forms.target import Target
from coremerge_ref.adapters.forms.to_mlx import ToMlx
from coremerge_ref.adapters.forms.to_peft import ToPeft
from coremerge_ref.adapters.forms.to_single_file import ToDiffusers, ToKohya

TARGETS: dict[str, type[Target]] = {"peft": ToPeft, "kohya": ToKohya, "diffusers": ToDiffusers, "mlx": ToMlx}
