(* What a space is.

   A space of the paper is a pair of frames (U, V).  Encoding is U^T D V and
   decoding is U M V^T.  A frame usually has orthonormal columns; a *masked*
   frame has some columns set to zero, so that null directions of a stack take
   no part although array shapes stay fixed.  Both are partial isometries, and
   that is all most proofs need: U U^T is then the orthogonal projector on the
   column space of U.

   Everything in this file holds over any field.  MathComp's row-space order
   [<=%MS] is used on transposes, because the frames span column spaces. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Frame.
Variable F : fieldType.

Definition orthonormal m p (U : 'M[F]_(m, p)) := U^T *m U = 1%:M.
Definition pisom m p (U : 'M[F]_(m, p)) := U *m U^T *m U = U.
Definition cols_in m r p (B : 'M[F]_(m, r)) (U : 'M[F]_(m, p)) :=
  (B^T <= U^T)%MS.

(* [d] says which columns live: the Gram matrix is the 0/1 matrix diag d and
   the columns that do not live are zero.  (Over an ordered field the second
   condition follows from the first, see gram01_masked; over a general one it
   does not.) *)
Definition masked m p (d : 'rV[F]_p) (U : 'M[F]_(m, p)) :=
  [/\ forall j, d 0 j = 0 \/ d 0 j = 1,
      U^T *m U = diag_mx d & U *m diag_mx d = U].

Definition encode m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
  (D : 'M[F]_(m, n)) : 'M[F]_(p, q) := U^T *m D *m V.
Definition decode m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
  (M : 'M[F]_(p, q)) : 'M[F]_(m, n) := U *m M *m V^T.
Definition lossless m n p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
  (D : 'M[F]_(m, n)) := decode U V (encode U V D) = D.

Lemma orthonormal_pisom m p (U : 'M_(m, p)) : orthonormal U -> pisom U.
Proof. by move=> UU; rewrite /pisom -mulmxA UU mulmx1. Qed.

Lemma masked_pisom m p d (U : 'M_(m, p)) : masked d U -> pisom U.
Proof. by case=> _ UU Ud; rewrite /pisom -mulmxA UU. Qed.

Lemma orthonormal_masked m p (U : 'M_(m, p)) :
  orthonormal U -> masked (const_mx 1) U.
Proof.
move=> UU; split=> [j||]; first by right; rewrite mxE.
  by rewrite UU diag_const_mx.
by rewrite diag_const_mx mulmx1.
Qed.

(* Zeroing columns of an orthonormal frame gives a masked frame. *)
Lemma mask_orthonormal m p (d : 'rV_p) (U : 'M_(m, p)) :
  (forall j, d 0 j = 0 \/ d 0 j = 1) -> orthonormal U ->
  masked d (U *m diag_mx d).
Proof.
move=> d01 UU; have dd : diag_mx d *m diag_mx d = diag_mx d.
  rewrite mulmx_diag; congr diag_mx; apply/rowP=> j; rewrite !mxE.
  by case: (d01 j) => ->; rewrite ?mulr0 ?mulr1.
split=> //; last by rewrite -mulmxA dd.
by rewrite trmx_mul tr_diag_mx mulmxA -(mulmxA _ U^T) UU mulmx1 dd.
Qed.

Lemma pisom_tr m p (U : 'M_(m, p)) : pisom U -> pisom U^T.
Proof.
move=> UUU; rewrite /pisom trmxK.
by apply: trmx_inj; rewrite !trmx_mul !trmxK mulmxA.
Qed.

Lemma orthonormal1 m : orthonormal (1%:M : 'M_m).
Proof. by rewrite /orthonormal trmx1 mulmx1. Qed.

Lemma orthonormal_mul m p k (U : 'M_(m, p)) (P : 'M_(p, k)) :
  orthonormal U -> orthonormal P -> orthonormal (U *m P).
Proof.
move=> UU PP.
by rewrite /orthonormal trmx_mul mulmxA -(mulmxA _ U^T) UU mulmx1 PP.
Qed.

Lemma cols_inP m r p (B : 'M_(m, r)) (U : 'M_(m, p)) :
  reflect (exists X, B = U *m X) (cols_in B U).
Proof.
apply: (iffP submxP) => -[X E].
  by exists X^T; rewrite -[B]trmxK E trmx_mul trmxK.
by exists X^T; rewrite E trmx_mul.
Qed.

(* The column space of a partial isometry is where its projector acts as 1. *)
Lemma cols_in_proj m r p (B : 'M_(m, r)) (U : 'M_(m, p)) :
  pisom U -> (cols_in B U <-> U *m U^T *m B = B).
Proof.
move=> UUU; split=> [/cols_inP[X ->]|E]; first by rewrite mulmxA UUU.
by apply/cols_inP; exists (U^T *m B); rewrite mulmxA.
Qed.

(* A stack lies in a frame exactly when each of its blocks does. *)
Lemma cols_in_stack m p T (r : 'I_T -> nat) (B : forall t, 'M_(m, r t))
    (U : 'M_(m, p)) :
  cols_in (\mxrow_t B t) U <-> forall t, cols_in (B t) U.
Proof.
split=> [/cols_inP[X E] t|BU].
  by apply/cols_inP; exists (submxrow X t); rewrite mul_submxrow -E mxrowK.
have X t : {X | B t == U *m X}.
  by apply: sigW; have /cols_inP[X ->] := BU t; exists X.
apply/cols_inP; exists (\mxrow_t sval (X t)); rewrite mul_mxrow.
by apply/eq_mxrow=> t; apply/eqP; exact: svalP (X t).
Qed.

Lemma pisom_proj m p (U : 'M[F]_(m, p)) : pisom U ->
  U *m U^T *m (U *m U^T) = U *m U^T.
Proof. by move=> UUU; rewrite mulmxA UUU. Qed.

End Frame.
