(* Over a real closed field every matrix has a compact SVD, with its singular
   values in descending order.

   A symmetric matrix has an eigenvector: its characteristic polynomial has a
   complex root, and the real and the imaginary part of the eigenvector there
   show that the root is real.  On the row space of X this gives a singular
   triplet of X; taking it off lowers the rank, so induction ends. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra complex.
From CoreMerge Require Import Frame Frobenius Attained Svd SingularValues.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section SvdExists.
Variable F : rcfType.

Theorem symmetric_eigenvector n (S : 'M[F]_n) : (0 < n)%N -> S^T = S ->
  exists a (w : 'rV[F]_n), w *m w^T = 1%:M /\ w *m S = a *: w.
Proof.
move=> n0 sS; pose SC := map_mx (real_complex F) S.
have [z] : exists z, root (char_poly SC) z.
  by apply/closed_rootP; rewrite size_char_poly eqSS -lt0n.
rewrite -eigenvalue_root_char => /eigenvalueP[v vS v0].
pose x := map_mx (@complex.Re F) v; pose y := map_mx (@complex.Im F) v.
pose a := complex.Re z; pose b := complex.Im z.
have xS : x *m S = a *: x - b *: y.
  apply/rowP => j; have /rowP/(_ j)/(congr1 (@complex.Re F)) := vS.
  rewrite !mxE raddf_sum => E; transitivity (complex.Re (z * v 0 j)).
    rewrite -E; apply: eq_bigr => i _; rewrite !mxE /=.
    by case: (v 0 i) => c d /=; rewrite mulr0 subr0.
  by rewrite /a /b; case: (z) (v 0 j) => c d [e f].
have yS : y *m S = b *: x + a *: y.
  apply/rowP => j; have /rowP/(_ j)/(congr1 (@complex.Im F)) := vS.
  rewrite !mxE raddf_sum => E; transitivity (complex.Im (z * v 0 j)).
    rewrite -E; apply: eq_bigr => i _; rewrite !mxE /=.
    by case: (v 0 i) => c d /=; rewrite mulr0 add0r.
  by rewrite /a /b; case: (z) (v 0 j) => c d [e f] /=; rewrite addrC.
have xy0 : 0 < norm2 x + norm2 y.
  rewrite lt_neqAle addr_ge0 ?norm2_ge0 // andbT eq_sym paddr_eq0 ?norm2_ge0 //.
  apply: contra v0 => /andP[/eqP/norm2_eq0 x0 /eqP/norm2_eq0 y0].
  apply/eqP/rowP => j; move/rowP/(_ j): x0; move/rowP/(_ j): y0.
  by rewrite !mxE; case: (v 0 j) => c d /= -> ->.
have b0 : b = 0.
  have sq (u : 'rV[F]_n) : (u *m u^T) 0 0 = norm2 u.
    by rewrite -trace_mx11 -(norm2_tr u) /norm2 /frob trmxK.
  have yx : (y *m x^T) 0 0 = (x *m y^T) 0 0.
    by rewrite -[y *m x^T]trmxK [LHS]mxE trmx_mul trmxK.
  have cross : (x *m S *m y^T) 0 0 = (y *m S *m x^T) 0 0.
    by rewrite -[y *m S *m _]trmxK [RHS]mxE !trmx_mul trmxK sS mulmxA.
  have left : (x *m S *m y^T) 0 0 = a * (x *m y^T) 0 0 - b * norm2 y.
    rewrite xS mulmxBl -!scalemxAl -sq.
    by move: (x *m y^T) (y *m y^T) => G H; rewrite !mxE.
  have right : (y *m S *m x^T) 0 0 = b * norm2 x + a * (y *m x^T) 0 0.
    rewrite yS mulmxDl -!scalemxAl -sq.
    by move: (x *m x^T) (y *m x^T) => G H; rewrite !mxE.
  move: cross; rewrite left right yx addrC => /addIr/eqP.
  rewrite eq_sym -addr_eq0 -mulrDr mulf_eq0 => /orP[/eqP //|].
  by rewrite gt_eqF.
have [u u0 uS] : exists2 u : 'rV[F]_n, u != 0 & u *m S = a *: u.
  rewrite b0 scale0r subr0 in xS; rewrite b0 scale0r add0r in yS.
  have [x0|x0] := eqVneq x 0; last by exists x.
  exists y => //; apply: contraTneq xy0 => y0.
  by rewrite x0 y0 /norm2 /frob !mulmx0 mxtrace0 addr0 ltxx.
have [c [c0 cu]] := normalize u0; exists a, (c *: u); split=> //.
by rewrite -scalemxAl uS !scalerA mulrC.
Qed.

(* One singular triplet of a matrix that is not 0. *)
Lemma singular_triplet m n (X : 'M[F]_(m, n)) : X != 0 ->
  exists (u : 'cV[F]_m) (s : F) (v : 'cV[F]_n),
  [/\ orthonormal u, orthonormal v, 0 < s, X *m v = s *: u
    & u^T *m X = s *: v^T].
Proof.
move=> X0; have [U [UU XU]] := orthonormal_basis X^T.
rewrite trmxK in XU; have XUU : X *m (U *m U^T) = X.
  have /submxP[Y XE] : (X <= U^T)%MS by rewrite XU.
  by rewrite {1}XE -mulmxA (mulmxA U^T) UU mul1mx -XE.
have r0 : (0 < \rank X^T)%N by rewrite mxrank_tr lt0n mxrank_eq0.
have sS : (U^T *m X^T *m X *m U)^T = U^T *m X^T *m X *m U.
  by rewrite !trmx_mul !trmxK !mulmxA.
have [a [w [ww wS]]] := symmetric_eigenvector r0 sS.
pose v := U *m w^T; have vv : orthonormal v.
  by rewrite /orthonormal /v trmx_mul trmxK mulmxA -(mulmxA w) UU mulmx1.
have vX : v^T *m X^T *m X = a *: v^T.
  transitivity (v^T *m X^T *m (X *m (U *m U^T))); first by rewrite XUU.
  by rewrite /v trmx_mul trmxK scalemxAl -wS !mulmxA.
have aE : (X *m v)^T *m (X *m v) = a%:M.
  by rewrite trmx_mul mulmxA vX -scalemxAl vv scalemx1.
have aN : a = norm2 (X *m v) by rewrite /norm2 /frob aE mxtrace_scalar.
have a0 : 0 < a.
  rewrite lt_neqAle eq_sym aN norm2_ge0 andbT; apply/eqP => /norm2_eq0 Xv.
  have /submxP[z vE] : (v^T <= X)%MS.
    by rewrite XU /v trmx_mul trmxK submxMl.
  have /matrixP/(_ 0 0) := vv; rewrite vE -mulmxA Xv mulmx0 !mxE => /eqP.
  by rewrite eq_sym oner_eq0.
pose s := Num.sqrt a; have s0 : 0 < s by rewrite sqrtr_gt0.
have ss : s * s = a by rewrite -expr2 sqr_sqrtr // ltW.
exists (s^-1 *: (X *m v)), s, v; split=> //.
- rewrite /orthonormal [X in X *m _]linearZ /= -scalemxAl -scalemxAr aE scalerA.
  rewrite -invfM ss.
  by rewrite scale_scalar_mx mulVf // gt_eqF.
- by rewrite scalerA divff ?scale1r // gt_eqF.
rewrite [X in X *m _]linearZ /= -scalemxAl trmx_mul vX scalerA -ss mulrA mulVf ?mul1r //.
by rewrite gt_eqF.
Qed.

Theorem csvd_exists m n (X : 'M[F]_(m, n)) :
  exists k (P : 'M_(m, k)) s (Q : 'M_(n, k)), csvd X P s Q.
Proof.
elim: {X}_.+1 {-2}X (ltnSn (\rank X)) => // r IH X; rewrite ltnS => Xr.
have [->|X0] := eqVneq X 0.
  exists 0%N, 0, 0, 0; split; last by rewrite !mul0mx.
  - by rewrite /orthonormal [LHS]flatmx0 [RHS]flatmx0.
  - by rewrite /orthonormal [LHS]flatmx0 [RHS]flatmx0.
  by case.
have [u [s [v [uu vv s0 Xv uX]]]] := singular_triplet X0.
pose Y := X - s *: u *m v^T.
have Yv : Y *m v = 0 by rewrite mulmxBl Xv -mulmxA vv mulmx1 subrr.
have uY : u^T *m Y = 0.
  by rewrite mulmxBr uX -scalemxAl -scalemxAr mulmxA uu mul1mx subrr.
have YX : (Y < X)%MS.
  rewrite ltmxE; apply/andP; split.
    by rewrite /Y -scalemxAl scalemxAr -uX mulmxA -{1}[X]mul1mx -mulmxBl submxMl.
  apply/negP => /submxP[Z XE]; have := Xv; rewrite XE -mulmxA Yv mulmx0.
  move=> /(congr1 (mulmx u^T)); rewrite mulmx0 -scalemxAr uu => /matrixP/(_ 0 0).
  by rewrite !mxE mulr1 => /esym/eqP; rewrite gt_eqF.
have [|k [P [t [Q svd]]]] := IH Y; first exact: leq_trans (rank_ltmx YX) Xr.
have [PP QQ t0 YE] := svd.
have uP : u^T *m P = 0 by rewrite (csvd_left svd) (mulmxA u^T) uY mul0mx.
have vQ : v^T *m Q = 0.
  by rewrite (csvd_left (csvd_tr svd)) (mulmxA v^T) -trmx_mul Yv trmx0 mul0mx.
have Pu : P^T *m u = 0 by apply: trmx_inj; rewrite trmx_mul trmxK uP trmx0.
have Qv : Q^T *m v = 0 by apply: trmx_inj; rewrite trmx_mul trmxK vQ trmx0.
exists (1 + k)%N, (row_mx u P), (row_mx (const_mx s) t), (row_mx v Q); split.
- by rewrite /orthonormal tr_row_mx mul_col_row uu PP uP Pu -scalar_mx_block.
- by rewrite /orthonormal tr_row_mx mul_col_row vv QQ vQ Qv -scalar_mx_block.
- move=> i; case: (split_ordP i) => j ->; first by rewrite row_mxEl mxE.
  by rewrite row_mxEr.
rewrite diag_mx_row mul_row_block !mulmx0 addr0 add0r tr_row_mx mul_row_col.
by rewrite -YE diag_const_mx mul_mx_scalar addrC subrK.
Qed.

(* In descending order. *)
Lemma csvd_perm m n k (X : 'M[F]_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k))
    (p : 'S_k) :
  csvd X P s Q -> csvd X (col_perm p P) (col_perm p s) (col_perm p Q).
Proof.
case=> PP QQ s0 XE; have ortho a (R : 'M[F]_(a, k)) :
    orthonormal R -> orthonormal (col_perm p R).
  move=> RR; apply/matrixP => i j; have /matrixP/(_ (p i) (p j)) := RR.
  rewrite !mxE (inj_eq perm_inj) => <-.
  by apply: eq_bigr => b _; rewrite !mxE.
split; [exact: ortho | exact: ortho | by move=> i; rewrite mxE |].
rewrite XE; apply/matrixP => i j; rewrite mxE [RHS]mxE (reindex_inj (@perm_inj _ p)).
by apply: eq_bigr => b _; rewrite !mul_mx_diag !mxE.
Qed.

Theorem svd_exists m n (X : 'M[F]_(m, n)) :
  exists k (P : 'M_(m, k)) s (Q : 'M_(n, k)), csvd X P s Q /\ descending s.
Proof.
have [k [P [s [Q svd]]]] := csvd_exists X.
pose t := [tuple s 0 i | i < k]; pose d := sort_tuple >=%O t.
have /tuple_permP[p dE] : perm_eq d t by rewrite perm_sort.
exists k, (col_perm p P), (col_perm p s), (col_perm p Q).
split=> [|i j ij]; first exact: csvd_perm.
have at_d b : (col_perm p s) 0 b = nth 0 d b.
  by rewrite dE -tnth_nth tnth_mktuple tnth_mktuple mxE.
rewrite !at_d; apply: (@sorted_leq_nth _ >=%O) => //.
- exact: ge_trans.
- exact: ge_refl.
- by apply: sort_sorted; exact: ge_total.
- by rewrite inE size_tuple.
- by rewrite inE size_tuple.
Qed.

End SvdExists.
