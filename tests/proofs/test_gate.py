"""The gate on the proofs: an honest development passes, and each way to cheat is refused for what it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROOFS = Path(__file__).parents[2] / "proofs"
pytestmark = pytest.mark.skipif(not shutil.which("coqchk"), reason="Coq is not installed")

HEADLINE = """\
From mathcomp Require Import all_ssreflect all_algebra.
Local Open Scope ring_scope.
Definition full_space : Prop :=
  forall (F : fieldType) m n (D : 'M[F]_(m, n)), 1%:M *m (1%:M^T *m D *m 1%:M) *m 1%:M^T = D.
"""
PROOF = """\
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Statements.
From CoreMerge Require Import Lossless.
Theorem full_space : Statements.full_space.
Proof. by move=> F m n D; exact: lossless_full. Qed.
"""


def write(folder, **sources):
    """Adds sources to the folder and to the list of sources."""
    for name, text in sources.items():
        (folder / f"{name}.v").write_text(text)
        with (folder / "_CoqProject").open("a") as project:
            project.write(f"{name}.v\n")


def replace(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def run_gate(folder):
    command = [sys.executable, PROOFS / "gate.py", folder, folder / ".build"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A small development out of our own files, compiled."""
    folder = tmp_path_factory.mktemp("honest")
    options = [line for line in (PROOFS / "_CoqProject").read_text().splitlines() if line.startswith("-")]
    (folder / "_CoqProject").write_text("\n".join([*options, ""]))
    write(folder, Frame=(PROOFS / "Frame.v").read_text(), Lossless=(PROOFS / "Lossless.v").read_text())
    write(folder, Statements=HEADLINE, Headlines=PROOF)
    passed = run_gate(folder)
    assert passed.returncode == 0, passed.stderr
    assert "4 files, 1 headline theorems:\nno axiom, nothing admitted" in passed.stdout
    return folder


def admitted(folder):
    write(folder, Svd2="Theorem svd : 1 = 2. Proof. Admitted.\n")


def top_level_hypothesis(folder):
    text = "Hypothesis cheat : False.\nRemark one : 1 = 2. Proof. case cheat. Qed.\n"
    write(folder, Svd2=text + "Local Lemma two : 1 = 2. Proof. case cheat. Qed.\n")


def axiom(folder):
    write(folder, Cheat="Axiom cheat : False.\n")


def axiom_in_a_used_file(folder):
    replace(folder, "Frame.v", "Section Frame.", "Conjecture cheat : False.\nSection Frame.")


def admitted_in_a_section(folder):
    write(folder, Cheat="Section S. Variable n : nat. Lemma all : n = 0. Proof. Admitted. End S.\n")


def admitted_by_obligation(folder):
    write(folder, Cheat="Require Import Program. Program Definition zero : {n | n < 0} := 0. Admit Obligations.\n")


def parameter_in_a_module_type(folder):
    write(folder, Cheat="Module Type T. Parameter no : False. End T. Declare Module D : T.\n")


def functor(folder):
    text = "Module Type T. Parameter no : False. End T.\n"
    write(folder, Cheat=text + "Module F (X : T). Theorem one : 1 = 2. Proof. case X.no. Qed. End F.\n")


def unguarded_recursion(folder):
    write(folder, Cheat="Unset Guard Checking.\nFixpoint loop (n : nat) : False := loop n.\n")


def bypassed_guard(folder):
    write(folder, Cheat="#[bypass_check(guard)] Fixpoint loop (n : nat) : False := loop n.\n")


def assumed_positivity(folder):
    write(folder, Cheat="#[bypass_check(positivity)] Inductive bad := Bad : (bad -> False) -> bad.\n")


def inconsistent_universes(folder):
    write(folder, Cheat="Unset Universe Checking.\nDefinition U := Type. Definition u : U := U.\n")


def type_in_type_flag(folder):
    with (folder / "_CoqProject").open("a") as project:
        project.write("-arg -type-in-type\n")


def unlisted_source(folder):
    (folder / "Cheat.v").write_text("Axiom cheat : False.\n")


def unlisted_source_in_a_subfolder(folder):
    (folder / "more").mkdir()
    (folder / "more" / "Cheat.v").write_text("Axiom cheat : False.\n")


def library_of_the_same_name(folder):
    (folder / "mathcomp").mkdir()
    write(folder, **{"mathcomp/all_ssreflect": "Axiom cheat : False.\n"})


def compiled_without_source(folder):
    (folder / "Cheat.v").write_text("Axiom cheat : False.\n")
    subprocess.run(["coqc", "-Q", ".", "CoreMerge", "Cheat.v"], cwd=folder, check=True)
    (folder / "Cheat.v").unlink()
    shutil.copy(folder / "Cheat.vo", folder / ".build")
    write(folder, User="From CoreMerge Require Cheat. Theorem one : 1 = 2. Proof. case Cheat.cheat. Qed.\n")


def loaded_text(folder):
    (folder / "cheat.txt").write_text("Axiom cheat : False.\n")
    write(folder, Cheat='Load "../cheat.txt".\n')


def another_theorem_under_the_headline(folder):
    replace(folder, "Headlines.v", "Statements.full_space.", "True.")
    replace(folder, "Headlines.v", "by move=> F m n D; exact: lossless_full.", "exact: I.")


def headline_defined_as_something_else(folder):
    text = "Definition lossless_full := I.\n"
    write(folder, Other=text)
    replace(folder, "Headlines.v", "Import Lossless.", "Import Lossless Other.")


def hypothesis_added(folder):
    replace(folder, "Lossless.v", "Corollary lossless_full (D", "Corollary lossless_full (none : False) (D")


def headline_left_out(folder):
    replace(folder, "Headlines.v", "Theorem full_space", "Theorem half_space")


def definition_of_ours_in_a_statement(folder):
    replace(folder, "Statements.v", "Local Open", "From CoreMerge Require Import Frame.\nLocal Open")


def notation_in_a_statement(folder):
    replace(folder, "Statements.v", "Local Open", 'Notation "x = y" := True.\nLocal Open')


CHEATS = {
    admitted: "coqchk: Axioms: CoreMerge.Svd2.svd",
    top_level_hypothesis: "coqchk: Axioms: CoreMerge.Svd2.cheat",
    axiom: "coqchk: Axioms: CoreMerge.Cheat.cheat",
    axiom_in_a_used_file: "coqchk: Axioms: CoreMerge.Frame.cheat",
    admitted_in_a_section: "coqchk: Axioms: CoreMerge.Cheat.all",
    admitted_by_obligation: "coqchk: Axioms: CoreMerge.Cheat.zero",
    parameter_in_a_module_type: "`Module` hides",
    functor: "`Module` hides",
    unguarded_recursion: "unsafe (co)fixpoints: CoreMerge.Cheat.loop",
    bypassed_guard: "unsafe (co)fixpoints: CoreMerge.Cheat.loop",
    assumed_positivity: "positivity is assumed: CoreMerge.Cheat.bad",
    inconsistent_universes: "type-in-type: CoreMerge.Cheat.",
    type_in_type_flag: "not ['-arg -type-in-type']",
    unlisted_source: "differ: ['Cheat.v']",
    unlisted_source_in_a_subfolder: "differ: ['more/Cheat.v']",
    library_of_the_same_name: "not ['mathcomp/all_ssreflect.v']",
    compiled_without_source: "Cannot find a physical path",
    loaded_text: "`Load` hides",
    another_theorem_under_the_headline: "Statements.full_space",
    headline_defined_as_something_else: "Headlines.v",
    hypothesis_added: "Headlines.v",
    headline_left_out: "Headlines.full_space",
    definition_of_ours_in_a_statement: "not `From CoreMerge Require Import Frame`",
    notation_in_a_statement: "not `Notation",
}


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_a_cheat_is_refused(cheat, honest, tmp_path):
    folder = tmp_path / "proofs"
    shutil.copytree(honest, folder)
    cheat(folder)
    refused = run_gate(folder)
    assert refused.returncode != 0
    assert refused.stderr.startswith("refused: ")
    assert CHEATS[cheat] in refused.stderr


def test_print_assumptions_alone_finds_an_axiom(honest, tmp_path):
    """Two independent witnesses: without coqchk, Coq's own answer refuses too."""
    folder = tmp_path / "proofs"
    shutil.copytree(honest, folder)
    axiom(folder)
    script = (PROOFS / "gate.py").read_text().replace("    check_files(build, names)\n", "")
    (folder / "gate.py").write_text(script)
    command = [sys.executable, folder / "gate.py", folder, folder / ".build"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "Print Assumptions: " in refused.stderr
