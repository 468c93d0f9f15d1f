(* No hypothesis is empty: explicit 2 x 2 matrices that satisfy the gaps asked
   for by truncation, TSV, CART and Iso-CTS, and what comes out. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Equivariance Svd Polar Truncation Tsv Cart.
From CoreMerge Require Import IsoCts Functions.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Instances.
Variable F : rcfType.

Definition diag (a b : F) : 'M[F]_2 :=
  diag_mx (\row_i if i == 0 then a else b).

(* In terms of e_i e_i^T, whose SVD is at hand. *)
Let e (i : 'I_2) : 'cV[F]_2 := delta_mx i 0.
Let only (i : 'I_2) (c : F) : 'M[F]_2 := c *: (e i *m (e i)^T).

Let diagE a b : diag a b = only 0 a + only 1 b.
Proof.
rewrite /only /e !trmx_delta !mul_delta_mx; apply/matrixP => i j.
by rewrite !mxE; case: i j => [[|[|//]] ?] [[|[|//]] ?];
   rewrite /= ?mulr1 ?mulr0 ?addr0 ?add0r.
Qed.

Let only0 i : only i 0 = 0. Proof. exact: scale0r. Qed.

Let ee i : orthonormal (e i).
Proof.
by rewrite /orthonormal /e trmx_delta mul_delta_mx; apply/matrixP => a b;
   rewrite !ord1 !mxE.
Qed.

Let only_svd i c : 0 < c -> csvd (only i c) (e i) (const_mx c) (e i).
Proof.
by move=> c0; split=> // [u|]; rewrite ?mxE // diag_const_mx mul_mx_scalar -scalemxAl.
Qed.

Let only_split (i j : 'I_2) a b : i != j -> 0 < b -> b <= a ->
  split_svd (only i a + only j b) (e i) (const_mx a) (e i)
    (e j) (const_mx b) (e j).
Proof.
move=> ij b0 ba; have eij : (e i)^T *m e j = 0.
  by rewrite /e trmx_delta mul_delta_mx_0.
have eji : (e j)^T *m e i = 0.
  by rewrite /e trmx_delta mul_delta_mx_0 // eq_sym.
have OE : orthonormal (row_mx (e i) (e j)).
  by rewrite /orthonormal tr_row_mx mul_col_row ee ee eij eji -scalar_mx_block.
split=> [|u v]; last by rewrite !mxE.
split=> // [u|].
  by case: (split_ordP u) => v ->; rewrite ?row_mxEl ?row_mxEr mxE ?(lt_le_trans b0).
by rewrite mul_split !diag_const_mx !mul_mx_scalar /only -!scalemxAl.
Qed.

Let only_lowrank (i j : 'I_2) a b : i != j -> 0 < b -> b <= a ->
  lowrank 1 (only i a + only j b) (only i a).
Proof.
move=> ij b0 ba; exists 1%N, 1%N, (e i), (const_mx a), (e i), (e j), (const_mx b), (e j).
split=> //; first exact: only_split.
by rewrite diag_const_mx mul_mx_scalar -scalemxAl.
Qed.

Let only_gap (i j : 'I_2) a b : i != j -> 0 < b -> b < a ->
  gap 1 (only i a + only j b).
Proof.
move=> ij b0 ba; exists 1%N, 1%N, (e i), (const_mx a), (e i), (e j), (const_mx b), (e j).
by split=> // [|u v]; [apply: only_split => //; exact: ltW | rewrite !mxE].
Qed.

Let lt12 : (1 : F) < 2%:R. Proof. by rewrite ltr1n. Qed.
Let lt13 : (1 : F) < 3%:R. Proof. by rewrite ltr1n. Qed.

Example lowrank_instance :
  gap 1 (diag 2%:R 1) /\ lowrank 1 (diag 2%:R 1) (diag 2%:R 0).
Proof.
rewrite !diagE only0 addr0; split; first by apply: only_gap => //; exact: ltr01.
by apply: only_lowrank => //; [exact: ltr01 | exact: ltW].
Qed.

Example polar_instance : polar (diag 2%:R 1) 1%:M.
Proof.
exists 2%N, 1%:M, (\row_i if i == 0 then 2%:R else 1), 1%:M.
rewrite trmx1 mulmx1; split=> //.
split; rewrite ?trmx1 ?mul1mx ?mulmx1 //; try exact: orthonormal1.
by move=> i; rewrite mxE; case: ifP; rewrite ?ltr0n ?ltr01.
Qed.

Definition two (X Y : 'M[F]_2) : stack F [finType of 'I_2] 2 2 :=
  [ffun t => if t == 0 then X else Y].

Let sum2 p q (f : 'I_2 -> 'M[F]_(p, q)) : \sum_t f t = f 0 + f 1.
Proof.
rewrite !big_ord_recl big_ord0 addr0; congr (_ + f _); exact: val_inj.
Qed.

(* TSV: diag (2, 1) and diag (1, 3) at k = 1 merge into diag (2, 3). *)
Example tsv_instance : let M := two (diag 2%:R 1) (diag 1 3%:R) in
  (forall t, gap 1 (M t)) /\ tsv 1 M [ffun=> diag 2%:R 3%:R].
Proof.
split=> [t|].
  rewrite ffunE; case: ifP => _; rewrite diagE; last rewrite addrC;
    by apply: only_gap => //; exact: ltr01.
pose c (t : 'I_2) : F := if t == 0 then 2%:R else 3%:R.
have c0 t : 0 < c t by rewrite /c; case: ifP; rewrite ltr0n.
exists [ffun t => only t (c t)] => [t|].
  rewrite !ffunE /c; case: t => [[|[|//]] ?]; rewrite /= diagE.
    by apply: only_lowrank => //; [exact: ltr01 | exact: ltW].
  rewrite addrC; set i := Ordinal _; have -> : i = 1 by exact: val_inj.
  by apply: only_lowrank => //; [exact: ltr01 | exact: ltW].
have polE : polar (\mxrow_t e t) (\mxrow_t e t).
  have XX : \mxrow_t e t *m (\mxrow_t e t)^T = 1%:M.
    rewrite mxrow_gram sum2 -[e 0 *m _]scale1r -[e 1 *m _]scale1r.
    rewrite -/(only 0 1) -/(only 1 1) -diagE; apply/matrixP => i j; rewrite !mxE.
    by case: ifP.
  exists 2%N, 1%:M, (const_mx 1), (\mxrow_t e t)^T; rewrite trmxK mul1mx; split=> //.
  split; rewrite ?/orthonormal ?trmxK ?trmx1 ?mul1mx ?diag_const_mx ?mul1mx //.
  by move=> i; rewrite mxE ltr01.
exists (fun=> 1%N), e, (fun t => const_mx (c t)), e, (\mxrow_t e t), (\mxrow_t e t).
split=> //; first by move=> t; rewrite ffunE; exact: only_svd.
rewrite ffunE mul_mxrow_mxdiag tr_mxrow mul_mxrow_mxcol sum2 diagE.
by rewrite !diag_const_mx !mul_mx_scalar -!scalemxAl.
Qed.

(* CART: diag (4, 2) and 0 have the residuals diag (2, 1) and -diag (2, 1). *)
Example cart_instance : let M := two (diag 4%:R 2%:R) 0 in
  let half := fun=> 2%:R^-1 : F in
  (forall t, gap 1 (centred half M t)) /\
  exists! X, cart half 1 1 M X.
Proof.
move=> M half; have gap21 : gap 1 (diag 2%:R 1).
  by rewrite diagE; apply: only_gap => //; exact: ltr01.
have mean : \sum_i half i *: M i = diag 2%:R 1.
  rewrite sum2 !ffunE /= scaler0 addr0 /diag -linearZ /=; congr diag_mx.
  apply/rowP => i; rewrite !mxE /half; case: ifP => _; last first.
    by rewrite mulVf // pnatr_eq0.
  by rewrite -[4%N]/(2 * 2)%N natrM mulrA mulVf ?mul1r // pnatr_eq0.
have Mgap t : gap 1 (centred half M t).
  rewrite /centred mean ffunE; case: ifP => _.
    suff -> : diag 4%:R 2%:R - diag 2%:R 1 = diag 2%:R 1 by [].
    rewrite /diag -raddfB /=; congr diag_mx; apply/rowP => i; rewrite !mxE.
    by case: ifP => _; [rewrite -natrB | rewrite mulr2n addrK].
  have -> : 0 - diag 2%:R 1 = - 1%:M *m diag 2%:R 1 *m 1%:M.
    by rewrite mulmx1 mulNmx mul1mx sub0r.
  apply: gap_move => //; last by rewrite trmx1 !mulmx1.
  by rewrite [(- _)^T]linearN /= trmx1 mulNmx mulmxN opprK !mul1mx.
by split=> //; exact: cart_function.
Qed.

(* Iso-CTS: diag (2, 1) and diag (2, -1/2), one direction each. *)
Example iso_cts_instance : let M := two (diag 2%:R 1) (diag 2%:R (- 2%:R^-1)) in
  gap 1 (\sum_t M t) /\ exists! X, iso_cts 1 1 (@mean_value F) M X.
Proof.
move=> M; have sumE : \sum_t M t = diag 4%:R 2%:R^-1.
  rewrite sum2 !ffunE /= /diag -raddfD /=; congr diag_mx; apply/rowP => i.
  rewrite !mxE; case: ifP => _; first by rewrite -natrD.
  by rewrite -{1}[1](@divff _ (2%:R : F)) ?pnatr_eq0 // mulr2n mulrDl !mul1r addrK.
have sum_gap : gap 1 (\sum_t M t).
  rewrite sumE diagE; apply: only_gap => //; first by rewrite invr_gt0 ltr0n.
  by apply: (@lt_trans _ _ 1); rewrite ?invf_lt1 ?ltr0n ?ltr1n.
split=> //; apply: iso_cts_function => // C r P s Q t low svd.
apply: gap_rank; have [PP _ _ _] := svd.
have r1 : r = 1%N.
  rewrite -(csvd_rank svd) (lowrank_rank low) sumE; apply/minn_idPl.
  rewrite lt0n mxrank_eq0; apply/eqP => /matrixP/(_ 0 0); rewrite !mxE /= => /eqP.
  by rewrite pnatr_eq0.
have PK : (1%:M - P *m P^T) *m P = 0.
  by rewrite mulmxBl mul1mx (orthonormal_pisom PP) subrr.
have -> : M t - P *m P^T *m M t = (1%:M - P *m P^T) *m M t.
  by rewrite mulmxBl mul1mx.
apply: leq_trans (mxrankM_maxl _ _) _.
have /mxrankS : (1%:M - P *m P^T <= kermx P)%MS by apply/sub_kermxP.
have Pr : \rank P = r.
  by apply/eqP; rewrite eqn_leq rank_leq_col -{1}(mxrank1 F r) -PP mxrankM_maxr.
by rewrite mxrank_ker Pr => le; apply: leq_trans le _; rewrite r1.
Qed.

End Instances.
