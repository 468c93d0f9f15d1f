(* The alignment error (the paper's Lemmas 1 and 2).

   U_t is a basis of task t with r orthonormal columns, U the reference frame.
   The identity holds over any field.  That the error vanishes only when the
   task lies in the frame needs squares to be nonnegative. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Identity.
Variables (F : fieldType) (m p r : nat).
Implicit Types (U : 'M[F]_(m, p)) (Ut : 'M[F]_(m, r)).

Theorem alignment_error U Ut :
  pisom U -> orthonormal Ut ->
  norm2 (U *m U^T *m Ut - Ut) = r%:R - norm2 (Ut^T *m U).
Proof.
move=> /pisom_proj PP UtUt; rewrite -(norm2_tr (Ut^T *m U)) /norm2 /frob.
rewrite trmxK trmx_mul trmxK.
have -> : (U *m U^T *m Ut - Ut)^T = Ut^T *m (U *m U^T) - Ut^T.
  by rewrite linearB /= !trmx_mul trmxK.
have P2 : Ut^T *m (U *m U^T) *m (U *m U^T *m Ut) = Ut^T *m (U *m U^T) *m Ut.
  by rewrite mulmxA -(mulmxA Ut^T) PP.
rewrite mulmxBr !mulmxBl P2 !mulmxA addrN sub0r UtUt opprB.
by rewrite linearB /= mxtrace1.
Qed.

End Identity.

Section ZeroIff.
Variables (F : realFieldType) (m p r : nat).
Implicit Types (U : 'M[F]_(m, p)) (Ut : 'M[F]_(m, r)).

(* Ut need not be orthonormal here. *)
Theorem alignment_zero_iff U Ut :
  pisom U -> norm2 (U *m U^T *m Ut - Ut) = 0 <-> cols_in Ut U.
Proof.
move=> UU; rewrite norm2_eq0 (cols_in_proj _ UU).
by split=> [/eqP|->]; rewrite ?subrr // subr_eq0 => /eqP.
Qed.

Corollary alignment_full_iff U Ut :
  pisom U -> orthonormal Ut ->
  norm2 (Ut^T *m U) = r%:R <-> cols_in Ut U.
Proof.
move=> UU UtUt; rewrite -(alignment_zero_iff _ UU) alignment_error //.
by split=> [->|/eqP]; rewrite ?subrr // subr_eq0 => /eqP.
Qed.

(* For the factor itself: Ut must span what B spans, null directions of a
   rank-deficient B excluded. *)
Corollary alignment_factor k U Ut (B : 'M[F]_(m, k)) :
  pisom U -> (B^T == Ut^T)%MS ->
  norm2 (U *m U^T *m Ut - Ut) = 0 <-> cols_in B U.
Proof.
by move=> UU /eqmxP E; rewrite alignment_zero_iff // /cols_in E.
Qed.

End ZeroIff.

(* The alignment R_t = U^T U_t is the least-squares one, and the only one. *)
Section LeastSquares.
Variables (F : realFieldType) (m p r : nat).
Variables (U : 'M[F]_(m, p)) (Ut : 'M[F]_(m, r)).
Hypothesis UU : orthonormal U.

Lemma alignment_pythagoras (R : 'M[F]_(p, r)) :
  norm2 (U *m R - Ut) =
  norm2 (U *m (U^T *m Ut) - Ut) + norm2 (R - U^T *m Ut).
Proof.
set E := U *m (U^T *m Ut) - Ut; pose H := R - U^T *m Ut.
have UE : U^T *m E = 0 by rewrite mulmxBr mulmxA UU mul1mx subrr.
have -> : U *m R - Ut = U *m H + E.
  by rewrite /E /H mulmxBr addrA subrK.
rewrite norm2_orthogonal; last by rewrite trmx_mul -mulmxA UE mulmx0.
rewrite addrC; congr (_ + _).
by rewrite /norm2 /frob trmx_mul -mulmxA (mulmxA U^T) UU mul1mx.
Qed.

Theorem alignment_least_squares (R : 'M[F]_(p, r)) :
  norm2 (U *m (U^T *m Ut) - Ut) <= norm2 (U *m R - Ut).
Proof. by rewrite (alignment_pythagoras R) ler_addl norm2_ge0. Qed.

Theorem alignment_least_squares_uniq (R : 'M[F]_(p, r)) :
  norm2 (U *m R - Ut) <= norm2 (U *m (U^T *m Ut) - Ut) -> R = U^T *m Ut.
Proof.
rewrite alignment_pythagoras -[X in _ <= X]addr0 ler_add2l => le0.
apply/eqP; rewrite -subr_eq0; apply/eqP/norm2_eq0/eqP.
by rewrite eq_le le0 norm2_ge0.
Qed.

End LeastSquares.
