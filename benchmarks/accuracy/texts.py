"""The eight tasks' texts with the labels that come with them, and the words that the labels' prompts are made of."""

import gettext
import unicodedata
from collections.abc import Callable, Iterator

from benchmarks.accuracy import sources

Pairs = Iterator[tuple[str, str]]  # (label, text)
NUMBERED = ("CJK", "HANGUL SYLLABLE", "TANGUT", "NUSHU", "EGYPTIAN", "ANATOLIAN", "KHITAN")
NUMPYDOC = ("scipy", "numpy", "sklearn", "networkx")


def scipy_part() -> Pairs:
    """A SciPy docstring's first sentence → the subpackage it documents."""
    for path, text in sources.strings("scipy")[0]:
        yield path.split("/")[0], sources.summary(text)


def library() -> Pairs:
    """A docstring's first sentence → the library it is from (SciPy, with a task of its own, is left out)."""
    for name in LIBRARIES:
        for _, text in sources.strings(name)[0]:
            yield name, sources.summary(text)


def section() -> Pairs:
    """The opening of a section of a docstring → the section."""
    for name in NUMPYDOC:
        for _, text in sources.strings(name)[0]:
            for title, lines in sources.numpydoc_sections(text):
                body = [line.strip() for line in lines if line.strip()]
                if title == "Parameters" or title == "Returns":
                    body = body[1:]  # the `name : type` line gives the section away
                yield title, " ".join(body).replace(">>>", "").replace(".. ", "")


def parameter_type() -> Pairs:
    """The description of a parameter → its type."""
    for name in NUMPYDOC:
        for _, text in sources.strings(name)[0]:
            for title, lines in sources.numpydoc_sections(text):
                if title == "Parameters":
                    for kind, description in sources.parameters(lines):
                        yield TYPE_WORDS.get(kind.split(",")[0].split(" or ")[0].strip("{}` "), ""), description


def exception() -> Pairs:
    """An error message → the class of the exception that carries it."""
    for name in ("torch", "scipy", "sklearn", "sympy", "networkx", "numpy", "jax", "django"):
        yield from sources.strings(name)[1]


def language() -> Pairs:
    """A message of Django's catalogues → the language it is translated to."""
    root = sources.package_root("django")
    for locale in LANGUAGES:
        for path in sorted(root.glob(f"**/locale/{locale}/LC_MESSAGES/django.mo")):
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            for text in catalogue.values():
                if len(str(text).split()) > 2:
                    yield locale, str(text)


def symbol() -> Pairs:
    """The Unicode name of a character → what the character is."""
    for point in range(0x110000):
        name = unicodedata.name(chr(point), "")
        if name and not name.startswith(
            ("CJK", "HANGUL SYLLABLE", "TANGUT", "NUSHU", "EGYPTIAN", "ANATOLIAN", "KHITAN")
        ):
            yield unicodedata.category(chr(point)), name.lower()


def sentiment() -> Pairs:
    """A word → how people rated its feeling (the VADER lexicon's mean rating, from -4 to 4)."""
    path = sources.package_root("vaderSentiment") / "vader_lexicon.txt"
    for line in path.read_text(encoding="utf-8").splitlines():
        word, mean = line.split("\t")[:2]
        if word.isalpha() and len(word) > 2:
            strength = "strong" if abs(float(mean)) >= 2 else "mild"
            yield strength + (" positive" if float(mean) > 0 else " negative"), word


ARRAYS = ("array_like", "ndarray", "array-like", "array", "array-like of shape (n_samples")
TYPE_WORDS = dict.fromkeys(ARRAYS, "array") | {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "boolean": "bool",
    "str": "str",
    "string": "str",
    "callable": "callable",
    "function": "callable",
    "tuple": "tuple",
    "tuple of ints": "tuple",
    "NetworkX graph": "graph",
    "graph": "graph",
}


def words(text: str) -> dict[str, str]:
    """{label: words} of lines "label: words"."""
    return dict(line.strip().split(": ") for line in text.strip().splitlines())


LIBRARIES = words("""
    numpy: NumPy
    sklearn: scikit-learn
    torch: PyTorch
    sympy: SymPy
    networkx: NetworkX
    jax: JAX
    django: Django
""")
LANGUAGES = words("""
    cs: Czech
    cy: Welsh
    da: Danish
    es: Spanish
    et: Estonian
    eu: Basque
    fi: Finnish
    hu: Hungarian
    id: Indonesian
    it: Italian
    nl: Dutch
    pl: Polish
    sw: Swahili
    tr: Turkish
""")
SYMBOLS = words("""
    Lo: letter without case
    Ll: lowercase letter
    Mn: nonspacing combining mark
    Mc: spacing combining mark
    So: pictograph or other symbol
    Sm: mathematical symbol
    No: number
    Nd: decimal digit
    Po: punctuation mark
    Lm: modifier letter
""")
EXCEPTIONS = words("""
    TypeError: wrong type
    RuntimeError: failure while running
    NotImplementedError: feature not implemented
    ImportError: missing import
    KeyError: missing key
    AttributeError: missing attribute
    IndexError: index out of range
""")
SCIPY = words("""
    cluster: clustering
    fft: Fourier transforms
    integrate: integration
    interpolate: interpolation
    io: files
    linalg: linear algebra
    ndimage: images
    optimize: optimization
    signal: signal processing
    sparse: sparse matrices
    spatial: geometry
    special: special functions
    stats: statistics
""")
TYPES = words("""
    array: an array
    int: an integer
    float: a real number
    bool: true or false
    str: a string
    callable: a function
    tuple: a tuple
    graph: a graph
""")
SECTIONS = {
    name: name.lower()
    for name in ("Parameters", "Returns", "Notes", "See Also", "References", "Examples", "Raises", "Attributes")
}
FEELINGS = {f"{s} {p}": f"{s}ly {p}" for s in ("strong", "mild") for p in ("positive", "negative")}

# name → (texts, label → words, prompt)
TASKS: dict[str, tuple[Callable[[], Pairs], dict[str, str], str]] = {
    "scipy": (scipy_part, SCIPY, "SciPy documentation about {}."),
    "library": (library, LIBRARIES, "documentation of the {} library."),
    "section": (section, SECTIONS, "the {} section of a documentation page."),
    "type": (parameter_type, TYPES, "a parameter that is {}."),
    "exception": (exception, EXCEPTIONS, "an error message: {}."),
    "language": (language, LANGUAGES, "a sentence in {}."),
    "symbol": (symbol, SYMBOLS, "the name of a {}."),
    "sentiment": (sentiment, FEELINGS, "a word with a {} feeling."),
}
