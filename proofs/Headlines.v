(* Each proposition of Statements.v follows from the theorem of its subject. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Statements.
From CoreMerge Require Import Frame Frobenius Lossless Alignment Minimality.
From CoreMerge Require Import WeightedSum Isometry Equivariance Svd.
From CoreMerge Require Import SingularValues Polar Truncation Tsv Cart IsoC.
From CoreMerge Require Import IsoCts NullVectors Ties.
From CoreMerge Require Reference SvdExists Functions EckartYoung.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* The square norm, written as a sum of squares. *)
Lemma norm2E (F : fieldType) m n (M : 'M[F]_(m, n)) :
  \sum_j \sum_i M i j ^+ 2 = norm2 M.
Proof. by rewrite /norm2 frobE; do 2![apply: eq_bigr => ? _]; exact: expr2. Qed.

Theorem lossless_projection : Statements.lossless_projection.
Proof.
move=> F m n p q T r B A s U V UU VV BU AV.
apply: lossless_pisom => // t; first exact/cols_inP.
by have [Y ->] := AV t; exact: submxMl.
Qed.

Theorem alignment_error : Statements.alignment_error.
Proof.
move=> F m p r U Ut UU UtUt; rewrite !norm2E.
by apply: Alignment.alignment_error => //; exact: orthonormal_pisom.
Qed.

Theorem alignment_zero_iff : Statements.alignment_zero_iff.
Proof.
move=> F m p r U Ut UU; rewrite norm2E.
rewrite (Alignment.alignment_zero_iff _ (orthonormal_pisom UU)).
by split=> /cols_inP.
Qed.

Theorem minimal_frame : Statements.minimal_frame.
Proof. by move=> F m p T r B U; exact: Minimality.minimal_frame. Qed.

Theorem weighted_sums_agree : Statements.weighted_sums_agree.
Proof. by move=> F m n p q T D w U V; exact: weighted_sum. Qed.

Theorem decoding_is_an_isometry : Statements.decoding_is_an_isometry.
Proof.
move=> F m n p q U V M N UU VV; rewrite -!frobE.
by split; [apply: isometry_frob | apply: isometry_rank];
   exact: kept_orthonormal.
Qed.

Theorem equivariant_merges_agree : Statements.equivariant_merges_agree.
Proof.
by move=> F I merge eqv m n p q U V D; exact: (@merge_full F I merge eqv).
Qed.

Theorem reference_bases_lossless : Statements.reference_bases_lossless.
Proof.
move=> F m n p q T r B A U s W Z z V UU BE VV AE t.
rewrite -[B t *m A t]scale1r.
apply: (Reference.reference_bases (fun=> 1) UU _ VV AE).
by rewrite BE -mulmxA.
Qed.

Theorem least_squares_alignment : Statements.least_squares_alignment.
Proof.
move=> F m p r U Ut R UU error; rewrite /error !norm2E; split.
  exact: alignment_least_squares.
exact: alignment_least_squares_uniq.
Qed.

Theorem svd_exists : Statements.svd_exists.
Proof.
move=> F m n X; have [k [P [s [Q [[PP QQ s0 XE] sd]]]]] := SvdExists.svd_exists X.
by exists k, P, s, Q.
Qed.

Theorem singular_values_unique : Statements.singular_values_unique.
Proof.
move=> F m n X svd k P s Q l P' s' Q' [PP QQ XE s0 sd] [PP' QQ' XE' s0' sd'].
have svd1 : csvd X P s Q by [].
have svd2 : csvd X P' s' Q' by [].
have kl : k = l by rewrite -(csvd_rank svd1) (csvd_rank svd2).
split=> //; move: P' s' Q' {PP' QQ' XE' s0'} sd' svd2; rewrite -kl => P' s' Q' sd' svd2.
by rewrite (singular_values_uniq svd1 svd2 sd sd').
Qed.

Theorem truncation_is_optimal : Statements.truncation_is_optimal.
Proof.
move=> F m n k l X Z P s Q P' s' Q' PP QQ s0 s0' ss XE Zk; rewrite !norm2E.
have svd : csvd X (row_mx P P') (row_mx s s') (row_mx Q Q').
  split=> // [i|]; last by rewrite mul_split.
  by case: (split_ordP i) => j ->; rewrite ?row_mxEl ?row_mxEr.
apply: (EckartYoung.truncation_optimal (rk := k)) => //.
exists k, l, P, s, Q, P', s', Q'; split=> //.
by apply/esym/minn_idPl; exact: leq_addr.
Qed.

Theorem polar_is_a_function : Statements.polar_is_a_function.
Proof.
move=> F m n X; have [W [XW uniq]] := Functions.polar_function X.
exists W; split=> [|W' [k [P [s [Q [PP QQ s0 XE WE]]]]]].
  by have [k [P [s [Q [[PP QQ s0 XE] WE]]]]] := XW; exists k, P, s, Q.
by apply: uniq; exists k, P, s, Q.
Qed.

(* From a stage to the relation that a statement writes out. *)
Lemma one_update_written (F : rcfType) T
    (R : stage F [finType of 'I_T] [finType of unit])
    (written : forall p q, ('I_T -> 'M[F]_(p, q)) -> 'M[F]_(p, q) -> Prop)
    m n (D : 'I_T -> 'M[F]_(m, n)) :
  (forall p q M X, written p q M X <-> R p q [ffun t => M t] [ffun=> X]) ->
  equivariant R -> Functions.total R -> determined R [ffun t => D t] ->
  exists X, forall p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q)),
    U *m U^T *m U = U -> V *m V^T *m V = V ->
    (forall t, U *m (U^T *m D t *m V) *m V^T = D t) ->
    exists2 Y, written p q (fun t => U^T *m D t *m V) Y &
      forall Z, written p q (fun t => U^T *m D t *m V) Z -> U *m Z *m V^T = X.
Proof.
move=> wR Req Rt Rd; have [X one] := Functions.one_update Req Rt Rd.
exists (X tt) => p q U V UU VV UV.
have UV' t : lossless U V ([ffun t => D t] t) by rewrite ffunE; exact: UV.
have DE : encode_stack U V [ffun t => D t] = [ffun t => U^T *m D t *m V].
  by apply/ffunP => t; rewrite !ffunE.
have [Y RY uniq] := one p q U V UU VV UV'; rewrite DE in RY uniq.
have YE : Y = [ffun=> Y tt] by apply/ffunP => -[]; rewrite ffunE.
exists (Y tt) => [|Z /wR /uniq <-]; first by apply/wR; rewrite -YE.
by rewrite !ffunE.
Qed.

Theorem tsv_gives_one_update : Statements.tsv_gives_one_update.
Proof.
move=> F T k svd cut gap truncated polar tsv m n D Dgap.
apply: (one_update_written (R := Tsv.tsv k)) => [p q M X|||].
- split=> [[Y [r [P [s [Q [WU [WV [YM [svdY pU pV XE]]]]]]]]]|].
    exists [ffun t => Y t] => [t|]; rewrite ?ffunE.
      have [a [b [P1 [s1 [Q1 [P2 [s2 [Q2 [[svd1 aE] s21 ->]]]]]]]]] := YM t.
      by exists a, b, P1, s1, Q1, P2, s2, Q2.
    exists r, P, s, Q, WU, WV; split.
    - by move=> t; rewrite ffunE; exact: svdY.
    - exact: pU.
    - exact: pV.
    by rewrite ffunE.
  case=> Y YM [r [P [s [Q [WU [WV [svdY pU pV XE]]]]]]].
  exists Y, r, P, s, Q, WU, WV; split; last by rewrite ffunE in XE.
  move=> t; have := YM t; rewrite ffunE.
  move=> [a [b [P1 [s1 [Q1 [P2 [s2 [Q2 [[svd1 s21] aE ->]]]]]]]]].
  by exists a, b, P1, s1, Q1, P2, s2, Q2.
- exact: tsv_equivariant.
- exact: Functions.tsv_exists.
apply: tsv_determined => t; rewrite ffunE.
have [a [b [P1 [s1 [Q1 [P2 [s2 [Q2 [[svd1 aE] s21]]]]]]]]] := Dgap t.
exists a, b, P1, s1, Q1, P2, s2, Q2; split=> //.
by split=> // i j; exact: ltW.
Qed.

Theorem cart_gives_one_update : Statements.cart_gives_one_update.
Proof.
move=> F T k w lambda cut cart m n D Dgap.
have centredE p q (M : 'I_T -> 'M[F]_(p, q)) t :
    centred w [ffun t => M t] t = M t - \sum_i w i *: M i.
  by rewrite /centred ffunE; under eq_bigr do rewrite ffunE.
apply: (one_update_written (R := Cart.cart w lambda k)) => [p q M X|||].
- split=> [[Y [YM XE]]|].
    have [C CE] := Functions.total_linear (centre w) [ffun t => M t].
    have Ct t : C (Some t) = M t - \sum_i w i *: M i.
      by rewrite (centre_some t CE) centredE.
    have C0 : C None = \sum_i w i *: M i.
      by rewrite CE; apply: eq_bigr => i _; rewrite ffunE.
    exists C => //.
    exists [ffun o => if o is Some t then Y t else \sum_i w i *: M i].
      move=> [t|]; rewrite !ffunE /residuals ?C0 // Ct.
      have [a [b [P [s [Q [P' [s' [Q' [[PP QQ s0 ME aE] ss YE]]]]]]]]] := YM t.
      by exists a, b, P, s, Q, P', s', Q'.
    move=> j; rewrite ffunE XE (bigD1 None) //= scale1r ffunE; congr (_ + _).
    rewrite scaler_sumr (reindex_omap Some id) /=; last by case.
    by apply: eq_big => [t|t _]; rewrite ?eqxx // ffunE.
  move=> /cart_spec[Y [YM XE]]; exists Y; split=> [t|].
    have := YM t; rewrite centredE.
    move=> [a [b [P [s [Q [P' [s' [Q' [[[PP QQ s0 ME] ss] aE YE]]]]]]]]].
    by exists a, b, P, s, Q, P', s', Q'.
  by rewrite ffunE in XE; rewrite XE; under eq_bigr do rewrite ffunE.
- exact: cart_equivariant.
- exact: Functions.cart_exists.
apply: cart_determined => t; rewrite centredE.
have [a [b [P [s [Q [P' [s' [Q' [[PP QQ s0 ME aE] ss]]]]]]]]] := Dgap t.
exists a, b, P, s, Q, P', s', Q'; split=> //.
by split=> // i j; exact: ltW.
Qed.

Theorem cart_of_two_is_the_mean : Statements.cart_of_two_is_the_mean.
Proof.
move=> F k lambda cut truncated m n A B Y Z mean Agap.
have cutE X V : truncated m n X V -> lowrank k X V.
  move=> [a [b [P [s [Q [P' [s' [Q' [[PP QQ s0 XE aE] ss VE]]]]]]]]].
  by exists a, b, P, s, Q, P', s', Q'.
move=> /cutE AY /cutE BZ; apply: (cart_of_two lambda _ AY BZ).
have [a [b [P [s [Q [P' [s' [Q' [[PP QQ s0 XE aE] ss]]]]]]]]] := Agap.
exists a, b, P, s, Q, P', s', Q'; split=> //.
by split=> // i j; exact: ltW.
Qed.

Theorem iso_c_gives_one_update : Statements.iso_c_gives_one_update.
Proof.
move=> F T w iso_c m n D.
apply: (one_update_written (R := IsoC.iso_c w)) => [p q M X|||].
- split=> [[k [P [s [Q [PP QQ s0 ME XE]]]]]|].
    exists [ffun=> \sum_t w t *: M t] => j; rewrite !ffunE.
      by apply: eq_bigr => t _; rewrite ffunE.
    by exists k, P, s, Q.
  case=> Y YM /(_ tt); rewrite ffunE (YM tt).
  under eq_bigr do rewrite ffunE.
  by move=> [k [P [s [Q [[PP QQ s0 ME] XE]]]]]; exists k, P, s, Q.
- by apply: iso_post_equivariant; exact: equivariant_linear.
- apply: Functions.total_compose; first exact: Functions.total_linear.
  apply: Functions.total_pointwise => _ p q X.
  by have [Y [XY _]] := Functions.isotropize_function (@mean_value F) X; exists Y.
by apply: iso_post_determined; exact: determined_linear.
Qed.

(* A cut in the words of Truncation.v. *)
Lemma truncated_lowrank (F : realFieldType) k m n (X Y : 'M[F]_(m, n)) :
  (exists a b (P : 'M_(m, a)) s (Q : 'M_(n, a)) (P' : 'M_(m, b)) s' (Q' : 'M_(n, b)),
    [/\ csvd X (row_mx P P') (row_mx s s') (row_mx Q Q') /\ a = minn k (a + b),
        forall i j, s' 0 j <= s 0 i & Y = P *m diag_mx s *m Q^T]) <->
  lowrank k X Y.
Proof.
split=> [[a [b [P [s [Q [P' [s' [Q' [[svd aE] ss ->]]]]]]]]]|].
  by exists a, b, P, s, Q, P', s', Q'.
move=> [a [b [P [s [Q [P' [s' [Q' [[svd ss] aE ->]]]]]]]]].
by exists a, b, P, s, Q, P', s', Q'.
Qed.

Lemma written_gap (F : realFieldType) k m n (X : 'M[F]_(m, n)) :
  (exists a b (P : 'M_(m, a)) s (Q : 'M_(n, a)) (P' : 'M_(m, b)) s' (Q' : 'M_(n, b)),
    (csvd X (row_mx P P') (row_mx s s') (row_mx Q Q') /\ a = minn k (a + b)) /\
    forall i j, s' 0 j < s 0 i) ->
  gap k X.
Proof.
move=> [a [b [P [s [Q [P' [s' [Q' [[svd aE] ss]]]]]]]]].
exists a, b, P, s, Q, P', s', Q'; split=> //.
by split=> // i j; exact: ltW.
Qed.

Theorem iso_cts_gives_one_update : Statements.iso_cts_gives_one_update.
Proof.
move=> F T c k svd cut gap' truncated polar' iso_cts' m n D cgap kgap.
have sumE p q (M : 'I_T -> 'M[F]_(p, q)) :
    \sum_t ([ffun t => M t] : stack F [finType of 'I_T] p q) t = \sum_t M t.
  by apply: eq_bigr => t _; rewrite ffunE.
apply: (one_update_written (R := IsoCts.iso_cts c k (@mean_value F)))
    => [p q M X|||].
- split.
    move=> [C [Y [/truncated_lowrank MC [h [P [s [Q [svdC YM]]]]] joined]]].
    have [A AE] := Functions.total_linear (@with_sum F T) [ffun t => M t].
    have A0 : A ord0 = \sum_t M t.
      rewrite AE -sumE; apply: eq_bigr => t _.
      by rewrite /with_sum unlift_none scale1r.
    have At t : A (lift ord0 t) = M t.
      rewrite AE (bigD1 t) //= /with_sum liftK eqxx scale1r ffunE.
      by rewrite big1 ?addr0 // => i /negbTE ->; rewrite scale0r.
    pose with_C f : stack F [finType of 'I_T.+1] p q :=
      [ffun j => if unlift ord0 j is Some t then f t else C].
    exists A => //; exists (with_C M).
      move=> j; rewrite /common_rel ffunE; case: unliftP => [t|] ->.
        by rewrite At.
      by rewrite A0.
    exists (with_C (fun t => M t - P *m P^T *m M t)).
      exists h, P, s, Q; rewrite ffunE unlift_none; split=> [|j]; first exact: svdC.
      by rewrite !ffunE; case: (unlift _ _).
    exists (with_C Y).
      move=> j; rewrite /residual_rel !ffunE; case: (unlift _ _) => [t|] //.
      exact/truncated_lowrank/YM.
    have [r [PP [ss [QQ [WU [WV [svdY [pU pV XE]]]]]]]] := joined.
    exists r, PP, ss, QQ, WU, WV; split.
    - by move=> j; rewrite ffunE; exact: svdY.
    - exact: pU.
    - exact: pV.
    by rewrite ffunE.
  move=> [A AE [B BE [R [h [P [s [Q [svdB RE]]]]] [Z ZE joined]]]].
  have A0 : A ord0 = \sum_t M t.
    rewrite AE -sumE; apply: eq_bigr => t _.
    by rewrite /with_sum unlift_none scale1r.
  have At t : A (lift ord0 t) = M t.
    rewrite AE (bigD1 t) //= /with_sum liftK eqxx scale1r ffunE.
    by rewrite big1 ?addr0 // => i /negbTE ->; rewrite scale0r.
  have B0 : lowrank c (\sum_t M t) (B ord0).
    by have := BE ord0; rewrite /common_rel unlift_none A0.
  have Bt t : B (lift ord0 t) = M t.
    by have := BE (lift ord0 t); rewrite /common_rel liftK At.
  have Z0 : Z ord0 = B ord0.
    have := ZE ord0; rewrite /residual_rel unlift_none => ->.
    by rewrite RE unlift_none.
  have Zt t : lowrank k (M t - P *m P^T *m M t) (Z (lift ord0 t)).
    have := ZE (lift ord0 t); rewrite /residual_rel liftK.
    by rewrite RE liftK Bt.
  exists (B ord0), (fun t => Z (lift ord0 t)); split.
  - exact/truncated_lowrank.
  - by exists h, P, s, Q; split=> // t; exact/truncated_lowrank.
  have [r [PP [ss [QQ [WU [WV [svdY pU pV XE]]]]]]] := joined.
  exists r, PP, ss, QQ, WU, WV; split=> [j|]; last by rewrite ffunE in XE.
  have := svdY j; case: unliftP => [t|] -> //.
  by rewrite Z0.
- exact: iso_cts_equivariant.
- exact: Functions.iso_cts_exists.
apply: iso_cts_determined; rewrite sumE; first exact: written_gap.
move=> C r P s Q t low svdC; rewrite ffunE; apply: written_gap.
by apply: (kgap C r P s Q t) => //; exact/truncated_lowrank.
Qed.

Theorem null_vectors_decide_iso_c : Statements.null_vectors_decide_iso_c.
Proof.
move=> F m n X iso X0 Xr.
have [Y [Y' [XY XY' neq]]] := iso_full_undetermined X0 Xr.
have written Z : iso_full X Z -> iso Z.
  by move=> [P [s [Q [[PP QQ s0 XE] ZE]]]]; exists P, s, Q.
by exists Y, Y'; split=> //; exact: written.
Qed.

Theorem null_vectors_decide_tsv : Statements.null_vectors_decide_tsv.
Proof.
move=> F r r0 m k polar' tsv'.
have [X [X' [XT XT' neq]]] := tsv_full_differs F r0.
have pol a b (Y W : 'M[F]_(a, b)) : polar Y W -> polar' a b Y W.
  by move=> [h [P [s [Q [[PP QQ s0 YE] WE]]]]]; exists h, P, s, Q.
have written Z : tsv_full (m %/ 2) (@two_tasks F r) Z -> tsv' (@two_tasks F r) Z.
  move=> [P [s [Q [WU [WV [svd pU pV ZE]]]]]].
  exists P, s, Q, WU, WV; split=> [t|]; first by case: (svd t).
  by split=> //; exact: pol.
by exists (@two_tasks F r), X, X'; split=> //; exact: written.
Qed.

(* The counterexample of Ties.v, with the merge of two entries written out. *)
Theorem ties_depends_on_the_basis : Statements.ties_depends_on_the_basis.
Proof.
pose merge (x y : rat) :=
  if Num.sg x == Num.sg y then (x + y) / 2%:R
  else if Num.sg x == Num.sg (x + y) then x else y.
pose ties' (M M' : 'M[rat]_2) := \matrix_(i, j) merge (M i j) (M' i j).
pose D := mx22 5%:Q 0 0 0; pose D' := mx22 0 0 5%:Q 0.
pose U := mx22 (3%:Q / 5%:Q) (- (4%:Q / 5%:Q)) (4%:Q / 5%:Q) (3%:Q / 5%:Q).
have ties22E a b c d a' b' c' d' :
    ties' (mx22 a b c d) (mx22 a' b' c' d') =
    mx22 (merge a a') (merge b b') (merge c c') (merge d d').
  by rewrite [LHS]mx22E; congr mx22; rewrite !mxE.
have UD : U^T *m D = mx22 3%:Q 0 (- 4%:Q) 0.
  by rewrite /U /D tr22 mul22; congr mx22; apply/eqP; vm_compute.
have UD' : U^T *m D' = mx22 4%:Q 0 3%:Q 0.
  by rewrite /U /D' tr22 mul22; congr mx22; apply/eqP; vm_compute.
have entries (P : rat -> rat -> Prop) a b c d a' b' c' d' :
    P a a' -> P b b' -> P c c' -> P d d' ->
    forall i j, P (mx22 a b c d i j) (mx22 a' b' c' d' i j).
  by move=> *; rewrite !mxE; do 2!case: ifP.
pose undecided0 (x y : rat) := x + y = 0 -> x = 0 /\ y = 0.
have some (x y : rat) : x + y != 0 -> undecided0 x y by move=> /eqP xy /xy.
have none : undecided0 0 0 by [].
have rank1 (M : 'M[rat]_2) i : M = 5%:Q *: delta_mx i 0 -> \rank M = 1%N.
  by move=> ->; rewrite mxrank_scale_nz // mxrank_delta.
exists D, D', U; split.
- by split; [apply: (rank1 _ 0) | apply: (rank1 _ 1)];
    rewrite [RHS]mx22E; congr mx22; rewrite !mxE.
- exact: rotation_orthonormal.
- by apply: (entries undecided0); first [exact: none | apply: some; vm_compute].
- by rewrite UD UD'; apply: (entries undecided0);
    first [exact: none | apply: some; vm_compute].
rewrite -/(ties' _ _) -/(ties' D D') UD UD' !ties22E mul22 => /matrixP/(_ 0 0).
by rewrite !mxE /= => /eqP; vm_compute.
Qed.
