(* A full SVD does not determine Iso-C or TSV in full space.

   A full SVD has null vectors, the singular vectors of the value 0, and they
   are arbitrary.  The paper's isotropization gives them the mean singular
   value; its TSV takes floor (min (m, n) / T) triplets of each task, more than
   a LoRA has.  So there the definitions have several answers, far apart. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Attained Equivariance Svd.
From CoreMerge Require Import SvdExists Polar Tsv.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Full.
Variable F : realFieldType.

(* Singular values may be 0 here. *)
Definition full_svd m n k (X : 'M[F]_(m, n))
    (P : 'M[F]_(m, k)) (s : 'rV[F]_k) (Q : 'M[F]_(n, k)) :=
  [/\ orthonormal P, orthonormal Q, forall i, 0 <= s 0 i
    & X = P *m diag_mx s *m Q^T].

(* All min (m, n) of them at their mean, zeros included. *)
Definition iso_full m n (X Y : 'M[F]_(m, n)) :=
  exists (P : 'M_(m, minn m n)) s (Q : 'M_(n, minn m n)),
    full_svd X P s Q /\ Y = (\sum_i s 0 i) / (minn m n)%:R *: (P *m Q^T).

(* A null vector may change its sign. *)
Definition flip k (j : 'I_k) : 'rV[F]_k :=
  \row_i if i == j then - 1 else 1.

Lemma flip_null m n k (X : 'M[F]_(m, n)) (P : 'M_(m, k)) s (Q : 'M_(n, k)) j :
  full_svd X P s Q -> s 0 j = 0 ->
  full_svd X (P *m diag_mx (flip j)) s Q.
Proof.
case=> PP QQ s0 XE sj; split=> //.
  rewrite /orthonormal trmx_mul tr_diag_mx mulmxA -(mulmxA _ P^T) PP mulmx1.
  rewrite mulmx_diag -diag_const_mx; congr diag_mx; apply/rowP => i.
  by rewrite !mxE; case: eqP; rewrite ?mulrNN mulr1.
rewrite XE; congr (_ *m _); rewrite -mulmxA mulmx_diag; congr (_ *m diag_mx _).
by apply/rowP => i; rewrite !mxE; case: eqP => [->|]; rewrite ?sj ?mulr0 ?mul1r.
Qed.

(* Two answers, at a distance of twice the common singular value. *)
Theorem iso_full_null m n (X : 'M[F]_(m, n)) (P : 'M_(m, minn m n)) s
    (Q : 'M_(n, minn m n)) j :
  full_svd X P s Q -> s 0 j = 0 ->
  let sigma := (\sum_i s 0 i) / (minn m n)%:R in
  exists Y Y', [/\ iso_full X Y, iso_full X Y' &
                   norm2 (Y - Y') = (2%:R * sigma) ^+ 2].
Proof.
move=> svd sj sigma; have svd' := flip_null svd sj.
exists (sigma *: (P *m Q^T)), (sigma *: (P *m diag_mx (flip j) *m Q^T)); split.
- by exists P, s, Q.
- by exists (P *m diag_mx (flip j)), s, Q.
have [PP QQ _ _] := svd.
pose D := diag_mx (\row_i (if i == j then 2%:R * sigma else 0)).
have -> : sigma *: (P *m Q^T) - sigma *: (P *m diag_mx (flip j) *m Q^T) =
          P *m D *m Q^T.
  rewrite -scalerBr -mulmxBl -{1}[P]mulmx1 -mulmxBr scalemxAl scalemxAr.
  congr (_ *m _ *m _); apply/matrixP => a b; rewrite !mxE.
  case: (a == b); rewrite ?mulr0n ?subr0 ?mulr0 // !mulr1n.
  by case: eqP; rewrite ?opprK ?subrr ?mulr0 // -[1 + 1]/(2%:R) mulrC.
rewrite /norm2 /frob !trmx_mul trmxK tr_diag_mx !mulmxA -(mulmxA _ P^T) PP.
rewrite mulmx1 -!mulmxA mxtrace_mulC -!mulmxA QQ mulmx1 mulmx_diag mxtrace_diag.
rewrite (bigD1 j) //= big1 => [|i /negbTE ij]; rewrite !mxE ?ij ?mulr0 //.
by rewrite eqxx addr0 expr2.
Qed.

End Full.

(* It happens wherever X is not 0 and has less than full rank. *)
Section FullExists.
Variable F : rcfType.

(* Columns that complete an orthonormal frame. *)
Lemma complete m k d (P : 'M[F]_(m, k)) : orthonormal P -> (k + d <= m)%N ->
  exists N : 'M[F]_(m, d), orthonormal (row_mx P N).
Proof.
move=> PP kd; have [r [L [LL LK]]] := gram_schmidt (kermx P).
have LP : L *m P = 0 by apply/sub_kermxP; rewrite LK.
have Pk : \rank P = k.
  by apply/eqP; rewrite eqn_leq rank_leq_col -{1}(mxrank1 F k) -PP mxrankM_maxr.
have dr : (d <= r)%N.
  have : \rank L = r.
    apply/eqP; rewrite eqn_leq rank_leq_row -{1}(mxrank1 F r) -LL.
    exact: mxrankM_maxl.
  by rewrite LK mxrank_ker Pk => <-; rewrite leq_subRL // (leq_trans _ kd) ?leq_addr.
move: L LL LP {LK}; rewrite -(subnKC dr) => L LL LP.
exists (usubmx L)^T; rewrite /orthonormal tr_row_mx mul_col_row PP trmxK.
have /eq_block_mx[LL1 _ _ _] : block_mx (usubmx L *m (usubmx L)^T)
    (usubmx L *m (dsubmx L)^T) (dsubmx L *m (usubmx L)^T)
    (dsubmx L *m (dsubmx L)^T) = block_mx 1%:M 0 0 1%:M.
  by rewrite -mul_col_row -tr_col_mx vsubmxK LL scalar_mx_block.
have UP : usubmx L *m P = 0.
  by rewrite -[LHS](col_mxKu _ (dsubmx L *m P)) -mul_col_mx vsubmxK LP linear0.
have PU : P^T *m (usubmx L)^T = 0 by rewrite -trmx_mul UP trmx0.
by rewrite LL1 UP PU -scalar_mx_block.
Qed.

Theorem full_svd_exists m n (X : 'M[F]_(m, n)) :
  exists (P : 'M_(m, minn m n)) s (Q : 'M_(n, minn m n)), [/\ full_svd X P s Q,
    X != 0 -> 0 < \sum_i s 0 i
    & (\rank X < minn m n)%N -> exists j, s 0 j = 0].
Proof.
have [k [P [s [Q svd]]]] := csvd_exists X; have [PP QQ s0 XE] := svd.
have Xk := csvd_rank svd.
have [d dE] : exists d, minn m n = (k + d)%N.
  by exists (minn m n - k)%N; rewrite subnKC // leq_min -Xk rank_leq_row rank_leq_col.
have km : (k + d <= m)%N by rewrite -dE geq_minl.
have kn : (k + d <= n)%N by rewrite -dE geq_minr.
have [N PN] := complete PP km; have [O QO] := complete QQ kn.
rewrite dE; exists (row_mx P N), (row_mx s 0), (row_mx Q O); split.
- split=> // [i|].
    by case: (split_ordP i) => j ->; rewrite ?row_mxEl ?row_mxEr ?mxE // ltW.
  rewrite diag_mx_row linear0 mul_row_block !mulmx0 addr0 add0r tr_row_mx.
  by rewrite mul_row_col mul0mx addr0.
- move=> X0; rewrite big_split_ord /= [X in _ + X]big1 => [|i _].
    rewrite addr0; under eq_bigr do rewrite row_mxEl.
    have k0 : (0 < k)%N by rewrite -Xk lt0n mxrank_eq0.
    rewrite (bigD1 (Ordinal k0)) //= ltr_paddr //.
    by apply: sumr_ge0 => i _; exact: ltW.
  by rewrite row_mxEr mxE.
rewrite Xk -{1}[k]addn0 ltn_add2l => d0; exists (rshift k (Ordinal d0)).
by rewrite row_mxEr mxE.
Qed.

Corollary iso_full_undetermined m n (X : 'M[F]_(m, n)) :
  X != 0 -> (\rank X < minn m n)%N ->
  exists Y Y', [/\ iso_full X Y, iso_full X Y' & Y <> Y'].
Proof.
move=> X0 Xr; have [P [s [Q [svd sum0 null]]]] := full_svd_exists X.
have [j sj] := null Xr; have [Y [Y' [XY XY' dist]]] := iso_full_null svd sj.
exists Y, Y'; split=> // YY'; move: dist; rewrite YY' subrr.
rewrite /norm2 /frob mulmx0 mxtrace0 => /esym/eqP; rewrite sqrf_eq0.
have min0 : (0 < minn m n)%N by exact: leq_ltn_trans Xr.
rewrite mulf_eq0 pnatr_eq0 /= mulf_eq0 gt_eqF ?sum0 //= invr_eq0 pnatr_eq0.
by rewrite eqn0Ngt min0.
Qed.

End FullExists.

(* TSV.  Two tasks of rank r in 4r x 4r matrices, with column spaces and row
   spaces that have nothing in common; the paper takes floor (4r / 2) = 2r
   triplets of each.  Null vectors from outside both tasks give M_1 + M_2, the
   other task's own vectors, null vectors too, give half of that. *)
Section TsvFull.
Variable F : rcfType.

Definition tsv_full T (k : nat) m n (M : 'I_T -> 'M[F]_(m, n))
    (X : 'M[F]_(m, n)) :=
  exists (P : 'I_T -> 'M_(m, k)) (s : 'I_T -> 'rV_k) (Q : 'I_T -> 'M_(n, k))
    (WU : 'M_(m, \sum_(t < T) k)) (WV : 'M_(n, \sum_(t < T) k)),
  [/\ forall t, full_svd (M t) (P t) (s t) (Q t),
      polar (\mxrow_t P t) WU, polar (\mxrow_t Q t) WV
    & X = WU *m (\mxdiag_t diag_mx (s t)) *m WV^T].

(* The polar factor of a matrix whose singular values are all c. *)
Lemma polar_scaled m n a (X : 'M[F]_(m, n)) (A : 'M_(m, a)) c :
  0 < c -> orthonormal A -> X *m X^T = c ^+ 2 *: (A *m A^T) ->
  polar X (c^-1 *: X).
Proof.
move=> c0 AA XX; have c1 : c != 0 by rewrite gt_eqF.
have AX : X = A *m (A^T *m X).
  have EA : (1%:M - A *m A^T) *m A = 0.
    by rewrite mulmxBl mul1mx (orthonormal_pisom AA) subrr.
  have : norm2 ((1%:M - A *m A^T) *m X)^T = 0.
    rewrite /norm2 /frob trmxK trmx_mul mulmxA -(mulmxA _ X) XX -scalemxAr.
    by rewrite (mulmxA _ A) EA mul0mx scaler0 mul0mx mxtrace0.
  rewrite norm2_tr => /norm2_eq0/eqP.
  by rewrite mulmxBl mul1mx subr_eq0 mulmxA => /eqP.
exists a, A, (const_mx c), (c^-1 *: (X^T *m A)); split; last first.
  by rewrite linearZ /= trmx_mul trmxK -scalemxAr -AX.
split=> //.
- rewrite /orthonormal [X in X *m _]linearZ /= -scalemxAl -scalemxAr scalerA.
  rewrite trmx_mul trmxK -mulmxA (mulmxA X) XX -scalemxAl -scalemxAr scalerA.
  rewrite mulmxA (mulmxA A^T) AA mul1mx AA -invfM -expr2 mulVf ?scale1r //.
  by rewrite expf_neq0.
- by move=> i; rewrite mxE.
rewrite diag_const_mx mul_mx_scalar [(_ *: _)^T]linearZ /= -scalemxAr.
by rewrite -scalemxAl scalerA mulVf // scale1r trmx_mul trmxK.
Qed.

(* TSV where U^ and V^ have equal singular values. *)
Lemma tsv_full_scaled T k m n a b (M : 'I_T -> 'M[F]_(m, n))
    (P : 'I_T -> 'M_(m, k)) (s : 'I_T -> 'rV_k) (Q : 'I_T -> 'M_(n, k))
    (A : 'M_(m, a)) (B : 'M_(n, b)) c d :
  (forall t, full_svd (M t) (P t) (s t) (Q t)) ->
  0 < c -> orthonormal A -> \sum_t P t *m (P t)^T = c ^+ 2 *: (A *m A^T) ->
  0 < d -> orthonormal B -> \sum_t Q t *m (Q t)^T = d ^+ 2 *: (B *m B^T) ->
  tsv_full k M ((c * d)^-1 *: \sum_t M t).
Proof.
move=> svd c0 AA PA d0 BB QB.
exists P, s, Q, (c^-1 *: \mxrow_t P t), (d^-1 *: \mxrow_t Q t); split=> //.
- by apply: (polar_scaled c0 AA); rewrite mxrow_gram.
- by apply: (polar_scaled d0 BB); rewrite mxrow_gram.
rewrite [(_ *: _)^T]linearZ /= -scalemxAr -!scalemxAl scalerA -invfM mulrC.
congr (_ *: _).
rewrite mul_mxrow_mxdiag tr_mxrow mul_mxrow_mxcol.
by apply: eq_bigr => t _; case: (svd t).
Qed.

Section TwoTasks.
Variable r : nat.
Local Notation m := (r + r + (r + r))%N.

(* Blocks of the identity: orthonormal columns of their own. *)
Let E : 'M[F]_(m, r + r) := lsubmx 1%:M.
Let N : 'M[F]_(m, r + r) := rsubmx 1%:M.
Let E1 := lsubmx E.
Let E2 := rsubmx E.
Let N1 := lsubmx N.
Let N2 := rsubmx N.

Let blocks h k l (A : 'M[F]_(h, k)) (B : 'M_(h, l)) :
  orthonormal (row_mx A B) ->
  [/\ orthonormal A, orthonormal B, A^T *m B = 0 & B^T *m A = 0].
Proof.
rewrite /orthonormal tr_row_mx mul_col_row scalar_mx_block.
by case/eq_block_mx.
Qed.

Let join_blocks h k l (A : 'M[F]_(h, k)) (B : 'M_(h, l)) :
  orthonormal A -> orthonormal B -> A^T *m B = 0 -> orthonormal (row_mx A B).
Proof.
move=> AA BB AB; have BA : B^T *m A = 0.
  by apply: trmx_inj; rewrite trmx_mul trmxK AB trmx0.
by rewrite /orthonormal tr_row_mx mul_col_row AA BB AB BA -scalar_mx_block.
Qed.

Let EN : orthonormal (row_mx E N).
Proof. by rewrite hsubmxK; exact: orthonormal1. Qed.

(* Task 1 lives in E1, task 2 in E2, all singular values 1. *)
Definition two_tasks (t : 'I_2) : 'M[F]_m :=
  if t == 0 then E1 *m E1^T else E2 *m E2^T.

Let ones : 'rV[F]_(r + r) := row_mx (const_mx 1) 0.

Let padded (A B : 'M[F]_(m, r)) : orthonormal (row_mx A B) ->
  full_svd (A *m A^T) (row_mx A B) ones (row_mx A B).
Proof.
move=> AB; split=> // [i|].
  case: (split_ordP i) => j ->; rewrite ?row_mxEl ?row_mxEr !mxE ?ler01 //.
rewrite /ones diag_mx_row linear0 diag_const_mx mul_row_block !mulmx0 mulmx1.
by rewrite !addr0 tr_row_mx mul_row_col mul0mx addr0.
Qed.

Theorem tsv_full_undetermined :
  tsv_full (m %/ 2) two_tasks (\sum_t two_tasks t) /\
  tsv_full (m %/ 2) two_tasks (2%:R^-1 *: \sum_t two_tasks t).
Proof.
have -> : (m %/ 2 = r + r)%N by rewrite (addnn (r + r)) -muln2 mulnK.
have [EE NN ENo NEo] := blocks EN.
have E12 : orthonormal (row_mx E1 E2) by rewrite hsubmxK.
have N12 : orthonormal (row_mx N1 N2) by rewrite hsubmxK.
have [EE1 EE2 E1E2 E2E1] := blocks E12; have [NN1 NN2 N1N2 N2N1] := blocks N12.
have gram (A B : 'M[F]_(m, r)) :
    row_mx A B *m (row_mx A B)^T = A *m A^T + B *m B^T.
  by rewrite tr_row_mx mul_row_col.
have sumE : E *m E^T = E1 *m E1^T + E2 *m E2^T by rewrite -gram hsubmxK.
have sumN : N *m N^T = N1 *m N1^T + N2 *m N2^T by rewrite -gram hsubmxK.
have ENT : E *m E^T + N *m N^T = 1%:M.
  by rewrite -mul_row_col -tr_row_mx hsubmxK trmx1 mulmx1.
have EN1 : E1^T *m N1 = 0.
  by rewrite mulmx_lsub trmx_lsub mul_usub_mx ENo !linear0.
have EN2 : E2^T *m N2 = 0.
  by rewrite mulmx_rsub trmx_rsub mul_dsub_mx ENo !linear0.
pose P (A B : 'M[F]_(m, r)) (t : 'I_2) :=
  if t == 0 then row_mx E1 A else row_mx E2 B.
have svd A B : orthonormal (row_mx E1 A) -> orthonormal (row_mx E2 B) ->
    forall t, full_svd (two_tasks t) (P A B t) ones (P A B t).
  by move=> EA EB t; rewrite /two_tasks /P; case: ifP => _; exact: padded.
have sum2 A B : \sum_t P A B t *m (P A B t)^T =
    E *m E^T + (A *m A^T + B *m B^T).
  by rewrite !big_ord_recl big_ord0 addr0 /P /= !gram sumE addrACA.
split.
  have EN12 := svd _ _ (join_blocks EE1 NN1 EN1) (join_blocks EE2 NN2 EN2).
  have sum1 : \sum_t P N1 N2 t *m (P N1 N2 t)^T =
      1 ^+ 2 *: (1%:M *m (1%:M : 'M_m)^T).
    by rewrite sum2 -sumN ENT expr1n scale1r trmx1 mulmx1.
  have I := orthonormal1 F m.
  have := tsv_full_scaled EN12 ltr01 I sum1 ltr01 I sum1.
  by rewrite mulr1 invr1 scale1r.
have E21 := svd _ _ E12 (join_blocks EE2 EE1 E2E1).
have two0 : 0 <= 2%:R :> F by exact: ler0n.
have root0 : 0 < Num.sqrt (2%:R : F) by rewrite sqrtr_gt0 ltr0n.
have sumEE : \sum_t P E2 E1 t *m (P E2 E1 t)^T =
    Num.sqrt 2%:R ^+ 2 *: (E *m E^T).
  by rewrite sum2 [E2 *m _ + _]addrC -sumE sqr_sqrtr // scaler_nat mulr2n.
have := tsv_full_scaled E21 root0 EE sumEE root0 EE sumEE.
by rewrite -expr2 sqr_sqrtr.
Qed.

Corollary tsv_full_differs : (0 < r)%N -> exists X X',
  [/\ tsv_full (m %/ 2) two_tasks X, tsv_full (m %/ 2) two_tasks X' & X <> X'].
Proof.
move=> r0; have [X1 X2] := tsv_full_undetermined.
set X := \sum_t _ in X1 X2; exists X, (2%:R^-1 *: X); split=> //.
have [EE _ _ _] := blocks EN.
have XE : X = E *m E^T.
  rewrite /X !big_ord_recl big_ord0 addr0 /two_tasks /=.
  by rewrite -[in RHS](hsubmxK E) tr_row_mx mul_row_col.
move=> half; have : (1 - 2%:R^-1) *: X = 0 by rewrite scalerBl scale1r -half subrr.
move/eqP; rewrite scalemx_eq0 subr_eq0 eq_sym invr_eq1 (eqr_nat F 2 1) /=.
move/eqP => X0; have := orthonormal_pisom EE.
rewrite /pisom -XE X0 mul0mx => E0; have := EE; rewrite /orthonormal -E0 mulmx0.
have rr0 : (0 < r + r)%N by rewrite addn_gt0 r0.
move/matrixP/(_ (Ordinal rr0) (Ordinal rr0)); rewrite !mxE eqxx => /eqP.
by rewrite eq_sym oner_eq0.
Qed.

End TwoTasks.
End TsvFull.
