(* DARE carries signed permutations over when its masks are permuted too, and
   not otherwise: a map that is linear entry by entry is not a scalar-weighted
   sum, and depends on the basis. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From CoreMerge Require Import Frame Ties.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Dare.
Variables (F : realFieldType) (p q : nat).
Implicit Types (M Z : 'M[F]_(p, q)).

Definition masked_entries M Z : 'M[F]_(p, q) := \matrix_(i, j) (M i j * Z i j).

(* The mask where the entries went. *)
Definition permuted (s : 'S_p) (u : 'S_q) Z : 'M[F]_(p, q) :=
  \matrix_(i, j) Z (s i) (u j).

(* Rescaled by 1 / (1 - drop), or by 1. *)
Definition dare (factor : F) M Z := factor *: masked_entries M Z.

(* Rescaled so that the sum of magnitudes stays; by 1 where nothing is left. *)
Definition mass M : F := \sum_i \sum_j `|M i j|.
Definition dare_l1 M Z :=
  let left := mass (masked_entries M Z) in
  dare (if left == 0 then 1 else mass M / left) M Z.

Variables (e : 'rV[F]_p) (s : 'S_p) (f : 'rV[F]_q) (u : 'S_q).
Hypotheses (e1 : sign_row e) (f1 : sign_row f).
Local Notation moved M := (signed_perm e s *m M *m (signed_perm f u)^T).

Lemma masked_moved M Z :
  masked_entries (moved M) (permuted s u Z) = moved (masked_entries M Z).
Proof.
by apply/matrixP => i j; rewrite mxE !signed_permE !mxE mulrA.
Qed.

Theorem dare_signed_perm factor M Z :
  dare factor (moved M) (permuted s u Z) = moved (dare factor M Z).
Proof. by rewrite /dare masked_moved -scalemxAr -scalemxAl. Qed.

Lemma mass_moved M : mass (moved M) = mass M.
Proof.
rewrite /mass (reindex_inj (@perm_inj _ s^-1)%g); apply: eq_bigr => i _.
rewrite (reindex_inj (@perm_inj _ u^-1)%g); apply: eq_bigr => j _.
rewrite signed_permE !permKV normrM.
by case: (sign_mul ((s^-1)%g i) ((u^-1)%g j) e1 f1) => ->;
   rewrite ?normrN normr1 mul1r.
Qed.

Theorem dare_l1_signed_perm M Z :
  dare_l1 (moved M) (permuted s u Z) = moved (dare_l1 M Z).
Proof.
rewrite /dare_l1 masked_moved !mass_moved /dare masked_moved.
by rewrite -scalemxAr -scalemxAl.
Qed.

End Dare.

(* With the mask left where it was, a swap of two rows is enough. *)
Theorem dare_fixed_mask_not_equivariant (F : realFieldType) :
  exists (E : 'M[F]_2) (M Z : 'cV[F]_2),
    orthonormal E /\ dare 1 (E *m M) Z <> E *m dare 1 M Z.
Proof.
exists (perm_mx (tperm 0 1)), (delta_mx 0 0), (delta_mx 0 0); split.
  rewrite /orthonormal tr_perm_mx -perm_mxM; set s := (_ * _)%g.
  by rewrite /s mulVg perm_mx1.
move/matrixP/(_ 1 0); rewrite /dare !scale1r -!row_permE !mxE tpermR.
by rewrite mulr0 mulr1 => /eqP; rewrite eq_sym oner_eq0.
Qed.
