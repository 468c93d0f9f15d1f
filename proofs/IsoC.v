(* Isotropization as a post: any equivariant, determined merge followed by the
   common singular value stays equivariant and determined.  With a linear merge
   in front it is Iso-C; the mean is over the rank, not over min (p, q). *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Equivariance Svd Polar.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section IsoC.
Variables (F : realFieldType) (I : finType).
Variable merge : stage F I [finType of unit].

Definition iso_post := compose merge
  (pointwise (fun _ => isotropize (@mean_value F))).

Theorem iso_post_equivariant : equivariant merge -> equivariant iso_post.
Proof.
move=> meq; apply: equivariant_compose => //.
by apply: equivariant_pointwise => _; exact: isotropize_equivariant.
Qed.

Theorem iso_post_determined p q (M : stack F I p q) :
  determined merge M -> determined iso_post M.
Proof.
move=> mdet; apply: determined_compose => // Y _.
by apply: determined_pointwise => i X X'; exact: isotropize_determined.
Qed.

End IsoC.

Section LinearIso.
Variables (F : realFieldType) (I : finType) (w : I -> F).

Definition iso_c :=
  iso_post (linear_stage (J := [finType of unit]) (fun _ => w)).

Corollary iso_c_agree m n p q p' q' (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (U' : 'M[F]_(m, p')) (V' : 'M[F]_(n, q')) (D : stack F I m n) X X' :
  pisom U -> pisom V -> (forall i, lossless U V (D i)) ->
  pisom U' -> pisom V' -> (forall i, lossless U' V' (D i)) ->
  iso_c (encode_stack U V D) X -> iso_c (encode_stack U' V' D) X' ->
  decode_stack U V X = decode_stack U' V' X'.
Proof.
apply: equivariant_agree.
  by apply: iso_post_equivariant; exact: equivariant_linear.
by apply: iso_post_determined; exact: determined_linear.
Qed.

End LinearIso.

(* Averaging over the size of the space is not equivariant.  The 1 x 1 matrix
   (1) isotropized over min (p, q) = 1 values is itself; embedded in 2 x 2 by
   E = e_1 and averaged over min (p, q) = 2 values it becomes half as large. *)
Definition isotropize_size (F : realFieldType) : mrel F := fun m n X Y =>
  isotropize (fun sum _ => sum / (minn m n)%:R) X Y.

Theorem isotropize_size_not_equivariant (F : realFieldType) :
  ~ equivariant1 (@isotropize_size F).
Proof.
pose E : 'M[F]_(2, 1) := delta_mx 0 0.
have OE : orthonormal E.
  by rewrite /orthonormal /E trmx_delta mul_delta_mx; apply/matrixP=> i j;
     rewrite !ord1 !mxE.
move=> /(_ 1%N 1%N 2%N 2%N E E^T 1%:M 1%:M).
case.
- exact: orthonormal_pisom.
- by apply: pisom_tr; exact: orthonormal_pisom.
- by rewrite OE mulmx1.
- by rewrite trmxK OE mulmx1.
- exists 1%N, 1%:M, (const_mx 1), 1%:M; split; last first.
    by rewrite trmx1 mulmx1 big_ord1 mxE divr1 scale1r.
  split; rewrite ?/orthonormal ?trmx1 ?diag_const_mx ?mulmx1 //.
  by move=> i; rewrite mxE ltr01.
move=> _ _; rewrite mulmx1.
have svd : csvd (E *m E^T) E (const_mx 1) E.
  split=> // [i|]; first by rewrite mxE ltr01.
  by rewrite diag_const_mx mulmx1.
move=> iso; have [k [P [s [Q [svd' EE]]]]] := iso.
move: EE; rewrite -(polar_uniq svd svd') -(csvd_sum svd svd') big_ord1 mxE.
rewrite /minn ltnn mul1r.
rewrite /E trmx_delta mul_delta_mx.
move/matrixP/(_ 0 0); rewrite !mxE /= mulr1.
by move/eqP; rewrite eq_sym invr_eq1 (eqr_nat F 2 1).
Qed.
