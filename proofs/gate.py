"""Lets a development pass only when all of it is proved.

    gate.py FOLDER BUILD

FOLDER holds the sources. They are copied to BUILD and compiled there with the options below and no others, so that
neither a flag in _CoqProject nor a compiled file lying about counts. What Coq and its independent checker say of the
result decides: `coqchk` on every compiled file, `Print Assumptions` of every constant, the types of the headline
theorems.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LIBRARY = "CoreMerge"
OPTIONS = ["-Q", ".", LIBRARY, "-w", "-notation-overridden,-ambiguous-paths"]
MADE = ["Makefile.coq", "Makefile.coq.conf", ".Makefile.coq.d"]
PROJECT = ["-Q . CoreMerge", "-arg -w -arg -notation-overridden,-ambiguous-paths"]
CLOSED = "Closed under the global context"

# Constants inside a functor have no global name: Print Assumptions cannot ask for them. Load reads what is no source,
# Declare loads plugins and declares module instances, a Blacklist hides names from Search.
HIDING = re.compile(r"\b(Module|Load|Declare|Blacklist)\b")

# What Statements.v may hold: the library, notation scopes, and propositions. No definition of ours can enter.
PLAIN = re.compile(
    r"From mathcomp Require Import [\w\s]+"
    r"|Import [\w\s.]+"
    r"|(Set|Unset) (Implicit Arguments|Strict Implicit|Printing Implicit Defensive)"
    r"|Local Open Scope ring_scope"
    r"|Definition \w+ : Prop :=.*",
    re.DOTALL,
)


class Refused(Exception):
    """Something is not proved, or cannot be seen to be."""


def main(folder, build):
    """Builds and checks the development; raises Refused at the first thing that is not as it should be."""
    names = read_sources(folder)
    copy_sources(folder, build, names)
    statements = read_statements(build / "Statements.v")
    compile_sources(build, names)
    check_files(build, names)
    constants = list_constants(build, names)
    check_constants(build, names, constants)
    check_headlines(build, statements)
    print(f"{len(constants)} constants in {len(names)} files, {len(statements)} headline theorems:")
    print("no axiom, nothing admitted.")


def read_sources(folder):
    """Names of the sources: what lies in the folder is what _CoqProject lists."""
    lines = (folder / "_CoqProject").read_text(encoding="utf-8").split("\n")
    listed = [line for line in lines if line.endswith(".v")]
    if strange := [line for line in lines if line and line not in [*PROJECT, *listed]]:
        raise Refused(f"_CoqProject may hold {PROJECT} and names of sources, not {strange}")
    if strange := [name for name in listed if not re.fullmatch(r"\w+\.v", name)]:
        raise Refused(f"sources lie in the folder itself, under plain names, not {strange}")
    present = [str(path.relative_to(folder)) for path in folder.rglob("*.v") if ".build" not in path.parts]
    if unlisted := set(present) ^ set(listed):
        raise Refused(f"sources and _CoqProject differ: {sorted(unlisted)}")
    for name in listed:
        if word := HIDING.search((folder / name).read_text(encoding="utf-8")):
            raise Refused(f"{name}: `{word[0]}` hides constants from the gate")
    return [name.removesuffix(".v") for name in listed]


def copy_sources(folder, build, names):
    """Only what changed is written, so that make rebuilds no more than it must; what has no source goes."""
    build.mkdir(parents=True, exist_ok=True)
    for path in build.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name.strip(".").split(".")[0] not in names and path.name not in MADE:
            path.unlink()
    for name in names:
        source, copy = (folder / f"{name}.v").read_bytes(), build / f"{name}.v"
        if not copy.exists() or copy.read_bytes() != source:
            copy.write_bytes(source)


def read_statements(path):
    """Names of the propositions of Statements.v, which holds nothing else."""
    text = re.sub(r"\(\*.*?\*\)", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    sentences = [sentence.strip() for sentence in re.split(r"\.(?:\s|$)", text) if sentence.strip()]
    for sentence in sentences:
        if not PLAIN.fullmatch(sentence) or '"' in sentence:
            raise Refused(f"Statements.v may import MathComp and define propositions, not `{sentence[:60]}`")
    statements = [sentence.split()[1] for sentence in sentences if sentence.startswith("Definition")]
    if not statements:
        raise Refused("Statements.v states nothing")
    return statements


def compile_sources(build, names):
    """What changed, and what depends on it."""
    arguments = [part for option in OPTIONS[3:] for part in ("-arg", option)]
    sources = [f"{name}.v" for name in names]
    run(build, "coq_makefile", *OPTIONS[:3], *arguments, *sources, "-o", "Makefile.coq")
    run(build, "make", "--no-print-directory", "-f", "Makefile.coq", "-j", str(os.cpu_count()))


def check_files(build, names):
    """`coqchk` on every compiled file of ours. It lists sealed constants of MathComp too, because -norec does not look
    inside the libraries; Print Assumptions does."""
    modules = [part for name in names for part in ("-norec", f"{LIBRARY}.{name}")]
    report = run(build, "coqchk", "-silent", "-o", "-Q", ".", LIBRARY, *modules)
    sections = dict(re.findall(r"^\* ([^\n:]+):(.*?)(?=^\*|\Z)", report, re.DOTALL | re.MULTILINE))
    if not {"Theory", "Axioms"} < set(sections) or len(sections) != 5:
        raise Refused(f"coqchk's report has another form than expected: {report}")
    if sections.pop("Theory").strip() != "Set is predicative":
        raise Refused(f"coqchk: the theory is not Coq's own: {report}")
    for kind, entries in sections.items():
        if ours := [entry for entry in entries.split() if entry.startswith(f"{LIBRARY}.")]:
            raise Refused(f"coqchk: {kind}: {', '.join(ours)}")
        if kind != "Axioms" and entries.strip() != "<none>":
            raise Refused(f"coqchk: {kind}: {entries.strip()}")


def list_constants(build, names):
    """Every constant of every file, as Coq's own search sees them: local, private and generated ones too."""
    commands = ['Remove Search Blacklist "Private_" "_subterm" "_subproof".']
    commands += [f"Search _ inside {LIBRARY}.{name}." for name in names]
    answer = ask(build, names, commands)
    constants = re.findall(r"^([\w'.]+):", answer, re.MULTILINE)
    if silent := [name for name in names if not any(f"{name}." in constant for constant in constants)]:
        raise Refused(f"no constant is known of {silent}")
    return constants


def check_constants(build, names, constants):
    """Coq's own word on each constant."""
    answer = ask(build, names, [f"Print Assumptions {constant}." for constant in constants])
    if answer.splitlines() != [CLOSED] * len(constants):
        raise Refused(f"Print Assumptions: {answer.replace(CLOSED, '').strip()}")


def check_headlines(build, statements):
    """Each proposition of Statements.v is the type of the constant of its name in Headlines.v."""
    checks = [f"Check (@{LIBRARY}.Headlines.{name} : {LIBRARY}.Statements.{name})." for name in statements]
    ask(build, ["Statements", "Headlines"], checks)


def ask(build, names, commands):
    """What Coq answers to the commands, all files loaded and none imported."""
    loads = [f"From {LIBRARY} Require {name}." for name in names]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "query.v").write_text("\n".join([*loads, *commands, ""]), encoding="utf-8")
        return run(folder, "coqc", "-Q", str(build), LIBRARY, "-w", "none", "query.v")


def run(folder, *command):
    """What the command prints; coqchk reports on stderr."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{command[0]} fails:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
    except Refused as refusal:
        sys.exit(f"refused: {refusal}")
