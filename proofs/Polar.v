(* The polar factor over the support, and isotropization.

   Given a compact SVD X = P S Q^T the polar factor is P Q^T.  It does not
   depend on the SVD chosen: P Q^T = X K where K is the pseudo-inverse of the
   one positive semidefinite root of X^T X.  Both stages are equivariant and
   determined, so each gives one Delta W in every lossless space. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Equivariance Svd.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Polar.
Variable F : realFieldType.

Definition polar : mrel F := fun m n X W =>
  exists k (P : 'M_(m, k)) s (Q : 'M_(n, k)), csvd X P s Q /\ W = P *m Q^T.

Lemma polar_psdV m n k (X : 'M[F]_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> P *m Q^T = X *m psdV Q s.
Proof. by move=> svd; rewrite {1}(csvd_left svd) /psdV !mulmxA. Qed.

Theorem polar_uniq m n k l (X : 'M[F]_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) (P' : 'M_(m, l)) s' (Q' : 'M_(n, l)) :
  csvd X P s Q -> csvd X P' s' Q' -> P *m Q^T = P' *m Q'^T.
Proof.
move=> svd svd'; rewrite (polar_psdV svd) (polar_psdV svd').
have E := csvd_root svd svd'; case: svd svd' => _ QQ s0 _ [_ QQ' s0' _].
by rewrite (psdV_uniq QQ QQ' s0 s0' E).
Qed.

Corollary polar_determined m n (X W W' : 'M[F]_(m, n)) :
  polar X W -> polar X W' -> W = W'.
Proof.
by move=> [k [P [s [Q [svd ->]]]]] [l [P' [s' [Q' [svd' ->]]]]];
   exact: polar_uniq svd svd'.
Qed.

(* It is a partial isometry with the support of X, and the polar
   decomposition X = W H holds with H positive semidefinite. *)
Theorem polar_spec m n (X W : 'M[F]_(m, n)) : polar X W ->
  pisom W /\ exists k (Q : 'M_(n, k)) (s : 'rV_k),
    [/\ orthonormal Q, forall i, 0 < s 0 i, W^T *m W = Q *m Q^T
      & X = W *m psd Q s].
Proof.
move=> [k [P [s [Q [[PP QQ s0 XE] ->]]]]]; rewrite /pisom trmx_mul trmxK.
have WW : Q *m P^T *m (P *m Q^T) = Q *m Q^T.
  by rewrite mulmxA -(mulmxA Q) PP mulmx1.
split; first by rewrite -mulmxA WW mulmxA -(mulmxA P) QQ mulmx1.
exists k, Q, s; split=> //.
by rewrite XE /psd !mulmxA -(mulmxA P Q^T) QQ mulmx1.
Qed.

Theorem polar_equivariant : equivariant1 polar.
Proof.
move=> p q p' q' E G M X _ _ EM MG [k [P [s [Q [svd ->]]]]].
have svd' := csvd_tr svd; have MG' : G *m G^T *m M^T = M^T.
  by apply: trmx_inj; rewrite !trmx_mul !trmxK.
have EP : E^T *m E *m P = P by rewrite (csvd_left svd) (mulmxA _ M) EM.
have GQ : Q^T *m (G *m G^T) = Q^T.
  apply: trmx_inj; rewrite !trmx_mul !trmxK.
  by rewrite (csvd_left svd') (mulmxA _ M^T) MG'.
split; first by rewrite mulmxA EP.
  by rewrite -mulmxA GQ.
exists k, (E *m P), s, (G^T *m Q); split; first exact: csvd_move.
by rewrite trmx_mul trmxK !mulmxA.
Qed.

(* A scaled polar factor.  [f] gives the common singular value from the sum of
   the singular values and the rank: their mean for Iso-C. *)
Definition isotropize (f : F -> nat -> F) : mrel F := fun m n X Y =>
  exists k (P : 'M_(m, k)) s (Q : 'M_(n, k)),
    csvd X P s Q /\ Y = f (\sum_i s 0 i) k *: (P *m Q^T).

Definition mean_value (sum : F) (rank : nat) := sum / rank%:R.

Theorem isotropize_determined f m n (X Y Y' : 'M[F]_(m, n)) :
  isotropize f X Y -> isotropize f X Y' -> Y = Y'.
Proof.
move=> [k [P [s [Q [svd ->]]]]] [l [P' [s' [Q' [svd' ->]]]]].
rewrite (polar_uniq svd svd') (csvd_sum svd svd').
by rewrite -(csvd_rank svd) (csvd_rank svd').
Qed.

Theorem isotropize_equivariant f : equivariant1 (isotropize f).
Proof.
move=> p q p' q' E G M X EE GG EM MG [k [P [s [Q [svd ->]]]]].
have pM : polar M (P *m Q^T) by exists k, P, s, Q.
have [EW WG _] := polar_equivariant EE GG EM MG pM.
rewrite -scalemxAr -scalemxAl EW WG; split=> //.
exists k, (E *m P), s, (G^T *m Q); split; first exact: csvd_move.
by rewrite trmx_mul trmxK -scalemxAr -scalemxAl !mulmxA.
Qed.

(* In the singular vectors of X all singular values become the mean. *)
Theorem isotropize_spec m n k (X Y : 'M[F]_(m, n))
    (P : 'M_(m, k)) s (Q : 'M_(n, k)) :
  csvd X P s Q -> isotropize mean_value X Y ->
  Y = P *m diag_mx (const_mx ((\sum_i s 0 i) / k%:R)) *m Q^T.
Proof.
move=> svd iso; have := isotropize_determined iso; apply.
exists k, P, s, Q; split=> //; rewrite diag_const_mx -scalemx1.
by rewrite -scalemxAr -scalemxAl mulmx1.
Qed.

End Polar.
