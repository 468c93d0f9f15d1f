(* Scalar-weighted sums agree in every lossless pair of frames (the paper's Eq. 13). *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section WeightedSum.
Variables (F : fieldType) (m n T : nat) (D : 'I_T -> 'M[F]_(m, n)).
Variable w : 'I_T -> F.

Theorem weighted_sum p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) :
  (forall t, lossless U V (D t)) ->
  decode U V (\sum_t w t *: encode U V (D t)) = \sum_t w t *: D t.
Proof.
move=> UV; rewrite /decode mulmx_sumr mulmx_suml; apply: eq_bigr => t _.
by rewrite -scalemxAr -scalemxAl -[in RHS]UV.
Qed.

Corollary weighted_sum_agree p q p' q' (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (U' : 'M[F]_(m, p')) (V' : 'M[F]_(n, q')) :
  (forall t, lossless U V (D t)) -> (forall t, lossless U' V' (D t)) ->
  decode U V (\sum_t w t *: encode U V (D t)) =
  decode U' V' (\sum_t w t *: encode U' V' (D t)).
Proof. by move=> UV UV'; rewrite !weighted_sum. Qed.

(* The weighted mean.  Where the weights sum to 0 it has no meaning; MathComp's
   division gives 0 on both sides then, and the software refuses. *)
Corollary weighted_mean p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) :
  (forall t, lossless U V (D t)) ->
  decode U V ((\sum_t w t)^-1 *: \sum_t w t *: encode U V (D t)) =
  (\sum_t w t)^-1 *: \sum_t w t *: D t.
Proof.
by move=> UV; rewrite -[in RHS](weighted_sum UV) /decode -scalemxAr -scalemxAl.
Qed.

End WeightedSum.
