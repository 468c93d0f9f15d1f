(* TSV merging at an absolute rank per task, as a pipeline of two stages:
   truncate each M_t, then join.  Joining writes P_t S_t Q_t^T for the compact
   SVD of each truncated task, stacks U^ = [P_1 ... P_T], V^ = [Q_1 ... Q_T],
   and returns polar(U^) blkdiag(S_t) polar(V^)^T.

   Join is determined with no condition at all: equal singular values inside a
   task, or U^ and V^ of deficient rank, do no harm.  The reason is the formula
   X = K_U (sum_t Y_t) K_V, where K_U is the pseudo-inverse of the root of
   U^ U^^T = sum_t P_t P_t^T, a sum of projectors that the Y_t determine.  So
   TSV needs a gap at k, for each task, and nothing else. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Equivariance Svd Polar Truncation.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Tsv.
Variables (F : realFieldType) (T : nat).

Definition join_with p q (Y : 'I_T -> 'M[F]_(p, q)) (X : 'M[F]_(p, q))
    (r : 'I_T -> nat) (P : forall t, 'M[F]_(p, r t))
    (s : forall t, 'rV[F]_(r t)) (Q : forall t, 'M[F]_(q, r t))
    (WU : 'M[F]_(p, \sum_t r t)) (WV : 'M[F]_(q, \sum_t r t)) :=
  [/\ forall t, csvd (Y t) (P t) (s t) (Q t),
      polar (\mxrow_t P t) WU, polar (\mxrow_t Q t) WV
    & X = WU *m (\mxdiag_t diag_mx (s t)) *m WV^T].

Definition join : stage F [finType of 'I_T] [finType of unit] := fun p q Y X =>
  exists r P s Q WU WV, @join_with p q Y (X tt) r P s Q WU WV.

(* polar(U^) = K U^ with K a function of U^ U^^T. *)
Lemma polar_left m n (X W : 'M[F]_(m, n)) : polar X W ->
  exists k (P : 'M_(m, k)) (s : 'rV_k),
    [/\ orthonormal P, forall i, 0 < s 0 i,
        X *m X^T = psd P s *m psd P s & W = psdV P s *m X].
Proof.
move=> [k [P [s [Q [svd ->]]]]]; have svd' := csvd_tr svd.
have [PP QQ s0 _] := svd; exists k, P, s; split=> //.
  by rewrite -(csvd_gram svd') trmxK.
apply: trmx_inj; rewrite trmx_mul trmxK (polar_psdV svd') trmx_mul.
by congr (_ *m _); rewrite /psdV !trmx_mul trmxK tr_dinv mulmxA.
Qed.

Lemma mxrow_gram m (r : 'I_T -> nat) (P : forall t, 'M[F]_(m, r t)) :
  \mxrow_t P t *m (\mxrow_t P t)^T = \sum_t P t *m (P t)^T.
Proof. by rewrite tr_mxrow mul_mxrow_mxcol. Qed.

Lemma join_formula p q Y X r P s Q WU WV :
  @join_with p q Y X r P s Q WU WV ->
  exists k (A : 'M[F]_(p, k)) (a : 'rV_k)
         l (B : 'M[F]_(q, l)) (b : 'rV_l),
  [/\ orthonormal A /\ (forall i, 0 < a 0 i),
      orthonormal B /\ (forall i, 0 < b 0 i),
      psd A a *m psd A a = \sum_t P t *m (P t)^T,
      psd B b *m psd B b = \sum_t Q t *m (Q t)^T
    & X = psdV A a *m (\sum_t Y t) *m psdV B b].
Proof.
move=> [svd /polar_left[k [A [a [AA a0 EA ->]]]]].
move=> /polar_left[l [B [b [BB b0 EB ->]]]] ->.
exists k, A, a, l, B, b; rewrite -EA -EB !mxrow_gram; split=> //.
have sB : (psdV B b)^T = psdV B b.
  by rewrite /psdV !trmx_mul trmxK tr_dinv mulmxA.
have <- : \mxrow_t P t *m (\mxdiag_t diag_mx (s t)) *m (\mxrow_t Q t)^T =
          \sum_t Y t.
  rewrite mul_mxrow_mxdiag tr_mxrow mul_mxrow_mxcol.
  by apply: eq_bigr => t _; case: (svd t).
by rewrite trmx_mul sB !mulmxA.
Qed.

Theorem join_determined p q (Y : stack F [finType of 'I_T] p q) :
  determined join Y.
Proof.
move=> X X' [r [P [s [Q [WU [WV J]]]]]] [r' [P' [s' [Q' [WU' [WV' J']]]]]].
apply/ffunP => -[]; have [svd _ _ _] := J; have [svd' _ _ _] := J'.
have EP : \sum_t P t *m (P t)^T = \sum_t P' t *m (P' t)^T.
  by apply: eq_bigr => t _; exact: csvd_proj_left (svd t) (svd' t).
have EQ : \sum_t Q t *m (Q t)^T = \sum_t Q' t *m (Q' t)^T.
  by apply: eq_bigr => t _; exact: csvd_proj_right (svd t) (svd' t).
have [k [A [a [l [B [b [[AA a0] [BB b0] EA EB ->]]]]]]] := join_formula J.
have [k' [A' [a' [l' [B' [b' [[AA' a0'] [BB' b0'] EA' EB' ->]]]]]]] :=
  join_formula J'.
congr (_ *m _ *m _); apply: psdV_uniq => //; apply: root_uniq => //.
  by rewrite EA EA'.
by rewrite EB EB'.
Qed.

(* A polar factor carried by a map on the left alone. *)
Lemma polar_moveL m m' n (E : 'M[F]_(m', m)) (X W : 'M[F]_(m, n)) :
  E^T *m E *m X = X -> polar X W ->
  E^T *m E *m W = W /\ polar (E *m X) (E *m W).
Proof.
move=> EX [k [P [s [Q [svd ->]]]]]; split.
  by rewrite mulmxA (csvd_left svd) (mulmxA _ X) EX.
exists k, (E *m P), s, Q; rewrite mulmxA; split=> //.
rewrite -[E *m X]mulmx1 -[Q]mul1mx -[in X in csvd _ _ _ X]trmx1.
by apply: csvd_move => //; rewrite trmx1 !mulmx1.
Qed.

Lemma mxrow_fix m (A : 'M[F]_m) (r : 'I_T -> nat)
    (P : forall t, 'M[F]_(m, r t)) :
  (forall t, A *m P t = P t) -> A *m \mxrow_t P t = \mxrow_t P t.
Proof. by move=> AP; rewrite mul_mxrow; apply/eq_mxrow. Qed.

Theorem join_equivariant : equivariant join.
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
have XGG : X tt *m (G *m G^T) = X tt.
  rewrite XE -(mulmxA _ WV^T); congr (_ *m _); apply: trmx_inj.
  by rewrite !trmx_mul !trmxK.
split=> [[]|]; first by split=> //; rewrite XE !mulmxA EW.
exists r, (fun t => E *m P t), s, (fun t => G^T *m Q t), (E *m WU), (G^T *m WV).
split.
- by move=> t; rewrite ffunE; case: (kY t) => kE kG; exact: csvd_move.
- by rewrite -mul_mxrow.
- by rewrite -mul_mxrow.
- by rewrite ffunE XE trmx_mul trmxK !mulmxA.
Qed.

(* The method. *)
Definition tsv (k : nat) := compose (pointwise (fun _ => @lowrank F k)) join.

Theorem tsv_equivariant k : equivariant (tsv k).
Proof.
apply: equivariant_compose; last exact: join_equivariant.
by apply: equivariant_pointwise => _; exact: lowrank_equivariant.
Qed.

Theorem tsv_determined k p q (M : stack F [finType of 'I_T] p q) :
  (forall t, gap k (M t)) -> determined (tsv k) M.
Proof.
move=> Mgap; apply: determined_compose => [|Y _]; last exact: join_determined.
by apply: determined_pointwise => t X X'; exact: lowrank_determined (Mgap t).
Qed.

Corollary tsv_agree k m n p q p' q' (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (U' : 'M[F]_(m, p')) (V' : 'M[F]_(n, q'))
    (D : stack F [finType of 'I_T] m n) X X' :
  (forall t, gap k (D t)) ->
  pisom U -> pisom V -> (forall t, lossless U V (D t)) ->
  pisom U' -> pisom V' -> (forall t, lossless U' V' (D t)) ->
  tsv k (encode_stack U V D) X -> tsv k (encode_stack U' V' D) X' ->
  decode_stack U V X = decode_stack U' V' X'.
Proof.
move=> Dgap; apply: equivariant_agree; first exact: tsv_equivariant.
exact: tsv_determined.
Qed.

End Tsv.
