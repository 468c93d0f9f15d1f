"""What lies at a path that no reader knows."""

from coremerge_ref.adapters.files import is_regular_file
from coremerge_ref.adapters.formats.place import CONFIG, PICKLES, Place, pickled
from coremerge_ref.errors import shown


def why_nothing(place: Place) -> str:
    """Why no reader knows what lies here, and what to do."""
    if is_regular_file(place.path):
        if place.path.name == CONFIG:
            return f"{shown(place.path)}: expected an adapter, got its config alone; give the folder that holds it"
        if place.path.suffix.lower() in PICKLES:
            return pickled(place.path)
        some = next(iter(place.single.entries), "nothing") if place.single else "nothing"
        return (
            f"{shown(place.path)}: expected factors of a LoRA, such as 'x.lora_down.weight' or 'x.lora_A.weight', "
            f"got {shown(some)}; is this an adapter?"
        )
    below = sorted(child.parent.name for child in place.path.glob(f"*/{CONFIG}"))[:5]
    if below:
        return (
            f"{shown(place.path)}: expected one adapter, got a folder of adapters: give one of those in it, "
            f"such as {', '.join(shown(name) for name in below)}"
        )
    several = sorted(path.name for path in place.path.glob("*.safetensors"))[:5]
    if len(several) > 1:
        return (
            f"{shown(place.path)}: expected one adapter, got several files: give one of those in it, "
            f"such as {', '.join(shown(name) for name in several)}"
        )
    pickles = sorted(path for path in place.path.iterdir() if path.suffix.lower() in PICKLES)
    if pickles:
        return pickled(pickles[0])
    return f"{shown(place.path)}: expected {CONFIG} or one .safetensors or .gguf file in it; is this an adapter?"
