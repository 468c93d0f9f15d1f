(* Truncation is optimal (Eckart-Young): no matrix of rank at most k is closer
   to X in Frobenius norm than the k leading triplets of an SVD of X.

   |X - Z|^2 >= |X|^2 - tr (R^T X^T X R) for R an orthonormal frame of the row
   space of Z, with equality for Z = X R R^T, and Ky Fan's inequality for
   X^T X says which R is best. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Lossless Attained Equivariance.
From CoreMerge Require Import Isometry Svd Truncation.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Projections.
Variables (F : realFieldType) (m n h : nat) (R : 'M[F]_(n, h)).
Hypothesis RR : orthonormal R.

(* What a projection takes away, and what it leaves. *)
Lemma norm2_proj (X : 'M[F]_(m, n)) :
  norm2 X = norm2 (X *m (R *m R^T)) + norm2 (X - X *m (R *m R^T)).
Proof.
have sA : (R *m R^T)^T = R *m R^T by rewrite trmx_mul trmxK.
have AA := pisom_proj (orthonormal_pisom RR).
rewrite -norm2_tr -[in RHS]norm2_tr -[X in _ + X]norm2_tr.
rewrite -norm2_orthogonal; first by congr norm2; rewrite -raddfD /= addrC subrK.
rewrite trmxK -mulmxA raddfB /= trmx_mul sA mulmxBr [R *m R^T *m (_ *m _)]mulmxA.
by rewrite AA subrr mulmx0.
Qed.

Lemma norm2_kept (X : 'M[F]_(m, n)) :
  norm2 (X *m (R *m R^T)) = \tr (R^T *m (X^T *m X) *m R).
Proof.
rewrite /norm2 /frob trmx_mul [(R *m R^T)^T]trmx_mul trmxK -!mulmxA.
by rewrite mxtrace_mulC -!mulmxA RR mulmx1.
Qed.

End Projections.

Section EckartYoung.
Variables (F : rcfType) (rk m n : nat).

Lemma square_svd k l (X : 'M[F]_(m, n)) (P1 : 'M_(m, k)) s1 (Q1 : 'M_(n, k))
    (P2 : 'M_(m, l)) s2 (Q2 : 'M_(n, l)) :
  csvd X (row_mx P1 P2) (row_mx s1 s2) (row_mx Q1 Q2) ->
  csvd (X^T *m X) (row_mx Q1 Q2)
    (row_mx (map_mx (fun x => x ^+ 2) s1) (map_mx (fun x => x ^+ 2) s2))
    (row_mx Q1 Q2).
Proof.
move=> svd; rewrite (csvd_gram svd) -map_row_mx; case: svd => _ QQ s0 _.
split=> // [i|]; first by rewrite mxE exprn_gt0.
rewrite /psd !mulmxA -(mulmxA _ (row_mx Q1 Q2)^T) QQ mulmx1 -(mulmxA (row_mx Q1 Q2)).
by rewrite mulmx_diag; congr (_ *m diag_mx _ *m _); apply/rowP => i; rewrite !mxE.
Qed.

Theorem truncation_optimal (X Y Z : 'M[F]_(m, n)) :
  lowrank rk X Y -> (\rank Z <= rk)%N -> norm2 (X - Y) <= norm2 (X - Z).
Proof.
move=> [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [[svd s21] kE YE]]]]]]]]] Zrk.
have [QQ1 _ _ _] := split_right svd; have svd2 := square_svd svd.
have [l0|l0] := posnP l.
  suff -> : X - Y = 0 by rewrite /norm2 /frob mulmx0 mxtrace0 norm2_ge0.
  move: P2 s2 Q2 svd {s21 svd2}; rewrite l0 => P2 s2 Q2 svd.
  apply/eqP; rewrite subr_eq0 YE (split_sum svd) [Q2]thinmx0 trmx0 mulmx0.
  by rewrite addr0.
have kr : k = rk.
  move: kE; rewrite /minn; case: ltnP => // _ /eqP.
  by rewrite -{1}[k]addn0 eqn_add2l eq_sym => /eqP E; rewrite E in l0.
have [R [RR ZR]] := orthonormal_basis Z^T; rewrite trmxK in ZR.
have ZA : Z *m (R *m R^T) = Z.
  have /submxP[W ZE] : (Z <= R^T)%MS by rewrite ZR.
  by rewrite {1}ZE -mulmxA (mulmxA R^T) RR mul1mx -ZE.
have hk : (\rank Z^T <= k)%N by rewrite mxrank_tr kr.
have tail : norm2 (X - X *m (R *m R^T)) <= norm2 (X - Z).
  rewrite [X in _ <= X](norm2_proj RR) mulmxBl ZA.
  have -> : X - Z - (X *m (R *m R^T) - Z) = X - X *m (R *m R^T).
    by rewrite opprB addrA subrK.
  by rewrite ler_addr norm2_ge0.
apply: le_trans tail; rewrite YE (split_trunc svd).
suff : norm2 (X *m (R *m R^T)) <= norm2 (X *m (Q1 *m Q1^T)).
  by have := norm2_proj RR X; rewrite (norm2_proj QQ1 X) => E le; 
     rewrite -(ler_add2l (norm2 (X *m (R *m R^T)))) -E ler_add2r.
rewrite (norm2_kept RR) (norm2_kept QQ1).
have s10 i : 0 <= (map_mx (fun x => x ^+ 2) s1) 0 i by rewrite mxE sqr_ge0.
have s21' i j : (map_mx (fun x => x ^+ 2) s2) 0 j <=
    (map_mx (fun x => x ^+ 2) s1) 0 i.
  rewrite !mxE ler_sqr ?s21 // qualifE ltW //.
    exact: (split_pos2 svd).
  exact: (split_pos1 svd).
have [c [c0 s2c cs1]] := split_level (ord := <=%O) s10 s21'.
have := kyfan svd2 hk RR c0 s2c erefl; rewrite -(split_trace svd2).
have HE : psd (row_mx Q1 Q2) (row_mx (map_mx (fun x => x ^+ 2) s1)
    (map_mx (fun x => x ^+ 2) s2)) = X^T *m X by case: svd2.
rewrite HE => le; rewrite -subr_ge0; apply: le_trans le.
by apply: sumr_ge0 => i _; rewrite mulr_ge0 ?subr_ge0 ?gram_ge0.
Qed.

(* In factors: truncating the small matrix truncates the update. *)
Corollary truncation_optimal_decoded p q (U : 'M[F]_(m, p)) (V : 'M[F]_(n, q))
    (M Y : 'M[F]_(p, q)) (Z : 'M[F]_(m, n)) :
  orthonormal U -> orthonormal V -> lowrank rk M Y -> (\rank Z <= rk)%N ->
  norm2 (decode U V M - decode U V Y) <= norm2 (decode U V M - Z).
Proof.
move=> UU VV MY; have UM : U^T *m U *m M = M by rewrite UU mul1mx.
have MV : M *m (V^T *m V^T^T) = M by rewrite trmxK VV mulmx1.
have [_ _ low] := lowrank_equivariant (orthonormal_pisom UU)
  (pisom_tr (orthonormal_pisom VV)) UM MV MY.
exact: truncation_optimal low.
Qed.

End EckartYoung.
