(* The paper's reference bases (Def. 2): left singular vectors of
   [B_1 ... B_T], right singular vectors of [A_1; ...; A_T].  They hold every
   task, so the theorem of Lossless.v applies to them: with null vectors, as
   the paper has them, or without. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Lossless Svd SingularValues.
From CoreMerge Require Import SvdExists.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

(* Any factorization through orthonormal columns will do; where a singular
   value is 0 it does not matter what its vector is. *)
Theorem reference_bases (F : fieldType) m n p q T (r : 'I_T -> nat)
    (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n))
    (c : 'I_T -> F) (U : 'M_(m, p)) X (V : 'M_(n, q)) Y :
  orthonormal U -> \mxrow_t B t = U *m X ->
  orthonormal V -> \mxcol_t A t = Y *m V^T ->
  forall t, lossless U V (c t *: (B t *m A t)).
Proof.
move=> /orthonormal_pisom UU BE /orthonormal_pisom VV AE.
apply: lossless_stack => //; apply/cols_inP; first by exists X.
by exists Y^T; rewrite AE trmx_mul trmxK.
Qed.

Section Compact.
Variables (F : realFieldType) (m n p q T : nat) (r : 'I_T -> nat).
Variables (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n)).

(* Compact SVDs: the sizes are the ranks, which Minimality.v shows to be the
   least possible. *)
Corollary reference_bases_compact c (U : 'M_(m, p)) s W Z t0 (V : 'M_(n, q)) :
  csvd (\mxrow_t B t) U s W -> csvd (\mxcol_t A t) Z t0 V ->
  [/\ p = \rank (\mxrow_t B t), q = \rank (\mxcol_t A t)
    & forall t, lossless U V (c t *: (B t *m A t))].
Proof.
move=> svdB svdA; rewrite (csvd_rank svdB) (csvd_rank svdA); split=> //.
have [UU _ _ BE] := svdB; have [_ VV _ AE] := svdA.
by apply: (reference_bases c UU _ VV AE); rewrite BE -mulmxA.
Qed.

End Compact.

(* They exist. *)
Corollary reference_bases_exist (F : rcfType) m n T (r : 'I_T -> nat)
    (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n)) c :
  exists p q (U : 'M_(m, p)) s W Z t0 (V : 'M_(n, q)),
  [/\ csvd (\mxrow_t B t) U s W, csvd (\mxcol_t A t) Z t0 V
    & forall t, lossless U V (c t *: (B t *m A t))].
Proof.
have [p [U [s [W svdB]]]] := csvd_exists (\mxrow_t B t).
have [q [Z [t0 [V svdA]]]] := csvd_exists (\mxcol_t A t).
exists p, q, U, s, W, Z, t0, V; split=> //.
by have [] := reference_bases_compact c svdB svdA.
Qed.
