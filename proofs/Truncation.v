(* Truncation to rank k.

   [lowrank k X Y]: Y is made of the k leading triplets of some compact SVD of
   X; a matrix of smaller rank gives what it has.  When sigma_k > sigma_{k+1}
   the result does not depend on the SVD.  The proof compares projectors: the
   leading one maximizes tr (A H), H the root of X^T X (Ky Fan), and the gap
   makes the maximizer unique. *)
From mathcomp Require Import all_ssreflect all_algebra.
From CoreMerge Require Import Frame Frobenius Alignment Equivariance Svd.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Truncation.
Variable F : realFieldType.

(* k leading and l trailing triplets. *)
Definition split_svd m n k l (X : 'M[F]_(m, n))
    (P1 : 'M_(m, k)) (s1 : 'rV_k) (Q1 : 'M_(n, k))
    (P2 : 'M_(m, l)) (s2 : 'rV_l) (Q2 : 'M_(n, l)) :=
  csvd X (row_mx P1 P2) (row_mx s1 s2) (row_mx Q1 Q2) /\
  forall i j, s2 0 j <= s1 0 i.

Definition lowrank (rk : nat) : mrel F := fun m n X Y =>
  exists k l (P1 : 'M_(m, k)) s1 (Q1 : 'M_(n, k))
    (P2 : 'M_(m, l)) s2 (Q2 : 'M_(n, l)),
  [/\ split_svd X P1 s1 Q1 P2 s2 Q2, k = minn rk (k + l)
    & Y = P1 *m diag_mx s1 *m Q1^T].

(* sigma_k > sigma_{k+1}, or the rank is at most k. *)
Definition gap (rk : nat) m n (X : 'M[F]_(m, n)) :=
  exists k l (P1 : 'M_(m, k)) s1 (Q1 : 'M_(n, k))
    (P2 : 'M_(m, l)) s2 (Q2 : 'M_(n, l)),
  [/\ split_svd X P1 s1 Q1 P2 s2 Q2, k = minn rk (k + l)
    & forall i j, s2 0 j < s1 0 i].

Section OneSplit.
Variables (m n k l : nat) (X : 'M[F]_(m, n)).
Variables (P1 : 'M[F]_(m, k)) (s1 : 'rV[F]_k) (Q1 : 'M[F]_(n, k)).
Variables (P2 : 'M[F]_(m, l)) (s2 : 'rV[F]_l) (Q2 : 'M[F]_(n, l)).
Hypothesis svd : csvd X (row_mx P1 P2) (row_mx s1 s2) (row_mx Q1 Q2).

Let gram a b c (A1 : 'M[F]_(a, b)) (A2 : 'M[F]_(a, c)) :
  orthonormal (row_mx A1 A2) ->
  [/\ orthonormal A1, orthonormal A2, A1^T *m A2 = 0 & A2^T *m A1 = 0].
Proof.
rewrite /orthonormal tr_row_mx mul_col_row scalar_mx_block.
by case/eq_block_mx.
Qed.

Lemma split_right :
  [/\ orthonormal Q1, orthonormal Q2, Q1^T *m Q2 = 0 & Q2^T *m Q1 = 0].
Proof. by case: svd => _ /gram. Qed.

Lemma split_left :
  [/\ orthonormal P1, orthonormal P2, P1^T *m P2 = 0 & P2^T *m P1 = 0].
Proof. by case: svd => /gram. Qed.

Lemma split_pos1 i : 0 < s1 0 i.
Proof. by case: svd => _ _ /(_ (lshift l i)); rewrite row_mxEl. Qed.

Lemma split_pos2 j : 0 < s2 0 j.
Proof. by case: svd => _ _ /(_ (rshift k j)); rewrite row_mxEr. Qed.

Lemma mul_split a b (A1 : 'M[F]_(a, k)) (A2 : 'M_(a, l))
    (B1 : 'M_(b, k)) (B2 : 'M_(b, l)) :
  row_mx A1 A2 *m diag_mx (row_mx s1 s2) *m (row_mx B1 B2)^T =
  A1 *m diag_mx s1 *m B1^T + A2 *m diag_mx s2 *m B2^T.
Proof.
rewrite diag_mx_row mul_row_block !mulmx0 addr0 add0r tr_row_mx.
exact: mul_row_col.
Qed.

Lemma split_sum : X = P1 *m diag_mx s1 *m Q1^T + P2 *m diag_mx s2 *m Q2^T.
Proof. by case: svd => _ _ _ ->; rewrite mul_split. Qed.

(* The truncation is X times the leading projector. *)
Lemma split_trunc : P1 *m diag_mx s1 *m Q1^T = X *m (Q1 *m Q1^T).
Proof.
have [QQ1 _ _ Q21] := split_right.
rewrite split_sum mulmxDl (mulmxA _ Q1) (mulmxA (P2 *m _ *m _)).
rewrite -(mulmxA _ Q1^T) QQ1 mulmx1 -(mulmxA _ Q2^T) Q21 mulmx0 mul0mx.
by rewrite addr0.
Qed.

Lemma split_csvd : csvd (P1 *m diag_mx s1 *m Q1^T) P1 s1 Q1.
Proof.
have [QQ1 _ _ _] := split_right; have [PP1 _ _ _] := split_left.
by split=> //; exact: split_pos1.
Qed.

Let H := psd (row_mx Q1 Q2) (row_mx s1 s2).

Lemma split_trace : \tr (Q1^T *m H *m Q1) = \sum_i s1 0 i.
Proof.
have [QQ1 _ _ Q21] := split_right.
rewrite /H /psd mul_split mulmxDr mulmxDl !mulmxA QQ1 mul1mx.
rewrite -(mulmxA _ Q1^T) QQ1 mulmx1 -(mulmxA _ Q2^T) Q21 mulmx0 addr0.
exact: mxtrace_diag.
Qed.

(* A level between the leading and the trailing values. *)
Lemma split_level (ord : rel F) :
  (forall i, ord 0 (s1 0 i)) -> (forall i j, ord (s2 0 j) (s1 0 i)) ->
  exists c, [/\ 0 <= c, forall j, s2 0 j <= c & forall i, ord c (s1 0 i)].
Proof.
move=> s10 s21; exists (\big[Num.max/0]_j s2 0 j).
have big_le (r : seq 'I_l) :
    0 <= \big[Num.max/0]_(j <- r) s2 0 j /\
    forall j, j \in r -> s2 0 j <= \big[Num.max/0]_(j <- r) s2 0 j.
  elim: r => [|a r [IH0 IH]]; first by rewrite big_nil.
  rewrite big_cons; split=> [|j]; first by rewrite le_maxr IH0 orbT.
  by rewrite inE le_maxr => /orP[/eqP->|/IH->]; rewrite ?lexx ?orbT.
have [c0 cj] := big_le (index_enum _); split=> // [j|i].
  by apply: cj; rewrite mem_index_enum.
apply: (big_ind (fun x => ord x (s1 0 i))) => // x y ox oy.
by rewrite /Num.max; case: ifP.
Qed.

(* Another frame R with at most k columns collects no more than the leading
   one, and its shortfall bounds its distance from it. *)
Lemma kyfan (c : F) h (R : 'M[F]_(n, h)) (Z : 'M[F]_(n, k)) :
  (h <= k)%N -> orthonormal R -> 0 <= c -> (forall j, s2 0 j <= c) ->
  Z = Q1 - R *m R^T *m Q1 ->
  \sum_i (s1 0 i - c) * (Z^T *m Z) i i <=
  \sum_i s1 0 i - \tr (R^T *m H *m R).
Proof.
move=> hk RR c0 s2c ZE; pose Y1 := R^T *m Q1; pose Y2 := R^T *m Q2.
have [QQ1 _ _ _] := split_right.
have ZZ i : (Z^T *m Z) i i = 1 - (Y1^T *m Y1) i i.
  have -> : Z^T *m Z = 1%:M - Y1^T *m Y1.
    have ZT : Z^T = Q1^T - Q1^T *m (R *m R^T).
      by rewrite ZE linearB /= !trmx_mul trmxK.
    rewrite ZT ZE mulmxBl !mulmxBr QQ1 /Y1 trmx_mul trmxK !mulmxA.
    by rewrite -(mulmxA _ R^T R) RR mulmx1 subrr subr0.
  by rewrite !mxE eqxx.
have -> : \tr (R^T *m H *m R) =
    \sum_i s1 0 i * (Y1^T *m Y1) i i + \sum_j s2 0 j * (Y2^T *m Y2) j j.
  rewrite -!wtraceE -mxtraceD; congr (\tr _).
  by rewrite /H /psd mul_split mulmxDr mulmxDl /Y1 /Y2 !trmx_mul !trmxK
     !mulmxA.
have bessel : \sum_i (Y1^T *m Y1) i i + \sum_j (Y2^T *m Y2) j j <= k%:R.
  have [_ QQ _ _] := svd; apply: (@le_trans _ _ h%:R); last by rewrite ler_nat.
  have := norm2_ge0 (row_mx Q1 Q2 *m (row_mx Q1 Q2)^T *m R - R).
  rewrite (alignment_error (orthonormal_pisom QQ) RR) subr_ge0.
  rewrite /norm2 /frob mul_mx_row tr_row_mx mul_col_row.
  by rewrite (mxtrace_block (Y1^T *m Y1)).
have -> : \sum_i (s1 0 i - c) * (Z^T *m Z) i i =
    \sum_i s1 0 i - \sum_i s1 0 i * (Y1^T *m Y1) i i
    - c * (k%:R - \sum_i (Y1^T *m Y1) i i).
  have -> : k%:R = \sum_(i < k) 1 :> F by rewrite sumr_const card_ord.
  rewrite -!sumrB mulr_sumr -sumrB; apply: eq_bigr => i _.
  by rewrite ZZ mulrBl mulrBr mulr1.
rewrite opprD addrA ler_add2l ler_opp2.
apply: (@le_trans _ _ (c * \sum_j (Y2^T *m Y2) j j)).
  rewrite mulr_sumr; apply: ler_sum => j _.
  by rewrite ler_wpmul2r // gram_ge0.
by rewrite ler_wpmul2l // ler_subr_addl.
Qed.

End OneSplit.

Section TwoSplits.
Variables (m n k l l' : nat) (X : 'M[F]_(m, n)).
Variables (P1 : 'M[F]_(m, k)) (s1 : 'rV[F]_k) (Q1 : 'M[F]_(n, k)).
Variables (P2 : 'M[F]_(m, l)) (s2 : 'rV[F]_l) (Q2 : 'M[F]_(n, l)).
Variables (P1' : 'M[F]_(m, k)) (s1' : 'rV[F]_k) (Q1' : 'M[F]_(n, k)).
Variables (P2' : 'M[F]_(m, l')) (s2' : 'rV[F]_l') (Q2' : 'M[F]_(n, l')).

(* The gap is asked of one of the two SVDs. *)
Theorem truncation_uniq :
  split_svd X P1 s1 Q1 P2 s2 Q2 -> split_svd X P1' s1' Q1' P2' s2' Q2' ->
  (forall i j, s2 0 j < s1 0 i) ->
  P1 *m diag_mx s1 *m Q1^T = P1' *m diag_mx s1' *m Q1'^T.
Proof.
move=> [svd s21] [svd' s21'] gap12.
have [QQ1 _ _ _] := split_right svd; have [QQ1' _ _ _] := split_right svd'.
have s10 := split_pos1 svd; have s10' := split_pos1 svd'.
have [c [c0 s2c cs1]] := split_level (ord := <%O) s10 gap12.
have le10' i : 0 <= s1' 0 i by exact: ltW.
have [c' [c0' s2c' cs1']] := split_level (ord := <=%O) le10' s21'.
have le1 := kyfan svd (leqnn k) QQ1' c0 s2c erefl.
have le2 := kyfan svd' (leqnn k) QQ1 c0' s2c' erefl.
have Heq := csvd_root svd svd'.
rewrite Heq (split_trace svd') in le1; rewrite -Heq (split_trace svd) in le2.
have ge2 : 0 <= \sum_i s1' 0 i - \sum_i s1 0 i.
  apply: le_trans le2; apply: sumr_ge0 => i _.
  by rewrite mulr_ge0 ?subr_ge0 ?gram_ge0.
have Z0 : Q1 - Q1' *m Q1'^T *m Q1 = 0.
  apply: (@wsum_eq0 _ _ _ _ (fun i => s1 0 i - c)) => [i|].
    by rewrite subr_gt0.
  by apply: le_trans le1 _; rewrite -oppr_ge0 opprB.
have fix1 : Q1' *m Q1'^T *m Q1 = Q1.
  by apply/eqP; rewrite eq_sym -subr_eq0; apply/eqP.
(* Equal traces: the projector that fixes Q1 is its own. *)
have fix2 : Q1 *m Q1^T *m Q1' = Q1'.
  apply/eqP; rewrite -subr_eq0; apply/eqP/norm2_eq0.
  rewrite (alignment_error (orthonormal_pisom QQ1) QQ1').
  rewrite /norm2 /frob trmx_mul trmxK -mulmxA (mulmxA Q1') fix1.
  by rewrite QQ1 mxtrace1 subrr.
by rewrite (split_trunc svd) (split_trunc svd') (proj_eq fix1 fix2).
Qed.


End TwoSplits.

Theorem lowrank_determined rk m n (X Y Y' : 'M[F]_(m, n)) :
  gap rk X -> lowrank rk X Y -> lowrank rk X Y' -> Y = Y'.
Proof.
move=> [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [spl Ek strict]]]]]]]]].
suff uniq Z : lowrank rk X Z -> P1 *m diag_mx s1 *m Q1^T = Z.
  by move=> /uniq <- /uniq <-.
move=> [k' [l' [P1' [s1' [Q1' [P2' [s2' [Q2' [spl' Ek' ->]]]]]]]]].
have Ekl : (k + l = k' + l')%N.
  by case: spl spl' => /csvd_rank <- _ [/csvd_rank].
have E : k = k' by rewrite Ek Ek' Ekl.
by subst k'; exact: truncation_uniq spl spl' strict.
Qed.

(* The rank is k, or that of X when it is smaller. *)
Theorem lowrank_rank rk m n (X Y : 'M[F]_(m, n)) :
  lowrank rk X Y -> \rank Y = minn rk (\rank X).
Proof.
move=> [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [[svd _] Ek ->]]]]]]]]].
by rewrite (csvd_rank (split_csvd svd)) (csvd_rank svd).
Qed.

Lemma split_move m n m' n' k l (E : 'M_(m', m)) (G : 'M_(n, n'))
    (X : 'M[F]_(m, n)) (P1 : 'M_(m, k)) s1 (Q1 : 'M_(n, k))
    (P2 : 'M_(m, l)) s2 (Q2 : 'M_(n, l)) :
  E^T *m E *m X = X -> X *m (G *m G^T) = X ->
  split_svd X P1 s1 Q1 P2 s2 Q2 ->
  split_svd (E *m X *m G) (E *m P1) s1 (G^T *m Q1) (E *m P2) s2 (G^T *m Q2).
Proof.
move=> EX XG [svd s21]; split=> //.
by rewrite -!mul_mx_row; exact: csvd_move.
Qed.

(* The relation is equivariant with or without a gap; the gap makes it a
   function, and moves along. *)
Theorem lowrank_equivariant rk : equivariant1 (lowrank rk).
Proof.
move=> p q p' q' E G M X _ _ EM MG.
move=> [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [spl Ek XE]]]]]]]]].
have [svd _] := spl; have XM : X = M *m (Q1 *m Q1^T).
  by rewrite XE (split_trunc svd).
have MX : X = P1 *m P1^T *m M.
  have [PP1 _ P12 _] := split_left svd.
  rewrite XE (split_sum svd) mulmxDr !mulmxA -(mulmxA _ P1^T) PP1 mulmx1.
  by rewrite -(mulmxA _ P1^T P2) P12 mulmx0 !mul0mx addr0.
split; first by rewrite XM mulmxA EM.
  by rewrite MX -(mulmxA _ M) MG.
exists k, l, (E *m P1), s1, (G^T *m Q1), (E *m P2), s2, (G^T *m Q2).
split=> //; first exact: split_move.
by rewrite XE trmx_mul trmxK !mulmxA.
Qed.

Lemma gap_move rk m n m' n' (E : 'M_(m', m)) (G : 'M_(n, n'))
    (X : 'M[F]_(m, n)) :
  E^T *m E *m X = X -> X *m (G *m G^T) = X -> gap rk X ->
  gap rk (E *m X *m G).
Proof.
move=> EX XG [k [l [P1 [s1 [Q1 [P2 [s2 [Q2 [spl Ek strict]]]]]]]]].
exists k, l, (E *m P1), s1, (G^T *m Q1), (E *m P2), s2, (G^T *m Q2).
by split=> //; exact: split_move.
Qed.

(* Without a gap there are several right answers: the identity has e_1 e_1^T
   and e_2 e_2^T as truncations to rank 1, in every space. *)
Example truncation_needs_gap :
  exists X Y Y' : 'M[F]_2, [/\ lowrank 1 X Y, lowrank 1 X Y' & Y <> Y'].
Proof.
pose e (i : 'I_2) : 'cV[F]_2 := delta_mx i 0.
have ortho (i j : 'I_2) : i != j -> row_mx (e i) (e j) *m (row_mx (e i) (e j))^T
    = 1%:M /\ orthonormal (row_mx (e i) (e j)).
  move=> ij; suff E : row_mx (e i) (e j) *m (row_mx (e i) (e j))^T = 1%:M.
    by split=> //; exact: mulmx1C.
  rewrite tr_row_mx mul_row_col /e !trmx_delta !mul_delta_mx.
  apply/matrixP => a b; rewrite !mxE; move: i j a b ij.
  by do 4![case; case=> [|[|//]] ?]; rewrite //= ?addr0 ?add0r.
have low (i j : 'I_2) : i != j -> lowrank 1 1%:M (e i *m (e i)^T).
  move=> ij; have [E O] := ortho i j ij.
  exists 1%N, 1%N, (e i), (const_mx 1), (e i), (e j), (const_mx 1), (e j).
  split=> //; last by rewrite diag_const_mx mulmx1.
  split=> [|a b]; last by rewrite !mxE.
  split=> // [a|]; last by rewrite row_mx_const diag_const_mx mulmx1.
  by rewrite row_mx_const mxE ltr01.
exists 1%:M, (e 0 *m (e 0)^T), (e 1 *m (e 1)^T).
split; [exact: (low _ 1) | exact: (low _ 0) |].
move/matrixP/(_ 0 0); rewrite /e !trmx_delta !mul_delta_mx !mxE /=.
by move/eqP; rewrite oner_eq0.
Qed.

End Truncation.
