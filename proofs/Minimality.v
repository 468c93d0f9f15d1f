(* Minimality of the reference frames.

   No frame with fewer columns than rank [B_1 ... B_T] keeps every B_t, and no
   pair of frames smaller than the column and row ranks of the updates keeps
   every Delta W_t.  The bounds hold for any decoder and any encoder, not for
   U U^T alone, over any field. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section Minimality.
Variables (F : fieldType) (m n p q T : nat).

(* X t is whatever the encoder makes of task t. *)
Theorem minimal_any_encoder (r : 'I_T -> nat) (B : forall t, 'M[F]_(m, r t))
    (U : 'M[F]_(m, p)) (X : forall t, 'M[F]_(p, r t)) :
  (forall t, U *m X t = B t) -> (\rank (\mxrow_t B t) <= p)%N.
Proof.
move=> E; have <- : U *m \mxrow_t X t = \mxrow_t B t.
  by rewrite mul_mxrow; apply/eq_mxrow.
by apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
Qed.

Theorem minimal_frame (r : 'I_T -> nat) (B : forall t, 'M[F]_(m, r t))
    (U : 'M[F]_(m, p)) :
  (forall t, U *m U^T *m B t = B t) -> (\rank (\mxrow_t B t) <= p)%N.
Proof.
by move=> E; apply: (@minimal_any_encoder _ _ U (fun t => U^T *m B t)) => t;
   rewrite mulmxA.
Qed.

Variable D : 'I_T -> 'M[F]_(m, n).

(* One-sided frames (KnOTS). *)
Corollary minimal_knots (U : 'M[F]_(m, p)) :
  (forall t, U *m U^T *m D t = D t) -> (\rank (\mxrow_t D t) <= p)%N.
Proof. exact: minimal_frame. Qed.

(* Two-sided frames: each side is bounded by the rank of its unfolding.  The
   Tucker frames reach both bounds, so they are the smallest lossless pair. *)
Theorem minimal_pair_any (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (M : 'I_T -> 'M[F]_(p, q)) :
  (forall t, decode U V (M t) = D t) ->
  (\rank (\mxrow_t D t) <= p)%N /\ (\rank (\mxcol_t D t) <= q)%N.
Proof.
move=> E; split.
  apply: (@minimal_any_encoder _ _ U (fun t => M t *m V^T)) => t.
  by rewrite mulmxA -E.
rewrite -mxrank_tr tr_mxcol.
have -> : \mxrow_t (D t)^T = V *m \mxrow_t (U *m M t)^T.
  by rewrite mul_mxrow; apply/eq_mxrow => t; rewrite -E trmx_mul trmxK.
by apply: leq_trans (mxrankM_maxl _ _) (rank_leq_col _).
Qed.

Theorem minimal_pair (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) :
  (forall t, U *m U^T *m D t *m (V *m V^T) = D t) ->
  (\rank (\mxrow_t D t) <= p)%N /\ (\rank (\mxcol_t D t) <= q)%N.
Proof.
move=> E; apply: (@minimal_pair_any U V (fun t => encode U V (D t))) => t.
by rewrite -[RHS]E /decode /encode !mulmxA.
Qed.

End Minimality.

(* How the factor ranks and the update ranks compare: the bound for the B_t
   is a bound for lossless merging of the updates only when every A_t has full
   row rank. *)
Section FactorsAndUpdates.
Variables (F : fieldType) (m n T : nat) (r : 'I_T -> nat).
Variables (B : forall t, 'M[F]_(m, r t)) (A : forall t, 'M[F]_(r t, n)).


Let BA t := B t *m A t.

Theorem update_rank_le :
  (\rank (\mxrow_t BA t) <= \rank (\mxrow_t B t))%N.
Proof.
rewrite -mxrank_tr -[X in (_ <= X)%N]mxrank_tr; apply: mxrankS.
have [/(_ (submx_refl _)) BB _] := cols_in_stack B (\mxrow_t B t).
apply/(cols_in_stack BA) => t; apply/cols_inP; have /cols_inP[X EX] := BB t.
by exists (X *m A t); rewrite mulmxA -EX.
Qed.

Theorem update_rank_eq :
  (forall t, row_free (A t)) ->
  \rank (\mxrow_t BA t) = \rank (\mxrow_t B t).
Proof.
move=> Afree; apply/eqP; rewrite eqn_leq update_rank_le /=.
rewrite -mxrank_tr -[X in (_ <= X)%N]mxrank_tr; apply: mxrankS.
have [/(_ (submx_refl _)) BB _] := cols_in_stack BA (\mxrow_t BA t).
apply/(cols_in_stack B) => t; apply/cols_inP; have /cols_inP[X EX] := BB t.
exists (X *m pinvmx (A t)); rewrite mulmxA -EX /BA -mulmxA.
by rewrite mulmxVp // mulmx1.
Qed.

(* So with A_t of full row rank, no pair of frames with fewer columns than
   rank [B_1 ... B_T] on the left keeps the updates. *)
Corollary minimal_core p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)) :
  (forall t, row_free (A t)) ->
  (forall t, lossless U V (BA t)) -> (\rank (\mxrow_t B t) <= p)%N.
Proof.
move=> Afree UV; rewrite -update_rank_eq //.
by have [] := minimal_pair_any (M := fun t => encode U V (BA t)) UV.
Qed.

End FactorsAndUpdates.

(* Without full row rank the bound fails: A = 0 makes the update 0, which the
   empty frame keeps although rank B = 1. *)
Example minimal_core_needs_row_free (F : fieldType) :
  exists (B A : 'M[F]_1) (U V : 'M[F]_(1, 0)),
    lossless U V (B *m A) /\ \rank B = 1%N.
Proof.
exists 1%:M, 0, 0, 0; split; last by rewrite mxrank1.
by rewrite /lossless /decode /encode !mulmx0 !mul0mx.
Qed.
