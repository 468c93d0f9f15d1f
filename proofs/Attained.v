(* The bounds of Minimality.v are attained over a real closed field.

   Gram-Schmidt: every stack has an orthonormal frame with exactly rank-many
   columns, so the smallest lossless frames exist.  This is where square roots
   are needed. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Lossless.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section GramSchmidt.
Variable F : rcfType.

Lemma normalize m (v : 'rV[F]_m) : v != 0 ->
  exists c, c != 0 /\ (c *: v) *m (c *: v)^T = 1%:M.
Proof.
move=> v0; set x := (v *m v^T) 0 0.
have xE : v *m v^T = x%:M by rewrite [LHS]mx11_scalar.
have x0 : 0 < x.
  have xn : x = norm2 v^T.
    by rewrite /norm2 /frob trmxK xE mxtrace_scalar mulr1n.
  rewrite lt_neqAle xn norm2_ge0 andbT; apply/eqP => /esym/norm2_eq0 vT.
  by move: v0; rewrite -[v]trmxK vT trmx0 eqxx.
exists (Num.sqrt x)^-1; split; first by rewrite invr_eq0 sqrtr_eq0 -ltNge.
rewrite linearZ /= -scalemxAl -scalemxAr xE scalerA -invfM -expr2.
by rewrite sqr_sqrtr ?ltW // -scalemx1 scalerA mulVf ?scale1r // gt_eqF.
Qed.

Theorem gram_schmidt m k (A : 'M[F]_(k, m)) :
  exists r (L : 'M[F]_(r, m)), L *m L^T = 1%:M /\ (L :=: A)%MS.
Proof.
elim: k A => [|k IH] A.
  by exists 0%N, A; split=> //; rewrite [A *m _]flatmx0 [RHS]flatmx0.
move: A; rewrite -[k.+1]/(1 + k)%N => A.
rewrite -[A]vsubmxK; move: (usubmx A) (dsubmx A) => {A} a A.
have [r [L [LL LA]]] := IH A.
pose v := a - a *m L^T *m L.
have vL : v *m L^T = 0 by rewrite mulmxBl -mulmxA LL mulmx1 subrr.
have Lv : L *m v^T = 0.
  by apply: trmx_inj; rewrite trmx_mul trmxK vL trmx0.
have aE : a = v + a *m L^T *m L by rewrite subrK.
have [v0|/normalize[c [c0 cv]]] := eqVneq v 0.
  exists r, L; split=> //; apply/eqmxP/andP; split.
    by rewrite -addsmxE LA addsmxSr.
  by rewrite col_mx_sub -LA submx_refl andbT aE v0 add0r submxMl.
exists (1 + r)%N, (col_mx (c *: v) L); split.
  rewrite tr_col_mx mul_col_row cv LL linearZ /= -scalemxAl vL scaler0.
  by rewrite -scalemxAr Lv scaler0 scalar_mx_block.
apply/eqmxP/andP; split; rewrite col_mx_sub; apply/andP; split.
- rewrite scalemx_sub // /v addmx_sub //.
    by rewrite -addsmxE addsmxSl.
  by rewrite eqmx_opp -addsmxE (submx_trans _ (addsmxSr _ _)) // -LA submxMl.
- by rewrite LA -addsmxE addsmxSr.
- rewrite aE addmx_sub //.
    rewrite -[X in (X <= _)%MS]scale1r -(mulVf c0) -scalerA scalemx_sub //.
    rewrite -addsmxE.
    exact: addsmxSl.
  by rewrite -addsmxE (submx_trans _ (addsmxSr _ _)) // submxMl.
- by rewrite -LA -addsmxE addsmxSr.
Qed.

(* An orthonormal basis of the column space, with rank-many columns. *)
Theorem orthonormal_basis m k (B : 'M[F]_(m, k)) :
  exists U : 'M[F]_(m, \rank B), orthonormal U /\ (B^T :=: U^T)%MS.
Proof.
have [r [L [LL LB]]] := gram_schmidt B^T.
have Er : r = \rank B.
  rewrite -mxrank_tr -LB; apply/eqP; rewrite eqn_leq rank_leq_row andbT.
  by rewrite -{1}(mxrank1 F r) -LL mxrankM_maxl.
move: L LL LB; rewrite {}Er => L LL LB.
by exists L^T; rewrite /orthonormal trmxK; split=> //; exact: eqmx_sym.
Qed.

Theorem minimal_frame_exists m T (r : 'I_T -> nat)
    (B : forall t, 'M[F]_(m, r t)) :
  exists U : 'M[F]_(m, \rank (\mxrow_t B t)),
    orthonormal U /\ forall t, U *m U^T *m B t = B t.
Proof.
have [U [UU UB]] := orthonormal_basis (\mxrow_t B t).
exists U; split=> // t; apply/(cols_in_proj _ (orthonormal_pisom UU)).
by move: t; apply/cols_in_stack; rewrite /cols_in UB.
Qed.

(* The Tucker frames: both sides as small as minimal_pair allows. *)
Theorem minimal_pair_exists m n T (D : 'I_T -> 'M[F]_(m, n)) :
  exists (U : 'M[F]_(m, \rank (\mxrow_t D t)))
         (V : 'M[F]_(n, \rank (\mxcol_t D t))),
    [/\ orthonormal U, orthonormal V & forall t, lossless U V (D t)].
Proof.
have [U [UU UD]] := minimal_frame_exists D.
have [V [VV VD]] := minimal_frame_exists (fun t => (D t)^T).
have Er : \rank (\mxrow_t (D t)^T) = \rank (\mxcol_t D t).
  by rewrite -tr_mxcol mxrank_tr.
move: V VV VD; rewrite {}Er => V VV VD; exists U, V; split=> // t.
apply/losslessP; try exact: orthonormal_pisom.
by split=> //; apply: trmx_inj; rewrite !trmx_mul !trmxK.
Qed.

End GramSchmidt.
