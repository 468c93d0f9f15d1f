(* Iso-CTS.

   1. common: C = lowrank_c (sum_t M_t);
   2. residuals off the common left directions, R_t = M_t - P P^T M_t with
      C = P S Q^T;
   3. Y_t = lowrank_k R_t, and Y_0 = C;
   4. one stack of all singular vectors, polar on both sides, and one common
      singular value: X = sigma polar(U^) polar(V^)^T, sigma a function of the
      sum and of the number of all values kept.

   Steps 1 to 3 are a stage from T to T + 1 matrices; step 4 is like TSV's join
   with every singular value replaced by sigma.  Gaps are needed at c in the sum
   and at k in each residual. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Equivariance Svd Polar Truncation.
From CoreMerge Require Import Tsv.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section IsoCts.
Variables (F : realFieldType) (T : nat).

(* Join with the singular values replaced: tasks are indexed by 'I_T here. *)
Definition iso_join_with (f : F -> nat -> F) p q (Y : 'I_T -> 'M[F]_(p, q))
    (X : 'M[F]_(p, q)) (r : 'I_T -> nat) (P : forall t, 'M[F]_(p, r t))
    (s : forall t, 'rV[F]_(r t)) (Q : forall t, 'M[F]_(q, r t))
    (WU : 'M[F]_(p, \sum_t r t)) (WV : 'M[F]_(q, \sum_t r t)) :=
  [/\ forall t, csvd (Y t) (P t) (s t) (Q t),
      polar (\mxrow_t P t) WU, polar (\mxrow_t Q t) WV
    & X = f (\sum_t \sum_i s t 0 i) (\sum_t r t)%N *: (WU *m WV^T)].

Definition iso_join f : stage F [finType of 'I_T] [finType of unit] :=
  fun p q Y X =>
  exists r P s Q WU WV, @iso_join_with f p q Y (X tt) r P s Q WU WV.

Lemma iso_join_formula f p q Y X r P s Q WU WV :
  @iso_join_with f p q Y X r P s Q WU WV ->
  exists k (A : 'M[F]_(p, k)) (a : 'rV_k) l (B : 'M[F]_(q, l)) (b : 'rV_l),
  [/\ orthonormal A /\ (forall i, 0 < a 0 i),
      orthonormal B /\ (forall i, 0 < b 0 i),
      psd A a *m psd A a = \sum_t P t *m (P t)^T,
      psd B b *m psd B b = \sum_t Q t *m (Q t)^T
    & X = f (\sum_t \sum_i s t 0 i) (\sum_t r t)%N *:
          (psdV A a *m (\sum_t P t *m (Q t)^T) *m psdV B b)].
Proof.
move=> [svd /polar_left[k [A [a [AA a0 EA ->]]]]].
move=> /polar_left[l [B [b [BB b0 EB ->]]]] ->.
exists k, A, a, l, B, b; rewrite -EA -EB !mxrow_gram; split=> //.
have sB : (psdV B b)^T = psdV B b.
  by rewrite /psdV !trmx_mul trmxK tr_dinv mulmxA.
have <- : \mxrow_t P t *m (\mxrow_t Q t)^T = \sum_t P t *m (Q t)^T.
  by rewrite tr_mxrow mul_mxrow_mxcol.
by rewrite trmx_mul sB !mulmxA.
Qed.

Theorem iso_join_determined f p q (Y : stack F [finType of 'I_T] p q) :
  determined (iso_join f) Y.
Proof.
move=> X X' [r [P [s [Q [WU [WV J]]]]]] [r' [P' [s' [Q' [WU' [WV' J']]]]]].
apply/ffunP => -[]; have [svd _ _ _] := J; have [svd' _ _ _] := J'.
have EP : \sum_t P t *m (P t)^T = \sum_t P' t *m (P' t)^T.
  by apply: eq_bigr => t _; exact: csvd_proj_left (svd t) (svd' t).
have EQ : \sum_t Q t *m (Q t)^T = \sum_t Q' t *m (Q' t)^T.
  by apply: eq_bigr => t _; exact: csvd_proj_right (svd t) (svd' t).
have EW : \sum_t P t *m (Q t)^T = \sum_t P' t *m (Q' t)^T.
  by apply: eq_bigr => t _; exact: polar_uniq (svd t) (svd' t).
have Es : \sum_t \sum_i s t 0 i = \sum_t \sum_i s' t 0 i.
  by apply: eq_bigr => t _; exact: csvd_sum (svd t) (svd' t).
have Er : (\sum_t r t = \sum_t r' t)%N.
  by apply: eq_bigr => t _; rewrite -(csvd_rank (svd t)) (csvd_rank (svd' t)).
have [k [A [a [l [B [b [[AA a0] [BB b0] EA EB ->]]]]]]] := iso_join_formula J.
have [k' [A' [a' [l' [B' [b' [[AA' a0'] [BB' b0'] EA' EB' ->]]]]]]] :=
  iso_join_formula J'.
rewrite Es Er EW; congr (_ *: (_ *m _ *m _)).
  by apply: psdV_uniq => //; apply: root_uniq => //; rewrite EA EA'.
by apply: psdV_uniq => //; apply: root_uniq => //; rewrite EB EB'.
Qed.

Theorem iso_join_equivariant f : equivariant (iso_join f).
Proof.
move=> p q p' q' E G Y X EE GG kY [r [P [s [Q [WU [WV [svd pU pV XE]]]]]]].
have EP t : E^T *m E *m P t = P t.
  by rewrite (csvd_left (svd t)) (mulmxA _ (Y t)); case: (kY t) => ->.
have GQ t : G *m G^T *m Q t = Q t.
  rewrite (csvd_left (csvd_tr (svd t))) (mulmxA _ (Y t)^T); congr (_ *m _).
  by apply: trmx_inj; rewrite !trmx_mul !trmxK; case: (kY t).
have [EW pEU] := polar_moveL (mxrow_fix EP) pU.
have GQ' : (G^T)^T *m G^T *m \mxrow_t Q t = \mxrow_t Q t.
  by rewrite trmxK; exact: mxrow_fix.
have [GW pGV] := polar_moveL GQ' pV; rewrite trmxK in GW.
have WGG : WU *m WV^T *m (G *m G^T) = WU *m WV^T.
  rewrite -(mulmxA _ WV^T); congr (_ *m _); apply: trmx_inj.
  by rewrite !trmx_mul !trmxK.
split=> [[]|].
  by rewrite XE -scalemxAr -scalemxAl WGG mulmxA EW.
exists r, (fun t => E *m P t), s, (fun t => G^T *m Q t), (E *m WU), (G^T *m WV).
split.
- by move=> t; rewrite ffunE; case: (kY t) => kE kG; exact: csvd_move.
- by rewrite -mul_mxrow.
- by rewrite -mul_mxrow.
- by rewrite ffunE XE trmx_mul trmxK -scalemxAr -scalemxAl !mulmxA.
Qed.

End IsoCts.

(* Steps 1 to 3.  Index 0 of 'I_T.+1 holds the common part. *)
Section Parts.
Variables (F : realFieldType) (T c k : nat).

(* A stack of T + 1 matrices: the sum, then the tasks. *)
Definition with_sum : 'I_T.+1 -> 'I_T -> F :=
  fun j i => if unlift ord0 j is Some t then (i == t)%:R else 1.

(* The first entry truncated. *)
Definition common_rel (j : 'I_T.+1) : mrel F :=
  if unlift ord0 j is Some _ then @mid F else @lowrank F c.

(* The left directions of the first entry taken out of the others. *)
Definition residual : stage F [finType of 'I_T.+1] [finType of 'I_T.+1] :=
  fun p q M X => exists r (P : 'M[F]_(p, r)) s (Q : 'M[F]_(q, r)),
    csvd (M ord0) P s Q /\
    forall j, X j = if unlift ord0 j is Some _ then M j - P *m P^T *m M j
                    else M j.

Definition residual_rel (j : 'I_T.+1) : mrel F :=
  if unlift ord0 j is Some _ then @lowrank F k else @mid F.

Lemma residual_determined p q (M : stack F [finType of 'I_T.+1] p q) :
  determined residual M.
Proof.
move=> X X' [r [P [s [Q [svd XE]]]]] [r' [P' [s' [Q' [svd' XE']]]]].
by apply/ffunP => j; rewrite XE XE' (csvd_proj_left svd svd').
Qed.

Lemma residual_equivariant : equivariant residual.
Proof.
move=> p q p' q' E G M X EE GG kM [r [P [s [Q [svd XE]]]]].
have EP : E^T *m E *m P = P.
  by rewrite (csvd_left svd) (mulmxA _ (M ord0)); case: (kM ord0) => ->.
split=> [j|].
  rewrite XE; case: (unlift _ _) => [t|]; last exact: kM.
  have [kE kG] := kM j; split.
    by rewrite mulmxBr kE !mulmxA EP.
  by rewrite mulmxBl kG -(mulmxA _ (M j)) kG.
exists r, (E *m P), s, (G^T *m Q); rewrite ffunE; split=> [|j].
  by case: (kM ord0) => kE kG; exact: csvd_move.
rewrite !ffunE XE; case: (unlift _ _) => [t|] //.
rewrite mulmxBr mulmxBl; congr (_ - _); rewrite trmx_mul -!mulmxA.
congr (_ *m (_ *m _)); rewrite [in RHS]mulmxA -[X in X *m (E *m _)]trmxK.
rewrite trmx_mul trmxK !mulmxA; congr (_ *m _ *m _).
by apply: trmx_inj; rewrite !trmx_mul !trmxK mulmxA EP.
Qed.

Definition iso_cts (f : F -> nat -> F) :=
  compose (linear_stage (I := [finType of 'I_T])
                        (J := [finType of 'I_T.+1]) with_sum)
  (compose (pointwise common_rel)
  (compose residual
  (compose (pointwise residual_rel) (@iso_join F T.+1 f)))).

Theorem iso_cts_equivariant f : equivariant (iso_cts f).
Proof.
apply: equivariant_compose; first exact: equivariant_linear.
apply: equivariant_compose.
  apply: equivariant_pointwise => j; rewrite /common_rel.
  case: (unlift _ _) => [t|]; first exact: equivariant_mid.
  exact: lowrank_equivariant.
apply: equivariant_compose; first exact: residual_equivariant.
apply: equivariant_compose; last exact: iso_join_equivariant.
apply: equivariant_pointwise => j; rewrite /residual_rel.
case: (unlift _ _) => [t|]; last exact: equivariant_mid.
exact: lowrank_equivariant.
Qed.

(* The gaps: at c in the sum, and at k in whatever the residuals are. *)
Theorem iso_cts_determined f p q (M : stack F [finType of 'I_T] p q) :
  gap c (\sum_t M t) ->
  (forall C r (P : 'M[F]_(p, r)) s (Q : 'M[F]_(q, r)) t,
     lowrank c (\sum_t M t) C -> csvd C P s Q ->
     gap k (M t - P *m P^T *m M t)) ->
  determined (iso_cts f) M.
Proof.
move=> cgap kgap; apply: determined_compose => [|Y YE].
  exact: determined_linear.
have Y0 : Y ord0 = \sum_t M t.
  by rewrite YE; apply: eq_bigr => t _; rewrite /with_sum unlift_none scale1r.
have Yt t : Y (lift ord0 t) = M t.
  rewrite YE (bigD1 t) //= /with_sum liftK eqxx scale1r.
  by rewrite big1 ?addr0 // => i /negbTE ->; rewrite scale0r.
apply: determined_compose => [|Z ZE].
  apply: determined_pointwise => j A B; rewrite /common_rel.
  case: unliftP => [t|] ->; first by move=> -> ->.
  by rewrite Y0; exact: lowrank_determined.
have Z0 : lowrank c (\sum_t M t) (Z ord0).
  by have := ZE ord0; rewrite /common_rel unlift_none Y0.
have Zt t : Z (lift ord0 t) = M t.
  by have := ZE (lift ord0 t); rewrite /common_rel liftK Yt.
apply: determined_compose => [|R [r [P [s [Q [svd RE]]]]]].
  exact: residual_determined.
apply: determined_compose => [|S _]; last exact: iso_join_determined.
apply: determined_pointwise => j A B; rewrite /residual_rel RE.
case: unliftP => [t|] ->; last by move=> -> ->.
by rewrite Zt; apply: lowrank_determined; exact: kgap Z0 svd.
Qed.

End Parts.
