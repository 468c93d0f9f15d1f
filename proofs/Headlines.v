(* Each proposition of Statements.v follows from the theorem of its subject. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Statements.
From CoreMerge Require Import Frame Frobenius Lossless Alignment Minimality.
From CoreMerge Require Import WeightedSum Isometry Equivariance.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* The square norm, written as a sum of squares. *)
Lemma norm2E (F : fieldType) m n (M : 'M[F]_(m, n)) :
  \sum_j \sum_i M i j ^+ 2 = norm2 M.
Proof. by rewrite /norm2 frobE; do 2![apply: eq_bigr => ? _]; exact: expr2. Qed.

Theorem lossless_projection : Statements.lossless_projection.
Proof.
move=> F m n p q T r B A s U V UU VV BU AV.
apply: lossless_pisom => // t; first exact/cols_inP.
by have [Y ->] := AV t; exact: submxMl.
Qed.

Theorem alignment_error : Statements.alignment_error.
Proof.
move=> F m p r U Ut UU UtUt; rewrite !norm2E.
by apply: Alignment.alignment_error => //; exact: orthonormal_pisom.
Qed.

Theorem alignment_zero_iff : Statements.alignment_zero_iff.
Proof.
move=> F m p r U Ut UU; rewrite norm2E.
rewrite (Alignment.alignment_zero_iff _ (orthonormal_pisom UU)).
by split=> /cols_inP.
Qed.

Theorem minimal_frame : Statements.minimal_frame.
Proof. by move=> F m p T r B U; exact: Minimality.minimal_frame. Qed.

Theorem weighted_sums_agree : Statements.weighted_sums_agree.
Proof. by move=> F m n p q T D w U V; exact: weighted_sum. Qed.

Theorem decoding_is_an_isometry : Statements.decoding_is_an_isometry.
Proof.
move=> F m n p q U V M N UU VV; rewrite -!frobE.
by split; [apply: isometry_frob | apply: isometry_rank];
   exact: kept_orthonormal.
Qed.

Theorem equivariant_merges_agree : Statements.equivariant_merges_agree.
Proof.
by move=> F I merge eqv m n p q U V D; exact: (@merge_full F I merge eqv).
Qed.
