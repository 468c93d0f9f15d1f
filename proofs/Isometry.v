(* Decoding M |-> U M V^T is an isometry.

   The hypotheses say that U and V keep what they decode; orthonormal frames
   keep everything, masked ones keep every matrix that vanishes at the dead
   directions. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Isometry.
Variables (F : fieldType) (m n p q : nat).
Implicit Types (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) (M N : 'M[F]_(p, q)).

Definition kept U V M := U^T *m U *m M = M /\ M *m (V^T *m V) = M.

Lemma kept_orthonormal U V M : orthonormal U -> orthonormal V -> kept U V M.
Proof. by move=> UU VV; rewrite /kept UU VV mul1mx mulmx1. Qed.

Lemma kept_encode U V (D : 'M_(m, n)) :
  pisom U -> pisom V -> kept U V (encode U V D).
Proof.
move=> /pisom_tr UU VV; rewrite /pisom trmxK in UU.
by split; rewrite /encode !mulmxA ?UU // -!mulmxA (mulmxA V) VV.
Qed.

Theorem isometry_frob U V M N :
  kept U V M -> kept U V N -> frob (decode U V M) (decode U V N) = frob M N.
Proof.
move=> _ [UN VN]; rewrite /frob /decode !trmx_mul trmxK.
have -> : V *m (M^T *m U^T) *m (U *m N *m V^T) =
          V *m (M^T *m (U^T *m U *m N) *m V^T) by rewrite !mulmxA.
by rewrite UN mxtrace_mulC -!mulmxA VN.
Qed.

Corollary isometry_norm2 U V M :
  kept U V M -> norm2 (decode U V M) = norm2 M.
Proof. by move=> UVM; exact: isometry_frob. Qed.

Theorem isometry_encode U V M : kept U V M -> encode U V (decode U V M) = M.
Proof.
case=> UM VM; rewrite /encode /decode !mulmxA -(mulmxA _ V^T).
by rewrite UM VM.
Qed.

Theorem isometry_rank U V M : kept U V M -> \rank (decode U V M) = \rank M.
Proof.
move=> UVM; apply/eqP; rewrite eqn_leq; apply/andP; split.
  by apply: leq_trans (mxrankM_maxl _ _) (mxrankM_maxr _ _).
rewrite -{1}(isometry_encode UVM).
by apply: leq_trans (mxrankM_maxl _ _) (mxrankM_maxr _ _).
Qed.

(* Gram matrices, hence every symmetric function of the singular values: the
   k-th moment tr (M^T M)^k, written with iter so that q may be 0. *)
Theorem isometry_moments U V M k :
  kept U V M ->
  \tr (iter k (mulmx ((decode U V M)^T *m decode U V M))
              ((decode U V M)^T *m decode U V M)) =
  \tr (iter k (mulmx (M^T *m M)) (M^T *m M)).
Proof.
move=> [UM VM]; set G := M^T *m M.
have -> : (decode U V M)^T *m decode U V M = V *m G *m V^T.
  rewrite /decode !trmx_mul trmxK.
  transitivity (V *m (M^T *m (U^T *m U *m M)) *m V^T); last by rewrite UM.
  by rewrite !mulmxA.
have -> : iter k (mulmx (V *m G *m V^T)) (V *m G *m V^T) =
          V *m iter k (mulmx G) G *m V^T.
  elim: k => //= k ->; set N := iter k _ _.
  transitivity (V *m (M^T *m (M *m (V^T *m V)) *m N) *m V^T).
    by rewrite /G !mulmxA.
  by rewrite VM.
rewrite -mulmxA mxtrace_mulC -mulmxA; congr (\tr _).
by elim: k => [|k IH] /=; rewrite /G -!mulmxA ?VM // IH.
Qed.

(* Factorizations with orthonormal outer factors: an SVD of M decodes to an
   SVD of U M V^T with the same S.  Svd.v has the masked version. *)
Theorem isometry_svd k U V M (P : 'M_(p, k)) (S : 'M_k) (Q : 'M_(q, k)) :
  orthonormal U -> orthonormal V -> orthonormal P -> orthonormal Q ->
  M = P *m S *m Q^T ->
  [/\ orthonormal (U *m P), orthonormal (V *m Q)
    & decode U V M = U *m P *m S *m (V *m Q)^T].
Proof.
move=> UU VV PP QQ ->; split; try exact: orthonormal_mul.
by rewrite /decode trmx_mul !mulmxA.
Qed.

End Isometry.
