(* The Frobenius inner product as a trace.  The identities hold over any
   field; that the square norm vanishes only at 0 needs an order. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition frob (F : fieldType) m n (M N : 'M[F]_(m, n)) := \tr (M^T *m N).
Definition norm2 (F : fieldType) m n (M : 'M[F]_(m, n)) := frob M M.

Section AnyField.
Variable F : fieldType.

(* What the trace is, entry by entry. *)
Lemma frobE m n (M N : 'M[F]_(m, n)) :
  frob M N = \sum_j \sum_i M i j * N i j.
Proof.
by apply: eq_bigr => j _; rewrite mxE; apply: eq_bigr => i _; rewrite mxE.
Qed.

Lemma norm2_tr m n (M : 'M[F]_(m, n)) : norm2 M^T = norm2 M.
Proof. by rewrite /norm2 /frob trmxK mxtrace_mulC. Qed.

Lemma norm2_orthogonal m n (M N : 'M[F]_(m, n)) :
  M^T *m N = 0 -> norm2 (M + N) = norm2 M + norm2 N.
Proof.
move=> MN; have NM : N^T *m M = 0.
  by apply: trmx_inj; rewrite trmx_mul trmxK MN trmx0.
have sum_tr : (M + N)^T = M^T + N^T by apply/matrixP => i j; rewrite !mxE.
rewrite /norm2 /frob sum_tr mulmxDl !mulmxDr MN NM addr0 add0r.
exact: mxtraceD.
Qed.

End AnyField.

Section Ordered.
Variable F : realFieldType.

Lemma norm2_ge0 m n (M : 'M[F]_(m, n)) : 0 <= norm2 M.
Proof.
rewrite /norm2 frobE; apply: sumr_ge0 => j _; apply: sumr_ge0 => i _.
by rewrite -expr2 sqr_ge0.
Qed.

Lemma norm2_eq0 m n (M : 'M[F]_(m, n)) : norm2 M = 0 <-> M = 0.
Proof.
split=> [|->]; last by rewrite /norm2 /frob mulmx0 mxtrace0.
rewrite /norm2 frobE => /eqP; rewrite psumr_eq0; last first.
  by move=> j _; apply: sumr_ge0 => i _; rewrite -expr2 sqr_ge0.
move=> /allP Mj; apply/matrixP => i j; rewrite mxE.
have := Mj j; rewrite mem_index_enum psumr_eq0 => [/(_ isT)/allP/(_ i)|i' _].
  by rewrite mem_index_enum -expr2 sqrf_eq0 => /(_ isT)/eqP.
by rewrite -expr2 sqr_ge0.
Qed.

(* A Gram matrix that is diagonal 0/1 makes a masked frame: the columns that
   do not live are zero. *)
Lemma gram01_masked m p (d : 'rV[F]_p) (U : 'M[F]_(m, p)) :
  (forall j, d 0 j = 0 \/ d 0 j = 1) -> U^T *m U = diag_mx d -> masked d U.
Proof.
move=> d01 UU; split=> //; apply/eqP; rewrite -subr_eq0; apply/eqP/norm2_eq0.
have dd : diag_mx d *m diag_mx d = diag_mx d.
  rewrite mulmx_diag; congr diag_mx; apply/rowP=> j; rewrite !mxE.
  by case: (d01 j) => ->; rewrite ?mulr0 ?mulr1.
have -> : U *m diag_mx d - U = U *m (diag_mx d - 1%:M).
  by rewrite mulmxBr mulmx1.
rewrite /norm2 /frob trmx_mul -mulmxA (mulmxA U^T) UU mulmxBr dd mulmx1.
by rewrite subrr mulmx0 mxtrace0.
Qed.

End Ordered.
